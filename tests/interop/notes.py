"""Sections 3 and 8 of FORMAT.md: keys, signed notes, checkpoints, canonical JSON and manifests."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from entries import Origin, Refused, parse_origin, require

CHECKPOINT_CONTEXT = "tachograph 2026-11 checkpoint key v1"
MANIFEST_CONTEXT = "tachograph 2026-11 manifest key v1"
SNAPSHOT_EVERY = 256
FIELD_PRIME = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
# The y coordinates of the eight points of small order (RFC 7748 section 7 names their Montgomery form).
SMALL_ORDER_Y = {0, 1, FIELD_PRIME - 1} | {
    int.from_bytes(bytes.fromhex(text), "little")
    for text in (
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    )
}


def decode_base64(text: str) -> bytes:
    """Standard base64 with padding that re-encodes to itself."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(f"base64: {error}") from error
    require(base64.b64encode(data).decode() == text, "base64 that does not re-encode to itself")
    return data


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(data).decode()


# Keys.


def derive_seed(context: str, seed: bytes, origin: str) -> bytes:
    """The Ed25519 secret key of a log."""
    return blake3(seed + origin.encode(), derive_key_context=context).digest()


def _has_small_order(point: bytes) -> bool:
    y = int.from_bytes(point, "little") & ((1 << 255) - 1)
    return y % FIELD_PRIME in SMALL_ORDER_Y


