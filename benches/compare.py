"""Us and DuckDB in turn, on one corpus, on one machine: ratios, because machines differ and are shared.

Ours is the whole way: HTTP, redaction, hashing, sync before every answer, second hashing, signing, sealing into
Parquet with re-read. DuckDB's is a plain NDJSON-to-Parquet copy with two threads and the row order kept. The load
generator runs on the same machine and its time is ours as well.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared" / "bench"


def corpus(options: argparse.Namespace) -> Path:
    """The outside yardstick's corpus where it can be had, else the project's own."""
    kind = "yardstick" if SHARED.is_dir() and not options.own_corpus else "own"
    path = Path(options.cache) / f"bench-{kind}-{options.events}.ndjson"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    if kind == "yardstick":
        target = Path(options.cache) / "yardstick-target"
        environment = dict(os.environ, CARGO_TARGET_DIR=str(target))
        subprocess.run(["cargo", "build", "--release", "--manifest-path", str(SHARED / "gen" / "Cargo.toml")],
                       check=True, env=environment, cwd=options.cache)
        subprocess.run([str(target / "release" / "gen-corpus"), "--events", str(options.events), "--out", str(part),
                        "--params", str(path.with_suffix(".json"))], check=True)
    else:
        subprocess.run([str(Path(options.bin) / "corpus"), "--events", str(options.events), "--out", str(part)], check=True)
    part.rename(path)
    return path


DUCKDB = """
import sys, time, json, resource
import duckdb
source, out, columns = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
started = time.perf_counter()
connection = duckdb.connect()
connection.execute("SET enable_progress_bar=false; SET threads=2; SET TimeZone='UTC'; SET preserve_insertion_order=true")
spec = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items()) + "}"
connection.execute(f"COPY (SELECT * FROM read_json('{source}', format='newline_delimited', columns={spec})) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": time.perf_counter() - started, "peak_mib": usage.ru_maxrss / 1024, "cpu": usage.ru_utime + usage.ru_stime}))
"""

NUMBERS = ["approval_wait_ms", "latency_us", "request_bytes", "response_bytes", "input_tokens", "output_tokens"]
TEXTS = ["event_id", "tenant", "environment", "kind", "capability_type", "user_id", "agent_id", "client", "model", "source_ip",
         "session_id", "request_id", "trace_id", "server", "capability", "target", "action", "risk", "decision", "policy_id",
         "policy_hash", "approval_id", "approver", "approval_status", "status", "error_code", "output_action", "arguments", "result"]


def run_duckdb(source: Path, scratch: Path) -> dict:
    columns = {"time": "TIMESTAMP"} | {name: "VARCHAR" for name in TEXTS} | {name: "BIGINT" for name in NUMBERS}
    out = scratch / "duckdb.parquet"
    out.unlink(missing_ok=True)
    answer = subprocess.run([sys.executable, "-c", DUCKDB, str(source), str(out), json.dumps(columns)],
                            check=True, capture_output=True, text=True)
    return json.loads(answer.stdout.splitlines()[-1]) | {"bytes": out.stat().st_size}


class Peak(threading.Thread):
    """The peak of a process's memory up to its end, the last seal included: VmHWM only rises, so the last look counts."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.mib, self.cpu = pid, 0.0, 0.0
        self.done = threading.Event()

    def look(self) -> None:
        try:
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.mib = max(self.mib, int(line.split()[1]) / 1024)
            self.cpu = max(self.cpu, cpu_seconds(self.pid))
        except (OSError, ValueError, IndexError):
            pass    # it has ended

    def run(self) -> None:
        while not self.done.wait(0.02):
            self.look()

    def stop(self) -> None:
        self.done.set()
        self.join()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_ours(options: argparse.Namespace, source: Path, scratch: Path) -> dict:
    # Kept until all runs are over: creating files right after thousands were removed is slow on ext4, which does not
    # give out again an inode that was freed a moment ago.
    home = Path(tempfile.mkdtemp(prefix="tacho-", dir=scratch))
    roles = "ingest,query" if options.no_detect else "ingest,detect,query"
    with open(scratch / "service.log", "a") as log:
        service = subprocess.Popen([str(Path(options.bin) / "tacho"), "serve", "--data", str(home / "data"), "--keys", str(home / "keys"),
                                    "--listen", "127.0.0.1:0", "--roles", roles], stdout=subprocess.PIPE, stderr=log, text=True)
    peak = Peak(service.pid)
    peak.start()
    try:
        address = service.stdout.readline().strip().removeprefix("ready http=")
        load = subprocess.run([str(Path(options.bin) / "load"), "--address", address, "--token-file", str(home / "keys/admin.token"),
                               "--file", str(source), "--connections", str(options.connections), "--body-bytes", str(options.body_bytes)],
                              check=True, capture_output=True, text=True)
        loaded = json.loads(load.stdout)
        if loaded["accepted"] != options.events:
            raise RuntimeError(f"{loaded['accepted']} of {options.events} events were accepted")
        started = time.perf_counter()
        service.send_signal(signal.SIGTERM)
        if service.wait(timeout=600) != 0:
            raise RuntimeError(f"the service exited {service.returncode}; see {scratch}/service.log")
        sealing = time.perf_counter() - started
    finally:
        peak.stop()
        if service.poll() is None:
            service.kill()
    started = time.perf_counter()
    verified = subprocess.run([str(Path(options.bin) / "tacho-verify"), str(home / "data"), "--trust-store-key", "--quiet"],
                              capture_output=True, text=True)
    verify_seconds = time.perf_counter() - started
    if verified.returncode != 0:
        raise RuntimeError(f"verify: {verified.stdout}{verified.stderr}")
    return {"acknowledged_seconds": loaded["seconds"], "load_cpu": loaded["cpu_seconds"], "retries": loaded["retries"],
            "seconds": loaded["seconds"] + sealing, "peak_mib": peak.mib, "cpu": peak.cpu, "verify_seconds": verify_seconds,
            "bytes": split(home / "data" / "log")}


