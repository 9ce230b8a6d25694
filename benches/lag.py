#!/usr/bin/env python3
"""How long after its acknowledgement an event's alert is in the file of a sink, beside a steady load of other events.

    benches/lag.py [PROGRAM] [--rates 10000,30000,60000] [--seconds 20]

PROGRAM is tacho, default target/release/tacho or that below CARGO_TARGET_DIR; `corpus` is beside it. The load is the corpus, sent in bodies of 2,000
events over two connections at so many events a second as far as the service takes them; ten times a second another connection sends one high-risk write
that nobody approved, of an agent of its own. The time is from the answer to that request to the alert's line in the file, on stable storage by then, and
has in it: the fold of what came before it, the append to the alerts log, the sink's reading, rendering, writing and syncing.
"""

import argparse
import http.client
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time

BODY_EVENTS, PROBES_S = 2_000, 10


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def write(agent):
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"event_id": agent, "time": now, "kind": "call", "agent_id": agent, "server": "bank", "capability": "pay", "action": "write",
                       "risk": "critical", "decision": "allow", "status": "ok", "session_id": agent})


class Sender:
    def __init__(self, address, token):
        self.connection = http.client.HTTPConnection(address, timeout=120)
        self.headers = {"authorization": f"Bearer {token}", "content-type": "application/x-ndjson"}

    def send(self, body):
        self.connection.request("POST", "/v1/events", body, self.headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status


class Seen(threading.Thread):
    """Follows the sink's file: when each agent's alert was there."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.when = path, {}

    def run(self):
        while not self.path.exists():
            time.sleep(0.001)
        with open(self.path) as lines:
            part = ""
            while True:
                text = lines.readline()
                if not text:
                    time.sleep(0.001)
                    continue
                part += text
                if part.endswith("\n"):
                    alert, part = json.loads(part), ""
                    for observable in alert.get("observables", []):
                        self.when.setdefault((alert["rule_id"], observable), time.monotonic())


def load(sender, bodies, rate, until, counts):
    next_s = time.monotonic()
    for body in bodies:
        if time.monotonic() >= until:
            return
        time.sleep(max(0, next_s - time.monotonic()))
        counts.append(sender.send(body))
        next_s = max(next_s + BODY_EVENTS / rate, time.monotonic() - 1)


def measure(program, corpus, rate, seconds):
    with tempfile.TemporaryDirectory() as home:
        out = pathlib.Path(home) / "alerts.jsonl"
        (pathlib.Path(home) / "tacho.toml").write_text(f'[[sinks]]\nname = "out"\ntype = "file"\npath = "{out}"\n')
        service = subprocess.Popen([program, "serve", "--config", f"{home}/tacho.toml", "--listen", "127.0.0.1:0", "--data", f"{home}/data", "--keys", f"{home}/keys"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            address = service.stdout.readline().strip().split("http=")[1].split()[0]
            token = pathlib.Path(f"{home}/keys/admin.token").read_text().strip()
            seen = Seen(out)
            seen.start()
            counts, until = [], time.monotonic() + seconds
            threads = []
            for half in range(2):
                bodies = corpus[half::2]
                threads.append(threading.Thread(target=load, args=(Sender(address, token), bodies, rate / 2, until, counts)))
            begun = time.monotonic()
            for thread in threads:
                thread.start()
            probe, acknowledged, number = Sender(address, token), {}, 0
            while time.monotonic() < until:
                agent = f"probe-{rate}-{number}"
                assert probe.send(write(agent)) == 200
                acknowledged[agent] = time.monotonic()
                number += 1
                time.sleep(max(0, begun + number / PROBES_S - time.monotonic()))
            for thread in threads:
                thread.join()
            sent = counts.count(200) * BODY_EVENTS / (time.monotonic() - begun)
            waits = time.monotonic() + 60
            key = lambda agent: ("unapproved_high_risk_write", f"agent_id={agent}")
            while time.monotonic() < waits and any(key(agent) not in seen.when for agent in acknowledged):
                time.sleep(0.05)
            # An alert may be there before its request is answered: both are of the same commit.
            lags = [max(0, seen.when[key(agent)] - at) for agent, at in acknowledged.items() if key(agent) in seen.when]
            missing = len(acknowledged) - len(lags)
            print(f"{rate:>8} events/s asked, {sent:>8.0f} taken, {len(lags)} alerts ({missing} missing): p50 {1e3 * percentile(lags, 0.5):6.0f} ms, "
                  f"p99 {1e3 * percentile(lags, 0.99):6.0f} ms, most {1e3 * max(lags):6.0f} ms", flush=True)
        finally:
            service.terminate()
            service.wait(60)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=f"{os.environ.get('CARGO_TARGET_DIR', 'target')}/release/tacho")
    parser.add_argument("--rates", default="10000,30000,60000")
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    rates = [int(rate) for rate in options.rates.split(",")]
    with tempfile.TemporaryDirectory() as home:
        part = f"{home}/corpus"
        count = max(rates) * options.seconds + BODY_EVENTS
        subprocess.run([str(pathlib.Path(options.program).parent / "corpus"), "--events", str(count), "--out", part], check=True, stderr=subprocess.DEVNULL)
        lines = open(part, "rb").read().splitlines()
    corpus = [b"\n".join(lines[at:at + BODY_EVENTS]) for at in range(0, len(lines) - BODY_EVENTS + 1, BODY_EVENTS)]
    for rate in rates:
        measure(options.program, corpus, rate, options.seconds)


main()
