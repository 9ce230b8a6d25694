#!/usr/bin/env python3
"""What a tenant that floods does to another: latency of a quiet tenant's acknowledgements beside its own when it is alone, in the same run.

    benches/flood.py [PROGRAM]          default: target/release/tacho, or that below CARGO_TARGET_DIR

The quiet tenant sends a batch of 20 events every 20 ms on one connection. The flood is measured twice: at ten times the quiet
tenant's events a second, and as fast as four connections can send bodies of 4,000 events each. Prints p50 and p99, alone and beside
each flood, and their ratios; how many of the flood's bodies were taken and how many turned away, by status.
"""

import collections
import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from hostile import Service, event, percentile

SECONDS = 15
QUIET_EVENTS, QUIET_EVERY_S = 20, 0.02
FLOOD_EVENTS, FLOOD_CONNECTIONS = 4_000, 4


def token(program, home, tenant):
    said = subprocess.run([program, "token", "create", "--role", "collector", "--tenant", tenant, "--data", f"{home}/data",
                           "--keys", f"{home}/keys"], capture_output=True, text=True, check=True).stdout
    return json.loads(said)["token"]


def body(first, count):
    return "\n".join(event(number) for number in range(first, first + count))


class Sender:
    """One connection of one tenant."""

    def __init__(self, service, secret):
        self.connection = http.client.HTTPConnection(service.address, timeout=60)
        self.headers = {"authorization": f"Bearer {secret}", "content-type": "application/x-ndjson"}

    def send(self, text):
        self.connection.request("POST", "/v1/events", text, self.headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status


def quiet(service, secret, numbers):
    sender, taken, next_s = Sender(service, secret), [], time.monotonic()
    end = next_s + SECONDS
    while next_s < end:
        time.sleep(max(0, next_s - time.monotonic()))
        text, begun = body(next(numbers), QUIET_EVENTS), time.monotonic()
        status = sender.send(text)
        assert status == 200, f"the quiet tenant was answered {status}"
        taken.append(time.monotonic() - begun)
        # A late answer does not make it send less often later: it catches up.
        next_s += QUIET_EVERY_S
    return taken


def flood(service, secret, stop, answers, every_s, count):
    """The same events again and again under new ids: the number is all that changes."""
    sender, round_ = Sender(service, secret), 0
    template = body(0, count)
    while not stop.is_set():
        begun = time.monotonic()
        # Cheap for the client, new to the service.
        text = template.replace('"event_id": "e-', f'"event_id": "{threading.get_ident()}-{round_}-')
        answers[sender.send(text)] += 1
        round_ += 1
        time.sleep(max(0, every_s - (time.monotonic() - begun)))


def main():
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    program = sys.argv[1] if len(sys.argv) > 1 else f"{target}/release/tacho"
    with tempfile.TemporaryDirectory() as home:
        service = Service(program, home)
        try:
            run(program, home, service)
        finally:
            service.process.terminate()
            service.process.wait()
        verified = subprocess.run([program, "verify", "--trust-store-key", "--data", f"{home}/data"], capture_output=True, text=True)
        print(f"verify: exit {verified.returncode}")
        assert verified.returncode == 0, verified.stdout + verified.stderr


def run(program, home, service):
    calm, loud = token(program, home, "calm"), token(program, home, "loud")
    numbers = iter(range(0, 10**9, QUIET_EVENTS))
    quiet(service, calm, numbers)
    alone = quiet(service, calm, numbers)
    ten_times = [(QUIET_EVERY_S, QUIET_EVENTS * 10)]
    as_fast = [(0, FLOOD_EVENTS)] * FLOOD_CONNECTIONS
    for name, floods in [("ten times as much", ten_times), ("as fast as it can", as_fast)]:
        stop, answers = threading.Event(), collections.Counter()
        threads = [threading.Thread(target=flood, args=(service, loud, stop, answers, *part)) for part in floods]
        for thread in threads:
            thread.start()
        time.sleep(1)
        beside = quiet(service, calm, numbers)
        stop.set()
        for thread in threads:
            thread.join()
        sent = sum(count * part[1] for part, count in [(floods[0], sum(answers.values()))])
        print(f"flood, {name}: {sent / (SECONDS + 1):,.0f} events/s, answers {dict(answers)}")
        for share, label in [(0.5, "p50"), (0.99, "p99")]:
            a, b = percentile(alone, share) * 1e3, percentile(beside, share) * 1e3
            print(f"  acknowledgement {label}: alone {a:.2f} ms, beside it {b:.2f} ms, ratio {b / a:.2f}")
    print(f"peak memory: {service.peak_mib()} MiB")


if __name__ == "__main__":
    main()
