#!/usr/bin/env python3
"""Writes a small store per FORMAT.md, alters it in every way listed here, and sees `verify.py` find each.

tiny_store.py             the self-test; exit code 0 when all alterations are found and the store is clean
tiny_store.py write DIR   only writes the store, and prints the key to verify it with
"""

from __future__ import annotations

import copy
import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

import entries as codec
import notes
import tree as merkle
from entries import Column, parse_origin
from log import Report
from parquet_file import read_footer
from verify import verify_store

SEED = bytes(range(32))
START_US = 1_790_000_000_000_000
Row = dict[str, Any]
Rows = list[Row]
ARROW = {
    "Int64": pa.int64(),
    "Timestamp": pa.timestamp("us", "UTC"),
    "Utf8": pa.string(),
    "Binary": pa.binary(),
    "ListUtf8": pa.list_(pa.field("element", pa.string(), False)),
    "ListInt64": pa.list_(pa.field("element", pa.int64(), False)),
    "MapUtf8": pa.map_(pa.field("key", pa.string(), False), pa.field("value", pa.string(), False)),
}


def parquet_bytes(columns: tuple[Column, ...], rows: Rows, metadata: dict[str, str], **options: Any) -> bytes:
    """A Parquet file as the format has it; `options` go to pyarrow's writer and may spoil it."""
    item = options.pop("item", "element")
    patch = options.pop("patch", None)
    types = ARROW | {"ListUtf8": pa.list_(pa.field(item, pa.string(), False))}
    schema = pa.schema(
        [pa.field(c.name, types[c.type], not c.required, {"PARQUET:field_id": str(c.id)}) for c in columns]
    )
    table = pa.Table.from_pylist(rows, schema=schema)
    out = io.BytesIO()
    settings: dict[str, Any] = {
        "compression": "zstd",
        "store_schema": False,
        "use_compliant_nested_type": False,
        "write_page_index": True,
        "data_page_size": 256,
        "write_batch_size": 16,
    } | options
    with pq.ParquetWriter(out, schema, **settings) as writer:
        writer.write_table(table, row_group_size=200)
        writer.add_key_value_metadata(metadata)
    return patched(out.getvalue(), *patch) if patch else out.getvalue()


def patched(data: bytes, footer: bool, old: bytes, new: bytes) -> bytes:
    """Replaces bytes in the footer, or in the column indexes before it, and nowhere else."""
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    start = min(chunk[6] for group in read_footer(data)[4] for chunk in group[1])
    if footer:
        return data[:end] + data[end:].replace(old, new)
    return data[:start] + data[start:end].replace(old, new) + data[end:]


