"""What a report of clearing says, beside what the twin expected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Numbers that customs hands out: nobody can expect them.
_GIVEN = frozenset({"preNo", "invtNo"})


@dataclass(frozen=True, slots=True)
class Difference:
    """An outcome only one side has. `parcel` is the twin's number, None where only reported."""

    parcel: int | None
    expected: str | None
    reported: str | None


def differences(expected: Path, report: Path) -> list[Difference]:
    """Compare an expected.jsonl with a report of `tongguan clear --report`, both JSON lines.

    Compared are document, key, status, the rules of severity error and the tax. A document
    reported twice with the same outcome (its file came twice) counts once. An empty list: every
    outcome is as expected, and nothing else was reported.
    """
    wanted: dict[str, int] = {}
    for fact in _lines(expected):
        if fact["status"] is not None:
            wanted.setdefault(_said(fact, fact["rules"]), fact["parcel"])
    found = {_said(fact, _rules(fact)) for fact in _lines(report)}
    lacking = [said for said in wanted if said not in found]
    return [
        *(Difference(wanted[said], said, None) for said in lacking),
        *(Difference(None, None, said) for said in sorted(found - wanted.keys())),
    ]


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _rules(fact: Mapping[str, Any]) -> list[str]:
    return sorted({f["rule"] for f in fact["findings"] if f["severity"] == "error"})


def _said(fact: Mapping[str, Any], rules: list[str]) -> str:
    """One outcome as text that is equal where the outcome is."""
    key = {name: value for name, value in fact["key"].items() if name not in _GIVEN}
    outcome = [fact["document"], key, fact["status"], rules, fact.get("tax")]
    return json.dumps(outcome, ensure_ascii=False, sort_keys=True)
