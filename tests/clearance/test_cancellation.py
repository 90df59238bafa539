"""Cancellation (CEB623): what may be cancelled, what comes back, and what is said otherwise."""

import threading
from itertools import pairwise

import pytest
from dossiers import (
    BO,
    Item,
    Paper,
    Window,
    cancellation,
    inventory,
    order,
    parcel,
    payment,
    returned,
    rules,
    waybill,
)

from tongguan import store

ROADS = {
    120: [0, 2, 120],
    300: [0, 2, 120, 300],
    500: [0, 2, 120, 500],
    399: [0, 2, 120, 399],
    400: [0, 2, 120, 399, 400],
}
DEAR = (Item("15000"),)


def waiting(window: Window, no: int = 1, **about: object) -> None:
    """A decided list that waits at 400: it has taken of the buyer's year and is not released."""
    window.clear(*parcel(no, mode="9610", **about), arrivals="required")


def put(window: Window, status: int) -> None:
    """Bring a list of parcel 1 that waits at 2 to a status, as an officer will."""
    window.clear(inventory())
    with window.database.connect() as conn:
        [(id_, at)] = conn.execute("SELECT id, at FROM document").fetchall()
        for seq, (before, after) in enumerate(pairwise(ROADS[status]), 1):
            if seq > 1:
                sql = "INSERT INTO event VALUES (%s, %s, 621, %s, %s, %s, NULL, 1)"
                conn.execute(sql, (id_, seq, before, after, at + seq - 1))
        last = len(ROADS[status]) - 1
        sql = "UPDATE document SET status = %s, seq = %s, at = %s"
        conn.execute(sql, (status, last, at + last - 1))


def test_a_list_that_waits_is_cancelled(window: Window) -> None:
    window.clear(inventory())
    done = window.clear(cancellation())
    assert done.one("cancellation")["history"] == [2, 120, 399]
    assert window.status(inventory()) == [(100, True)]
    assert rules(done.one("cancellation")) == []


@pytest.mark.parametrize("status", ROADS)
def test_every_status_before_release_may_be_cancelled(window: Window, status: int) -> None:
    put(window, status)
    done = window.clear(cancellation())
    assert done.one("cancellation")["status"] == 399
    assert window.status(inventory()) == [(100, True)]


def test_the_year_comes_back_and_both_senders_are_told(window: Window) -> None:
    waiting(window, items=DEAR)
    assert list(window.allowance().values()) == [15_000_00]
    done = window.clear(cancellation(), at="2023-01-05T09:00:00+08:00")
    assert list(window.allowance(2022).values()) == [0]
    assert window.allowance(2023) == {}
    [told] = [r for r in done.returns("CEB622") if r["returnStatus"] == "100"]
    assert "X0000001" in (told["returnInfo"] or "")
    assert told["invtNo"]
    said = done.returns("CEB624")
    assert [r["returnStatus"] for r in said] == ["2", "120", "399"]
    assert {r["invtNo"] for r in said} == {"000000000000000000"}
    entries = window.rows("SELECT year, fen, what, by_id IS NULL FROM allowance_entry ORDER BY at")
    assert entries == [(2022, 15_000_00, "use", True), (2022, 15_000_00, "restore", False)]


def test_the_year_that_came_back_can_be_used(window: Window) -> None:
    waiting(window, items=DEAR)
    assert window.clear(*parcel(2, items=DEAR)).inventory["status"] == 100
    window.clear(cancellation())
    assert window.clear(*parcel(3, items=DEAR)).inventory["status"] == 800
    assert list(window.allowance().values()) == [15_000_00]


@pytest.mark.parametrize("cut", [False, True])
def test_documents_of_one_batch_meet_what_came_before(window: Window, cut: bool) -> None:
    """List 2 fits into the year only because the cancellation came before it, in the same run."""
    waiting(window, items=DEAR)
    done = window.clear(
        *parcel(2, items=DEAR), cancellation(), *parcel(3, items=DEAR), cancellation(3), cut=cut
    )
    assert [line["status"] for line in done.all("inventory")] == [100, 800]
    assert [line["status"] for line in done.all("cancellation")] == [399, 100]


@pytest.mark.parametrize("cut", [False, True])
def test_a_cancelled_list_is_not_completed_afterwards(window: Window, cut: bool) -> None:
    window.clear(inventory(), cancellation(), order(), payment(), waybill(), cut=cut)
    assert window.status(inventory()) == [(100, True)]
    assert window.status(order()) == [(2, True)]


def test_documents_that_were_free_stay_free_for_a_new_list(window: Window) -> None:
    window.clear(order(), payment(), inventory(), cancellation())
    window.clear(inventory().again(), waybill())
    assert window.status(inventory()) == [(100, False), (800, True)]


def test_matched_documents_stay_matched(window: Window) -> None:
    waiting(window)
    window.clear(cancellation())
    done = window.clear(inventory(mode="9610").again(), order().again())
    assert done.inventory["status"] == 2  # it waits for an order that is used up
    assert rules(done.one("order")) == ["message.duplicate"]


def test_found_by_its_number_whatever_else_may_fit(window: Window) -> None:
    waiting(window)
    [(invt_no,)] = window.rows("SELECT invt_no FROM document WHERE kind = 621")
    done = window.clear(cancellation(invtNo=invt_no))
    assert done.one("cancellation")["findings"] == []
    assert {r["invtNo"] for r in done.returns("CEB624")} == {invt_no}


def test_found_by_the_declarants_number_only_with_its_order(window: Window) -> None:
    window.clear(inventory(), inventory(2))
    done = window.clear(cancellation(2, copNo="C0000001"))
    assert done.one("cancellation", None)["status"] == 399
    assert window.status(inventory(1)) == [(2, True)]
    assert window.status(inventory(2)) == [(100, True)]


