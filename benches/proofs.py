#!/usr/bin/env python3
"""How long a proof takes from a warm service, over HTTP, whole: the event is looked up, its document made, checked and recorded.

    benches/proofs.py [PROGRAM] [--entries 1000000,3000000,10000000] [--asks 50] [--keep DIRECTORY]

PROGRAM is tacho, default target/release/tacho or that below CARGO_TARGET_DIR. The events have a random id each (UUID version 4, the worst for a lookup) and
are recorded through POST /v1/events, in bodies of 5,000. At each size, once the root log knows all of it, so many events are proved by index and by id,
drawn from the whole log by a seed; medians and p99 of the answers, and beside them a question by SQL for the same id.
"""

import argparse
import http.client
import json
import os
import pathlib
import random
import subprocess
import tempfile
import time
import uuid

BODY_EVENTS, SEED = 5_000, 7


def event(seed, number):
    """The event of this number: the same whenever it is asked for."""
    name = uuid.UUID(int=random.Random(seed << 40 | number).getrandbits(128), version=4)
    return str(name)


def body(first, count):
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    lines = (
        f'{{"event_id":"{event(SEED, at)}","time":"{now}","kind":"call","user_id":"u-{at % 997}","session_id":"s-{at // 40}","server":"github",'
        f'"capability":"get_issue","decision":"allow","status":"ok","latency_us":{at % 90_000}}}'
        for at in range(first, first + count)
    )
    return "\n".join(lines)


class Service:
    def __init__(self, program, home):
        place = ["--data", f"{home}/data", "--keys", f"{home}/keys"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TACHO_")}
        self.child = subprocess.Popen(
            [program, "serve", *place, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=open(f"{home}/log", "w"), text=True, env=environment
        )
        ready = self.child.stdout.readline()
        address = next(word for word in ready.split() if word.startswith("http=")).removeprefix("http=")
        self.connection = http.client.HTTPConnection(address, timeout=600)
        token = pathlib.Path(f"{home}/keys/admin.token").read_text().strip()
        self.headers = {"authorization": f"Bearer {token}"}

    def ask(self, method, path, content=None, kind="application/json"):
        self.connection.request(method, path, content, {**self.headers, "content-type": kind})
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, text

    def record(self, first, count):
        while True:
            status, text = self.ask("POST", "/v1/events", body(first, count), "application/x-ndjson")
            if status == 200:
                return
            if status not in (429, 503):
                raise SystemExit(f"{status}: {text.decode()}")
            time.sleep(0.2)

    def resident(self):
        status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


def timed(what, run, asks):
    took = []
    for at in range(asks):
        started = time.monotonic()
        status, text = run(at)
        took.append(time.monotonic() - started)
        if status != 200:
            raise SystemExit(f"{what}: {status}: {text.decode()[:400]}")
    took.sort()
    median, p99 = took[len(took) // 2], took[min(len(took) - 1, len(took) * 99 // 100)]
    print(f"  {what:<24} median {median * 1000:8.1f} ms   p99 {p99 * 1000:8.1f} ms")


def main():
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", nargs="?", default=f"{target}/release/tacho")
    parser.add_argument("--entries", default="1000000,3000000,10000000")
    parser.add_argument("--asks", type=int, default=50)
    parser.add_argument("--keep", type=pathlib.Path, help="record below this directory and leave it there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = arguments.keep or pathlib.Path(scratch)
        home.mkdir(exist_ok=True)
        service = Service(arguments.program, home)
        try:
            recorded = 0
            for size in sorted(int(size) for size in arguments.entries.split(",")):
                while recorded < size:
                    count = min(BODY_EVENTS, size - recorded)
                    service.record(recorded, count)
                    recorded += count
                # The last one can be proved once a round covers it.
                while service.ask("GET", f"/api/v1/proofs?index={recorded}")[0] != 200:
                    time.sleep(1)
                draw = random.Random(size)
                chosen = [draw.randrange(recorded) for _ in range(2 * arguments.asks)]
                # Once each beforehand: the first of all reads footers.
                service.ask("GET", f"/api/v1/proofs?event_id={event(SEED, chosen[0])}")
                print(f"{recorded} events, {service.resident()} MiB at most")
                timed("by index", lambda at: service.ask("GET", f"/api/v1/proofs?index={1 + chosen[at]}"), arguments.asks)
                by_id = lambda at: event(SEED, chosen[arguments.asks + at])
                timed("by a random id", lambda at: service.ask("GET", f"/api/v1/proofs?event_id={by_id(at)}"), arguments.asks)
                question = lambda at: json.dumps({"query": f"SELECT log_index FROM events WHERE event_id = '{by_id(at)}'", "format": "json"})
                timed("SQL for the same id", lambda at: service.ask("POST", "/api/v1/sql", question(at)), arguments.asks)
        finally:
            service.child.terminate()
            service.child.wait()


if __name__ == "__main__":
    main()
