#!/usr/bin/env python3
"""Reads the shipped Sigma rules with pySigma, and the field names that they ask for.

What a SIEM team would do first: parse every file, parse its conditions, resolve what its correlations refer to, and see that
tags, levels and ids are ones that Sigma's own library takes. `%placeholders%` are filled from the lists of the examples.
(The file is not called sigma.py: Python would take it for the package.)

Prints what it finds and one closing line. Exit code: 0 clean, 1 findings, 2 could not run.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.processing.transformations import ValueListPlaceholderTransformation
from sigma.rule import SigmaRule

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "detect" / "rules"
# Facts that the evaluator makes of several columns.
DERIVED = {"credential_expired"}


def columns() -> set[str]:
    """Entry-side columns of `events`, as the vectors list them."""
    schema = json.loads((ROOT / "schemas" / "vectors" / "schema.json").read_text())
    return {column["name"] for column in schema["streams"]["events"] if column["side"] == "entry"}


def lists() -> dict[str, list[str | int | float]]:
    """The lists that the examples stand on."""
    found: dict[str, list[str | int | float]] = {}
    for path in sorted((RULES / "tests" / "lists").iterdir()):
        lines = path.read_text().splitlines()
        found[path.stem] = [line for line in lines if line.strip() and not line.startswith("#")]
    return found


def fields(rule: SigmaRule) -> set[str]:
    """Every field that a detection asks for."""
    found: set[str] = set()

    def walk(detection: object) -> None:
        for item in detection.detection_items:  # type: ignore[attr-defined]
            if hasattr(item, "detection_items"):
                walk(item)
            else:
                found.add(item.field)

    for detection in rule.detection.detections.values():
        walk(detection)
    return found


def main() -> int:
    findings: list[str] = []
    known = columns() | DERIVED
    files = sorted(RULES.glob("*.yml"))
    if not files:
        print("no rules found")
        return 2
    pipeline = ProcessingPipeline([ProcessingItem(ValueListPlaceholderTransformation())], vars=lists())
    ids: Counter[str] = Counter()
    rules = 0
    for path in files:
        try:
            collection = SigmaCollection.from_yaml(path.read_text())
            findings.extend(f"{path.name}: {error}" for error in collection.errors)
            collection.resolve_rule_references()
            for rule in collection.rules:
                rules += 1
                where = f"{path.name}: {rule.title}"
                ids[str(rule.id)] += 1
                if rule.level is None or rule.id is None:
                    findings.append(f"{where}: no level or id")
                if isinstance(rule, SigmaCorrelationRule):
                    asked = set(rule.group_by or [])
                else:
                    for parsed in rule.detection.parsed_condition:
                        if parsed.parse() is None:
                            findings.append(f"{where}: empty condition")
                    asked = fields(rule)
                    pipeline.apply(rule)
                for name in sorted(asked - known, key=str):
                    findings.append(f"{where}: field {name} is no column of events")
        except Exception as error:  # noqa: BLE001: whatever the library says is a finding
            findings.append(f"{path.name}: {type(error).__name__}: {error}")
    findings.extend(f"id {name} comes {count} times" for name, count in ids.items() if count > 1)
    for finding in findings:
        print(f"finding: {finding}")
    print(f"{len(files)} files, {rules} rules read by pySigma, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
