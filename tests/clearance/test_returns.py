"""Returns (CEB625): the days, the quantities, and what comes back when the goods do."""

import threading
from dataclasses import replace
from decimal import Decimal

import pytest
from dossiers import (
    BO,
    MILK,
    NOON,
    Buyer,
    Item,
    Paper,
    Window,
    identity,
    inventory,
    order,
    parcel,
    returned,
    rules,
    signed_for,
)
from hypothesis import given
from hypothesis import strategies as st
from psycopg.errors import CheckViolation

from tongguan import store
from tongguan.clearance.record import UnknownArrival
from tongguan.clearance.returns import share

TINS = (Item("99.99", "7"), Item("12.34", "3"))
FREIGHT = "10.01"
APPLIED, ARRIVED = "2022-06-20T12:00:00+08:00", "2022-07-01T12:00:00+08:00"


def line_amounts(window: Window) -> list[tuple[int, ...]]:
    return window.rows(
        """SELECT gnum, basis_fen, duty_fen, consumption_fen, vat_fen FROM tax_line ORDER BY gnum"""
    )


def back(window: Window) -> list[tuple[int, ...]]:
    """Sums of what came back, by line."""
    return window.rows(
        """SELECT gnum, sum(basis_fen)::bigint, sum(duty_fen)::bigint,
            sum(consumption_fen)::bigint, sum(vat_fen)::bigint
        FROM return_amount GROUP BY gnum ORDER BY gnum"""
    )


def test_a_whole_return(window: Window) -> None:
    window.clear(*parcel(items=TINS, freight=FREIGHT))
    done = window.clear(returned(items=TINS), at=APPLIED)
    assert done.one("return")["history"] == [2, 120, 399]
    assert rules(done.one("return")) == []
    assert list(window.allowance().values()) == [746_96]  # nothing is back yet
    [line] = window.arrive("R0000001", ARRIVED)
    assert line["history"] == [2, 120, 399, 899]
    assert list(window.allowance().values()) == [0]
    assert back(window) == line_amounts(window)
    assert window.status(inventory()) == [(800, True)]


def test_parts_restore_exactly_the_whole(window: Window) -> None:
    window.clear(*parcel(items=TINS, freight=FREIGHT))
    parts = [("1", "1"), ("2", ""), ("", "2"), ("3", ""), ("1", "")]
    left = [746_96]
    for n, part in enumerate(parts, 1):
        paper = returned(items=TINS, part=part, copNo=f"R000000{n}")
        assert window.clear(paper, at=APPLIED).all("return")[0]["status"] == 399
        window.arrive(f"R000000{n}", ARRIVED)
        left += window.allowance().values()
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
    assert back(window) == line_amounts(window)
    entries = window.rows(
        "SELECT what, count(*), sum(fen)::bigint FROM allowance_entry GROUP BY what ORDER BY what"
    )
    assert entries == [("restore", 5, 746_96), ("use", 1, 746_96)]


def test_a_part_is_its_share_by_quantity(window: Window) -> None:
    """A third of three tins of 100 yuan: basis 100.00, VAT 300 × 13 % × 70 % / 3 = 9.10."""
    items = (Item("100", "3"),)
    window.clear(*parcel(items=items))
    window.clear(returned(items=items, part=("1",)), at=APPLIED)
    window.arrive("R0000001", ARRIVED)
    assert back(window) == [(1, 100_00, 0, 0, 9_10)]
    assert list(window.allowance().values()) == [200_00]


@given(
    amount=st.integers(0, 10**12),
    parts=st.lists(st.decimals("0.00001", 10_000, places=5), min_size=1, max_size=8),
)
def test_shares_of_parts_make_up_the_amount(amount: int, parts: list[Decimal]) -> None:
    whole = sum(parts, Decimal(0))
    taken, before = [], Decimal(0)
    for part in parts:
        taken.append(share(amount, before, before + part, whole))
        exact = Decimal(amount) * part / whole
        assert abs(taken[-1] - exact) <= 1
        before += part
    assert sum(taken) == amount
    assert all(one >= 0 for one in taken)


def test_what_came_back_can_be_bought_again(window: Window) -> None:
    dear = (Item("15000"),)
    window.clear(*parcel(items=dear))
    window.clear(returned(items=dear), at=APPLIED)
    assert window.clear(*parcel(2, items=dear), at=APPLIED).inventory["status"] == 100
    window.arrive("R0000001", ARRIVED)
    assert window.clear(*parcel(3, items=dear), at=ARRIVED).inventory["status"] == 800


