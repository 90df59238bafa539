"""A synthetic zone is cleared, and every document ends where the zone itself says it must.

The twin reckons its expectation on its own: it knows neither the clearance nor the kernel.
"""

import json
import time
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dossiers import NOON, Window, rules

from tongguan import clearance, policy, store, twin

NUMBERS = ("preNo", "invtNo")
"""What the window itself adds to a key."""


def cleared(window: Window, zone: Path, *, listed: bool) -> list[dict[str, Any]]:
    """The report lines of all messages of a zone, those of a file sent twice once."""
    if listed:
        edition = policy.read_positive_list(zone / "positive-list.csv", "twin", date(2022, 6, 1))
        store.transact(window.database, lambda conn: clearance.add_edition(conn, edition))
    found = clearance.sources([zone / "messages"])
    run = clearance.clear(window.database, window.vault, found, window.settings(NOON))
    assert run.files == len(found)
    first = {digest: name for name, digest in reversed(run.digests)}
    return window.lines([(name, digest) for digest, name in reversed(first.items())])


def end(line: dict[str, Any], found: list[str]) -> tuple[Any, ...]:
    tax = line.get("tax")
    return (line["status"], tuple(found), tax and tuple(sorted(tax.items())))


def name(line: dict[str, Any]) -> tuple[str, str]:
    key = {element: value for element, value in line["key"].items() if element not in NUMBERS}
    return line["document"], json.dumps(key, sort_keys=True)


def compare(expected: list[dict[str, Any]], told: list[dict[str, Any]]) -> None:
    """Every expected document is there, as expected, and no other."""
    wanted: dict[tuple[str, str], Counter[Any]] = defaultdict(Counter)
    absent = set()
    for line in expected:
        if line["status"] is None:
            absent.add(name(line))
        else:
            wanted[name(line)][end(line, line["rules"])] += 1
    got: dict[tuple[str, str], Counter[Any]] = defaultdict(Counter)
    for line in told:
        got[name(line)][end(line, sorted(set(rules(line))))] += 1
    assert not absent & got.keys()
    differing = [
        f"{key}: expected {dict(wanted.get(key, {}))}, got {dict(got.get(key, {}))}"
        for key in wanted.keys() | got.keys()
        if wanted.get(key) != got.get(key)
    ]
    assert not differing, "\n".join([f"{len(differing)} differ:", *sorted(differing)[:20]])


def expectation(zone: Path) -> list[dict[str, Any]]:
    with (zone / "expected.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize(
    ("parcels", "seed", "listed"), [(18_000, 20220601, False), (2_000, 8, True)]
)
def test_every_document_ends_as_the_zone_expects(
    window: Window, tmp_path: Path, parcels: int, seed: int, listed: bool
) -> None:
    zone = tmp_path / "zone"
    made = twin.write(zone, seed=seed, parcels=parcels, faults="0.1", positive_list=listed)
    assert sum(made.faults.values()) >= parcels // 11
    assert made.faults.keys() >= {"message.duplicate", "match.amount", "limit.annual"}
    assert made.variants.keys() >= {"changed", "deleted", "corrected"}
    began = time.perf_counter()
    told = cleared(window, zone, listed=listed)
    seconds = time.perf_counter() - began
    expected = expectation(zone)
    compare(expected, told)
    assert len({line["parcel"] for line in expected}) == parcels
    year = window.rows("SELECT max(used_fen), sum(used_fen)::bigint FROM allowance")[0]
    counted = """SELECT sum(t.counted_fen)::bigint FROM decision t
        JOIN document d ON d.id = t.document_id WHERE d.status = 800"""
    assert year[0] <= 26_000_00
    assert window.rows(counted) == [(year[1],)]
    assert seconds < 90


def test_parcels_in_order_may_also_come_too_late_for_a_change(
    window: Window, tmp_path: Path
) -> None:
    zone = tmp_path / "zone"
    twin.write(zone, seed=3, parcels=300, faults=1, shuffle=False, only=["message.state"])
    told = cleared(window, zone, listed=False)
    compare(expectation(zone), told)
    assert sum(rules(line) == ["message.state"] for line in told) == 300


def test_a_comparison_that_differs_is_seen(window: Window, tmp_path: Path) -> None:
    zone = tmp_path / "zone"
    twin.write(zone, seed=4, parcels=20, faults=0)
    told = cleared(window, zone, listed=False)
    expected = expectation(zone)
    compare(expected, told)
    expected[0]["tax"]["vat"] = "0.01"
    with pytest.raises(AssertionError, match="1 differ"):
        compare(expected, told)
