#!/usr/bin/env python3
"""Verifies a copy of a Tachograph store, from FORMAT.md alone, by the steps of its section 11.

    verify.py STORE_DIR --key VKEY

Prints what it finds and one closing line. Exit code: 0 clean, 1 findings, 2 could not run.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from pathlib import Path
from typing import Any

from blake3 import blake3

import entries as codec
import notes
import tree as merkle
from entries import Refused, Table, parse_origin, require
from log import Log, Report, read_log
from notes import VerifierKey

CONTROL_KEYS: dict[str, tuple[tuple[str, ...], dict[str, type]]] = {
    "log_opened": (
        ("events", "alerts", "access", "root"),
        {"number": int, "origin": str, "key": str, "manifest_key": str},
    ),
    "succession": (("events", "alerts", "access", "root"), {"origin": str, "key": str}),
    "log_closed": (("root",), {"number": int, "size": int, "root": str, "successor": str}),
    "log_lost": (
        ("root",),
        {"origin": str, "key": str, "size": int, "root": str, "kept": int, "carried": int},
    ),
    "adopted": (("root",), {"machine": str, "by": str, "reason": str}),
    "round": (("root",), {"logs": list}),
    "heartbeat": (("root",), {"logs": int}),
    "recovery": (
        ("events", "alerts", "access", "root"),
        {"size": int, "quarantined_bytes": int, "quarantined_digest": str},
    ),
    "clock_run": (("events", "alerts", "access", "root"), {"last_us": int, "first_us": int}),
    "token_created": (("access",), {"id": str, "role": str, "tenant": str, "by": str}),
    "token_revoked": (("access",), {"id": str, "role": str, "tenant": str, "by": str}),
    "configuration": (("access",), {"version": str, "digest": str}),
    "clock_read": (("events",), {"due_us": int}),
    "verdict": (("events",), {"alert_id": str, "verdict": str, "muted_until_us": int, "by": str}),
}
ROUND_KEYS = {"number": int, "size": int, "root": str, "manifest": int, "manifest_digest": str, "sealed": int}
PREDECESSOR_KEYS = {"origin": str, "key": str, "size": int, "root": str, "kept": int, "carried": int}
ROUND_LOGS_MAX = 48
LOG_KEYS = {"format": int, "origin": str, "key": str, "manifest_key": str}


# One log.


def check_log(log: Log, opened: str, report: Report) -> None:
    """Steps 2 to 7 once the keys are known; `opened` is the log's `log_opened` text in the root log."""
    for manifest, note in zip(log.manifests, log.manifest_notes):
        with report.guard(f"{log.origin}: manifest {manifest.number}"):
            if log.manifest_key is None:
                raise Refused("no key to check the signature with")
            notes.open_note(note, log.manifest_key)
            checkpoint = notes.parse_checkpoint(notes.open_note(manifest.checkpoint, log.key))
            require(checkpoint.origin == str(log.origin), f"its checkpoint is of {checkpoint.origin}")
            require(
                checkpoint.size == manifest.size,
                f"its checkpoint has size {checkpoint.size}, not {manifest.size}",
            )
            log.check_root(checkpoint.size, checkpoint.root)
    path = log.directory / "checkpoint"
    if path.exists():
        with report.guard(f"{log.origin}: checkpoint"):
            checkpoint = notes.parse_checkpoint(notes.open_note(path.read_bytes(), log.key))
            require(checkpoint.origin == str(log.origin), f"it is of {checkpoint.origin}")
            require(checkpoint.size >= log.size, f"size {checkpoint.size} is below the sealed {log.size}")
            log.check_root(checkpoint.size, checkpoint.root)
    with report.guard(f"{log.origin}: log.json"):
        text = (log.directory / "log.json").read_bytes().decode()
        require(text.endswith("\n"), "no newline at the end")
        said = notes.parse_canonical(text[:-1])
        notes.require_keys(said, LOG_KEYS, "log.json")
        want = {
            "format": 1,
            "origin": str(log.origin),
            "key": str(log.key),
            "manifest_key": str(log.manifest_key or said["manifest_key"]),
        }
        require(said == want, "it does not say what log_opened says")
    if 0 in log.leaves and log.controls.get(0) != opened:
        report.findings.append(f"{log.origin}: entry 0 is not the log_opened of the root log")
    check_times(log, report)
    check_layout(log, report)
    for index, text in sorted(log.controls.items()):
        with report.guard(f"{log.origin}: control entry {index}"):
            kind = parse_control(text, log.origin.stream)["control"]
            require((kind != "log_opened") or index == 0 or log.origin.is_root, "log_opened is not entry 0")


