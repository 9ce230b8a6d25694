#!/usr/bin/env python3
"""Verifies an evidence bundle, from section 13 of FORMAT.md alone.

    evidence.py BUNDLE.zip --key VKEY

Prints what it finds and one closing line. Exit code: 0 verified, 1 findings, 2 could not run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import entries as codec
import notes
import tree as merkle
from entries import Column, Refused, Table, parse_origin, require
from log import Report
from notes import VerifierKey
from parquet_file import check_schema, read_footer, read_values

FILES_BYTES_MAX = 512 << 20
ENTRIES_MAX = 100_000
MANIFEST_KEYS = {
    "format": str, "kind": str, "root_key": str, "origin": str, "key": str, "size": int, "first": int, "last": int,
    "entries": int, "complete": bool, "filter": dict, "rows": int, "columns": list, "withheld": list, "sql": object,
    "snapshot": dict, "exported_by": str, "role": str, "door": str, "exported_at_us": int, "query_id": str,
}  # fmt: skip
FILTERS: dict[str, dict[str, type]] = {
    "all": {"by": str},
    "session": {"by": str, "session_id": str},
    "time": {"by": str, "from_us": int, "to_us": int, "lateness_us": int},
}
PROOFS = ["log/opened.entry", "log/opened.tlog-proof", "log/round.entry", "log/round.tlog-proof"]
FIXED = ["root/checkpoint", *PROOFS, "log/entries", "log/hashes"]


@dataclass
class Row:
    """An entry that is a row of the views, and what is shown of its payload (None: withheld)."""

    index: int
    entry: bytes
    values: dict[str, Any]
    payload: dict[str, bytes | None]


# The zip.


def read_zip(path: Path) -> dict[str, bytes]:
    """The files of a bundle in their order; refuses every layout but the one of section 13."""
    length = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        require(len(set(names)) == len(names), "a name twice")
        require(sum(member.file_size for member in members) <= FILES_BYTES_MAX, "more contents than a bundle has")
        place = 0
        for member in members:
            plain = member.flag_bits == 0 and not member.extra and not member.comment
            require(plain and member.compress_type in (0, 8), f"{member.filename}: flags, extra field or method")
            require(member.header_offset == place, f"{member.filename}: not right after the file before")
            place += 30 + len(member.filename) + member.compress_size
        place += sum(46 + len(name) for name in names) + 22
        require(place == length and not archive.comment, "bytes that belong to no file")
        return {name: archive.read(name) for name in names}


def parse_manifest(text: bytes, tables: dict[str, Table]) -> dict[str, Any]:
    """Reads bundle.json."""
    line = text.decode()
    require(line.endswith("\n"), "no newline at the end")
    said = notes.parse_canonical(line[:-1])
    require(isinstance(said, dict) and list(said) == list(MANIFEST_KEYS), "other keys, or in another order")
    for key, kind in MANIFEST_KEYS.items():
        require(kind is object or type(said[key]) is kind, f"{key} is not of type {kind.__name__}")
    require(said["format"] == "tachograph/evidence/v1", f"format {said['format']!r}")
    require(said["sql"] is None or type(said["sql"]) is str, "sql is no text")
    by = said["filter"].get("by")
    require(by in FILTERS, f"a filter by {by!r}")
    notes.require_keys(said["filter"], FILTERS[by], "filter")
    notes.require_keys(said["snapshot"], {"sealed": int, "signed": int, "durable": int}, "snapshot")
    fits = {"sql": ["all"], "session": ["session"], "range": ["all", "time"]}.get(said["kind"], [])
    require(by in fits and (said["sql"] is not None) == (said["kind"] == "sql"), "another kind's filter or SQL")
    require(said["kind"] != "range" or said["complete"], "a range that is not complete")
    require(said["kind"] != "sql" or not said["complete"], "SQL that is complete")
    origin = parse_origin(said["origin"])
    require(not origin.is_root, "a bundle of the root log")
    table = tables[origin.stream]
    require(said["columns"] == [c.name for c in columns_of(table)], "other columns")
    held = [c.name for c in table.payload_fields if c.name in said["withheld"]]
    require(said["withheld"] == held, "withheld is not of payload columns, each once and in order")
    require(0 <= said["first"] < said["last"] <= said["size"] and said["entries"] <= ENTRIES_MAX, "sizes")
    return said


def columns_of(table: Table) -> list[Column]:
    """The columns of the views."""
    return [*table.entry, *table.payload_fields]


def check_names(files: dict[str, bytes], said: dict[str, Any]) -> str:
    """Refuses other files than those of a bundle, in their order; the stream."""
    stream = parse_origin(said["origin"]).stream
    sql = ["query.sql"] if said["sql"] is not None else []
    views = ["log/payloads.ndjson", f"{stream}.csv", f"{stream}.parquet"]
    want = ["bundle.json", *sql, *FIXED, *views, "CUSTODY.md", "LIMITS.md", "VERIFY.md", "SHA256SUMS"]
    require(list(files) == want, f"files {list(files)}, expected {want}")
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in want[:-1])
    require(files["SHA256SUMS"].decode() == sums, "SHA256SUMS is not of these files")
    require(files.get("query.sql", b"").decode() == (said["sql"] or ""), "query.sql is not that of bundle.json")
    return stream


# From the key to the tree.


def parse_proof(text: str) -> tuple[int, list[bytes], bytes]:
    """Index, hashes and checkpoint note of a C2SP tlog-proof."""
    head, checkpoint = text.split("\n\n", 1)
    lines = head.split("\n")
    require(lines[0] == "c2sp.org/tlog-proof@v1" and lines[1].startswith("index "), "not a tlog-proof")
    index = int(lines[1][6:])
    require(str(index) == lines[1][6:], "an index in another spelling")
    return index, [notes.decode_base64(line) for line in lines[2:]], checkpoint.encode()


def of_root(files: dict[str, bytes], name: str, key: VerifierKey) -> dict[str, Any]:
    """What the entry `log/<name>.entry` says, once it is in the root log of `key`."""
    root = notes.open_note(files["root/checkpoint"], key)
    index, hashes, note = parse_proof(files[f"log/{name}.tlog-proof"].decode())
    require(notes.open_note(note, key) == root, "the proof is under another checkpoint than root/checkpoint")
    checkpoint = notes.parse_checkpoint(root)
    require(checkpoint.origin == key.name, f"a checkpoint of {checkpoint.origin}")
    entry = files[f"log/{name}.entry"]
    require(all(len(node) == 32 for node in hashes), "a hash of another length")
    found = merkle.root_from_inclusion(hashes, index, checkpoint.size, merkle.leaf_hash(entry))
    require(found == checkpoint.root, f"log/{name}.entry is not in the root log")
    tables = codec.load_tables()
    log_id, at, row = codec.decode_entry(tables["root"], entry)
    require(log_id == key.log_id() and at == index, f"log/{name}.entry is of another log or place")
    return notes.parse_canonical(row["control"])


def known_log(files: dict[str, bytes], said: dict[str, Any], key: VerifierKey) -> tuple[VerifierKey, int, bytes]:
    """The log's key, and the size and root that the root log of `key` knows it by."""
    opened = of_root(files, "opened", key)
    require(opened["control"] == "log_opened" and opened["origin"] == said["origin"], "it opens another log")
    installation = parse_origin(key.name).installation
    require(parse_origin(said["origin"]).installation == installation, f"not of the installation {installation}")
    found_key = notes.parse_verifier_key(opened["key"])
    require(found_key.name == said["origin"] and said["key"] == opened["key"], "a key of another name")
    require(said["root_key"] == str(key), f"it says it is of {said['root_key']}")
    told = of_root(files, "round", key)
    require(told["control"] == "round", "log/round.entry is no round")
    of_log = [item for item in told["logs"] if item["number"] == opened["number"]]
    require(len(of_log) == 1, "the round does not name the log")
    require(of_log[0]["size"] == said["size"], f"size {said['size']}, the root log knows {of_log[0]['size']}")
    return found_key, of_log[0]["size"], notes.decode_base64(of_log[0]["root"])


