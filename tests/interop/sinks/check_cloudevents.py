"""CloudEvents with the project's own Python package."""

from __future__ import annotations

import sys
from urllib.parse import quote

import messages
from check_json import values
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event

KINDS = {"open": "opened", "updated": "updated", "closed": "closed"}


def check(expected: dict, line: str) -> list[str]:
    headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
    event = from_structured_event(HTTPMessage(headers=headers, body=line.encode()))
    kind = {
        "alert": f"alert.{KINDS.get(expected.get('state'))}",
        "event": "event.recorded",
        "digest": "digest.daily",
    }[expected["type"]]
    wrong = []
    for name, found, value in [
        ("id", event.get_id(), messages.shown(expected["id"])),
        ("type", event.get_type(), f"io.tachograph.{kind}"),
        ("source", event.get_source(), f"/plant-1/{quote(expected['tenant'], safe='')}"),
    ]:
        if found != value:
            wrong.append(f"{name}: {found!r} is not {value!r}")
    return wrong + values(expected, event.get_data())


if __name__ == "__main__":
    messages.run("cloudevents (PyPI)", sys.argv[1], "cloudevents.ndjson", check)
