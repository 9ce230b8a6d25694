"""OCSF against its own schema, and findings with the models of py-ocsf-models.

The models know types of observables up to 30 and want what 1.8.0 only recommends: for them an observable of a later type is one of type 99.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys

import messages
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from py_ocsf_models.events.findings.detection_finding import DetectionFinding
from py_ocsf_models.objects.observable import TypeID

SCHEMA = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
CLASSES = {2004: "detection_finding", 6003: "api_activity", 3002: "authentication", 0: "base_event"}
ACTIVITIES = {"open": 1, "updated": 2, "closed": 3}
SEVERITIES = {"informational": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}
EVENTS = {"call": 6003, "list": 6003, "auth": 3002}


@functools.cache
def validator(name: str, profiles: tuple[str, ...]) -> Draft202012Validator:
    return Draft202012Validator(SCHEMA.get_class_schema(name, list(profiles)))


def enumerations(found: dict, name: str) -> list[str]:
    """A caption that stands beside an id is the one that the schema has for it, unless the id is 99."""
    wrong = []
    for key, attribute in SCHEMA.schema.schema["classes"][name]["attributes"].items():
        sibling = attribute.get("sibling")
        if sibling and sibling in found and key in found and found[key] != 99 and "enum" in attribute:
            caption = attribute["enum"][str(found[key])]["caption"]
            if found[sibling] != caption:
                wrong.append(f"{sibling}: {found[sibling]!r} is not {caption!r}")
    return wrong


def schema(found: dict) -> list[str]:
    name = CLASSES[found["class_uid"]]
    errors = validator(name, tuple(found["metadata"].get("profiles", []))).iter_errors(found)
    return [f"{'/'.join(map(str, error.path))}: {error.message[:300]}" for error in errors] + enumerations(found, name)


def modelled(found: dict) -> DetectionFinding:
    known = {member.value for member in TypeID}
    observables = [
        one if one["type_id"] in known else {**one, "type_id": 99} for one in found.get("observables", [])
    ]
    return DetectionFinding(**{**found, "observables": observables})


def finding(expected: dict, found: dict) -> list[str]:
    model = modelled(found)
    info, muted = found["finding_info"], expected["muted_by"] is not None
    status = 4 if expected["state"] == "closed" else 3 if muted else ACTIVITIES[expected["state"]]
    return [
        f"{name}: {left!r} is not {right!r}"
        for name, left, right in [
            ("model uid", model.finding_info.uid, expected["alert_id"]),
            ("model title", model.finding_info.title, expected["title"]),
            ("desc", info["desc"], expected["explanation"]),
            ("activity_id", found["activity_id"], ACTIVITIES[expected["state"]]),
            ("severity_id", found["severity_id"], SEVERITIES[expected["severity"]]),
            ("status_id", found["status_id"], status),
            ("time", found["time"], expected["time_us"] // 1000),
            ("count", found["count"], expected["count"]),
            ("metadata.uid", found["metadata"]["uid"], expected["id"]),
            ("tenant", found["metadata"]["tenant_uid"], expected["tenant"]),
            ("indices", found["evidences"][0]["data"]["indices"], expected["evidence"]) if expected["evidence"] else ("", 0, 0),
            ("observables", found["unmapped"].get("observables", []), expected["observables"]),
            ("entity", found["unmapped"]["entity"], expected["entity"]),
            ("query", found["evidences"][0]["data"]["query"], expected["query"]),
            ("test", found.get("verdict_id") == 6, expected["test"]),
        ]
        if left != right
    ]


def event(expected: dict, found: dict) -> list[str]:
    wrong = []
    if found["class_uid"] != EVENTS.get(expected["kind"], 0):
        wrong.append(f"kind {expected['kind']} as {found['class_uid']}")
    if found["metadata"]["uid"] != expected["id"] or found["time"] != expected["time_us"] // 1000:
        wrong.append("id or time")
    told = json.dumps(found, ensure_ascii=False)
    for name, value in expected["columns"].items():
        # Nothing is lost: each value stands somewhere.
        spelt = json.dumps(value, ensure_ascii=False)
        if spelt not in told:
            wrong.append(f"column {name} is nowhere")
    return wrong


def check(expected: dict, line: str) -> list[str]:
    found = json.loads(line)
    wrong = schema(found)
    if expected["type"] == "alert":
        wrong += finding(expected, found)
    if expected["type"] == "event":
        wrong += event(expected, found)
    return wrong


def attested(expected: dict, line: str) -> list[str]:
    """What 1.9 adds: without it the event is one of 1.8.0, and its fingerprint is that of all the rest, canonically."""
    found = json.loads(line)
    attestation = found["attestation"]
    fingerprint = attestation.pop("fingerprint")
    canonical = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    wrong = []
    if fingerprint != {"algorithm_id": 3, "algorithm": "SHA-256", "value": hashlib.sha256(canonical.encode()).hexdigest()}:
        wrong.append("the fingerprint is another's")
    if attestation["chain_uid"] != expected["log"] or attestation["uid"] != f"{expected['log']}#{expected['log_index']}":
        wrong.append(f"{attestation} names another entry")
    del found["attestation"]
    if found["metadata"]["version"] != "1.9.0":
        wrong.append("not 1.9.0")
    found["metadata"]["profiles"].remove("record_integrity")
    return wrong + schema(found)


if __name__ == "__main__":
    if sys.argv[2:] == ["attested"]:
        messages.run("ocsf with record_integrity", sys.argv[1], "ocsf-attested.ndjson", attested)
    messages.run("ocsf", sys.argv[1], "ocsf.ndjson", check)
