#!/usr/bin/env python3
"""What ten hostile queries do to everybody else: latency of ingest and /health beside an idle service in the same run.

    benches/hostile.py [PROGRAM]        default: target/release/tacho, or that below CARGO_TARGET_DIR

All ten run at once (`query.at_once` is 4 unless set), each to its deadline, and then the next. Prints p50 and p99 of both, idle and under attack, and their
ratios; the most memory the process held; how long after its deadline an endless query is answered, under attack and alone; how
long after the last cancellation the process still computes.
"""

import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

DEADLINE_MS = 4_000
AT_ONCE = 10
SECONDS = 10
HOSTILE = [
    "SELECT sum(a.latency_us * b.latency_us) AS s FROM events a, events b, events c WHERE a.latency_us + b.latency_us <> c.latency_us + 1",
    "SELECT count(DISTINCT concat(a.event_id, b.event_id)) AS n FROM events a, events b",
    "SELECT a.event_id, b.event_id, row_number() OVER (ORDER BY a.event_id, b.user_id) AS r FROM events a, events b ORDER BY r DESC LIMIT 10",
    "SELECT count(*) AS n FROM events a, events b WHERE regexp_like(concat(a.event_id, b.event_id), '(a|b|c|d)*e(f|g)*h{1,100}')",
    "SELECT array_agg(a.event_id) AS x FROM events a, events b",
]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


class Service:
    def __init__(self, program, home):
        environment = dict(os.environ, TACHO_QUERY_DEADLINE_MS=str(DEADLINE_MS), TACHO_QUERY_AT_ONCE=str(AT_ONCE))
        self.process = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--data", f"{home}/data", "--keys", f"{home}/keys"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        self.address = self.process.stdout.readline().strip().split("http=")[1].split()[0]
        token = pathlib.Path(f"{home}/keys/admin.token").read_text().strip()
        self.headers = {"authorization": f"Bearer {token}"}

    def connect(self):
        return http.client.HTTPConnection(self.address, timeout=120)

    def send(self, method, path, body=None, kind="application/json", connection=None):
        connection = connection or self.connect()
        connection.request(method, path, body, dict(self.headers, **{"content-type": kind}))
        answer = connection.getresponse()
        return answer.status, answer.read()

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) // 1024
        return 0


def event(number):
    return json.dumps({"event_id": f"e-{number}", "time": "2026-11-21T10:00:00Z", "kind": "call", "user_id": f"u-{number % 97}",
                       "agent_id": "a-1", "server": "github", "capability": f"tool{number % 20}", "decision": "allow",
                       "status": "ok", "latency_us": 1000 + number % 5000, "arguments": {"number": number}})


def measure(service, first):
    """Seconds of each request, by kind, for SECONDS."""
    taken, connection, number = {"ingest": [], "health": []}, service.connect(), first
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for kind, method, path, body in [("ingest", "POST", "/v1/events", event(number)), ("health", "GET", "/health", None)]:
            begun = time.monotonic()
            status, text = service.send(method, path, body, "application/x-ndjson", connection)
            taken[kind].append(time.monotonic() - begun)
            assert status == 200, (status, text)
        number += 1
    return taken, number


def attack(service, query, stop, answers):
    while not stop.is_set():
        begun = time.monotonic()
        status, text = service.send("POST", "/api/v1/sql", json.dumps({"query": query}))
        answers.append((status, time.monotonic() - begun, text[:200]))


def main():
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    program = sys.argv[1] if len(sys.argv) > 1 else f"{target}/release/tacho"
    with tempfile.TemporaryDirectory() as home:
        service = Service(program, home)
        try:
            run(service)
        finally:
            service.process.terminate()
            service.process.wait()


def run(service):
    for first in range(0, 50_000, 5_000):
        status, text = service.send("POST", "/v1/events", "\n".join(map(event, range(first, first + 5_000))), "application/x-ndjson")
        assert status == 200, text
    idle, number = measure(service, 100_000)
    before_mib = service.peak_mib()

    stop, answers = threading.Event(), []
    threads = [threading.Thread(target=attack, args=(service, HOSTILE[at % len(HOSTILE)], stop, answers)) for at in range(10)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    busy, _ = measure(service, number)
    for kind in idle:
        for share, name in [(0.5, "p50"), (0.99, "p99")]:
            a, b = percentile(idle[kind], share) * 1e3, percentile(busy[kind], share) * 1e3
            print(f"{kind} {name}: idle {a:.2f} ms, under attack {b:.2f} ms, ratio {b / a:.2f}")
    print(f"peak memory: {service.peak_mib()} MiB, {before_mib} MiB before the attack")

    # Every query that runs is ended; those that wait begin, and are ended too.
    stop.set()
    while any(thread.is_alive() for thread in threads):
        _, text = service.send("GET", "/api/v1/queries")
        for query in json.loads(text)["queries"]:
            service.send("DELETE", f"/api/v1/queries/{query['query_id']}")
            cancelled = time.monotonic()
        time.sleep(0.05)
    free = None
    while free is None and time.monotonic() < cancelled + 30:
        used, begun = service.cpu_s(), time.monotonic()
        time.sleep(0.1)
        if (service.cpu_s() - used) / (time.monotonic() - begun) < 0.2:
            free = begun - cancelled
    print(f"CPU free after the last cancellation: {free:.2f} s" if free is not None else "CPU not free within 30 s")
    # A client waits for a place first, for up to a deadline; how long a query then ran is on the access log.
    waited = [taken - DEADLINE_MS / 1e3 for status, taken, text in answers if b'"deadline"' in text]
    asked = {"query": "SELECT max(duration_us) AS longest, count(*) AS n FROM access WHERE phase = 'outcome' AND error_code = 'deadline'"}
    logged = json.loads(service.send("POST", "/api/v1/sql", json.dumps(asked))[1])
    print(f"deadlines under attack, by the access log: {logged}; clients waited {max(waited, default=0):.2f} s more at most, for a place")
    late = []
    for query in HOSTILE[:2] + HOSTILE[3:4]:
        begun = time.monotonic()
        status, text = service.send("POST", "/api/v1/sql", json.dumps({"query": query}))
        if b'"deadline"' in text:
            late.append(time.monotonic() - begun - DEADLINE_MS / 1e3)
    print(f"answers under attack by status: {sorted((status, sum(1 for a in answers if a[0] == status)) for status in {a[0] for a in answers})}")
    if late:
        print(f"deadline overshoot alone: {max(late):.2f} s at most of {len(late)}")


if __name__ == "__main__":
    main()
