"""Sections 1, 4 and 7 of FORMAT.md: schema tables, canonical bytes of entries, payload commitments."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

LOG_INDEX = 1
SALT = 255
ENTRY_BYTES_MAX = 65_535
FIELD_SALT_CONTEXT = "tachograph 2026-11 payload field salt v1"
SCHEMA_PATH = Path(__file__).resolve().parents[2] / "schemas" / "vectors" / "schema.json"


class Refused(ValueError):
    """Bytes or text that the format does not allow; the message says why."""


def require(condition: bool, reason: str) -> None:
    """Raises `Refused` with `reason` unless `condition` holds."""
    if not condition:
        raise Refused(reason)


@dataclass(frozen=True)
class Column:
    """One column of a schema table."""

    id: int
    name: str
    type: str
    required: bool
    side: str
    bytes_max: int


@dataclass(frozen=True)
class Table:
    """The columns of a stream's segment file and payload file, each in ascending id order."""

    entry: tuple[Column, ...]
    payload: tuple[Column, ...]

    @property
    def payload_fields(self) -> tuple[Column, ...]:
        """The columns that a commitment covers."""
        return tuple(column for column in self.payload if column.id not in (LOG_INDEX, SALT))


def load_tables(path: Path = SCHEMA_PATH) -> dict[str, Table]:
    """The schema table of every stream."""
    tables = {}
    for stream, columns in json.loads(path.read_text("utf-8"))["streams"].items():
        every = [
            Column(*(c[key] for key in ("id", "name", "type", "required", "side", "bytes_max")))
            for c in columns
        ]
        entry = tuple(column for column in every if column.side == "entry")
        payload = tuple(column for column in every if column.side == "payload")
        tables[stream] = Table(entry, (entry[0], *payload))
    return tables


@dataclass(frozen=True)
class Origin:
    """The name of a log, in its four parts."""

    installation: str
    tenant: str
    stream: str
    writer: str

    def __str__(self) -> str:
        return f"{self.installation}/{self.tenant}/{self.stream}/{self.writer}"

    @property
    def is_root(self) -> bool:
        return self.stream == "root"


def parse_origin(text: str) -> Origin:
    """Reads `<installation>/<tenant>/<stream>/<writer>`."""
    parts = text.split("/")
    require(len(parts) == 4, f"origin {text!r} does not have four parts")
    for part in parts:
        require(
            bool(re.fullmatch(r"[a-z0-9._-]{1,64}", part)) and part not in (".", ".."),
            f"origin part {part!r}",
        )
    origin = Origin(*parts)
    require(origin.stream in ("events", "alerts", "access", "root"), f"stream {origin.stream!r}")
    require((origin.tenant == "_root") == origin.is_root, "tenant _root and stream root go together")
    return origin


# Values.


def encode_value(kind: str, value: Any) -> bytes:
    """The canonical bytes of an `int`, `str`, `bytes`, a list of them, or a list of (key, value) pairs."""
    if kind in ("Int64", "Timestamp"):
        return value.to_bytes(8, "big", signed=True)
    if kind == "Utf8":
        return value.encode("utf-8")
    if kind == "Binary":
        return value
    if kind in ("ListUtf8", "ListInt64"):
        return len(value).to_bytes(4, "big") + b"".join(
            _framed(encode_value(kind[4:], item)) for item in value
        )
    require(kind == "MapUtf8", f"type {kind!r}")
    pairs = [(key.encode("utf-8"), item.encode("utf-8")) for key, item in value]
    require(all(a[0] < b[0] for a, b in zip(pairs, pairs[1:])), "map keys do not strictly ascend")
    return len(pairs).to_bytes(4, "big") + b"".join(_framed(key) + _framed(item) for key, item in pairs)


def _framed(item: bytes) -> bytes:
    return len(item).to_bytes(4, "big") + item


def decode_value(kind: str, data: bytes) -> Any:
    """The inverse of `encode_value`; refuses what it would not write."""
    if kind in ("Int64", "Timestamp"):
        require(len(data) == 8, f"{len(data)} bytes where an integer has 8")
        return int.from_bytes(data, "big", signed=True)
    if kind == "Utf8":
        return _text(data)
    if kind == "Binary":
        return data
    if kind in ("ListUtf8", "ListInt64"):
        return [decode_value(kind[4:], item) for item in _unframed(data, 1)]
    require(kind == "MapUtf8", f"type {kind!r}")
    items = [_text(item) for item in _unframed(data, 2)]
    pairs = list(zip(items[::2], items[1::2]))
    require(encode_value(kind, pairs) == data, "map keys do not strictly ascend")
    return pairs


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"text is not UTF-8: {error}") from error