class LogWriter:
    """Writes one log."""

    def __init__(self, store: Path, origin: str, options: dict[str, Any]) -> None:
        self.origin = parse_origin(origin)
        self.options = options
        self.directory = store / "log" / self.origin.tenant / self.origin.stream / self.origin.writer
        self.table = codec.load_tables()[self.origin.stream]
        self.secret = notes.derive_seed(notes.CHECKPOINT_CONTEXT, SEED, origin)
        self.manifest_secret = notes.derive_seed(notes.MANIFEST_CONTEXT, SEED, origin)
        self.key = notes.verifier_of(origin, self.secret)
        self.manifest_key = notes.verifier_of(f"{origin}/manifest", self.manifest_secret)
        self.leaves: list[bytes] = []
        self.manifests: list[bytes] = []
        self.sealed = 0
        said = {"format": 1, "origin": origin, "key": str(self.key), "manifest_key": str(self.manifest_key)}
        self.write("log.json", (notes.canonical(said) + "\n").encode())

    def write(self, name: str, data: bytes) -> None:
        """Writes a file of the log."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def opened(self, number: int) -> str:
        """The `log_opened` text."""
        value = {"control": "log_opened", "number": number, "origin": str(self.origin)}
        return notes.canonical(value | {"key": str(self.key), "manifest_key": str(self.manifest_key)})

    def seal(
        self, rows: Rows, payloads: dict[int, Row], remove: list[str] | None = None, disguise: str = ""
    ) -> None:
        """Hashes rows, then writes them as `disguise` alters them, tiles, checkpoint and manifest."""
        first = self.sealed
        for index, row in enumerate(rows, start=first):
            if index in payloads:
                fields = [
                    (c.id, codec.encode_value(c.type, payloads[index][c.name]))
                    for c in self.table.payload_fields
                    if payloads[index].get(c.name) is not None
                ]
                row["payload_commitment"] = codec.payload_commitment(payloads[index]["salt"], fields)
            self.leaves.append(
                merkle.leaf_hash(codec.encode_entry(self.table, self.key.log_id(), index, row))
            )
        self.sealed = last = first + len(rows)
        rows = [row | {"log_index": index} for index, row in enumerate(copy.deepcopy(rows), start=first)]
        payload_rows = [row | {"log_index": index} for index, row in copy.deepcopy(payloads).items()]
        alter = DISGUISES.get(disguise)
        if alter:
            alter(rows, payload_rows)
        files = [self.data_file("segments", self.table.entry, rows[::-1], rows, first, last)]
        if payload_rows:
            files.append(self.data_file("payloads", self.table.payload, payload_rows, rows, first, last))
        tree = merkle.Tree(self.leaves)
        for path, tile in merkle.tiles_of(last).items():
            self.write(path, merkle.tile_bytes(tree, *tile))
        text = f"{self.origin}\n{last}\n{notes.encode_base64(tree.root(last))}\n"
        checkpoint = notes.sign_note(text, str(self.origin), self.secret)
        self.write("checkpoint", checkpoint)
        number = len(self.manifests) + 1
        previous = blake3(self.manifests[-1]).hexdigest() if self.manifests else "0" * 64
        manifest = {
            "version": 1,
            "origin": str(self.origin),
            "number": number,
            "previous": previous,
            "size": last,
            "checkpoint": checkpoint.decode(),
            "snapshot": number == 1,
            "add": files,
            "remove": remove or [],
            "cursors": {},
        }
        self.manifests.append(
            notes.sign_note(notes.canonical(manifest) + "\n", self.manifest_key.name, self.manifest_secret)
        )
        self.write(f"manifest/{number:020}", self.manifests[-1])

    def data_file(
        self, side: str, columns: tuple[Column, ...], rows: Rows, ranged: Rows, first: int, last: int
    ) -> Row:
        """Writes a segment or payload file; gives its line of the manifest."""
        metadata = {
            "tachograph.format": "1",
            "tachograph.origin": str(self.origin),
            "tachograph.range": f"{first}-{last}",
        }
        options = dict(self.options)
        columns = options.pop("columns", lambda columns: columns)(columns)
        data = parquet_bytes(columns, rows, metadata | options.pop("metadata", {}), **options)
        digest = blake3(data).hexdigest()
        date = pa.scalar(ranged[0]["ingest_time"], pa.timestamp("us")).as_py().date().isoformat()
        path = f"{side}/date={date}/{first:020}-{last:020}-{digest[:16]}.parquet"
        self.write(path, data)
        times = [row["time"] for row in ranged]
        said = {"path": path, "rows": len(rows), "bytes": len(data), "blake3": digest}
        return said | {"time_min_us": min(times), "time_max_us": max(times)}

    def round(self, number: int) -> Row:
        """What a round says of this log."""
        root = notes.encode_base64(merkle.Tree(self.leaves).root(self.sealed))
        digest = blake3(self.manifests[-1]).hexdigest()
        return {
            "number": number,
            "size": self.sealed,
            "root": root,
            "manifest": len(self.manifests),
            "manifest_digest": digest,
            "sealed": self.sealed,
        }


def control(tenant: str, text: str, at_us: int) -> Row:
    """The row of a control entry."""
    return {
        "ingest_time": at_us,
        "event_id": f"c{at_us}",
        "time": at_us,
        "tenant": tenant,
        "kind": "control",
        "source": "tachograph",
        "session_id": "_control",
        "decision": "none",
        "status": "ok",
        "control": text,
    }


def event(number: int) -> Row:
    """The row of an event."""
    return {
        "ingest_time": START_US + number * 1000,
        "event_id": f"e{number}",
        "time": START_US + (number * 7919) % 5000,
        "tenant": "acme",
        "kind": "tool_call",
        "source": "test",
        "session_id": f"s{number % 7}",
        "decision": "allow",
        "status": "ok",
        "capability": ["", "größe", "読む", None][number % 4],
        "latency_us": number - 50,
        "scopes": [[], ["a", ""], None][number % 3],
        "target": "/" + "x" * (number % 130),
    }


def payload(number: int) -> Row:
    """The payload of an event."""
    return {
        "salt": number.to_bytes(16, "big"),
        "arguments": f'{{"n":{number}}}',
        "result": "" if number % 2 else None,
        "attributes": [("", "x"), ("k", str(number))],
    }


def write_store(store: Path, disguise: str = "", options: dict[str, Any] | None = None) -> notes.VerifierKey:
    """Writes a store of a root log and a log of 600 events in two segments; gives the root log's key."""
    root = LogWriter(store, "fleet-1/_root/root/w0", {})
    log = LogWriter(store, "fleet-1/acme/events/w0", options or {})
    opened = control("acme", log.opened(1), START_US - 1)
    log.seal(
        [opened, *map(event, range(1, 300))],
        {n: payload(n) for n in range(1, 300) if n % 3 == 0},
        None,
        disguise,
    )
    rows = [event(n) for n in range(300, 600)]
    back = START_US + 10
    clock = notes.canonical({"control": "clock_run", "last_us": rows[99]["ingest_time"], "first_us": back})
    rows[100] = control("acme", clock, back)
    for row in rows[101:]:
        row["ingest_time"] = back + 1
    log.seal(rows, {300: payload(300)})
    texts = [
        root.opened(0),
        log.opened(1),
        notes.canonical({"control": "round", "logs": [log.round(1)]}),
        notes.canonical({"control": "heartbeat", "logs": 2}),
    ]
    root.seal([control("_root", text, START_US + n) for n, text in enumerate(texts)], {})
    return root.key


