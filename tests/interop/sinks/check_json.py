"""Our own JSON, with Python's reader: every value exactly."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone

import messages

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
TIMES = {"time_us": "time", "ingest_time_us": "ingest_time", "first_seen_us": "first_seen", "last_seen_us": "last_seen", "muted_until_us": "muted_until"}
ABSENT = {"id", "columns"}


def values(expected: dict, found: dict) -> list[str]:
    wrong = []
    for key, value in expected.items():
        if key in ABSENT or value in (None, []):
            continue
        if key in TIMES:
            read = (datetime.fromisoformat(found[TIMES[key]]) - EPOCH) // timedelta(microseconds=1)
        else:
            read = found.get(key)
        if read != value:
            wrong.append(f"{key}: {read!r} is not {value!r}")
    wrong += [f"{key}: {found.get(key)!r}" for key, value in expected.get("columns", {}).items() if found.get(key) != value]
    return wrong


def check(expected: dict, line: str) -> list[str]:
    wrong = [f"U+{ord(c):04X} stands in the line" for c in set(line) if messages.is_hidden(c)]
    return wrong + values(expected, json.loads(line))


if __name__ == "__main__":
    messages.run("json", sys.argv[1], "json.ndjson", check)
