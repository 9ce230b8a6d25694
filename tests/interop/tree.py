"""Sections 4 and 5 of FORMAT.md: the RFC 6962 tree, its proofs, and C2SP tlog-tiles."""

from __future__ import annotations

import hashlib
import re

from entries import Refused, require

TILE_WIDTH = 256
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """`SHA-256(0x00 || entry)`."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """`SHA-256(0x01 || left || right)`."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


class Tree:
    """All perfect subtrees over a list of leaf hashes."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.size = len(leaves)
        self.levels = [leaves]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            self.levels.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])

    def range_root(self, first: int, last: int) -> bytes:
        """MTH(D[first:last]) of RFC 6962, for a range that is a subtree (section 4 of FORMAT.md)."""
        size = last - first
        require(0 < size and last <= self.size, f"no leaves {first}..{last} of {self.size}")
        require(first % (1 << (size - 1).bit_length()) == 0, f"leaves {first}..{last} are not a subtree")
        if size & (size - 1) == 0:
            level = size.bit_length() - 1
            return self.levels[level][first >> level]
        middle = first + _split(size)
        return node_hash(self.range_root(first, middle), self.range_root(middle, last))

    def root(self, size: int) -> bytes:
        """The root over the first `size` leaves."""
        require(size <= self.size, f"no root of size {size} over {self.size} leaves")
        return self.range_root(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """PATH(index, D[size]) of RFC 6962, lowest sibling first."""
        path, first, last = [], 0, size
        while last - first > 1:
            middle = first + _split(last - first)
            if index < middle:
                path.append(self.range_root(middle, last))
                last = middle
            else:
                path.append(self.range_root(first, middle))
                first = middle
        return path[::-1]

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """PROOF(old, D[new]) of RFC 6962; empty for old = 0."""
        return self._subproof(old, 0, new, True) if 0 < old < new else []

    def _subproof(self, old: int, first: int, last: int, whole: bool) -> list[bytes]:
        if old == last:
            return [] if whole else [self.range_root(first, last)]
        middle = first + _split(last - first)
        if old <= middle:
            return [*self._subproof(old, first, middle, whole), self.range_root(middle, last)]
        return [*self._subproof(old, middle, last, False), self.range_root(first, middle)]


def root_from_inclusion(proof: list[bytes], index: int, size: int, leaf: bytes) -> bytes:
    """The root that an inclusion proof leads to."""
    require(index < size, "index past the size")
    path = list(proof)

    def climb(first: int, last: int) -> bytes:
        if last - first == 1:
            return leaf
        require(bool(path), "too few hashes")
        sibling, middle = path.pop(), first + _split(last - first)
        if index < middle:
            return node_hash(climb(first, middle), sibling)
        return node_hash(sibling, climb(middle, last))

    root = climb(0, size)
    require(not path, "too many hashes")
    return root


def roots_from_consistency(proof: list[bytes], old: int, new: int, old_root: bytes) -> tuple[bytes, bytes]:
    """The roots of the old and the new tree that a consistency proof leads to, for 0 < old < new."""
    path = list(proof)

    def climb(first: int, last: int, whole: bool) -> tuple[bytes, bytes]:
        if old == last:
            if whole:
                return old_root, old_root
            require(bool(path), "too few hashes")
            node = path.pop()
            return node, node
        require(bool(path), "too few hashes")
        sibling, middle = path.pop(), first + _split(last - first)
        if old <= middle:
            before, after = climb(first, middle, whole)
            return before, node_hash(after, sibling)
        before, after = climb(middle, last, False)
        return node_hash(sibling, before), node_hash(sibling, after)

    roots = climb(0, new, True)
    require(not path, "too many hashes")
    return roots


# Tiles.


def tile_path(level: int, index: int, width: int) -> str:
    """The path of a tile of `width` hashes."""
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    name = "/".join([f"x{group}" for group in groups[:-1]] + [groups[-1]])
    return f"tile/{level}/{name}" + (f".p/{width}" if width < TILE_WIDTH else "")


def parse_tile_path(path: str) -> tuple[int, int, int]:
    """Level, index and width of a tile path; refuses what `tile_path` would not write."""
    match = re.fullmatch(r"tile/(0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", path)
    if match is None:
        raise Refused(f"{path!r} is not the path of a tile")
    level, width = int(match[1]), int(match[3] or TILE_WIDTH)
    index = int(match[2].replace("x", "").replace("/", ""))
    require(tile_path(level, index, width) == path, f"{path!r} is not how that tile is spelled")
    return level, index, width


def tiles_of(size: int) -> dict[str, tuple[int, int, int]]:
    """Path to (level, index, width) of every tile that a tree of `size` has on disk."""
    tiles, level = {}, 0
    while (hashes := size >> (8 * level)) > 0:
        for index in range(-(-hashes // TILE_WIDTH)):
            width = min(TILE_WIDTH, hashes - index * TILE_WIDTH)
            tiles[tile_path(level, index, width)] = (level, index, width)
        level += 1
    return tiles


def tile_bytes(tree: Tree, level: int, index: int, width: int) -> bytes:
    """The hashes of a tile; refuses one that reaches past the tree."""
    first = index * TILE_WIDTH
    hashes = tree.levels[8 * level] if 8 * level < len(tree.levels) else []
    require(first + width <= len(hashes), "the tile reaches past the tree")
    return b"".join(hashes[first : first + width])
