"""The guarantee for the tax of lists: what fits is released, what does not is refused."""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from dossiers import (
    ANNA,
    BO,
    CAI,
    PLATFORM,
    Buyer,
    Item,
    Window,
    cancellation,
    identity,
    inventory,
    parcel,
    returned,
    rules,
)

from tongguan import clearance, finance, store

CODE = PLATFORM[0]
TIN = 9_10
"""VAT of a tin of 100 yuan in fen: 100 × 13 % × 70 %."""
LATER = "2022-06-02T12:00:00+08:00"


def opened(window: Window, fen: int, kind: str = "deposit") -> None:
    clearance.open_guarantee(window.database, window.settings(), CODE, kind, fen)


def frozen(window: Window, state: bool = True) -> None:
    clearance.freeze_guarantee(window.database, window.settings(), CODE, frozen=state)


def parts(window: Window) -> tuple[int, int, int]:
    """Free, pending and posted fen of the guarantee."""
    with window.database.connect() as conn:
        facts = finance.guarantees.show(conn, CODE)
    return facts["free_fen"], facts["pending_fen"], facts["posted_fen"]


def test_what_fits_exactly_is_released_and_posted(window: Window) -> None:
    opened(window, TIN)
    assert window.clear(*parcel()).inventory["status"] == 800
    assert parts(window) == (0, 0, TIN)
    moved = window.rows("SELECT what, amount_fen FROM transfer ORDER BY id")
    assert moved == [("open", TIN), ("hold", TIN), ("post", TIN)]


def test_guarantee_insufficient_names_both_values(window: Window) -> None:
    """One fen is missing: code 1311, what is free, what the tax is."""
    opened(window, TIN - 1)
    done = window.clear(*parcel())
    assert done.inventory["history"] == [2, 100]
    [found] = [f for f in done.inventory["findings"] if f["severity"] == "error"]
    told = [found[name] for name in ("rule", "code", "severity", "field", "expected", "actual")]
    assert told == ["guarantee.insufficient", "1311", "error", "assureCode", "9.09", "9.10"]
    [said] = [r for r in done.returns("CEB622") if r["returnStatus"] == "100"]
    assert "[Code:1311;" in (said["returnInfo"] or "")
    assert parts(window) == (TIN - 1, 0, 0)
    assert window.rows("SELECT count(*) FROM bill") == [(0,)]


def test_a_fen_more_than_is_left_is_refused_and_a_smaller_one_still_fits(window: Window) -> None:
    """Free 20.00: 9.10, then 10.91 (one fen too much), then 9.10 again, of one batch."""
    opened(window, 20_00)
    dear = (Item("119.85"),)  # 119.85 × 9.1 % = 10.906, half up 10.91
    done = window.clear(*parcel(1), *parcel(2, buyer=BO, items=dear), *parcel(3, buyer=CAI))
    assert [line["status"] for line in done.all("inventory")] == [800, 100, 800]
    [found] = done.one("inventory", 2)["findings"]
    assert (found["expected"], found["actual"]) == ("10.90", "10.91")
    assert parts(window) == (20_00 - 2 * TIN, 0, 2 * TIN)


def test_what_becomes_free_can_be_used_again(window: Window) -> None:
    opened(window, TIN)
    window.clear(*parcel(1))
    assert window.clear(*parcel(2)).inventory["status"] == 100
    window.clear(returned(1), at=LATER)
    window.arrive("R0000001", LATER)
    assert parts(window) == (TIN, 0, 0)
    assert window.clear(*parcel(3), at=LATER).inventory["status"] == 800


def test_the_tax_of_a_list_that_waits_is_pending_until_it_is_cancelled(window: Window) -> None:
    opened(window, 10_00)
    window.clear(*parcel(mode="9610"), arrivals="required")
    assert parts(window) == (90, TIN, 0)
    window.clear(cancellation())
    assert parts(window) == (10_00, 0, 0)
    moved = window.rows("SELECT what FROM transfer ORDER BY id")
    assert moved == [("open",), ("hold",), ("void",)]


def test_a_list_that_waits_is_posted_when_it_arrives(window: Window) -> None:
    opened(window, 10_00)
    window.clear(*parcel(mode="9610"), arrivals="required")
    assert window.rows("SELECT count(*) FROM bill") == [(0,)]
    window.arrive("L0000001", LATER)
    assert parts(window) == (90, 0, TIN)
    assert window.rows("SELECT total_fen FROM bill") == [(TIN,)]


def test_a_list_that_another_rule_refuses_holds_nothing(window: Window) -> None:
    opened(window, TIN)
    done = window.clear(*parcel(1)[:3], inventory(1, buyerName="别人"), *parcel(2, buyer=BO))
    assert [line["status"] for line in done.all("inventory")] == [100, 800]
    assert rules(done.one("inventory", 1)) == ["match.buyer-name"]


