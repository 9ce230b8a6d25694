"""LEEF 2.0, read by IBM's guide: no parser of it but QRadar's own is to be had, so that this reader is ours, written without a look at the writer."""

from __future__ import annotations

import re
import sys

import messages

SEVERITIES = {"informational": "1", "low": "3", "medium": "5", "high": "8", "critical": "10"}


def read(line: str) -> tuple[list[str], dict[str, str]]:
    """Version, vendor, product, version, event id, delimiter, then attributes."""
    *header, attributes = line.split("|", 6)
    if len(header) != 6 or header[0] != "LEEF:2.0":
        raise ValueError("not a header of 2.0")
    delimiter = chr(int(header[5][1:], 16)) if re.fullmatch(r"x[0-9A-Fa-f]{1,4}", header[5]) else header[5]
    found: dict[str, str] = {}
    for attribute in attributes.split(delimiter):
        key, separator, value = attribute.partition("=")
        if not separator or not re.fullmatch(r"[A-Za-z0-9]+", key) or key in found:
            raise ValueError(f"no attribute, or one twice: {attribute[:80]!r}")
        found[key] = value
    return header, found


def check(expected: dict, line: str) -> list[str]:
    wrong = [f"U+{ord(c):04X} stands in the line" for c in set(line) - {"\t"} if messages.is_hidden(c)]
    try:
        header, found = read(line)
    except ValueError as error:
        return [*wrong, str(error)]
    cut = found.get("cut", "")
    if header[:4] != ["LEEF:2.0", "Tachograph", "Recorder", "0.1.0"] or len(line.encode()) > 8192 - 512:
        wrong.append("another header, or too long")
    if expected["type"] == "digest":
        return wrong
    event_id = expected["kind"] if expected["type"] == "event" else expected["rule_id"]
    event_id = messages.shown(event_id).replace("|", "\\u007c")
    event_id = "-" if not event_id.strip() and len(event_id) <= 256 else event_id
    found["header"] = header[4]
    wanted = {"tenant": expected["tenant"], "log": expected["log"]}
    if expected["type"] == "alert":
        names = {"alertId": "alert_id", "title": "title", "entity": "entity", "explanation": "explanation", "query": "query"}
        wanted |= {key: expected[name] for key, name in names.items()}
        wanted |= {"state": expected["state"], "sev": SEVERITIES[expected["severity"]]}
    else:
        columns = expected["columns"]
        wanted |= {"eventId": expected["event_id"], "session": expected["session_id"], "sev": "1"}
        wanted |= {"resource": columns.get("target", ""), "capability": columns.get("capability", "")}
    errors = [messages.same(found.get(key), messages.shown(text), key, cut) for key, text in wanted.items()]
    # In the header an event id that was cut is named `eventId`, as the guide calls the field.
    errors.append(messages.same(found["header"], event_id, "eventId", cut))
    return wrong + [error for error in errors if error]


if __name__ == "__main__":
    messages.run("leef", sys.argv[1], "leef.txt", check)
