"""Section 10 of FORMAT.md: write-ahead file headers and groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from entries import parse_origin, require

ALIGN = 512
HEADER_BYTES = 128


class Reader:
    """Takes fixed-size things off the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        require(count <= len(self.data), "it ends early")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def unsigned(self, count: int) -> int:
        """The next `count` bytes as an integer."""
        return int.from_bytes(self.take(count), "big")


@dataclass(frozen=True)
class Group:
    """A group whose digests are right."""

    number: int
    nonce: bytes
    synced: tuple[int, int]
    sections: list[dict[str, Any]]


def decode_file_header(data: bytes) -> tuple[int, bytes]:
    """File number and nonce of the 512 bytes at the start of a file."""
    require(len(data) >= ALIGN, "a file header shorter than 512 bytes")
    reader = Reader(data[:ALIGN])
    require(reader.take(8) == b"TACHOWAL", "another magic")
    require(reader.unsigned(4) == 1, "another version")
    require(reader.unsigned(4) == 0, "reserved bytes that are not zero")
    number, nonce = reader.unsigned(8), reader.take(16)
    require(reader.take(32) == blake3(data[:40]).digest(), "a digest that is not of the 40 bytes before")
    require(not any(reader.data), "padding that is not zero")
    return number, nonce


def decode_group(data: bytes) -> Group:
    """The group at the start of `data`."""
    reader = Reader(data)
    require(reader.take(8) == b"TACHOGRP", "another magic")
    number, nonce = reader.unsigned(8), reader.take(16)
    synced = (reader.unsigned(8), reader.unsigned(8))
    length, count = reader.unsigned(4), reader.unsigned(4)
    require(reader.unsigned(8) == 0, "reserved bytes that are not zero")
    body_digest = reader.take(32)
    require(reader.take(32) == blake3(data[:96]).digest(), "a digest that is not of the 96 bytes before")
    body = reader.take(length)
    require(blake3(body).digest() == body_digest, "a digest that is not of the body")
    return Group(number, nonce, synced, decode_sections(body, count))


def decode_sections(body: bytes, count: int) -> list[dict[str, Any]]:
    """The sections of a body."""
    reader, sections = Reader(body), []
    while reader.data:
        tag = reader.unsigned(1)
        section = Reader(reader.take(reader.unsigned(4)))
        require(tag in (1, 2, 3), f"section tag {tag}")
        if tag == 1:
            sections.append(decode_entries(section))
        elif tag == 2:
            sections.append({"checkpoint": section.data.decode("utf-8")})
        else:
            sections.append(decode_cursor(section))
    require(len(sections) == count, "another number of sections")
    return sections


def decode_entries(section: Reader) -> dict[str, Any]:
    """An entries section: origin, first index, entries and payload records."""
    origin = parse_origin(section.take(section.unsigned(2)).decode("utf-8"))
    first, count = section.unsigned(8), section.unsigned(4)
    bundle = Reader(section.take(section.unsigned(4)))
    entries = []
    while bundle.data:
        entries.append(bundle.take(bundle.unsigned(2)))
    require(len(entries) == count, "another number of entries")
    payloads = []
    while section.data:
        payloads.append(section.take(section.unsigned(4)))
    return {"origin": str(origin), "first": first, "entries": entries, "payloads": payloads}


def decode_cursor(section: Reader) -> dict[str, Any]:
    """A cursor section: origin, end, name and value."""
    origin = parse_origin(section.take(section.unsigned(2)).decode("utf-8"))
    end = section.unsigned(8)
    name = section.take(section.unsigned(2)).decode("utf-8")
    return {"origin": str(origin), "end": end, "cursor": name, "value": section.data.decode("utf-8")}


def decode_record(record: bytes) -> tuple[int, bytes, list[tuple[int, bytes]]]:
    """Index, salt and (id, value) fields of a payload record."""
    reader = Reader(record)
    index, salt = reader.unsigned(8), reader.take(16)
    fields: list[tuple[int, bytes]] = []
    while reader.data:
        number = reader.unsigned(2)
        require(not fields or number > fields[-1][0], "field ids that do not ascend")
        fields.append((number, reader.take(reader.unsigned(4))))
    require(bool(fields), "a payload record without fields")
    return index, salt, fields
