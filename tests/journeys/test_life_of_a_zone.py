"""A zone lives through months after release, and everything ends where the zone itself says.

The plan is played through the public functions of the job; the twin reckons guarantees, bills,
payments, fees and years on its own.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from dossiers import Window

from tongguan import clearance, finance, twin

TAXES = ("duty_fen", "consumption_fen", "vat_fen")
NETS = ", ".join(
    f"""(b.{name} - coalesce((SELECT sum(c.{name}) FROM bill_correction c
        WHERE c.bill_id = b.id), 0))::bigint"""
    for name in TAXES
)
NTH = "row_number() OVER (PARTITION BY guarantor, cycle ORDER BY id) AS nth"


def read(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


class Player:
    """Plays a plan in a window."""

    def __init__(self, window: Window, zone: Path) -> None:
        self.window, self.zone, self.database = window, zone, window.database
        with self.database.borrow() as conn:
            self.first = clearance.settings(self.database, moment("2022-01-10T00:00:00+08:00"))
            conn.rollback()
        self.steps: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    def play(self) -> None:
        for line in read(self.zone / "plan.jsonl"):
            under = clearance.Settings(
                moment(line["at"]), self.first.policy, "ignored", "open", "required"
            )
            began = time.perf_counter()
            act: Callable[[clearance.Settings, dict[str, Any]], None] = getattr(self, line["do"])
            act(under, line)
            self.steps[line["do"]] += 1
            self.seconds[line["do"]] += time.perf_counter() - began

    def clear(self, under: clearance.Settings, line: dict[str, Any]) -> None:
        found = clearance.sources([self.zone / "messages" / line["folder"]])
        run = clearance.clear(self.database, self.window.vault, found, under)
        assert run.files == len(found) > 0

    def settle(self, under: clearance.Settings, line: dict[str, Any]) -> None:
        clearance.settle(self.database, under)

    def guarantee(self, under: clearance.Settings, line: dict[str, Any]) -> None:
        clearance.open_guarantee(
            self.database, under, line["code"], line["kind"], line["amount_fen"]
        )

    def freeze(self, under: clearance.Settings, line: dict[str, Any]) -> None:
        clearance.freeze_guarantee(self.database, under, line["code"], frozen=True)

    def unfreeze(self, under: clearance.Settings, line: dict[str, Any]) -> None:
        clearance.freeze_guarantee(self.database, under, line["code"], frozen=False)

    def arrive(self, under: clearance.Settings, line: dict[str, Any]) -> None:
        assert clearance.arrive(self.database, under, line["key"])

    def pay(self, under: clearance.Settings, line: dict[str, Any]) -> None:
        sql = """SELECT number FROM summary WHERE guarantor = %s AND cycle = %s
            ORDER BY id OFFSET %s LIMIT 1"""
        [(number,)] = self.window.rows(sql, line["guarantor"], line["cycle"], line["nth"] - 1)
        asked = (number, line["amount_fen"], line["reference"])
        if line["answer"] == "nothing-due":
            with pytest.raises(finance.NotDue):
                clearance.pay(self.database, under, *asked)
        elif line["answer"] == "differs":
            with pytest.raises(finance.PaymentDiffers) as told:
                clearance.pay(self.database, under, *asked)
            assert told.value.expected == line["owed_fen"], line
        else:
            done = clearance.pay(self.database, under, *asked)
            assert done.repeated == (line["answer"] == "repeated")
            assert done.fee_fen == line["fee_fen"], line


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


Fact = tuple[str, dict[str, Any], dict[str, Any]]
"""what, the key, and what is known of it."""

KEYS = {
    "list": ("ebcCode", "orderNo"),
    "bill": ("orderNo",),
    "cancellation": ("agentCode", "copNo"),
    "return": ("agentCode", "copNo"),
    "payment": ("guarantor", "cycle", "nth"),
    "guarantee": ("code",),
    "allowance": ("number", "year"),
    "customs": (),
}


def by_key(lines: Iterator[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in lines:
        key = (line["what"], *(line[name] for name in KEYS[line["what"]]))
        assert key not in found
        found[key] = line
    return found


def ended(window: Window, expected: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What the database holds, in the form of the expectation."""
    yield from documents(window)
    for row in window.rows(
        f"""SELECT h."orderNo", b.guarantor, b.collector, b.secured, b.status, {NETS},
            b.due_from::text, b.due_to::text, b.cycle, s.nth
        FROM bill b JOIN inventory_head h ON h.document_id = b.document_id
        LEFT JOIN (SELECT id, {NTH} FROM summary) s ON s.id = b.summary_id"""
    ):
        names = ("orderNo", "guarantor", "collector", "secured", "status", *TAXES)
        yield {"what": "bill"} | named((*names, "due_from", "due_to", "cycle", "nth"), row)
    names = ("total_fen", "returned_fen", "refunded_fen", "fee_fen", "claimed_fen", "paid_fen")
    for row in window.rows(
        f"""SELECT guarantor, cycle, {NTH}, status, {", ".join(names)}, total_fen - returned_fen
            + fee_fen - claimed_fen - coalesce(paid_fen, 0), parcels, due_from::text, due_to::text
        FROM summary"""
    ):
        head = ("guarantor", "cycle", "nth", "status", *names, "owed_fen", "parcels")
        yield {"what": "payment"} | named((*head, "due_from", "due_to"), row)
    with window.database.borrow() as conn:
        for (code,) in conn.execute("SELECT code FROM guarantee ORDER BY code").fetchall():
            facts = finance.guarantees.show(conn, code)
            wanted = ("code", "kind", "frozen", "free_fen", "pending_fen", "posted_fen")
            yield {"what": "guarantee"} | {name: facts[name] for name in wanted}
    yield from years(window, expected)
    money = dict(window.rows("SELECT id, balance_fen FROM account WHERE floor_fen IS NULL"))
    yield {"what": "customs", "received_fen": money["customs"], "outside_fen": money["outside"]}