def at(index: int, **cells: Any) -> Callable[[Rows, Rows], None]:
    """Changes cells of an entry."""
    return lambda rows, _: rows[index].update(cells)


def at_payload(row: int, **cells: Any) -> Callable[[Rows, Rows], None]:
    """Changes cells of a payload row."""
    return lambda _, payloads: payloads[row].update(cells)


# What an insider with the manifest key, but not the checkpoint key, may write after the leaves are hashed.
DISGUISES: dict[str, Callable[[Rows, Rows], Any]] = {
    "integer changed": at(5, latency_us=99),
    "text changed": at(5, decision="deny"),
    "empty made null": at(4, capability=None),
    "null made empty": at(7, capability=""),
    "list item dropped": at(4, scopes=["a"]),
    "empty list made null": at(3, scopes=None),
    "time changed by a microsecond": at(9, time=START_US + 9 * 7919 % 5000 + 1),
    "tenant changed": at(9, tenant="other"),
    "commitment changed": at(3, payload_commitment=bytes(32)),
    "rows swapped": lambda rows, _: rows[10].update(log_index=11) or rows[11].update(log_index=10),
    "row twice": lambda rows, _: rows[10].update(log_index=11),
    "control entry forged": at(8, control='{"control":"heartbeat","logs":2}', kind="control"),
    "payload text changed": at_payload(2, arguments="{}"),
    "payload empty made null": at_payload(0, result=None),
    "payload map changed": at_payload(2, attributes=[("", "x")]),
    "payload salt changed": at_payload(2, salt=bytes(16)),
    "payload row dropped": lambda _, payloads: payloads.pop(2) and None,
    "payload row moved": at_payload(2, log_index=8),
}