def split(log: Path) -> dict:
    """Bytes of everything below `log/` by what they are for: the events' log in parts, all other logs in one."""
    import pyarrow.parquet as parquet
    found = {"columns": 0, "commitments": 0, "payloads": 0, "salts": 0, "tiles": 0, "manifests": 0, "other logs": 0}
    for path in log.rglob("*"):
        if not path.is_file():
            continue
        size = path.stat().st_size
        if path.relative_to(log).parts[:2] != ("default", "events"):
            found["other logs"] += size
        elif path.suffix == ".parquet":
            special = 0
            metadata = parquet.ParquetFile(path).metadata
            name = "payload_commitment" if "segments" in path.parts else "salt"
            for group in range(metadata.num_row_groups):
                for column in range(metadata.num_columns):
                    chunk = metadata.row_group(group).column(column)
                    if chunk.path_in_schema == name:
                        special += chunk.total_compressed_size
            found["columns" if "segments" in path.parts else "payloads"] += size - special
            found["commitments" if "segments" in path.parts else "salts"] += special
        elif "tile" in path.parts:
            found["tiles"] += size
        else:
            found["manifests"] += size
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="directory of the built programs")
    parser.add_argument("--cache", required=True, help="where corpora are kept")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--body-bytes", type=int, default=2 << 20)
    parser.add_argument("--own-corpus", action="store_true", help="the project's own corpus even where the yardstick's is there")
    parser.add_argument("--no-detect", action="store_true", help="without the detector")
    parser.add_argument("--json", help="also write every figure to this file")
    options = parser.parse_args()
    source = corpus(options)
    events = options.events
    with open(source, "rb") as corpus_file:     # everyone reads from the page cache
        while corpus_file.read(1 << 24):
            pass
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="tacho-compare-", dir=options.cache) as scratch:
        for _ in range(options.runs):
            theirs.append(run_duckdb(source, Path(scratch)))
            ours.append(run_ours(options, source, Path(scratch)))
            print(f"  DuckDB {events / theirs[-1]['seconds']:>9,.0f}/s   ours acknowledged {events / ours[-1]['acknowledged_seconds']:>9,.0f}/s, "
                  f"sealed {events / ours[-1]['seconds']:>9,.0f}/s   verify {events / ours[-1]['verify_seconds']:>9,.0f}/s", flush=True)

    def median(rows: list[dict], name: str) -> float:
        return statistics.median(row[name] for row in rows)

    ratios = sorted(b["seconds"] / a["seconds"] for a, b in zip(ours, theirs))
    print(f"\n{source.name}: {events:,} events, {source.stat().st_size / events:.0f} B each, {options.runs} pairs of runs")
    print(f"ours, sealed, against DuckDB's copy (2 threads, row order kept): {statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})")
    verify_ratios = sorted(b["seconds"] / a["verify_seconds"] for a, b in zip(ours, theirs))
    byte_ratios = sorted(sum(a["bytes"].values()) / b["bytes"] for a, b in zip(ours, theirs))
    print(f"our verify against DuckDB's copy: {statistics.median(verify_ratios):.2f} (from {verify_ratios[0]:.2f} to {verify_ratios[-1]:.2f})")
    print(f"our bytes, all of log/, against DuckDB's file: {statistics.median(byte_ratios):.2f} "
          f"(from {byte_ratios[0]:.2f} to {byte_ratios[-1]:.2f})")
    print(f"events/s, median: ours acknowledged {events / median(ours, 'acknowledged_seconds'):,.0f}, sealed {events / median(ours, 'seconds'):,.0f}, "
          f"verify {events / median(ours, 'verify_seconds'):,.0f}; DuckDB {events / median(theirs, 'seconds'):,.0f}")
    print(f"CPU microseconds an event: ours {median(ours, 'cpu') / events * 1e6:.2f} (load generator {median(ours, 'load_cpu') / events * 1e6:.2f}), "
          f"DuckDB {median(theirs, 'cpu') / events * 1e6:.2f}; tries told to wait: {median(ours, 'retries'):.0f}")
    print(f"peak memory MiB: ours {median(ours, 'peak_mib'):,.0f}, DuckDB {median(theirs, 'peak_mib'):,.0f}")
    per_event = {name: value / events for name, value in ours[-1]["bytes"].items()}
    print(f"bytes of store an event: {sum(per_event.values()):.1f} in all; " + ", ".join(f"{name} {value:.1f}" for name, value in per_event.items())
          + f"; DuckDB's file {theirs[-1]['bytes'] / events:.1f}")
    if options.json:
        Path(options.json).write_text(json.dumps({"ours": ours, "duckdb": theirs, "events": events}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
