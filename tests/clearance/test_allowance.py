"""The buyer's year: 26,000 yuan, whoever arrives first, whatever the timing."""

import threading
from collections.abc import Callable, Sequence
from functools import partial

import psycopg
import pytest
from dossiers import (
    ANNA,
    BO,
    NOON,
    Buyer,
    Item,
    Paper,
    Window,
    identity,
    inventory,
    message,
    order,
    packed,
    parcel,
    payment,
    rules,
    waybill,
)

from tongguan import messages, store
from tongguan.clearance import intake, service
from tongguan.clearance.record import record, sweep

DEAR = (Item("15000"),)
"""One item of quantity one: released with full tax and counted; two are 30,000."""


def test_the_year_is_taken_in_order_of_arrival(window: Window) -> None:
    done = window.clear(*parcel(1, items=DEAR), *parcel(2, items=DEAR), *parcel(3))
    first, second, third = done.all("inventory")
    assert (first["status"], second["status"], third["status"]) == (800, 100, 800)
    assert rules(second) == ["limit.annual"]
    assert first["allowance"] == {"before": "0.00", "after": "15000.00"}
    assert second["allowance"] == {"before": "15000.00", "after": "15000.00"}
    assert third["allowance"] == {"before": "15000.00", "after": "15100.00"}


def test_the_list_that_is_complete_first_takes_it(window: Window) -> None:
    one, two = parcel(1, items=DEAR), parcel(2, items=DEAR)
    done = window.clear(one[3], *two, *one[:3])
    assert [line["status"] for line in done.all("inventory")] == [100, 800]


def test_the_year_goes_on_over_runs(window: Window) -> None:
    window.clear(*parcel(1, items=DEAR))
    done = window.clear(*parcel(2, items=DEAR), *parcel(3, items=(Item("11000"),)))
    assert [line["status"] for line in done.all("inventory")] == [100, 800]
    assert sum(window.allowance().values()) == 26_000_00


def test_another_person_has_another_year(window: Window) -> None:
    done = window.clear(*parcel(1, items=DEAR), *parcel(2, items=DEAR, buyer=BO))
    assert [line["status"] for line in done.all("inventory")] == [800, 800]
    assert sorted(window.allowance().values()) == [15_000_00, 15_000_00]


def test_a_number_has_one_year_whatever_kind_of_document_it_is_said_to_be(window: Window) -> None:
    first, paid, way, listed = parcel(2, items=DEAR)
    as_other = [
        first.but(buyerIdType="2"),
        paid.but(payerIdType="2"),
        way,
        listed.but(buyerIdType="2"),
    ]
    done = window.clear(*parcel(1, items=DEAR), *as_other)
    assert [line["status"] for line in done.all("inventory")] == [800, 100]
    assert rules(done.all("inventory")[1]) == ["limit.annual"]


def test_the_year_begins_at_midnight_in_shanghai(window: Window) -> None:
    last = window.clear(*parcel(1, items=DEAR), at="2021-12-31T23:59:59+08:00")
    assert last.inventory["status"] == 800
    same = window.clear(*parcel(2, items=DEAR), at="2021-12-31T15:59:59+00:00")
    assert rules(same.inventory) == ["limit.annual"]
    new = window.clear(*parcel(3, items=DEAR), at="2021-12-31T16:00:00+00:00")
    assert new.inventory["status"] == 800
    assert new.inventory["allowance"]["before"] == "0.00"
    assert list(window.allowance(2021).values()) == [15_000_00]
    assert list(window.allowance(2022).values()) == [15_000_00]


# ── two workers ─────────────────────────────────────────────────────────────────────────────


def prepared(window: Window, papers: Sequence[Paper]) -> intake.Batch:
    files = [(f"{n}.xml", data) for n, data in enumerate(packed(papers))]
    with window.database.connect(autocommit=True) as conn:
        desk = service.desk(conn, window.vault, window.settings(NOON))
        return intake.prepare(files, desk, messages.Limits())


def work(window: Window, papers: Sequence[Paper], at: str = NOON) -> Callable:
    """Recording of documents in a transaction, as ``store.transact`` runs it."""
    batch = prepared(window, papers)
    return partial(record, batch=batch, settings=window.settings(at), seal=window.vault.seal)


def released(window: Window) -> int:
    [(count,)] = window.rows("SELECT count(*) FROM document WHERE kind = 621 AND status = 800")
    return count


def consistent(window: Window) -> None:
    """What the year holds is what the released lists counted, and never more than the limit."""
    counted = dict(
        window.rows(
            """SELECT t.buyer, sum(t.counted_fen)::bigint FROM decision t
            JOIN document d ON d.id = t.document_id WHERE d.status = 800 GROUP BY t.buyer"""
        )
    )
    assert window.allowance() == counted
    assert all(used <= 26_000_00 for used in counted.values())
    [(extra,)] = window.rows(
        """SELECT count(*) FROM decision t JOIN document d ON d.id = t.document_id
        WHERE d.status <> 800 AND t.counted_fen <> 0"""
    )
    assert extra == 0


