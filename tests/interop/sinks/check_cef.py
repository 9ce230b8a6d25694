"""CEF: pairs with the parser of pycef, keys, types and lengths by the dictionary of cefevent, header and escapes by ArcSight's guide.

pycef has two gaps of its own: it refuses a backslash or an equals sign in the header (which the guide allows), and it does not undo the escapes of the
extension. So it is asked about lines whose header has neither, and what it gives is unescaped here. The header is read here by the guide alone.
"""

from __future__ import annotations

import logging
import re
import sys

import messages
import pycef
from cefevent.extensions import extension_dictionary

SEVERITIES = {"informational": "0", "low": "3", "medium": "5", "high": "8", "critical": "10"}
HEADER = re.compile(r"((?:[^|\\]|\\[|\\])*)\|")
# Of the dictionary (`eventOutcome`), and not in cefevent's.
FORGOTTEN = {"outcome"}
PARSED = 0


def unescaped(text: str, escapes: dict[str, str]) -> str:
    return re.sub(r"\\(.)", lambda found: escapes[found.group(1)], text, flags=re.S)


def header(line: str) -> tuple[list[str], str]:
    fields, at = [], 0
    for _ in range(7):
        found = HEADER.match(line, at)
        if found is None:
            raise ValueError("the header ends early")
        fields.append(unescaped(found.group(1), {"\\": "\\", "|": "|"}))
        at = found.end()
    return fields, line[at:]


def edges(text: str) -> str:
    """A space at either end is shown, since parsers trim."""
    text = re.sub(r"^ ", r"\\u0020", text)
    return re.sub(r"(?<=.) \Z", r"\\u0020", text, flags=re.S)


def extension(text: str) -> dict[str, str]:
    """By the guide: a key is the word before an equals sign that is not escaped."""
    found = list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=((?:[^=\\]|\\[=\\nr])*)(?= [A-Za-z0-9]+=|$)", text))
    if "".join(one.group(0) for one in found) != text:
        raise ValueError("the extension is not pairs alone")
    if len({one.group(1) for one in found}) != len(found):
        raise ValueError("a key twice")
    return {one.group(1): one.group(2) for one in found}


def dictionary(raw: dict[str, str]) -> list[str]:
    wrong = []
    for key, text in raw.items():
        entry = extension_dictionary.get(key)
        if entry is None:
            if key not in FORGOTTEN and not key.startswith("TachographRecorder"):
                wrong.append(f"no key of the dictionary: {key}")
            continue
        value = unescaped(text, {"\\": "\\", "=": "=", "n": "\n", "r": "\r"})
        if entry["length"] and len(value.encode()) > entry["length"]:
            wrong.append(f"{key} has {len(value)} of {entry['length']}")
        kinds = set(entry["data_type"])
        if kinds <= {"Integer", "Long"}:
            bits = 63 if "Long" in kinds else 31
            if not -(2**bits) <= int(value) < 2**bits:
                wrong.append(f"{key} is {value}")
    return wrong


def alert(expected: dict, fields: list[str], values: dict[str, str]) -> list[str | None]:
    cut = values.get("cs6", "")
    shown = [messages.shown(expected[name]) for name in ("rule_id", "title")]
    shown = ["-" if not text.strip() and len(text) <= 256 else text for text in shown]
    lines = lambda text: edges(messages.shown(text, kept="\n\r"))  # noqa: E731
    return [
        messages.same(fields[4], shown[0], "class", cut),
        messages.same(fields[5], shown[1], "name", cut),
        messages.same(fields[6], SEVERITIES[expected["severity"]], "severity", ""),
        messages.same(values.get("cs1"), expected["state"], "cs1", ""),
        messages.same(values.get("cn1"), str(expected["sequence"]), "cn1", ""),
        messages.same(values.get("rt"), str(expected["ingest_time_us"] // 1000), "rt", ""),
        messages.same(values.get("externalId"), lines(expected["alert_id"]), "externalId", cut),
        messages.same(values.get("msg"), lines(expected["explanation"]), "msg", cut),
        messages.same(values.get("cs3"), lines(expected["statistic"]), "cs3", cut),
        messages.same(values.get("cs5"), lines(expected["query"]), "cs5", cut),
        messages.same(values.get("deviceFacility"), lines(expected["tenant"]), "deviceFacility", cut),
    ]


def event(expected: dict, values: dict[str, str]) -> list[str | None]:
    cut, columns = values.get("cs6", ""), expected["columns"]
    wanted = {
        "cs1": expected["event_id"],
        "cs2": expected["session_id"],
        "act": expected["decision"],
        "outcome": expected["status"],
        "suid": columns.get("user_id", ""),
        "dproc": columns.get("capability", ""),
        "filePath": columns.get("target", ""),
    }
    return [
        messages.same(values.get(key), edges(messages.shown(text, kept="\n\r")), key, cut)
        for key, text in wanted.items()
    ]


def others(line: str, raw: dict[str, str]) -> list[str]:
    """What pycef makes of the same line: custom fields stand under their labels there."""
    global PARSED
    if re.match(r"CEF:0\|[^\\=]*\|[^\\=|]*\|[^\\=|]*\|[^\\=|]*\|[^\\=|]*\|\d+\|", line) is None:
        return []
    found = pycef.parse(line)
    if found is None:
        return ["pycef reads nothing"]
    PARSED += 1
    labels = {key.removesuffix("Label"): text for key, text in raw.items() if key.endswith("Label")}
    wanted = {labels.get(key, key): text for key, text in raw.items() if not key.endswith("Label")}
    return [f"pycef: {key} is {found.get(key)!r}, not {text!r}" for key, text in wanted.items() if found.get(key) != text]


def check(expected: dict, line: str) -> list[str]:
    wrong = [f"U+{ord(c):04X} stands in the line" for c in set(line) if messages.is_hidden(c)]
    try:
        fields, rest = header(line)
        raw = extension(rest)
    except (ValueError, KeyError) as error:
        return [*wrong, str(error)]
    values = {key: unescaped(text, {"\\": "\\", "=": "=", "n": "\n", "r": "\r"}) for key, text in raw.items()}
    wrong += dictionary(raw) + others(line, raw)
    if fields[:4] != ["CEF:0", "Tachograph", "Recorder", "0.1.0"] or len(line.encode()) > 8192 - 512:
        wrong.append("another header, or too long")
    if expected["type"] == "alert":
        wrong += filter(None, alert(expected, fields, values))
    if expected["type"] == "event":
        wrong += filter(None, event(expected, values))
    return wrong


if __name__ == "__main__":
    logging.disable()
    try:
        messages.run("cef", sys.argv[1], "cef.txt", check)
    finally:
        print(f"cef with pycef: {PARSED} of these messages, the header of the others is beyond it")