@pytest.mark.parametrize("registry", ["open", "closed"])
def test_a_frozen_guarantee_stops_releases_and_says_so(window: Window, registry: str) -> None:
    window.file()
    opened(window, 1_000_00)
    frozen(window)
    done = window.clear(*parcel(1), registry=registry)
    found = [f for f in done.inventory["findings"] if f["rule"] == "guarantee.insufficient"]
    assert [(f["expected"], f["actual"]) for f in found] == [("a guarantee in force", "frozen")]
    assert done.inventory["status"] == 100
    frozen(window, state=False)
    assert window.clear(*parcel(2)).inventory["status"] == 800


def test_an_unknown_guarantor_is_unlimited_in_an_open_registry_with_one_warning(
    window: Window,
) -> None:
    done = window.clear(*parcel(1), *parcel(2, buyer=BO))
    assert [line["status"] for line in done.all("inventory")] == [800, 800]
    warned = [line for line in done.lines if "guarantee.unlimited" in rules(line, "warning")]
    assert [line["key"]["orderNo"] for line in warned] == ["O0000001"]
    assert window.rows("SELECT count(*) FROM transfer") == [(0,)]
    assert window.rows("SELECT DISTINCT secured, total_fen FROM bill") == [(False, TIN)]


def test_an_unknown_guarantor_is_refused_in_a_closed_registry(window: Window) -> None:
    window.file()
    done = window.clear(*parcel(1), registry="closed")
    found = [f for f in done.inventory["findings"] if f["severity"] == "error"]
    assert [(f["code"], f["expected"], f["actual"]) for f in found] == [
        ("1311", "a guarantee", CODE)
    ]
    assert done.inventory["status"] == 100


def test_a_refusal_gives_the_year_back(window: Window) -> None:
    """15,000 yuan that no guarantee carries take nothing of the year: the next 15,000 fit."""
    dear = (Item("15000"),)
    opened(window, 1)
    done = window.clear(*parcel(1, items=dear))
    assert rules(done.inventory) == ["guarantee.insufficient"]
    assert window.allowance() == {}
    opened(window, 10_000_00)
    assert window.clear(*parcel(2, items=dear)).inventory["status"] == 800
    assert list(window.allowance().values()) == [15_000_00]


def test_within_one_batch_the_year_comes_back_for_the_next(window: Window) -> None:
    """The first is refused for its guarantee, so the second, of the same buyer, has the year."""
    dear = (Item("15000"),)
    opened(window, 10_000_00)
    other = {"assureCode": "3301960D01"}
    clearance.open_guarantee(window.database, window.settings(), "3301960D01", "letter", 1)
    papers = [*parcel(1, items=dear)[:3], inventory(1, items=dear, **other)]
    done = window.clear(*papers, *parcel(2, items=dear))
    assert [line["status"] for line in done.all("inventory")] == [100, 800]
    assert rules(done.one("inventory", 1)) == ["guarantee.insufficient"]
    assert list(window.allowance().values()) == [15_000_00]


def test_what_a_refusal_changes_later_on_comes_back_too(window: Window) -> None:
    """The first is refused for its guarantee; so the second has the year; so the third has not;
    so the fourth, of another buyer, has the guarantee that the third would have taken."""
    opened(window, 409_50)
    clearance.open_guarantee(window.database, window.settings(), "3301960D01", "letter", 1)
    lists = [(ANNA, "15000", "3301960D01"), (ANNA, "22000", "3301960D02")]
    lists += [(ANNA, "4500", CODE), (BO, "100", CODE)]
    papers = []
    for no, (buyer, price, code) in enumerate(lists, 1):
        about = {"buyer": buyer, "items": (Item(price),)}
        papers += [*parcel(no, **about)[:3], inventory(no, **about, assureCode=code)]
    done = window.clear(*papers)
    assert [rules(done.one("inventory", no)) for no in (1, 2, 3, 4)] == [
        ["guarantee.insufficient"],
        [],
        ["limit.annual"],
        [],
    ]
    assert parts(window) == (409_50 - TIN, 0, TIN)


def test_at_80_percent_there_is_one_warning(window: Window) -> None:
    """Of 45.50 yuan four tins are 36.40, exactly 80 %; three are not."""
    opened(window, 5 * TIN)

    def warnings() -> list[tuple[str, int]]:
        sql = "SELECT what, free_fen FROM guarantee_event WHERE what <> 'opened' ORDER BY id"
        return window.rows(sql)

    for no in (1, 2, 3):
        window.clear(*parcel(no))
    assert warnings() == []
    window.clear(*parcel(4))
    assert warnings() == [("warned", TIN)]
    window.clear(*parcel(5))
    assert warnings() == [("warned", TIN)]


@pytest.mark.parametrize("relief", ["pay", "return", "raise", "cancel"])
def test_what_becomes_free_ends_the_warning_and_the_next_time_warns_again(
    window: Window, relief: str
) -> None:
    opened(window, TIN)
    direct = {"mode": "9610"} if relief == "cancel" else {}
    window.clear(*parcel(1, **direct), arrivals="required")
    day = "2022-07-02T12:00:00+08:00"
    if relief == "pay":
        [line] = clearance.settle(window.database, window.settings(day)).lines
        clearance.pay(window.database, window.settings(day), line["key"]["bill"], TIN, "R")
    elif relief == "return":
        window.clear(returned(1), at=LATER)
        window.arrive("R0000001", LATER)
    elif relief == "raise":
        opened(window, 9 * TIN)
    else:
        window.clear(cancellation(1))
    more = 7 if relief == "raise" else 1  # eight of ten tins are 80 %
    for no in range(2, 2 + more):
        window.clear(*parcel(no), at=LATER)
    sql = "SELECT what FROM guarantee_event WHERE what IN ('warned', 'relieved') ORDER BY id"
    assert window.rows(sql) == [("warned",), ("relieved",), ("warned",)]


