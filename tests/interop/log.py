"""A log directory as read: sections 6 to 8 of FORMAT.md, steps 3 to 6 of section 11."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from blake3 import blake3

import entries as codec
import notes
import tree as merkle
from entries import LOG_INDEX, Origin, Refused, Table, require
from notes import Manifest, VerifierKey
from parquet_file import read_file

CONTROL_ROW = {
    "kind": b"control",
    "session_id": b"_control",
    "decision": b"none",
    "status": b"ok",
    "source": b"tachograph",
}


class Report:
    """Findings and remarks, in the order found."""

    def __init__(self) -> None:
        self.findings: list[str] = []
        self.remarks: list[str] = []

    @contextmanager
    def guard(self, where: str) -> Iterator[None]:
        """Makes a finding of what the block refuses."""
        try:
            yield
        except (
            ValueError,
            OSError,
            ArithmeticError,
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
            pa.ArrowException,
        ) as error:
            self.findings.append(f"{where}: {error if isinstance(error, Refused) else repr(error)}")


@dataclass(frozen=True)
class DataFile:
    """What the path of a segment or payload file says, and what the manifest says of it."""

    path: str
    side: str
    date: str
    first: int
    last: int
    digest: str
    said: dict[str, Any]


def parse_data_file(said: dict[str, Any]) -> DataFile:
    """Reads the path of a file of a manifest."""
    match = re.fullmatch(
        r"(segments|payloads)/date=([0-9]{4}-[0-9]{2}-[0-9]{2})/([0-9]{20})-([0-9]{20})-([0-9a-f]{16})\.parquet",
        said["path"],
    )
    if match is None:
        raise Refused(f"{said['path']!r} is not the path of a segment or payload file")
    file = DataFile(said["path"], match[1], match[2], int(match[3]), int(match[4]), match[5], said)
    require(file.first < file.last, f"{file.path}: an empty range")
    require(
        said["blake3"].startswith(file.digest), f"{file.path}: the name has another digest than the manifest"
    )
    return file


@dataclass
class Log:
    """One log directory and what has been read of it."""

    directory: Path
    origin: Origin
    table: Table
    key: VerifierKey
    manifest_key: VerifierKey | None
    manifests: list[Manifest] = field(default_factory=list)
    manifest_notes: list[bytes] = field(default_factory=list)
    live: dict[str, DataFile] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    leaves: dict[int, bytes] = field(default_factory=dict)
    times: dict[int, tuple[int, int]] = field(default_factory=dict)
    controls: dict[int, str] = field(default_factory=dict)
    commitments: dict[int, bytes] = field(default_factory=dict)
    tree: merkle.Tree = field(default_factory=lambda: merkle.Tree([]))

    @property
    def size(self) -> int:
        """S: what the newest manifest covers."""
        return self.manifests[-1].size if self.manifests else 0

    def check_root(self, size: int, root: bytes) -> None:
        """Refuses another root than that of the first `size` leaves, where they could be had."""
        if size <= self.tree.size:
            require(self.tree.root(size) == root, f"another root of {self.origin} at size {size}")


# Manifests and files.


def read_manifests(log: Log, report: Report) -> None:
    """Reads the chain of manifests and follows the live files; the signatures come later."""
    names = sorted(
        path.name for path in (log.directory / "manifest").glob("*") if not path.name.endswith(".tmp")
    )
    for place, name in enumerate(names, start=1):
        where = f"{log.origin}: manifest {name}"
        with report.guard(where):
            require(name == f"{place:020}", f"the manifest before it, or {place:020} itself, is missing")
            note = (log.directory / "manifest" / name).read_bytes()
            manifest = notes.parse_manifest(notes.split_note(note)[0])
            log.manifest_notes.append(note)
            log.manifests.append(manifest)
            require(manifest.number == place, f"number {manifest.number}")
            require(manifest.origin == log.origin, f"origin {manifest.origin}")
            if place > 1:
                digest = blake3(log.manifest_notes[-2]).hexdigest()
                require(manifest.previous == digest, "previous is not the digest of the manifest before")
                require(manifest.size >= log.manifests[-2].size, "the size falls")
            follow_files(log, manifest)
            continue
        return


def follow_files(log: Log, manifest: Manifest) -> None:
    """Applies `remove` and `add` of a manifest to the live files."""
    before = dict(log.live)
    for path in manifest.remove:
        require(log.live.pop(path, None) is not None, f"removes {path}, which is not live")
    added = [parse_data_file(said) for said in manifest.add]
    require(len({file.path for file in added}) == len(added), "adds a file twice")
    for file in added:
        if file.path in before and manifest.snapshot:
            require(log.live.get(file.path) == file, f"the snapshot tells {file.path} otherwise")
        else:
            require(file.path not in log.named, f"adds {file.path}, which an earlier manifest named")
        log.live[file.path] = file
        log.named.add(file.path)
    if manifest.snapshot:
        require(log.live.keys() == {file.path for file in added}, "the snapshot does not list all live files")
    for side in ("segments", "payloads"):
        place = 0
        for file in sorted((f for f in log.live.values() if f.side == side), key=lambda f: f.first):
            gap = file.first > place and side == "segments"
            require(
                file.first >= place and not gap, f"{side} do not cover {place}..{file.first} exactly once"
            )
            place = file.last
        require(
            place == manifest.size or (side == "payloads" and place < manifest.size), f"{side} end at {place}"
        )


# Rows.


def read_data(log: Log, file: DataFile) -> dict[str, list[bytes | None]]:
    """Checks a live file against its manifest and gives its columns as canonical bytes."""
    data = (log.directory / file.path).read_bytes()
    require(len(data) == file.said["bytes"], f"{len(data)} bytes where the manifest has {file.said['bytes']}")
    require(blake3(data).hexdigest() == file.said["blake3"], "another BLAKE3 than in the manifest")
    columns = log.table.entry if file.side == "segments" else log.table.payload
    values = read_file(data, columns, str(log.origin), file.first, file.last)
    encoded: dict[str, list[bytes | None]] = {}
    for column in columns:
        encoded[column.name] = [
            None if v is None else encode_raw(column.type, v) for v in values[column.name]
        ]
        for value in encoded[column.name]:
            if value is not None:
                codec.check_cap(column, value)
    require(len(encoded["log_index"]) == file.said["rows"], "another number of rows than in the manifest")
    return encoded


def encode_raw(kind: str, value: Any) -> bytes:
    """The canonical bytes of a value as `read_file` gives it: text as bytes."""
    if kind == "Utf8":
        value.decode("utf-8")
        return value
    if kind == "ListUtf8":
        return codec.encode_value(kind, [item.decode("utf-8") for item in value])
    if kind == "MapUtf8":
        return codec.encode_value(kind, [(k.decode("utf-8"), v.decode("utf-8")) for k, v in value])
    return codec.encode_value(kind, value)


def int_of(value: bytes | None) -> int:
    """An integer from its canonical bytes."""
    if value is None:
        raise Refused("a required integer is null")
    return int.from_bytes(value, "big", signed=True)


def read_segment(log: Log, file: DataFile) -> None:
    """Recomputes the leaf of every row of a segment."""
    columns = read_data(log, file)
    log_id = log.key.log_id()
    indices = [int_of(value) for value in columns["log_index"]]
    require(
        sorted(indices) == list(range(file.first, file.last)),
        "the rows are not those of the range, each once",
    )
    parts = [[codec.entry_header(log_id, index)] for index in indices]
    for column in log.table.entry:
        if column.id != LOG_INDEX:
            for part, value in zip(parts, columns[column.name]):
                if value is not None:
                    part.append(codec.field_header(column, value) + value)
    for row, index in enumerate(indices):
        entry = b"".join(parts[row])
        require(len(entry) <= codec.ENTRY_BYTES_MAX, f"an entry of {len(entry)} bytes at {index}")
        log.leaves[index] = merkle.leaf_hash(entry)
        log.times[index] = (int_of(columns["ingest_time"][row]), int_of(columns["time"][row]))
        require(
            columns["tenant"][row] == log.origin.tenant.encode(),
            f"tenant of entry {index} is not that of the origin",
        )
        if (commitment := columns["payload_commitment"][row]) is not None:
            require(len(commitment) == 32, f"payload_commitment of entry {index} has {len(commitment)} bytes")
            log.commitments[index] = commitment
        if (control := columns["control"][row]) is not None:
            log.controls[index] = control.decode()
            for name, want in CONTROL_ROW.items():
                require(columns[name][row] == want, f"{name} of control entry {index} is not {want.decode()}")
            require(columns["time"][row] == columns["ingest_time"][row], f"time of control entry {index}")


def read_payloads(log: Log, file: DataFile, seen: set[int]) -> None:
    """Recomputes the commitment of every row of a payload file."""
    columns = read_data(log, file)
    require(bool(log.table.payload_fields), "the stream has no payload")
    for row, index in enumerate(map(int_of, columns["log_index"])):
        require(file.first <= index < file.last, f"entry {index} is not of the range")
        require(index not in seen, f"entry {index} has two payload rows")
        seen.add(index)
        fields = [(c.id, v) for c in log.table.payload_fields if (v := columns[c.name][row]) is not None]
        salt = columns["salt"][row] or b""
        if index not in log.leaves:
            continue
        require(index in log.commitments, f"a payload row for entry {index}, which has no commitment")
        commitment = codec.payload_commitment(salt, fields)
        require(
            commitment == log.commitments[index], f"the payload of entry {index} is not what it commits to"
        )


def read_log(log: Log, report: Report) -> None:
    """Steps 3 to 6 up to the leaves: manifests, live files, rows, payloads."""
    read_manifests(log, report)
    seen: set[int] = set()
    for file in sorted(log.live.values(), key=lambda file: (file.side == "payloads", file.first)):
        with report.guard(f"{log.origin}: {file.path}"):
            if file.side == "segments":
                read_segment(log, file)
            else:
                read_payloads(log, file, seen)
    for index in sorted(log.commitments.keys() - seen):
        report.findings.append(f"{log.origin}: entry {index} commits to a payload that has no row")
    count = next((index for index in range(log.size) if index not in log.leaves), log.size)
    if count < log.size:
        report.findings.append(
            f"{log.origin}: entry {count} of 0..{log.size} cannot be had; nothing after it is checked"
        )
    log.tree = merkle.Tree([log.leaves[index] for index in range(count)])
