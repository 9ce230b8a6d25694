"""What the example `render` wrote: messages of one format, each with what was put into it."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

MARK = "[cut]"


def pairs(directory: str, name: str) -> Iterator[tuple[dict, str]]:
    """Expectation and line, in order. Lines end at a line feed and at nothing else."""
    folder = Path(directory)
    expected = (folder / "expected.ndjson").read_text(encoding="utf-8").split("\n")
    lines = (folder / name).read_bytes().decode("utf-8").split("\n")
    if len(expected) != len(lines) or expected.pop() or lines.pop():
        raise SystemExit(f"{name}: {len(lines)} messages for {len(expected)} items")
    for one, line in zip(expected, lines, strict=True):
        yield json.loads(one), line


def is_hidden(character: str) -> bool:
    """By Unicode's categories, not by our own list: controls, formats, separators of lines; and the fillers that are letters to it."""
    return unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") or character in "\u034f\ufe0f"


def shown(text: str, kept: str = "") -> str:
    """`text` as a line shows it."""
    def one(character: str) -> str:
        if character in kept or not is_hidden(character):
            return character
        code = ord(character)
        return f"\\u{{{code:x}}}" if code > 0xFFFF else f"\\u{code:04x}"

    return "".join(map(one, text))


def same(found: str | None, text: str, key: str, cut: str) -> str | None:
    """What is wrong with a value of a line: it is `text`, or its beginning with a mark, or missing, and then the remark names it."""
    named = key in cut.split(",") or cut.endswith(MARK)
    if found == text or (found is None and (text == "" or named)):
        return None
    if found is not None and named and found.endswith(MARK) and text.startswith(found.removesuffix(MARK)):
        return None
    return f"{key}: {found!r} is not {text!r}"


def run(label: str, directory: str, name: str, check: Callable[[dict, str], list[str]]) -> None:
    """Checks every message and says so in one line. Exit code 1 where anything is wrong."""
    count, wrong = 0, []
    for expected, line in pairs(directory, name):
        count += 1
        try:
            errors = check(expected, line)
        except Exception as error:  # A reader that refuses a message is a finding, whatever it raises.
            errors = [f"{type(error).__name__}: {error}"]
        wrong.extend(f"{expected['id']!r}: {error}" for error in errors)
    for error in wrong[:20]:
        print(f"  {error[:600]}", file=sys.stderr)
    print(f"{label}: {count} messages, {len(wrong)} errors")
    sys.exit(1 if wrong or not count else 0)