def test_the_year_of_the_list_gets_it_back(window: Window) -> None:
    window.clear(*parcel(), at="2021-12-31T23:59:59+08:00")
    window.clear(*parcel(2), at="2022-01-01T00:00:00+08:00")
    window.clear(returned(), at="2022-01-20T12:00:00+08:00")
    window.arrive("R0000001", "2022-02-01T12:00:00+08:00")
    assert list(window.allowance(2021).values()) == [0]
    assert list(window.allowance(2022).values()) == [100_00]


# ── days ────────────────────────────────────────────────────────────────────────────────────

RELEASED = "2022-06-01T00:00:01+08:00"
"""Just after midnight in Shanghai; in UTC it is still May."""


@pytest.mark.parametrize(
    ("released", "at", "status"),
    [
        (RELEASED, "2022-07-01T23:59:59+08:00", 399),  # day 30, its last second
        (RELEASED, "2022-07-01T15:59:59+00:00", 399),
        (RELEASED, "2022-07-02T00:00:00+08:00", 100),  # day 31
        (RELEASED, "2022-07-01T16:00:00+00:00", 100),
        ("2022-05-31T23:59:59+08:00", "2022-06-30T23:59:59+08:00", 399),
        ("2022-05-31T23:59:59+08:00", "2022-07-01T00:00:00+08:00", 100),
        ("2024-02-01T12:00:00+08:00", "2024-03-02T12:00:00+08:00", 399),  # a leap year
        ("2024-02-01T12:00:00+08:00", "2024-03-03T00:00:00+08:00", 100),
        ("2023-02-01T12:00:00+08:00", "2023-03-03T12:00:00+08:00", 399),
        ("2022-12-15T12:00:00+08:00", "2023-01-14T23:59:59+08:00", 399),  # over new year
        ("2022-12-15T12:00:00+08:00", "2023-01-15T00:00:00+08:00", 100),
    ],
)
def test_thirty_days_to_apply(window: Window, released: str, at: str, status: int) -> None:
    window.clear(*parcel(), at=released)
    line = window.clear(returned(), at=at).one("return")
    assert line["status"] == status
    assert rules(line) == ([] if status == 399 else ["return.late"])


def test_a_late_return_tells_the_dates(window: Window) -> None:
    window.clear(*parcel())
    done = window.clear(returned(), at="2022-07-02T00:00:00+08:00")
    said = done.returns("CEB626")[-1]["returnInfo"] or ""
    for day in ("2022-06-01", "2022-07-01", "2022-07-02"):
        assert day in said
    assert window.rows("SELECT * FROM return_balance") == []


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ("2022-07-16T23:59:59+08:00", 899),  # day 45
        ("2022-07-16T15:59:59+00:00", 899),
        ("2022-07-17T00:00:00+08:00", 100),
        ("2022-07-16T16:00:00+00:00", 100),
    ],
)
def test_forty_five_days_to_arrive(window: Window, at: str, status: int) -> None:
    window.clear(*parcel(), at=RELEASED)
    window.clear(returned(), at=APPLIED)
    [line] = window.arrive("R0000001", at)
    assert line["history"] == [2, 120, 399, status]
    assert rules(line) == ([] if status == 899 else ["return.arrived-late"])
    assert list(window.allowance().values()) == [0 if status == 899 else 100_00]
    assert len(window.rows("SELECT FROM return_amount")) == (1 if status == 899 else 0)
    said = line["events"][-1]["info"]
    assert "2022-07-16" in said
    if status == 100:
        assert "2022-07-17" in said


def test_goods_that_never_come_have_no_effect(window: Window) -> None:
    window.clear(*parcel())
    window.clear(returned(), at=APPLIED)
    window.sweep("2022-07-16T23:59:59+08:00")
    assert window.status(returned()) == [(399, True)]
    window.sweep("2022-07-17T00:00:00+08:00")
    assert window.status(returned()) == [(100, True)]
    assert list(window.allowance().values()) == [100_00]
    assert window.rows("SELECT asked, arrived FROM return_balance") == [(0, 0)]
    [line] = window.arrive("R0000001", "2022-07-18T12:00:00+08:00")
    assert line["status"] == 100
    assert rules(line) == ["return.not-arrived"]


def test_the_days_are_those_of_the_law_then(window: Window) -> None:
    """Until GACC notice 2020-45 the goods had to be back within 30 days, too."""
    window.clear(*parcel(), at="2019-06-01T12:00:00+08:00")
    window.clear(returned(), at="2019-06-20T12:00:00+08:00")
    [line] = window.arrive("R0000001", "2019-07-02T00:00:00+08:00")
    assert rules(line) == ["return.arrived-late"]


# ── what is refused ─────────────────────────────────────────────────────────────────────────