# Entries.


class Walk:
    """The root over entries and the hashes between them: perfect subtrees from the left, merged as they fill up."""

    def __init__(self, hashes: Iterator[bytes]) -> None:
        self.hashes, self.size, self.peaks = hashes, 0, []

    def push(self, level: int, node: bytes) -> None:
        self.size += 1 << level
        while self.peaks and self.peaks[-1][0] == level:
            node = merkle.node_hash(self.peaks.pop()[1], node)
            level += 1
        self.peaks.append((level, node))

    def skip(self, to: int) -> None:
        """Takes the hashes of the fewest perfect subtrees that cover everything up to `to`."""
        while self.size < to:
            level = (to - self.size).bit_length() - 1
            if self.size:
                level = min(level, (self.size & -self.size).bit_length() - 1)
            node = next(self.hashes, None)
            if node is None:
                raise Refused("too few hashes")
            self.push(level, node)

    def root(self) -> bytes:
        node = self.peaks[-1][1]
        for _, left in reversed(self.peaks[:-1]):
            node = merkle.node_hash(left, node)
        return node


def split_entries(data: bytes) -> Iterator[bytes]:
    """Length-prefixed entries."""
    place = 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 2], "big")
        require(place + 2 + length <= len(data), "an entry that ends early")
        yield data[place + 2 : place + 2 + length]
        place += 2 + length