def test_another_number_than_the_lists_is_remarked_on(window: Window) -> None:
    waiting(window)
    done = window.clear(cancellation())
    assert rules(done.one("cancellation"), "warning") == ["original.number"]


REFUSED: list[tuple[Paper, str, int, str]] = [
    (cancellation(9), "message.absent", -623003, "invtNo"),
    (cancellation(ebcCode="3301960S02"), "message.absent", -623003, "invtNo"),
    (cancellation(agentCode="3301960D02"), "message.absent", -623003, "invtNo"),
    (cancellation(buyer=BO), "original.buyer", 100, "buyerIdNumber"),
    (cancellation(buyerName="别人"), "original.buyer", 100, "buyerIdNumber"),
    (cancellation(ebpCode="3301960P02"), "original.differs", 100, "ebpCode"),
    (cancellation(logisticsCode="3301960L02"), "original.differs", 100, "logisticsCode"),
    (cancellation(logisticsNo="L0000002"), "original.differs", 100, "logisticsNo"),
]


@pytest.mark.parametrize(("paper", "rule", "status", "field"), REFUSED)
def test_who_is_not_the_lists_own(
    window: Window, paper: Paper, rule: str, status: int, field: str
) -> None:
    window.clear(inventory())
    line = window.clear(paper).all("cancellation")[0]
    assert line["status"] == status
    errors = [found for found in line["findings"] if found["severity"] == "error"]
    assert [(found["rule"], found["field"]) for found in errors] == [(rule, field)]
    assert window.status(inventory()) == [(2, True)]


def test_what_is_not_accepted_holds_no_number(window: Window) -> None:
    before = window.clear(cancellation())
    assert before.one("cancellation")["history"] == [-623003]
    window.clear(inventory())
    again = window.clear(cancellation())
    assert again.one("cancellation")["status"] == 399


def test_the_same_number_twice_in_one_batch(window: Window) -> None:
    done = window.clear(cancellation(), inventory(), cancellation(), cancellation().again())
    assert [line["status"] for line in done.all("cancellation")] == [-623003, 399, -623009]


@pytest.mark.parametrize("cut", [False, True])
def test_a_list_is_cancelled_once(window: Window, cut: bool) -> None:
    wrong = cancellation(buyer=BO, copNo="X0000007")
    second = cancellation(copNo="X0000009")
    done = window.clear(inventory(), wrong, cancellation(), second, cut=cut)
    assert [line["status"] for line in done.all("cancellation")] == [100, 399, -623009]
    assert len(window.rows("SELECT FROM event WHERE kind = 621 AND after = 100")) == 1


def test_a_refused_list_cannot_be_cancelled(window: Window) -> None:
    window.clear(*parcel()[:3], inventory(buyerName="别人"))
    line = window.clear(cancellation(buyerName="别人")).one("cancellation")
    assert line["status"] == -623005
    assert rules(line) == ["message.state"]


def test_a_released_list_can_only_be_returned(window: Window) -> None:
    window.clear(*parcel())
    done = window.clear(cancellation(), at="2022-06-20T12:00:00+08:00")
    line = done.one("cancellation")
    assert (line["history"], rules(line)) == ([2, 100], ["cancel.released"])
    told = done.returns("CEB624")[-1]["returnInfo"] or ""
    assert "CEB625" in told
    assert "released on 2022-06-01" in told
    assert "until 2022-07-01" in told
    assert window.status(inventory()) == [(800, True)]
    assert list(window.allowance().values()) == [100_00]


def test_a_refused_cancellation_may_be_sent_again(window: Window) -> None:
    window.clear(inventory(), cancellation(buyer=BO))
    done = window.clear(cancellation().again())
    assert done.one("cancellation")["status"] == 399
    assert window.status(cancellation()) == [(100, False), (399, True)]


def test_a_cancelled_parcel_owes_no_tax_and_is_still_explained(window: Window) -> None:
    waiting(window)
    done = window.clear(cancellation())
    [explained] = window.explain("O0000001")
    assert explained.documents[-1]["tax"] is None
    assert explained.steps  # the decision stands as it was, and was recomputed
    assert done.run.documents == 1


# ── two workers ─────────────────────────────────────────────────────────────────────────────


def test_release_and_cancellation_at_once(window: Window) -> None:
    """The last document and the cancellation meet: one of them finds what the other did."""
    window.clear(*parcel(8, buyer=BO), *parcel()[:2], inventory())
    release, cancel = window.work(waybill()), window.work(cancellation())
    with window.database.connect() as holding:
        release(holding)
        other = threading.Thread(target=store.transact, args=(window.database, cancel))
        other.start()
        other.join(0.3)
        assert other.is_alive()  # it waits for the list's row, then runs anew
        holding.commit()
    other.join(30)
    assert not other.is_alive()
    assert window.status(inventory()) == [(800, True)]
    assert window.status(cancellation()) == [(100, True)]


def test_two_cancellations_at_once(window: Window) -> None:
    waiting(window, items=DEAR)
    jobs = [window.work(cancellation()), window.work(cancellation(copNo="X0000009"))]
    with window.database.connect() as holding:
        jobs[0](holding)
        other = threading.Thread(target=store.transact, args=(window.database, jobs[1]))
        other.start()
        other.join(0.3)
        holding.commit()
    other.join(30)
    assert not other.is_alive()
    statuses = window.rows("SELECT status FROM document WHERE kind = 623 ORDER BY id")
    assert statuses == [(399,), (-623009,)]
    assert list(window.allowance().values()) == [0]


def test_a_return_cannot_follow_a_cancellation(window: Window) -> None:
    waiting(window)
    done = window.clear(cancellation(), returned())
    assert rules(done.one("return")) == ["message.state"]
