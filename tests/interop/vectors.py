#!/usr/bin/env python3
"""Checks `schemas/vectors/*.json` with the functions that `verify.py` uses.

Prints what it finds and one closing line. Exit code: 0 clean, 1 findings, 2 could not run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from blake3 import blake3

import entries as codec
import groups
import notes
import tree as merkle
from entries import SCHEMA_PATH, Refused, Table, require
from log import parse_data_file
from verify import parse_control

Document = dict[str, Any]


class Tally:
    """Counts checks and prints those that fail."""

    def __init__(self) -> None:
        self.checks = 0
        self.findings = 0

    def equal(self, what: str, actual: Any, expected: Any) -> None:
        """One check."""
        self.checks += 1
        if actual != expected:
            self.findings += 1
            print(f"finding: {what}: {actual!r} where the vectors have {expected!r}")

    def refuses(self, what: str, read: Callable[[Any], Any], value: Any) -> None:
        """Sees that `read` refuses `value`."""
        try:
            taken = read(value)
        except (Refused, UnicodeDecodeError):
            taken = None
        self.equal(f"{what}: is taken", taken, None)


def raw(column: codec.Column, value: Any) -> Any:
    """A value of the vectors as `encode_value` takes it: Binary is hex there."""
    return bytes.fromhex(value) if column.type == "Binary" else value


def check_entries(document: Document, tables: dict[str, Table], tally: Tally) -> None:
    """Rows to entries and leaves, and back."""
    for vector in document["rows"]:
        table, what = tables[vector["stream"]], f"entry {vector['index']} of {vector['stream']}"
        columns = {column.name: column for column in table.entry}
        row = {name: raw(columns[name], value) for name, value in vector["values"].items()}
        log_id = bytes.fromhex(vector["log_id"])
        entry = codec.encode_entry(table, log_id, vector["index"], row)
        tally.equal(what, entry.hex(), vector["entry"])
        tally.equal(f"{what}: leaf", merkle.leaf_hash(entry).hex(), vector["leaf"])
        tally.equal(f"{what}: read back", codec.decode_entry(table, entry), (log_id, vector["index"], row))


def check_payloads(document: Document, table: Table, tally: Tally) -> None:
    """Fields to salts and commitments."""
    columns = {column.name: column for column in table.payload_fields}
    for place, vector in enumerate(document["rows"]):
        salt, what = bytes.fromhex(vector["salt"]), f"payload {place}"
        fields = sorted(
            (columns[name].id, codec.encode_value(columns[name].type, raw(columns[name], value)))
            for name, value in vector["values"].items()
        )
        derived = [
            {
                "id": number,
                "value": value.hex(),
                "field_salt": codec.field_salt(salt, number).hex(),
                "c_f": codec.field_commitment(salt, number, value).hex(),
            }
            for number, value in fields
        ]
        tally.equal(f"{what}: fields", derived, vector["fields"])
        tally.equal(f"{what}: commitment", codec.payload_commitment(salt, fields).hex(), vector["commitment"])
        record = groups.decode_record(bytes.fromhex(vector["record"]["bytes"]))
        tally.equal(f"{what}: record", record, (vector["record"]["index"], salt, fields))


def check_tree(document: Document, tally: Tally) -> None:
    """Roots, proofs, tiles and their paths."""
    leaves = [merkle.leaf_hash(at.to_bytes(8, "big")) for at in range(len(document["leaves"]))]
    tally.equal("leaves", [leaf.hex() for leaf in leaves], document["leaves"])
    tree = merkle.Tree(leaves)
    for vector in document["roots"]:
        tally.equal(f"root of size {vector['size']}", tree.root(vector["size"]).hex(), vector["root"])
    for vector in document["ranges"]:
        first, last = vector["first"], vector["last"]
        # Both ways: from the nodes of the whole tree, and as a tree of its own leaves.
        tally.equal(f"range {first}..{last}", tree.range_root(first, last).hex(), vector["root"])
        own = merkle.Tree(leaves[first:last])
        tally.equal(f"leaves {first}..{last}", own.root(own.size).hex(), vector["root"])
    for vector in document["ranges_refused"]:
        place = (vector["first"], vector["last"])
        tally.refuses(f"range {place}", lambda range_: tree.range_root(*range_), place)
    for vector in document["inclusion"]:
        index, size, proof = (
            vector["index"],
            vector["size"],
            [bytes.fromhex(text) for text in vector["proof"]],
        )
        what = f"inclusion of {index} in {size}"
        tally.equal(what, tree.inclusion_proof(index, size), proof)
        tally.equal(
            f"{what}: root", merkle.root_from_inclusion(proof, index, size, leaves[index]), tree.root(size)
        )
    for vector in document["consistency"]:
        old, new, proof = vector["old"], vector["new"], [bytes.fromhex(text) for text in vector["proof"]]
        what = f"consistency of {old} with {new}"
        tally.equal(what, tree.consistency_proof(old, new), proof)
        if 0 < old < new:
            roots = merkle.roots_from_consistency(proof, old, new, tree.root(old))
            tally.equal(f"{what}: roots", roots, (tree.root(old), tree.root(new)))
    for vector in document["tiles"]:
        cut = merkle.Tree(leaves[: vector["size"]])
        tiles = {
            path: blake3(merkle.tile_bytes(cut, *tile)).hexdigest()
            for path, tile in merkle.tiles_of(cut.size).items()
        }
        tally.equal(
            f"tiles of size {vector['size']}",
            tiles,
            {tile["path"]: tile["blake3"] for tile in vector["tiles"]},
        )
    for vector in document["tile_paths"]:
        place = (vector["level"], vector["index"], vector["width"])
        tally.equal(f"tile {place}", merkle.tile_path(*place), vector["path"])
        tally.equal(vector["path"], merkle.parse_tile_path(vector["path"]), place)


def check_notes(document: Document, tally: Tally) -> None:
    """Seed to keys; checkpoint and manifest, verified and signed again."""
    seed = bytes.fromhex(document["seed"])
    for log in document["logs"]:
        origin = log["origin"]
        secret = notes.derive_seed(notes.CHECKPOINT_CONTEXT, seed, origin)
        manifest_secret = notes.derive_seed(notes.MANIFEST_CONTEXT, seed, origin)
        key, manifest_key = (
            notes.verifier_of(origin, secret),
            notes.verifier_of(f"{origin}/manifest", manifest_secret),
        )
        derived = {
            "origin": origin,
            "checkpoint_seed": secret.hex(),
            "manifest_seed": manifest_secret.hex(),
            "key": str(key),
            "manifest_key": str(manifest_key),
            "log_id": key.log_id().hex(),
        }
        tally.equal(f"keys of {origin}", derived, log)
        tally.equal(f"key of {origin}, read back", notes.parse_verifier_key(log["key"]), key)
    said, note = document["checkpoint"], document["checkpoint"]["note"].encode()
    key, manifest_key = (
        notes.parse_verifier_key(document["logs"][1][name]) for name in ("key", "manifest_key")
    )
    checkpoint = read_checkpoint(note, key)
    tally.equal(
        "checkpoint", checkpoint, notes.Checkpoint(said["origin"], said["size"], bytes.fromhex(said["root"]))
    )
    secret = bytes.fromhex(document["logs"][1]["checkpoint_seed"])
    tally.equal(
        "checkpoint, signed again", notes.sign_note(notes.open_note(note, key), key.name, secret), note
    )
    note = document["manifest"]["note"].encode()
    tally.equal("manifest", notes.open_note(note, manifest_key), document["manifest"]["text"])
    tally.equal("manifest: digest", blake3(note).hexdigest(), document["manifest"]["blake3"])
    tally.equal(
        "manifest: its checkpoint", read_manifest(note, manifest_key).checkpoint, said["note"].encode()
    )


def read_checkpoint(note: bytes, key: notes.VerifierKey) -> notes.Checkpoint:
    """The checkpoint that the key of its origin has signed."""
    checkpoint = notes.parse_checkpoint(notes.open_note(note, key))
    require(checkpoint.origin == key.name, f"a checkpoint of {checkpoint.origin}")
    return checkpoint


def read_manifest(note: bytes, key: notes.VerifierKey) -> notes.Manifest:
    """The manifest that the manifest key of its origin has signed, its files within its size."""
    manifest = notes.parse_manifest(notes.open_note(note, key))
    require(f"{manifest.origin}/manifest" == key.name, f"a manifest of {manifest.origin}")
    for file in map(parse_data_file, manifest.add):
        require(file.last <= manifest.size, f"{file.path} reaches past the size")
        require(file.side != "segments" or file.said["rows"] == file.last - file.first, f"{file.path}: rows")
    return manifest


def check_groups(document: Document, tally: Tally) -> None:
    """A file header and a group."""
    header = document["file_header"]
    actual = groups.decode_file_header(bytes.fromhex(header["bytes"]))
    tally.equal("file header", actual, (header["number"], bytes.fromhex(header["nonce"])))
    data, meaning = bytes.fromhex(document["group"]["bytes"]), document["group"]["meaning"]
    group = groups.decode_group(data)
    sections = [
        {
            key: [item.hex() for item in value] if isinstance(value, list) else value
            for key, value in section.items()
        }
        for section in group.sections
    ]
    synced = {"file": group.synced[0], "offset": group.synced[1]}
    said = {"number": group.number, "nonce": group.nonce.hex(), "synced": synced, "sections": sections}
    tally.equal("group", said, meaning)
    tally.equal("group: padding", len(data) % groups.ALIGN, 0)


def check_refused(document: Document, tables: dict[str, Table], tally: Tally) -> None:
    """Everything that the format forbids."""
    keys = {name: notes.parse_verifier_key(document[name]["key"]) for name in ("checkpoints", "manifests")}
    readers: dict[str, Callable[[Any], Any]] = {
        "entries": lambda text: codec.decode_entry(tables["events"], bytes.fromhex(text)),
        "checkpoints": lambda text: read_checkpoint(text.encode(), keys["checkpoints"]),
        "manifests": lambda text: read_manifest(text.encode(), keys["manifests"]),
        "controls": lambda text: parse_control(text, "events"),
        "verifier_keys": notes.parse_verifier_key,
        "origins": codec.parse_origin,
        "tile_paths": merkle.parse_tile_path,
        "file_headers": lambda text: groups.decode_file_header(bytes.fromhex(text)),
        "groups": lambda text: groups.decode_group(bytes.fromhex(text)),
    }
    tally.equal("kinds of refused things", sorted(document), sorted(readers))
    for kind, read in readers.items():
        listed = document[kind]["refused"] if kind in keys else document[kind]
        for vector in listed:
            tally.refuses(f"{kind}: {vector['reason']}", read, vector["input"])


def main() -> int:
    """Runs from the command line."""
    tally = Tally()
    try:
        documents = {
            path.stem: json.loads(path.read_text("utf-8")) for path in SCHEMA_PATH.parent.glob("*.json")
        }
        tables = codec.load_tables()
        check_entries(documents["entries"], tables, tally)
        check_payloads(documents["payloads"], tables["events"], tally)
        check_tree(documents["tree"], tally)
        check_notes(documents["notes"], tally)
        check_groups(documents["groups"], tally)
        check_refused(documents["refused"], tables, tally)
    except (OSError, KeyError, ValueError) as error:
        print(f"could not run: {error!r}", file=sys.stderr)
        return 2
    print(
        f"{tally.findings} findings in {tally.checks} checks"
        if tally.findings
        else f"clean: {tally.checks} checks"
    )
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