OF_LINE_TWO = replace(returned(), lines=({**returned().lines[0], "gnum": "2"},))
REFUSED: list[tuple[Paper, str, str, int, str]] = [
    (returned(9), "message.absent", "-625016", -625016, "invtNo"),
    (returned(ebcCode="3301960S02"), "message.absent", "-625016", -625016, "invtNo"),
    (returned(agentCode="3301960D02"), "message.absent", "-625016", -625016, "invtNo"),
    (returned(buyer=BO), "original.buyer", "original.buyer", 100, "buyerIdNumber"),
    (returned(ebpCode="3301960P02"), "original.differs", "original.differs", 100, "ebpCode"),
    (OF_LINE_TWO, "return.line", "-625209", 100, "gcode"),
    (returned().line(1, gcode="1901101010"), "return.line", "-625209", 100, "gcode"),
    (returned(part=("2",)), "return.quantity", "return.quantity", 100, "qty"),
    (returned(part=("1.00001",)), "return.quantity", "return.quantity", 100, "qty"),
    (returned(part=("0",)), "message.field", "-625001", -625001, "qty"),
    (returned().line(1, unit="011"), "return.quantity", "return.quantity", 100, "unit"),
]


@pytest.mark.parametrize(("paper", "rule", "code", "status", "field"), REFUSED)
def test_what_is_not_of_the_list(
    window: Window, paper: Paper, rule: str, code: str, status: int, field: str
) -> None:
    window.clear(*parcel())
    line = window.clear(paper, at=APPLIED).all("return")[0]
    errors = [found for found in line["findings"] if found["severity"] == "error"]
    assert [(e["rule"], e["code"], e["field"]) for e in errors] == [(rule, code, field)]
    assert line["status"] == status


def test_the_seller_itself_may_return(window: Window) -> None:
    window.clear(*parcel())
    own = returned(agentCode="3301960S01")
    assert window.clear(own, at=APPLIED).one("return")["status"] == 399


@pytest.mark.parametrize("papers", [[*parcel()[:3], inventory(buyerName="别人")], [inventory()]])
def test_only_released_goods_are_returned(window: Window, papers: list[Paper]) -> None:
    window.clear(*papers)
    buyer = str(papers[-1].head["buyerName"])
    line = window.clear(returned(buyerName=buyer), at=APPLIED).one("return")
    assert rules(line) == ["message.state"]
    assert line["history"] == [-625022]


def test_a_closed_list_is_returned_too(window: Window) -> None:
    window.clear(*parcel(), signed_for())
    assert window.status(inventory()) == [(899, True)]
    assert window.clear(returned(), at=APPLIED).one("return")["status"] == 399


@pytest.mark.parametrize("cut", [False, True])
def test_earlier_returns_count(window: Window, cut: bool) -> None:
    """Of seven tins: five, then three (refused, and takes nothing), then two, then one."""
    items = (Item("99.99", "7"),)
    window.clear(*parcel(items=items))
    papers = [
        returned(items=items, part=(qty,), copNo=f"R000001{n}")
        for n, qty in enumerate(("5", "3", "2", "1"))
    ]
    done = window.clear(*papers, at=APPLIED, cut=cut)
    assert [line["status"] for line in done.all("return")] == [399, 100, 399, 100]
    actual = [
        (found["expected"], found["actual"])
        for line in done.all("return")
        for found in line["findings"]
        if found["severity"] == "error"
    ]
    assert actual == [
        ("at most 2 of 7", "3"),
        ("at most 0 of 7", "1"),
    ]


def test_one_refused_line_refuses_the_return(window: Window) -> None:
    window.clear(*parcel(items=TINS))
    wrong = returned(items=TINS, part=("7", "4"))
    assert window.clear(wrong, at=APPLIED).one("return")["status"] == 100
    right = window.clear(wrong.again().line(2, qty="3"), at=APPLIED).one("return")
    assert right["status"] == 399
    assert window.status(returned()) == [(100, False), (399, True)]


def test_a_return_is_declared_once(window: Window) -> None:
    window.clear(*parcel(items=TINS))
    one = returned(items=TINS, part=("1", ""))
    done = window.clear(one, one.again(), at=APPLIED)
    statuses = [line["status"] for line in done.all("return")]
    assert statuses == [399, -625033]
    changed = window.clear(one.changed(20), at=APPLIED).one("return")
    assert rules(changed) == ["message.state"]


def test_a_return_in_the_batch_of_its_list(window: Window) -> None:
    done = window.clear(returned(copNo="R0000009"), *parcel(), returned())
    assert [line["status"] for line in done.all("return")] == [-625016, 399]


# ── arrival ─────────────────────────────────────────────────────────────────────────────────