def named(names: tuple[str, ...], row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(names, row, strict=True))


def documents(window: Window) -> Iterator[dict[str, Any]]:
    rules: dict[int, set[str]] = defaultdict(set)
    for id_, rule in window.rows(
        "SELECT document_id, rule FROM finding WHERE severity = 'error' AND document_id IS NOT NULL"
    ):
        rules[id_].add(rule)
    released = """SELECT d.id, d.key_a, d.key_b, d.status, coalesce(t.hold_fen, 0),
            (SELECT (to_timestamp(e.at / 1000) AT TIME ZONE 'Asia/Shanghai')::date::text
            FROM event e WHERE e.document_id = d.id AND e.after = 800)
        FROM document d LEFT JOIN decision t ON t.document_id = d.id WHERE d.kind = 621"""
    for id_, seller, order_no, status, held, day in window.rows(released):
        key = {"what": "list", "ebcCode": seller, "orderNo": order_no}
        state = {"status": status, "rules": sorted(rules[id_])}
        yield key | state | {"held_fen": held, "released": day}
    about = "SELECT id, kind, key_a, key_b, status FROM document WHERE kind IN (623, 625)"
    for id_, kind, agent, cop_no, status in window.rows(about):
        what = "cancellation" if kind == 623 else "return"
        key = {"what": what, "agentCode": agent, "copNo": cop_no}
        yield key | {"status": status, "rules": sorted(rules[id_])}


def years(window: Window, expected: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The buyers' years; whom nobody expects stands under the keyed hash."""
    numbers = [line["number"] for line in expected if line["what"] == "allowance"]
    people = dict(zip(window.vault.digest(numbers), numbers, strict=True))
    for buyer, year, used in window.rows("SELECT buyer, year, used_fen FROM allowance"):
        number = people.get(buyer, buyer)
        yield {"what": "allowance", "number": number, "year": year, "used_fen": used}


def differing(window: Window, zone: Path) -> list[str]:
    expected = list(read(zone / "expected-life.jsonl"))
    wanted = by_key(iter(expected))
    got = by_key(ended(window, expected))
    return [
        f"{key}: expected {wanted.get(key)}, got {got.get(key)}"
        for key in sorted(wanted.keys() | got.keys(), key=str)
        if wanted.get(key) != got.get(key)
    ]


def live(window: Window, zone: Path, **about: Any) -> twin.LifeSummary:
    made = twin.write_life(zone, **about)
    player = Player(window, zone)
    player.play()
    told = ", ".join(f"{n} {do} {player.seconds[do]:.1f} s" for do, n in player.steps.items())
    print(f"{made.parcels} parcels, {made.documents} documents: {told}")
    found = differing(window, zone)
    assert not found, "\n".join([f"{len(found)} of {made.expected} differ:", *found[:20]])
    statements(window, zone)
    return made


def statements(window: Window, zone: Path) -> None:
    """The statements of some buyers, the ones who used most, say the same."""
    lines = [line for line in read(zone / "expected-life.jsonl") if line["what"] == "allowance"]
    with window.database.borrow() as conn:
        for line in sorted(lines, key=lambda line: -line["used_fen"])[:20]:
            told = clearance.statement(conn, window.vault, line["number"], line["year"])
            assert told["used"] == clearance.money(line["used_fen"])


EVERYTHING = {
    *("list 100 guarantee.insufficient", "list 100 limit.annual", "list 100"),
    *("list 100 match.payment-missing", "list 800", "list 899", "bill 2", "bill 3"),
    *("cancellation 100 cancel.released", "cancellation 399", "return 899"),
    *("return 100 return.late", "return 100 return.quantity", "return 100 return.not-arrived"),
    *("return 100 return.arrived-late", "payment paid", "payment claimed", "payment overdue"),
}


def test_a_thousand_parcels_live_and_end_as_the_zone_expects(
    window: Window, tmp_path: Path
) -> None:
    began = time.process_time()
    made = live(window, tmp_path / "zone", seed=1, parcels=1_000, days=120, step=15)
    assert made.lives.keys() >= EVERYTHING
    assert time.process_time() - began < 60  # its own CPU: other tests share the machine


def test_a_life_across_new_year_gives_back_in_the_right_year(
    window: Window, tmp_path: Path
) -> None:
    zone = tmp_path / "zone"
    live(window, zone, seed=3, parcels=300, days=40, step=8, start=date(2021, 12, 3))
    used = [line for line in read(zone / "expected-life.jsonl") if line["what"] == "allowance"]
    assert {line["year"] for line in used} == {2021, 2022}


def test_a_life_that_ends_otherwise_is_seen(window: Window, tmp_path: Path) -> None:
    zone = tmp_path / "zone"
    live(window, zone, seed=2, parcels=20, days=1, step=1)
    file = zone / "expected-life.jsonl"
    expected = list(read(file))
    changed = 0
    for line in expected:
        name = {"list": "held_fen", "bill": "vat_fen", "payment": "paid_fen"}.get(line["what"])
        if name and line[name]:
            line[name] += 1
            changed += 1
    file.write_text("\n".join(map(json.dumps, expected)), "utf-8")
    assert len(differing(window, zone)) == changed > 20


@pytest.mark.faults_full
def test_twenty_thousand_parcels_over_a_hundred_and_twenty_days(
    window: Window, tmp_path: Path
) -> None:
    made = live(window, tmp_path / "zone", seed=20220110, parcels=20_000)
    assert made.parcels == 20_000
    assert made.lives.keys() >= EVERYTHING | {"cancellation -623009 message.duplicate"}