def check_times(log: Log, report: Report) -> None:
    """Dates of paths, time ranges of manifests, and the order of `ingest_time`."""
    for file in log.live.values():
        rows = [log.times[index] for index in range(file.first, file.last) if index in log.times]
        if len(rows) != file.last - file.first:
            continue
        with report.guard(f"{log.origin}: {file.path}"):
            epoch = datetime.datetime(1970, 1, 1)
            date = (epoch + datetime.timedelta(microseconds=rows[0][0])).date().isoformat()
            require(file.date == date, f"entry {file.first} is of {date}")
            span = (min(time for _, time in rows), max(time for _, time in rows))
            said = (file.said["time_min_us"], file.said["time_max_us"])
            require(said == span, f"the manifest has times {said}, the rows {span}")
    for index in sorted(log.times):
        back = index - 1 in log.times and log.times[index][0] < log.times[index - 1][0]
        if back and not log.controls.get(index, "").startswith('{"control":"clock_run",'):
            report.findings.append(
                f"{log.origin}: ingest_time steps back at entry {index}, which is no clock_run"
            )


def check_layout(log: Log, report: Report) -> None:
    """Finds every file that should not be there; `.tmp` files and superseded ones are only remarked."""
    tiles = merkle.tiles_of(log.size)
    for path in sorted(log.directory.rglob("*")):
        name = path.relative_to(log.directory).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        with report.guard(f"{log.origin}: {name}"):
            require(path.is_file() and not path.is_symlink(), "not a regular file")
            if name.endswith(".tmp"):
                report.remarks.append(f"{log.origin}: {name} is an unfinished write")
            elif name.startswith("tile/"):
                level, index, width = merkle.parse_tile_path(name)
                leaves = (index * merkle.TILE_WIDTH + width) << 8 * level
                if log.tree.size < leaves <= log.size:
                    continue  # some of its leaves could not be had, which is a finding already
                require(
                    path.read_bytes() == merkle.tile_bytes(log.tree, level, index, width),
                    "not the hashes of the tree",
                )
                require(name in tiles or width < merkle.TILE_WIDTH, "a full tile that the tree does not have")
            elif name in log.named and name not in log.live:
                report.remarks.append(f"{log.origin}: {name} is superseded")
            elif not re.fullmatch(r"log\.json|checkpoint|manifest/[0-9]{20}", name):
                require(name in log.live, "no manifest names this file")
    for name in tiles:
        if not (log.directory / name).is_file():
            report.findings.append(f"{log.origin}: {name} is missing")


def require_counts(value: dict[str, Any]) -> None:
    """Refuses negative numbers, but in times."""
    for name, number in value.items():
        require(type(number) is not int or number >= 0 or name.endswith("_us"), f"{name} is negative")


def parse_control(text: str, stream: str) -> dict[str, Any]:
    """Reads a control entry of a stream."""
    value = notes.parse_canonical(text)
    kind = str(value.get("control")) if isinstance(value, dict) else ""
    require(kind in CONTROL_KEYS, f"control kind {kind!r}")
    streams, keys = CONTROL_KEYS[kind]
    require(stream in streams, f"a {kind} in the stream {stream}")
    if kind == "verdict" and "note" in value:
        require(value["note"] != "", "an empty note")
        keys = keys | {"note": str}
    if kind == "log_opened" and "predecessor" in value:
        keys = keys | {"predecessor": dict}
        before = value["predecessor"]
        bound = {"kept_root": str} if isinstance(before, dict) and "kept_root" in before else {}
        notes.require_keys(before, PREDECESSOR_KEYS | bound, "predecessor")
        require_counts(value["predecessor"])
    notes.require_keys(value, {"control": str} | keys, kind)
    require_counts(value)
    if kind == "verdict":
        require(value["verdict"] in ("true", "benign"), f"the verdict {value['verdict']!r}")
    if kind == "round":
        require(len(value["logs"]) <= ROUND_LOGS_MAX, f"a round of {len(value['logs'])} logs")
        for item in value["logs"]:
            notes.require_keys(item, ROUND_KEYS, "round")
            require_counts(item)
        numbers = [item["number"] for item in value["logs"]]
        require(all(a < b for a, b in zip(numbers, numbers[1:])), "the logs of a round do not ascend")
    return value


# The store.


def open_log(store: Path, opened: dict[str, Any], tables: dict[str, Table]) -> Log:
    """A log as its `log_opened` entry describes it."""
    origin = parse_origin(opened["origin"])
    key, manifest_key = (notes.parse_verifier_key(opened[name]) for name in ("key", "manifest_key"))
    require(key.name == str(origin), f"the checkpoint key is named {key.name}")
    require(manifest_key.name == f"{origin}/manifest", f"the manifest key is named {manifest_key.name}")
    directory = store / "log" / origin.tenant / origin.stream / origin.writer
    return Log(directory, origin, tables[origin.stream], key, manifest_key)