def place_of(said: dict[str, Any], row: dict[str, Any]) -> int:
    """-1, 0 or 1: recorded before, within or after the time of the filter."""
    asked = said["filter"]
    if asked["by"] != "time":
        return 0
    if row["ingest_time"] < asked["from_us"]:
        return -1
    return 0 if row["ingest_time"] < asked["to_us"] + asked["lateness_us"] else 1


def admits(said: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether an entry is a row of the views."""
    asked = said["filter"]
    if asked["by"] == "session":
        return row["session_id"] == asked["session_id"]
    if asked["by"] == "time":
        return asked["from_us"] <= row["time"] < asked["to_us"] and place_of(said, row) == 0
    return True


def check_entries(
    files: dict[str, bytes], said: dict[str, Any], known: tuple[VerifierKey, int, bytes], table: Table
) -> list[Row]:
    """Every entry under the root that the root log knows; the rows."""
    key, size, root = known
    lines = files["log/hashes"].decode().split("\n")
    require(lines.pop() == "", "log/hashes does not end in a newline")
    hashes = [notes.decode_base64(line) for line in lines]
    require(all(len(node) == 32 for node in hashes), "a hash of another length")
    left = iter(hashes)
    walk, rows, count, first, before = Walk(left), [], 0, None, None
    tenant = parse_origin(said["origin"]).tenant
    for entry in split_entries(files["log/entries"]):
        log_id, index, row = codec.decode_entry(table, entry)
        require(log_id == key.log_id(), f"entry {index} is of another log")
        require(walk.size <= index < size, f"entry {index} is out of order or past the size")
        walk.skip(index)
        walk.push(0, merkle.leaf_hash(entry))
        require(row["tenant"] == tenant, f"entry {index} is of tenant {row['tenant']!r}")
        if before is not None and before[0] + 1 == index and row["ingest_time"] < before[1]:
            require('"control":"clock_run"' in row.get("control", ""), f"ingest_time steps back at {index}")
        if first is None:
            first = index
            ended = index == 0 or said["filter"]["by"] != "time" or place_of(said, row) == -1
            require(ended, f"entry {index} was not recorded before the time, and is the first")
        before, count = (index, row["ingest_time"], row), count + 1
        if admits(said, row):
            rows.append(Row(index, entry, row, {}))
    if first is None or before is None:
        raise Refused("no entry")
    last = before[0] + 1
    ended = last == size or said["filter"]["by"] != "time" or place_of(said, before[2]) == 1
    require(ended, f"entry {last - 1} was not recorded after the time, and is the last")
    walk.skip(size)
    require(next(left, None) is None, "more hashes than lie between the entries")
    require(walk.root() == root, "entries and hashes do not make the root that the root log knows")
    found = (first, last, count, len(rows))
    require(found == (said["first"], said["last"], said["entries"], said["rows"]), f"bundle.json, and here are {found}")
    require(not said["complete"] or last - first == count, "not complete")
    return rows


def check_payloads(data: bytes, rows: list[Row], said: dict[str, Any], table: Table) -> None:
    """Every commitment, from what is shown and what is withheld."""
    columns = {column.id: column for column in table.payload_fields}
    lines = data.decode().split("\n")
    require(lines.pop() == "", "the last line has no end")
    place = 0
    for row in rows:
        if "payload_commitment" not in row.values:
            continue
        require(place < len(lines), f"entry {row.index} has no line")
        line = notes.parse_canonical(lines[place])
        place += 1
        require(list(line) == ["index", "fields"] and line["index"] == row.index, f"the line of entry {row.index}")
        parts, last = [b"\x03"], 0
        for field in line["fields"]:
            number = field["id"]
            require(type(number) is int and number > last and number in columns, f"field {number}")
            column, last = columns[number], number
            require(field["name"] == column.name, f"field {number} is called {field['name']!r}")
            held = column.name in said["withheld"]
            keys = ["id", "name", "commitment"] if held else ["id", "name", "salt", "value"]
            require(list(field) == keys, f"entry {row.index}: {column.name} is not shown or withheld as it says")
            if held:
                commitment = notes.decode_base64(field["commitment"])
                row.payload[column.name] = None
            else:
                salt, value = notes.decode_base64(field["salt"]), notes.decode_base64(field["value"])
                require(len(salt) == 16, "a salt of another length")
                commitment = hashlib.sha256(b"\x02" + number.to_bytes(2, "big") + salt + value).digest()
                require(codec.encode_value(column.type, codec.decode_value(column.type, value)) == value, "a value")
                row.payload[column.name] = value
            require(len(commitment) == 32, "a commitment of another length")
            parts.append(number.to_bytes(2, "big") + commitment)
        found = hashlib.sha256(b"".join(parts)).digest()
        require(found == row.values["payload_commitment"], f"entry {row.index} commits to another payload")
    require(place == len(lines), "more lines than rows with a payload")


# The views.


def timestamp(time_us: int) -> str:
    """RFC 3339 with six digits of a second (Hinnant's civil dates, as datetime ends at year 9999)."""
    days, of_day = divmod(time_us, 86_400_000_000)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year += era * 400 + (month <= 2)
    seconds, fraction = divmod(of_day, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06}"
    return f"{year:04}-{month:02}-{day:02}T{clock}Z"


def cell(kind: str, value: Any) -> str:
    """One cell of the CSV view."""
    if kind == "Int64":
        return str(value)
    if kind == "Timestamp":
        return timestamp(value)
    if kind == "Binary":
        return value.hex()
    text = value
    if kind.startswith("List"):
        text = notes.canonical(value)
    elif kind == "MapUtf8":
        text = notes.canonical(dict(value))
    guard = "'" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and text else ""
    return '"' + guard + text.replace('"', '""') + '"'


def check_csv(data: bytes, rows: list[Row], table: Table) -> None:
    """The CSV view, made again."""
    want = [",".join(column.name for column in columns_of(table)) + "\r\n"]
    for row in rows:
        cells = []
        for column in columns_of(table):
            if column.name == "log_index":
                cells.append(str(row.index))
            elif column.name in row.payload:
                value = row.payload[column.name]
                shown = "(withheld)" if value is None else cell(column.type, codec.decode_value(column.type, value))
                cells.append(shown)
            else:
                value = row.values.get(column.name)
                cells.append("" if value is None else cell(column.type, value))
        want.append(",".join(cells) + "\r\n")
    place = 0
    for line, text in enumerate(want):
        where = "the header" if line == 0 else f"the row of entry {rows[line - 1].index}"
        raw = text.encode()
        require(data[place : place + len(raw)] == raw, f"{where} is not what the entries say")
        place += len(raw)
    require(place == len(data), "bytes after the last row")


def canonical_cell(column: Column, value: Any) -> bytes | None:
    """The canonical bytes of a value as `read_values` gives it: texts are bytes there."""
    if value is None or column.type in ("Utf8", "Binary"):
        return value
    if column.type == "ListUtf8":
        value = [item.decode() for item in value]
    elif column.type == "MapUtf8":
        value = [(key.decode(), item.decode()) for key, item in value]
    return codec.encode_value(column.type, value)


def check_parquet(data: bytes, rows: list[Row], table: Table) -> None:
    """The Parquet view, cell by cell as canonical bytes."""
    columns = columns_of(table)
    footer = read_footer(data)
    check_schema(footer, columns)
    require(not footer.get(5), "key-value metadata, which the view has none of")
    require(footer[3] == len(rows), f"{footer[3]} rows, expected {len(rows)}")
    read = read_values(data, columns) if rows else {}
    for column in columns if rows else []:
        for row, value in zip(rows, read[column.name], strict=True):
            if column.name == "log_index":
                want: bytes | None = row.index.to_bytes(8, "big")
            elif column in table.payload_fields:
                want = row.payload.get(column.name)
            else:
                inside = row.values.get(column.name)
                want = None if inside is None else codec.encode_value(column.type, inside)
            found = canonical_cell(column, value)
            require(found == want, f"{column.name} of entry {row.index} is not what the entry says")


def verify(path: Path, key: VerifierKey) -> tuple[Report, str]:
    """Everything; findings, and what it holds."""
    report, held = Report(), "nothing"
    tables = codec.load_tables()
    with report.guard(str(path)):
        try:
            files = read_zip(path)
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            raise Refused(f"zip: {error}") from error
        said = parse_manifest(files["bundle.json"], tables)
        stream = check_names(files, said)
        table = tables[stream]
        rows = check_entries(files, said, known_log(files, said, key), table)
        held = f"{said['entries']} entries, {said['rows']} rows" + (", complete" if said["complete"] else "")
        with report.guard("log/payloads.ndjson"):
            check_payloads(files["log/payloads.ndjson"], rows, said, table)
        with report.guard(f"{stream}.csv"):
            check_csv(files[f"{stream}.csv"], rows, table)
        with report.guard(f"{stream}.parquet"):
            check_parquet(files[f"{stream}.parquet"], rows, table)
    return report, held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--key", required=True, help="verifier key of the root log, got from elsewhere than the bundle")
    arguments = parser.parse_args()
    try:
        key = notes.parse_verifier_key(arguments.key)
        require(arguments.bundle.is_file(), f"no file {arguments.bundle}")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report, held = verify(arguments.bundle, key)
    for finding in report.findings:
        print(f"finding: {json.dumps(finding, ensure_ascii=False)[1:-1]}")
    print(f"VERIFIED: {held}" if not report.findings else f"TAMPERED: {len(report.findings)} findings")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