@pytest.mark.parametrize("used_before", [False, True])
def test_the_second_of_two_open_transactions_waits_and_is_refused(
    window: Window, used_before: bool
) -> None:
    if used_before:
        window.clear(*parcel(9))
    window.clear(*parcel(8, buyer=BO))  # the companies are filed: nobody waits for those
    first = work(window, parcel(1, items=DEAR))
    second = work(window, parcel(2, items=DEAR))
    tried = threading.Event()

    def counted(conn: psycopg.Connection) -> None:
        tried.set()
        second(conn)

    with window.database.connect() as holding:
        first(holding)
        other = threading.Thread(target=store.transact, args=(window.database, counted))
        other.start()
        assert tried.wait(10)
        other.join(0.5)
        assert other.is_alive()  # it waits for the buyer's row
        holding.commit()
    other.join(30)
    assert not other.is_alive()
    assert window.status(inventory(1)) == [(800, True)]
    assert window.status(inventory(2)) == [(100, True)]
    consistent(window)


def test_when_the_first_gives_up_the_second_is_released(window: Window) -> None:
    window.clear(*parcel(8, buyer=BO))
    first, second = work(window, parcel(1, items=DEAR)), work(window, parcel(2, items=DEAR))
    with window.database.connect() as holding:
        first(holding)
        other = threading.Thread(target=store.transact, args=(window.database, second))
        other.start()
        other.join(0.3)
        holding.rollback()
    other.join(30)
    assert not other.is_alive()
    assert window.status(inventory(1)) == []
    assert window.status(inventory(2)) == [(800, True)]
    consistent(window)


def test_exactly_one_of_two_is_released_whatever_the_timing(window: Window) -> None:
    rounds = 25
    for turn in range(rounds):
        number = identity("19700101", turn + 1)
        buyer = Buyer("常客", number, ANNA.phone)
        batches = [
            work(window, parcel(10 + 2 * turn + side, items=DEAR, buyer=buyer)) for side in (0, 1)
        ]
        together(window, batches)
        assert released(window) == turn + 1
    consistent(window)
    [(refused,)] = window.rows(
        "SELECT count(DISTINCT document_id) FROM finding WHERE rule = 'limit.annual'"
    )
    assert refused == rounds


def together(window: Window, jobs: Sequence[Callable]) -> None:
    """Run jobs at the same moment, each in its transaction; their failures are failures here."""
    start = threading.Barrier(len(jobs))
    failures: list[BaseException] = []

    def run(job: Callable) -> None:
        try:
            start.wait(30)
            store.transact(window.database, job)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)


def test_many_small_parcels_fill_the_year_and_no_more(window: Window) -> None:
    """Two workers, batches of several buyers in opposite order: nobody deadlocks for good."""
    thousands = (Item("2000", "2"),)
    for turn in range(8):
        jobs = [
            work(
                window,
                [
                    paper
                    for n, buyer in enumerate(buyers)
                    for paper in parcel(100 * turn + 10 * side + n, items=thousands, buyer=buyer)
                ],
            )
            for side, buyers in enumerate(((ANNA, BO), (BO, ANNA)))
        ]
        together(window, jobs)
    assert sorted(window.allowance().values()) == [24_000_00, 24_000_00]  # six each, of sixteen
    assert released(window) == 12
    consistent(window)


@pytest.mark.parametrize("first_commits", ["order", "list"])
def test_documents_of_one_parcel_in_overlapping_transactions(
    window: Window, first_commits: str
) -> None:
    window.clear(*parcel(8, buyer=BO))
    jobs = {
        "order": work(window, [order(), payment()]),
        "list": work(window, [waybill(), inventory()]),
    }
    later = next(name for name in jobs if name != first_commits)
    with window.database.connect() as one, window.database.connect() as two:
        jobs[first_commits](one)
        jobs[later](two)
        one.commit()
        two.commit()
    assert window.status(inventory()) == [(2, True)]  # each missed what the other brought
    store.transact(window.database, lambda conn: sweep(conn, window.settings()))
    assert window.status(inventory()) == [(800, True)]
    assert window.status(order()) == [(120, True)]
    consistent(window)


def test_the_next_run_sweeps_up_what_overlapped(window: Window) -> None:
    jobs = [work(window, [paper]) for paper in parcel()]
    with (
        window.database.connect() as one,
        window.database.connect() as two,
    ):
        window.clear(*parcel(8, buyer=BO))
        jobs[0](one), jobs[1](one)
        jobs[2](two), jobs[3](two)
        two.commit()
        one.commit()
    window.clear(message(order(7)))
    assert window.status(inventory()) == [(800, True)]


def test_two_sweeps_at_once_decide_once(window: Window) -> None:
    window.clear(*parcel(8, buyer=BO))
    for turn in range(6):
        no = 20 + turn
        jobs = [work(window, [order(no), payment(no)]), work(window, [waybill(no), inventory(no)])]
        with window.database.connect() as one, window.database.connect() as two:
            jobs[0](one)
            jobs[1](two)
            one.commit()
            two.commit()
        together(window, [partial(sweep, settings=window.settings())] * 2)
        assert window.status(inventory(no)) == [(800, True)]
    consistent(window)
    again = window.rows("SELECT document_id FROM event WHERE after = 800")
    assert len(again) == len(set(again)) == 7


def test_one_waybill_for_two_lists_in_overlapping_transactions(window: Window) -> None:
    """Two lists name one waybill; each worker would release its own."""
    window.clear(*parcel(8, buyer=BO), waybill(1))
    jobs = [
        work(window, [order(no), payment(no), inventory(no, logisticsNo="L0000001")])
        for no in (1, 2)
    ]
    together(window, jobs)
    assert window.status(inventory(1)) == [(800, True)]
    assert window.status(inventory(2))[0][0] in (2, 100)  # the waybill is taken, or not its own
    assert window.rows("SELECT count(*) FROM event WHERE kind = 511 AND after = 120") == [(2,)]
    consistent(window)