@pytest.mark.parametrize("state", ["exhausted", "frozen", "open", "unknown"])
def test_explain_computes_the_same_again(window: Window, state: str) -> None:
    """Also after the guarantee has changed: what counts is what the list found."""
    if state != "unknown":
        opened(window, TIN if state == "exhausted" else 1_000_00)
    if state == "frozen":
        frozen(window)
    window.clear(*parcel(1), *parcel(2, buyer=BO))
    expected = {"exhausted": [800, 100], "frozen": [100, 100]}.get(state, [800, 800])
    opened(window, 5_000_00)
    frozen(window, state=state != "frozen")
    statuses = []
    for key in ("O0000001", "O0000002"):
        [why] = window.explain(key)
        statuses.append(why.documents[-1]["status"])
    assert statuses == expected


def test_explain_fails_where_the_record_of_the_guarantee_is_not_so(window: Window) -> None:
    opened(window, TIN - 1)
    window.clear(*parcel())
    window.rows("UPDATE decision SET guarantee_free_fen = 910 RETURNING 1")
    with pytest.raises(clearance.Differs, match="hold_fen"):
        window.explain("O0000001")


# ── many at once ────────────────────────────────────────────────────────────────────────────


def people() -> Iterator[Buyer]:
    """Buyers without end."""
    for year, serial in itertools.product(range(1950, 2004), range(1, 1000)):
        yield replace(ANNA, number=identity(f"{year}0101", serial))


def price(no: int) -> str:
    """From 20 to 320 yuan: taxes of 1.82 to 29.12 yuan in no order."""
    return str(20 + no * 7919 % 301)


def declare(window: Window, count: int, workers: int, size: int) -> None:
    """Declare parcels in batches of a size, by workers at once."""
    buyers = people()
    parcels = [
        parcel(no, buyer=next(buyers), items=(Item(price(no)),)) for no in range(1, count + 1)
    ]
    batches = [parcels[at : at + size] for at in range(0, count, size)]

    def clear(batch: Sequence[list]) -> None:
        papers = [[one[kind] for one in batch] for kind in range(4)]
        work = window.work(*itertools.chain.from_iterable(papers))
        store.transact(window.database, work, attempts=30)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(clear, batches))


def replayed(window: Window) -> tuple[list[int], list[int]]:
    """The lists in the order in which they asked for the guarantee: released, and to be released.

    The order of batches is that in which they took the guarantee: what each found free only
    falls, and a batch that found the same as another took nothing before it.
    """
    rows = window.rows(
        """SELECT t.document_id, t.total_fen, t.refused, t.batch_id,
            max(t.guarantee_free_fen) OVER (PARTITION BY t.batch_id) AS first,
            sum(t.hold_fen) OVER (PARTITION BY t.batch_id) AS held
        FROM decision t WHERE t.guarantee_state = 'open'
        ORDER BY first DESC, held, t.batch_id, t.document_id"""
    )
    [(free,)] = window.rows("SELECT amount_fen FROM transfer WHERE what = 'open'")
    got, fitting = [], []
    for document, tax, refused, *_ in rows:
        if not refused:
            got.append(document)
        if tax <= free:
            fitting.append(document)
            free -= tax
    return got, fitting


@pytest.mark.parametrize(
    ("count", "workers", "size"),
    [
        pytest.param(120, 2, 10, id="two"),
        pytest.param(400, 8, 10, id="eight"),
        pytest.param(10_000, 8, 50, id="full", marks=pytest.mark.faults_full),
    ],
)
def test_workers_at_once_never_release_more_than_the_guarantee_nor_one_fewer(
    window: Window, count: int, workers: int, size: int
) -> None:
    """The guarantee carries about half of the tax, so its end is met again and again."""
    total = sum(int(price(no)) for no in range(1, count + 1)) * 9
    window.clear(*parcel(0, buyer=BO))  # files the companies
    opened(window, total // 2)
    declare(window, count, workers, size)
    got, fitting = replayed(window)
    assert got == fitting
    assert count // 4 < len(got) < count
    [(released, tax)] = window.rows(
        """SELECT count(*), sum(t.total_fen)::bigint FROM decision t
        JOIN document d ON d.id = t.document_id
        WHERE d.status = 800 AND t.guarantee_state = 'open'"""
    )
    free, pending, posted = parts(window)
    assert (released, tax, pending) == (len(got), posted, 0)
    assert free + posted == total // 2
    [(smallest,)] = window.rows("SELECT min(total_fen) FROM decision WHERE refused")
    assert smallest > free
    assert window.rows("SELECT count(*) FROM decision") == [(count + 1,)]