def _unframed(data: bytes, per_item: int) -> Iterator[bytes]:
    """The length-prefixed items after the count; `per_item` framed values count as one."""
    require(len(data) >= 4, "a list shorter than its count")
    place = 4
    for _ in range(int.from_bytes(data[:4], "big") * per_item):
        require(place + 4 <= len(data), "a list that ends inside an item")
        length = int.from_bytes(data[place : place + 4], "big")
        require(place + 4 + length <= len(data), "a list that ends inside an item")
        yield data[place + 4 : place + 4 + length]
        place += 4 + length
    require(place == len(data), "bytes after the last item")


# Entries.


def field_header(column: Column, value: bytes) -> bytes:
    """`id u16 | length u16` of an entry field."""
    require(len(value) <= 0xFFFF, f"{column.name}: {len(value)} bytes do not fit in an entry")
    return column.id.to_bytes(2, "big") + len(value).to_bytes(2, "big")


def entry_header(log_id: bytes, index: int) -> bytes:
    """`0x01 | log id | index u64`."""
    return b"\x01" + log_id + index.to_bytes(8, "big")


def encode_entry(table: Table, log_id: bytes, index: int, row: dict[str, Any]) -> bytes:
    """The entry of a row of values by column name; `log_index` is not among them."""
    names = {column.name for column in table.entry if column.id != LOG_INDEX}
    require(row.keys() <= names, f"columns {sorted(row.keys() - names)} are not in the table")
    parts = [entry_header(log_id, index)]
    for column in table.entry:
        if (value := row.get(column.name)) is not None:
            data = encode_value(column.type, value)
            check_cap(column, data)
            parts.append(field_header(column, data) + data)
        else:
            require(column.id == LOG_INDEX or not column.required, f"{column.name} is required and null")
    entry = b"".join(parts)
    require(len(entry) <= ENTRY_BYTES_MAX, f"an entry of {len(entry)} bytes")
    return entry


def check_cap(column: Column, data: bytes) -> None:
    """Refuses a value over its column's cap."""
    require(
        len(data) <= column.bytes_max, f"{column.name}: {len(data)} bytes, over the cap of {column.bytes_max}"
    )


def decode_entry(table: Table, entry: bytes) -> tuple[bytes, int, dict[str, Any]]:
    """Log id, index and row of an entry; refuses what `encode_entry` would not write."""
    require(len(entry) <= ENTRY_BYTES_MAX, f"an entry of {len(entry)} bytes")
    require(len(entry) >= 41, "an entry shorter than its header")
    require(entry[0] == 1, f"entry version {entry[0]}")
    log_id, index = entry[1:33], int.from_bytes(entry[33:41], "big")
    require(index < 1 << 63, f"index {index} is not an Int64")
    columns = {column.id: column for column in table.entry if column.id != LOG_INDEX}
    row: dict[str, Any] = {}
    place, last = 41, 0
    while place < len(entry):
        require(place + 4 <= len(entry), "an entry that ends inside a field header")
        number = int.from_bytes(entry[place : place + 2], "big")
        end = place + 4 + int.from_bytes(entry[place + 2 : place + 4], "big")
        require(end <= len(entry), "an entry that ends inside a value")
        require(number > last, f"field id {number} after {last}")
        require(number in columns, f"field id {number} is not in the table")
        check_cap(columns[number], entry[place + 4 : end])
        row[columns[number].name] = decode_value(columns[number].type, entry[place + 4 : end])
        place, last = end, number
    for column in columns.values():
        require(column.name in row or not column.required, f"{column.name} is required and absent")
    return log_id, index, row


# Payloads.


def field_salt(salt: bytes, number: int) -> bytes:
    """The 16 bytes that blind one payload field."""
    require(len(salt) == 16, f"a salt of {len(salt)} bytes")
    return blake3(salt + number.to_bytes(2, "big"), derive_key_context=FIELD_SALT_CONTEXT).digest()[:16]


def field_commitment(salt: bytes, number: int, value: bytes) -> bytes:
    """`c_f` of one payload field."""
    return hashlib.sha256(b"\x02" + number.to_bytes(2, "big") + field_salt(salt, number) + value).digest()


def payload_commitment(salt: bytes, fields: list[tuple[int, bytes]]) -> bytes:
    """The commitment to the non-null payload fields, given as (id, canonical bytes) in ascending id order."""
    require(bool(fields), "a payload without fields has no commitment")
    parts = [number.to_bytes(2, "big") + field_commitment(salt, number, value) for number, value in fields]
    return hashlib.sha256(b"\x03" + b"".join(parts)).digest()
