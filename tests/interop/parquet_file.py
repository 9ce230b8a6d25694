"""Section 6 of FORMAT.md: reads a segment or payload file, and holds its footer against schema and values.

Values come from pyarrow. The footer and the column indexes are read here, as `parquet.thrift`
has them, because pyarrow shows neither column indexes nor repeated metadata keys.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from entries import Column, require

INT64, BYTE_ARRAY = 2, 6
REQUIRED, OPTIONAL, REPEATED = 0, 1, 2
ZSTD = 6
STRING: dict[int, Any] = {1: {}}
MAP: dict[int, Any] = {2: {}}
LIST: dict[int, Any] = {3: {}}
MICROSECONDS: dict[int, Any] = {8: {1: True, 2: {2: {}}}}


class Thrift:
    """A reader of Thrift compact protocol; structs become dictionaries by field id."""

    def __init__(self, data: bytes, place: int = 0) -> None:
        self.data, self.place = data, place

    def byte(self) -> int:
        require(0 <= self.place < len(self.data), "Thrift data that ends early")
        self.place += 1
        return self.data[self.place - 1]

    def unsigned(self) -> int:
        value, shift = 0, 0
        while (byte := self.byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            require(shift < 70, "a Thrift integer that does not end")
        return value | byte << shift

    def signed(self) -> int:
        value = self.unsigned()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        length = self.unsigned()
        require(self.place + length <= len(self.data), "Thrift data that ends early")
        self.place += length
        return self.data[self.place - length : self.place]

    def value(self, kind: int) -> Any:
        if kind in (1, 2):
            return self.byte() == 1
        if kind in (4, 5, 6):
            return self.signed()
        if kind == 3:
            return self.byte()
        if kind == 7:
            self.place += 8
            return None
        if kind == 8:
            return self.binary()
        if kind in (9, 10):
            head = self.byte()
            count = head >> 4 if head >> 4 < 15 else self.unsigned()
            require(count <= len(self.data), "a Thrift list longer than its file")
            return [self.value(head & 15) for _ in range(count)]
        require(kind == 12, f"Thrift type {kind}")
        return self.struct()

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.signed()
            require(number not in fields, f"Thrift field {number} twice")
            fields[number] = (head & 15) == 1 if head & 15 in (1, 2) else self.value(head & 15)
        return fields


def read_footer(data: bytes) -> dict[int, Any]:
    """The `FileMetaData` of a Parquet file."""
    require(len(data) >= 12 and data[:4] == b"PAR1" and data[-4:] == b"PAR1", "not a Parquet file")
    length = int.from_bytes(data[-8:-4], "little")
    require(length <= len(data) - 12, "a footer longer than the file")
    return Thrift(data[len(data) - 8 - length : -8]).struct()


def read_file(
    data: bytes, columns: Iterable[Column], origin: str, first: int, last: int
) -> dict[str, list[Any]]:
    """Checks a file and gives its values by column: text as bytes, times in microseconds, maps as pairs."""
    columns = list(columns)
    footer = read_footer(data)
    check_schema(footer, columns)
    check_metadata(footer, origin, first, last)
    values = read_values(data, columns)
    row = 0
    for group in footer[4]:
        require(
            len(group[1]) == sum(1 if c.type != "MapUtf8" else 2 for c in columns), "a chunk missing or extra"
        )
        chunks = iter(group[1])
        for column in columns:
            for leaf in range(2 if column.type == "MapUtf8" else 1):
                check_chunk(
                    data, next(chunks), group[3], column, leaf, values[column.name][row : row + group[3]]
                )
        row += group[3]
    require(footer[3] == row == len(values[columns[0].name]), "row counts of the footer do not agree")
    return values


def expected_schema(columns: Iterable[Column]) -> list[tuple[Any, ...]]:
    """(name, physical type, repetition, children, field id, logical type) of all elements below the root."""
    primitive = {
        "Int64": (INT64, None),
        "Timestamp": (INT64, MICROSECONDS),
        "Utf8": (BYTE_ARRAY, STRING),
        "Binary": (BYTE_ARRAY, None),
    }
    elements: list[tuple[Any, ...]] = []
    for column in columns:
        repetition = REQUIRED if column.required else OPTIONAL
        if column.type in primitive:
            kind, logical = primitive[column.type]
            elements.append((column.name, kind, repetition, None, column.id, logical))
        elif column.type.startswith("List"):
            kind, logical = primitive[column.type[4:]]
            elements.append((column.name, None, repetition, 1, column.id, LIST))
            elements.append(("list", None, REPEATED, 1, None, None))
            elements.append(("element", kind, REQUIRED, None, None, logical))
        else:
            elements.append((column.name, None, repetition, 1, column.id, MAP))
            elements.append(("key_value", None, REPEATED, 2, None, None))
            elements.extend((name, BYTE_ARRAY, REQUIRED, None, None, STRING) for name in ("key", "value"))
    return elements


def check_schema(footer: dict[int, Any], columns: list[Column]) -> None:
    """Refuses any schema but that of the table."""
    expected = expected_schema(columns)
    actual = [
        (e[4].decode("utf-8", "replace"), e.get(1), e.get(3), e.get(5), e.get(9), e.get(10))
        for e in footer[2][1:]
    ]
    for want, have in zip(expected, actual):
        require(want == have, f"schema element {have} where the table has {want}")
    require(
        len(expected) == len(actual), f"{len(actual)} schema elements where the table has {len(expected)}"
    )
    require(footer[2][0].get(5) == len(columns), "the root of the schema has another number of columns")


def check_metadata(footer: dict[int, Any], origin: str, first: int, last: int) -> None:
    """Refuses any key-value metadata but the three, in order."""
    want = [
        ("tachograph.format", "1"),
        ("tachograph.origin", origin),
        ("tachograph.range", f"{first}-{last}"),
    ]
    have = [
        (pair[1].decode("utf-8", "replace"), pair.get(2, b"").decode("utf-8", "replace"))
        for pair in footer.get(5, [])
    ]
    require(have == want, f"metadata {have} where the format has {want}")


def read_values(data: bytes, columns: list[Column]) -> dict[str, list[Any]]:
    """The values of all columns, in row order."""
    file = pq.ParquetFile(io.BytesIO(data))
    require(file.metadata.num_row_groups > 0, "a file without row groups")
    table = file.read()
    values = {}
    for column in columns:
        array = table.column(column.name)
        array.validate(full=True)
        if column.type == "Timestamp":
            array = array.cast(pa.int64())
        elif column.type == "Utf8":
            array = array.cast(pa.binary())
        elif column.type == "ListUtf8":
            array = array.cast(pa.list_(pa.field("element", pa.binary(), False)))
        elif column.type == "MapUtf8":
            array = array.cast(pa.map_(pa.binary(), pa.field("value", pa.binary(), False)))
        values[column.name] = array.to_pylist()
    return values


def leaf_values(column: Column, leaf: int, rows: list[Any]) -> tuple[list[Any], int]:
    """The values of a leaf column and its nulls: an empty list, as a null one, is one null of the leaf."""
    if column.type in ("ListUtf8", "ListInt64"):
        return [item for row in rows if row for item in row], sum(not row for row in rows)
    if column.type == "MapUtf8":
        return [pair[leaf] for row in rows if row for pair in row], sum(not row for row in rows)
    return [row for row in rows if row is not None], sum(row is None for row in rows)


def check_chunk(
    data: bytes, chunk: dict[int, Any], rows: int, column: Column, leaf: int, values: list[Any]
) -> None:
    """Holds codec, bloom filter, statistics and column index of one column chunk against its values."""
    meta, name = chunk[3], column.name
    require(1 not in chunk, f"{name}: values in another file")
    require(meta[4] == ZSTD, f"{name}: codec {meta[4]} is not zstd")
    require(14 not in meta, f"{name}: a bloom filter")
    if 12 in meta:
        check_statistics(meta[12], column, *leaf_values(column, leaf, values))
    if 6 not in chunk:
        return
    require(4 in chunk, f"{name}: a column index without an offset index")
    index = Thrift(data, chunk[6]).struct()
    starts = [page[3] for page in Thrift(data, chunk[4]).struct()[1]] + [rows]
    require(starts[0] == 0 and sorted(starts) == starts, f"{name}: pages do not cover the rows")
    for page, (first, last) in enumerate(zip(starts, starts[1:])):
        present, nulls = leaf_values(column, leaf, values[first:last])
        require(index[1][page] == (not present), f"{name}: page {page} is said to be null, or not to be")
        bounds = {} if index[1][page] else {5: index[3][page], 6: index[2][page]}
        counts = {3: index[5][page]} if 5 in index else {}
        check_statistics(bounds | counts, column, present, nulls)


def check_statistics(statistics: dict[int, Any], column: Column, values: list[Any], nulls: int) -> None:
    """Refuses a minimum above, or a maximum below, or a null count other than that of `values`."""
    name = column.name
    require(
        statistics.get(3, nulls) == nulls,
        f"{name}: {statistics.get(3)} nulls in the statistics, {nulls} in truth",
    )
    if 4 in statistics:
        require(statistics[4] == len(set(values)), f"{name}: the distinct count is not true")
    integers = column.type in ("Int64", "Timestamp", "ListInt64")
    for field, exact, least in ((6, 8, True), (5, 7, False), (2, 0, True), (1, 0, False)):
        if field not in statistics:
            continue
        bound = statistics[field]
        what = f"{name}: the {'minimum' if least else 'maximum'} of the statistics"
        require(bool(values), f"{what} is of no values")
        require(len(bound) == 8 or not integers, f"{what} has {len(bound)} bytes")
        limit = int.from_bytes(bound, "little", signed=True) if integers else bound
        extreme = min(values) if least else max(values)
        require(limit <= extreme if least else limit >= extreme, f"{what} is not true")
        require(not (integers or statistics.get(exact)) or limit == extreme, f"{what} is not exact")