def renumbered(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The last column under another field id."""
    return (*columns[:-1], Column(**(vars(columns[-1]) | {"id": 999})))


# Files that hold the right values in a wrong way.
SPOILED: dict[str, dict[str, Any]] = {
    "another codec": {"compression": "snappy"},
    "Arrow schema stored": {"store_schema": True},
    "extra metadata": {"metadata": {"note": "x"}},
    "another range": {"metadata": {"tachograph.range": "0-1"}},
    "field id changed": {"columns": renumbered},
    "column missing": {"columns": lambda columns: columns[:40] + columns[41:]},
    "columns in another order": {
        "columns": lambda columns: columns[:3] + (columns[4], columns[3]) + columns[5:]
    },
    "required made nullable": {
        "columns": lambda cs: (Column(**(vars(cs[0]) | {"required": False})), *cs[1:])
    },
    "list items named item": {"item": "item"},
    "maximum in the footer lowered": {"patch": (True, b"s6", b"s5")},
    "minimum in the footer raised": {"patch": (True, b"s0", b"s1")},
    "maximum in the column indexes lowered": {"patch": (False, b"s6", b"s5")},
    "minimum in the column indexes raised": {"patch": (False, b"s0", b"s1")},
}


def flip(pattern: str, place: float) -> Callable[[Path], None]:
    """Flips one bit of the first file that matches, at a fraction of its length."""

    def alter(store: Path) -> None:
        path = next(path for path in sorted(store.glob(pattern)) if path.is_file())
        data = bytearray(path.read_bytes())
        data[int(place * (len(data) - 1))] ^= 1
        path.write_bytes(data)

    return alter


def without(pattern: str) -> Callable[[Path], None]:
    """Deletes the last file that matches."""
    return lambda store: sorted(store.glob(pattern))[-1].unlink()


def beside(name: str) -> Callable[[Path], None]:
    """Puts a file where none belongs."""

    def alter(store: Path) -> None:
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(b"x")

    return alter


LOG = "log/acme/events/w0"
ALTERED: dict[str, Callable[[Path], Any]] = {
    **{
        f"bit of {log}/{pattern} at {place}": flip(f"{log}/{pattern}", place)
        for log in (LOG, "log/_root/root/w0")
        for pattern in ("log.json", "checkpoint", "manifest/*", "tile/0/**/*", "segments/*/*.parquet")
        for place in (0.0, 0.3, 0.7, 1.0)
    },
    "bit of a payload file": flip(f"{LOG}/payloads/*/*.parquet", 0.5),
    "bit of a partial tile": flip(f"{LOG}/tile/0/002.p/*", 0.5),
    "bit of tile level 1": flip(f"{LOG}/tile/1/*.p/*", 0.5),
    "segment missing": without(f"{LOG}/segments/*/*.parquet"),
    "payload file missing": without(f"{LOG}/payloads/*/*.parquet"),
    "newest manifest missing": without(f"{LOG}/manifest/*"),
    "tile missing": without(f"{LOG}/tile/0/001"),
    "log.json missing": without(f"{LOG}/log.json"),
    "log missing": lambda store: shutil.rmtree(store / "log/acme"),
    "stray segment": beside(f"{LOG}/segments/date=2026-09-21/{0:020}-{1:020}-{0:016}.parquet"),
    "stray file": beside(f"{LOG}/notes.txt"),
    "stray log": beside("log/acme/alerts/w0/checkpoint"),
    "manifest of a later number": beside(f"{LOG}/manifest/{4:020}"),
    "checkpoint of the root log": lambda s: (
        shutil.copy(s / "log/_root/root/w0/checkpoint", s / LOG / "checkpoint") and None
    ),
}


def findings_of(store: Path, key: notes.VerifierKey) -> list[str]:
    """What `verify.py` finds."""
    report = Report()
    verify_store(store, key, report)
    return report.findings


def self_test() -> int:
    """Exit code of the self-test."""
    failures = 0

    def expect(name: str, findings: list[str], found: bool) -> None:
        nonlocal failures
        failures += bool(findings) != found
        verdict = "ok  " if bool(findings) == found else "FAIL"
        print(f"{verdict} {name}: {findings[0][:150] if findings else 'clean'}")

    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        key = write_store(place / "clean")
        expect("store as written", findings_of(place / "clean", key), False)
        if failures:
            return 1
        LogWriter(place / "empty", "fleet-1/_root/root/w0", {})
        LogWriter(place / "empty", "fleet-1/acme/events/w0", {})
        expect("store with nothing sealed", findings_of(place / "empty", key), False)
        for name, alter in ALTERED.items():
            shutil.copytree(place / "clean", place / "altered")
            alter(place / "altered")
            expect(name, findings_of(place / "altered", key), True)
            shutil.rmtree(place / "altered")
        for name, arguments in [(n, (n, None)) for n in DISGUISES] + [
            (n, ("", o)) for n, o in SPOILED.items()
        ]:
            write_store(place / "altered", *arguments)
            expect(name, findings_of(place / "altered", key), True)
            shutil.rmtree(place / "altered")
    print(f"{failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        print(write_store(Path(sys.argv[2])))
    else:
        sys.exit(self_test())