def test_arriving_again_changes_nothing(window: Window) -> None:
    window.clear(*parcel())
    window.clear(returned(), at=APPLIED)
    [first] = window.arrive("R0000001", ARRIVED)
    [second] = window.arrive("R0000001", "2022-07-20T12:00:00+08:00")
    assert first == second
    assert len(window.rows("SELECT FROM allowance_entry WHERE what = 'restore'")) == 1


@pytest.mark.parametrize("key", ["O0000001", "C0000001", "invt_no"])
def test_a_lists_number_stands_for_all_its_returns(window: Window, key: str) -> None:
    window.clear(*parcel(items=TINS, freight=FREIGHT))
    first = returned(items=TINS, part=("3", "1"))
    second = returned(items=TINS, part=("4", "2"), copNo="R0000002")
    window.clear(first, second, at=APPLIED)
    if key == "invt_no":
        [(key,)] = window.rows("SELECT invt_no FROM document WHERE invt_no IS NOT NULL")
    assert [line["status"] for line in window.arrive(key, ARRIVED)] == [899, 899]
    assert back(window) == line_amounts(window)
    assert list(window.allowance().values()) == [0]


def test_what_nobody_returns_does_not_arrive(window: Window) -> None:
    window.clear(inventory(), returned(9))
    for key in ("R0000009", "O0000001", "nothing"):
        with pytest.raises(UnknownArrival, match=key):
            window.arrive(key, ARRIVED)


def test_what_was_not_counted_is_not_given_back(window: Window) -> None:
    """Before 2019 goods over the limit were taxed in full and not counted."""
    dear = (Item("2500"),)
    window.clear(*parcel(items=dear), at="2018-06-01T12:00:00+08:00")
    assert window.allowance(2018) == {}
    window.clear(returned(items=dear), at="2018-06-10T12:00:00+08:00")
    window.arrive("R0000001", "2018-06-20T12:00:00+08:00")
    assert back(window) == line_amounts(window)
    assert window.rows("SELECT * FROM allowance_entry") == []


def test_an_exchange_links_the_new_order(window: Window) -> None:
    window.clear(*parcel(), *parcel(3, buyer=BO))
    papers = [returned(note="exchange:O0000002"), returned(3, buyer=BO, note="exchange")]
    window.clear(*papers, order(2), at=APPLIED)
    found = window.rows(
        """SELECT d.key_b, x.order_no FROM return_exchange x
        JOIN document d ON d.id = x.return_id"""
    )
    assert found == [("R0000001", "O0000002")]


def test_every_receipt_of_a_return(window: Window) -> None:
    window.clear(*parcel())
    said = window.clear(returned(), at=APPLIED).returns("CEB626")
    assert [r["returnStatus"] for r in said] == ["2", "120", "399"]
    assert {r["copNo"] for r in said} == {"R0000001"}
    assert all(r["preNo"] and r["preNo"].startswith("B20220620") for r in said)


# ── the database, and two workers ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("change", ["asked = whole + 1", "arrived = asked + 1", "arrived = -1"])
def test_no_more_comes_back_than_was_sent(window: Window, change: str) -> None:
    window.clear(*parcel())
    window.clear(returned(), at=APPLIED)
    with window.database.connect() as conn, pytest.raises(CheckViolation):
        conn.execute(f"UPDATE return_balance SET {change}")


@pytest.mark.parametrize("before", [(), ("1",)])
def test_two_returns_of_one_line_at_once(window: Window, before: tuple[str, ...]) -> None:
    items = (Item("99.99", "7"),)
    window.clear(*parcel(items=items), at=NOON)
    if before:
        window.clear(returned(items=items, part=before), at=APPLIED)
    jobs = [
        window.work(returned(items=items, part=("4",), copNo=f"R000002{side}"), at=APPLIED)
        for side in (0, 1)
    ]
    with window.database.connect() as holding:
        jobs[0](holding)
        other = threading.Thread(target=store.transact, args=(window.database, jobs[1]))
        other.start()
        other.join(0.3)
        assert other.is_alive()  # it waits for the line, finds it changed, and runs anew
        holding.commit()
    other.join(30)
    assert not other.is_alive()
    last_two = window.rows("SELECT status FROM document WHERE kind = 625 ORDER BY id DESC LIMIT 2")
    assert sorted(last_two) == [(100,), (399,)]


def test_the_buyers_are_not_mixed_up(window: Window) -> None:
    people = [Buyer("常客", identity("19700101", n), "13900000009") for n in (5, 6)]
    window.clear(*parcel(1, buyer=people[0]), *parcel(2, buyer=people[1], items=(MILK, MILK)))
    window.clear(returned(1, buyer=people[0]), at=APPLIED)
    window.arrive("R0000001", ARRIVED)
    assert sorted(window.allowance().values()) == [0, 200_00]