def check_rounds(
    rounds: list[tuple[int, dict[str, Any]]], logs: dict[int, Log], root: Log, report: Report
) -> None:
    """Step 7 for the root log: what every round says of every log."""
    last: dict[int, dict[str, Any]] = {}
    for index, item in ((index, item) for index, value in rounds for item in value["logs"]):
        where = f"{root.origin}: round at entry {index}, log {item['number']}"
        with report.guard(where):
            require(item["number"] in logs, "no log was opened under this number")
            log, before = logs[item["number"]], last.get(item["number"])
            last[item["number"]] = item
            falls = before is not None and any(
                item[name] < before[name] for name in ("size", "manifest", "sealed")
            )
            require(not falls, "size, manifest or sealed falls")
            require(0 <= item["sealed"] <= item["size"], "sealed is not within the size")
            log.check_root(item["size"], notes.decode_base64(item["root"]))
            if item["manifest"] == 0:
                require(
                    item["manifest_digest"] == "" and item["sealed"] == 0,
                    "a digest or a sealed size without manifest",
                )
                continue
            require(
                item["manifest"] <= len(log.manifests),
                f"manifest {item['manifest']} of {log.origin} is missing",
            )
            note = log.manifest_notes[item["manifest"] - 1]
            require(
                blake3(note).hexdigest() == item["manifest_digest"],
                f"another manifest {item['manifest']} of {log.origin}",
            )
            require(
                log.manifests[item["manifest"] - 1].size == item["sealed"],
                "sealed is not the size of the manifest",
            )


def verify_store(store: Path, root_key: VerifierKey, report: Report) -> list[Log]:
    """Verifies the copy at `store`, under the root log's checkpoint key; gives the logs."""
    tables = codec.load_tables()
    origin = parse_origin(root_key.name)
    require(origin.is_root, "the key is not that of a root log")
    directory = store / "log" / origin.tenant / origin.stream / origin.writer
    if not directory.is_dir():
        raise FileNotFoundError(f"no root log at {directory}")
    root = Log(directory, origin, tables["root"], root_key, None)
    read_log(root, report)
    opened: dict[int, tuple[int, dict[str, Any], str]] = {}
    rounds: list[tuple[int, dict[str, Any]]] = []
    for index, text in sorted(root.controls.items()):
        with report.guard(f"{root.origin}: entry {index}"):
            value = parse_control(text, "root")
            if value["control"] == "log_opened":
                require(value["number"] not in opened, f"log number {value['number']} is opened twice")
                opened[value["number"]] = (index, value, text)
            elif value["control"] == "round":
                rounds.append((index, value))
    first = next((entry for entry in opened.values() if entry[0] == 0), None)
    if first is None and not root.manifests and not root.named:
        report.remarks.append(f"{root.origin}: nothing is sealed")
    elif first is None:
        report.findings.append(
            f"{root.origin}: entry 0 is not log_opened; no manifest signature can be checked"
        )
    else:
        with report.guard(f"{root.origin}: entry 0"):
            require(first[1]["number"] == 0, f"its number is {first[1]['number']}")
            require(first[1]["key"] == str(root_key), "it names another key than the one given")
            root.manifest_key = open_log(store, first[1], tables).manifest_key
    logs = {0: root}
    check_log(root, first[2] if first else "", report)
    sealed = {item["number"] for _, value in rounds for item in value["logs"] if item["manifest"] > 0}
    for number, (index, value, text) in opened.items():
        if number == 0:
            continue
        with report.guard(f"{root.origin}: log_opened at entry {index}"):
            log = open_log(store, value, tables)
            require(
                log.origin.installation == origin.installation, f"{log.origin} is of another installation"
            )
            logs[number] = log
            if not log.directory.is_dir():
                require(number not in sealed, f"{log.origin} has manifests and no directory")
                continue
            read_log(log, report)
            check_log(log, text, report)
    check_rounds(rounds, logs, root, report)
    check_surroundings(store, {log.directory for log in logs.values()}, report)
    return list(logs.values())


def check_surroundings(store: Path, directories: set[Path], report: Report) -> None:
    """Finds what is below `log/` and belongs to no log that the root log opened, as far as that is sealed."""
    for path in sorted((store / "log").rglob("*")):
        name = path.relative_to(store).as_posix()
        inside = any(path.is_relative_to(directory) for directory in directories)
        if inside or (path.is_dir() and not path.is_symlink()) or path.suffix == ".tmp":
            continue
        if re.fullmatch(r"log/[^/]+/[^/]+/[^/]+/log\.json", name) and len(list(path.parent.iterdir())) == 1:
            report.remarks.append(
                f"{name}: a log with nothing sealed, of which the sealed root log does not tell"
            )
        else:
            report.findings.append(f"{name}: belongs to no log that the root log opened")


def main() -> int:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(description="verify a copy of a Tachograph store")
    parser.add_argument("store", type=Path, help="the directory that holds log/")
    parser.add_argument("--key", required=True, help="verifier key of the root log, from elsewhere")
    arguments = parser.parse_args()
    report = Report()
    try:
        logs = verify_store(arguments.store, notes.parse_verifier_key(arguments.key), report)
    except (Refused, OSError) as error:
        print(f"could not run: {error}", file=sys.stderr)
        return 2
    for remark in report.remarks:
        print(f"note: {remark}")
    for finding in report.findings:
        print(f"finding: {finding}")
    entries, manifests = sum(log.tree.size for log in logs), sum(len(log.manifests) for log in logs)
    counts = f"{len(logs)} logs, {entries} entries, {manifests} manifests"
    print(f"{len(report.findings)} findings in {counts}" if report.findings else f"clean: {counts}")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