@dataclass(frozen=True)
class VerifierKey:
    """A named Ed25519 public key."""

    name: str
    key: bytes

    @property
    def id(self) -> bytes:
        """The first 4 bytes of `SHA-256(name || 0x0A || 0x01 || key)`."""
        return hashlib.sha256(self.name.encode() + b"\n\x01" + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{encode_base64(bytes([1]) + self.key)}"

    def verify(self, message: bytes, signature: bytes) -> None:
        """Strict Ed25519: canonical S, neither the key nor R of small order."""
        require(len(signature) == 64, f"a signature of {len(signature)} bytes")
        require(int.from_bytes(signature[32:], "little") < GROUP_ORDER, "S of the signature is not canonical")
        require(not _has_small_order(self.key), "the key has small order")
        require(not _has_small_order(signature[:32]), "R of the signature has small order")
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise Refused(f"the signature of {self.name} is not valid") from error

    def log_id(self) -> bytes:
        """The id of the log whose checkpoint key this is."""
        return hashlib.sha256(b"tachograph/log/v1\n" + self.name.encode() + b"\n" + self.key).digest()


def parse_verifier_key(text: str) -> VerifierKey:
    """Reads `<name>+<key id>+<base64>`."""
    parts = text.split("+", 2)
    require(len(parts) == 3, "a verifier key has three parts")
    data = decode_base64(parts[2])
    require(len(data) == 33 and data[0] == 1, "a verifier key holds 0x01 and 32 bytes")
    check_key_name(parts[0])
    key = VerifierKey(parts[0], data[1:])
    require(key.id.hex() == parts[1], "the key id is not that of the key")
    require(not _has_small_order(key.key), "the key has small order")
    return key


def check_key_name(name: str) -> None:
    """Refuses an empty name and one with a space or a plus."""
    require(bool(name) and "+" not in name and not any(c.isspace() for c in name), f"key name {name!r}")


# Notes.


def split_note(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """Text and (key name, key id || signature) lines of a note."""
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("the note is not UTF-8") from error
    require(all(c == "\n" or ord(c) >= 0x20 for c in whole), "a control character in the note")
    at = whole.rfind("\n\n")
    require(at >= 0, "the note has no blank line")
    text, tail = whole[: at + 1], whole[at + 2 :]
    require(tail.endswith("\n"), "the note does not end in a newline")
    signatures = []
    for line in tail[:-1].split("\n"):
        require(line.startswith("— "), "a signature line does not begin with an em dash and a space")
        words = line[2:].split(" ")
        require(len(words) == 2, "a signature line has a name and a signature")
        check_key_name(words[0])
        data = decode_base64(words[1])
        require(len(data) > 4, "a signature line is too short")
        signatures.append((words[0], data))
    return text, signatures


def open_note(note: bytes, key: VerifierKey) -> str:
    """The text of a note that `key` has signed; signatures of other keys are not looked at."""
    text, signatures = split_note(note)
    mine = [data[4:] for name, data in signatures if name == key.name and data[:4] == key.id]
    require(bool(mine), f"the note is not signed by {key.name}+{key.id.hex()}")
    require(len(mine) == 1, f"{key.name} signed the note {len(mine)} times")
    key.verify(text.encode(), mine[0])
    return text


def sign_note(text: str, name: str, secret: bytes) -> bytes:
    """A note with one signature (for tests)."""
    private = Ed25519PrivateKey.from_private_bytes(secret)
    key = VerifierKey(name, private.public_key().public_bytes_raw())
    return f"{text}\n— {name} {encode_base64(key.id + private.sign(text.encode()))}\n".encode()


def verifier_of(name: str, secret: bytes) -> VerifierKey:
    """The verifier key of a secret key (for tests)."""
    return VerifierKey(name, Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw())


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint note says."""

    origin: str
    size: int
    root: bytes


def parse_checkpoint(text: str) -> Checkpoint:
    """Reads `<origin>\\n<decimal size>\\n<base64 root>\\n`."""
    lines = text.split("\n")
    require(len(lines) == 4 and lines[3] == "", "a checkpoint has three lines")
    require(bool(re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1])), f"checkpoint size {lines[1]!r}")
    root = decode_base64(lines[2])
    require(len(root) == 32, "a root of another length than 32 bytes")
    return Checkpoint(str(parse_origin(lines[0])), int(lines[1]), root)


# Canonical JSON and manifests.


def canonical(value: Any) -> str:
    """The one spelling of a JSON value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def parse_canonical(text: str) -> Any:
    """Reads JSON; refuses any spelling but the canonical one, fractions and equal keys."""

    def refuse_number(word: str) -> Any:
        raise Refused(f"JSON number {word}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        require(len({key for key, _ in pairs}) == len(pairs), "JSON with a key twice")
        return dict(pairs)

    try:
        value = json.loads(
            text, object_pairs_hook=unique, parse_float=refuse_number, parse_constant=refuse_number
        )
    except Refused:
        raise
    except (ValueError, RecursionError) as error:
        raise Refused(f"JSON: {error}") from error
    require(canonical(value) == text, "JSON that is not spelled canonically")
    return value


def require_keys(value: Any, keys: dict[str, type], what: str) -> None:
    """Refuses anything but an object with exactly `keys` in this order and of these types."""
    require(isinstance(value, dict) and list(value) == list(keys), f"{what}: keys are not {', '.join(keys)}")
    for key, kind in keys.items():
        require(type(value[key]) is kind, f"{what}: {key} is not of type {kind.__name__}")
        require(kind is not int or -(1 << 63) <= value[key] < 1 << 63, f"{what}: {key} is not 64 bits")


def require_hex(text: str, size: int, what: str) -> None:
    """Refuses anything but `size` bytes in lower case hex."""
    require(
        bool(re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text)), f"{what} is not {size} bytes of lower case hex"
    )


@dataclass(frozen=True)
class Manifest:
    """One manifest, spelled rightly; its signature and its checkpoint are the caller's to check."""

    number: int
    origin: Origin
    previous: str
    size: int
    checkpoint: bytes
    snapshot: bool
    add: tuple[dict[str, Any], ...]
    remove: tuple[str, ...]


MANIFEST_KEYS = {
    "version": int,
    "origin": str,
    "number": int,
    "previous": str,
    "size": int,
    "checkpoint": str,
    "snapshot": bool,
    "add": list,
    "remove": list,
    "cursors": dict,
}
FILE_KEYS = {"path": str, "rows": int, "bytes": int, "blake3": str, "time_min_us": int, "time_max_us": int}


def parse_manifest(text: str) -> Manifest:
    """Reads the text of a manifest note."""
    require(text.endswith("\n") and "\n" not in text[:-1], "a manifest is one line")
    value = parse_canonical(text[:-1])
    require_keys(value, MANIFEST_KEYS, "manifest")
    require(value["version"] == 1, f"manifest version {value['version']}")
    require(value["number"] >= 1 and value["size"] >= 0, "a number below 1 or a size below 0")
    require_hex(value["previous"], 32, "previous")
    number = value["number"]
    require(
        value["snapshot"] == (number == 1 or number % SNAPSHOT_EVERY == 0),
        "snapshot is not as the number has it",
    )
    require(number > 1 or value["previous"] == "0" * 64, "previous of the first manifest is not zeros")
    for file in value["add"]:
        require_keys(file, FILE_KEYS, "file")
        require(file["rows"] > 0 and file["bytes"] > 0, "a file without rows or bytes")
        require_hex(file["blake3"], 32, "blake3")
    require(all(type(path) is str for path in value["remove"]), "remove is not a list of paths")
    require(list(value["cursors"]) == sorted(value["cursors"], key=str.encode), "cursors do not ascend")
    require(all(type(place) is str for place in value["cursors"].values()), "a cursor is not text")
    return Manifest(
        number,
        parse_origin(value["origin"]),
        value["previous"],
        value["size"],
        value["checkpoint"].encode(),
        value["snapshot"],
        tuple(value["add"]),
        tuple(value["remove"]),
    )
