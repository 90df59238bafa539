"""Changes, deletions, drafts, documents sent again: which is taken, and what the list does.

Each story is told three ways: in one message or batch, cut into one document a batch, and in one
run a document; the end is the same.
"""

from collections.abc import Callable

import pytest
from dossiers import (
    ANNA,
    BO,
    SELLER,
    Item,
    Paper,
    Window,
    arrival,
    inventory,
    message,
    order,
    parcel,
    payment,
    rules,
    signed_for,
    waybill,
)

from tongguan.clearance import intake

Tell = Callable[..., None]


@pytest.fixture(params=["batch", "batches", "runs"])
def tell(window: Window, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Sends documents, in one of three ways."""
    if request.param == "batches":
        monkeypatch.setattr(intake, "BATCH_FILES", 1)

    def send(*papers: Paper) -> None:
        if request.param == "runs":
            for paper in papers:
                window.clear(paper)
        else:
            window.clear(*papers, cut=request.param == "batches")

    return send


def test_a_change_takes_the_place_of_the_document(window: Window, tell: Tell) -> None:
    first = payment(amountPaid="1")
    tell(first, first.changed(amountPaid="100"), order(), waybill(), inventory())
    assert window.status(first) == [(2, False), (120, True)]
    assert window.status(inventory()) == [(800, True)]


def test_a_change_counts_for_a_list_that_waits(window: Window, tell: Tell) -> None:
    first = order(buyerName="错名")
    tell(inventory(), first, first.changed(buyerName=ANNA.name), waybill(), payment())
    assert window.status(inventory()) == [(800, True)]
    assert window.status(first) == [(2, False), (120, True)]


def test_a_waiting_list_may_be_changed(window: Window, tell: Tell) -> None:
    first = inventory(buyerName="错名")
    tell(first, order(), first.changed(buyerName=ANNA.name), waybill(), payment())
    assert window.status(first) == [(2, False), (800, True)]


def test_a_deleted_document_is_gone(window: Window, tell: Tell) -> None:
    first = waybill()
    tell(order(), payment(), first, first.deleted(), inventory())
    assert window.status(first) == [(2, False), (2, False)]
    assert window.status(inventory()) == [(2, True)]
    tell(first.again(20))
    assert window.status(first) == [(2, False), (2, False), (120, True)]
    assert window.status(inventory()) == [(800, True)]


def test_a_deleted_list_takes_part_in_nothing(window: Window, tell: Tell) -> None:
    first = inventory()
    tell(first, first.deleted(), order(), payment(), waybill())
    assert window.status(first) == [(2, False), (2, False)]
    assert window.status(order()) == [(2, True)]


def test_deleting_twice_finds_nothing(window: Window, tell: Tell) -> None:
    first = order()
    tell(first, first.deleted(), first.deleted(20))
    assert window.status(first) == [(2, False), (2, False), (-301009, False)]


def test_a_draft_is_kept_and_takes_part_in_nothing(window: Window, tell: Tell) -> None:
    tell(order().draft(), payment(), waybill(), inventory())
    assert window.status(order()) == [(1, False)]
    assert window.status(inventory()) == [(2, True)]
    tell(order().again())  # declared after all: the draft holds no key
    assert window.status(order()) == [(1, False), (120, True)]
    assert window.status(inventory()) == [(800, True)]


def test_a_list_is_sent_again_after_100(window: Window, tell: Tell) -> None:
    wrong = inventory(buyerName="错名")
    tell(order(), payment(), waybill(), wrong, wrong.again(buyerName=ANNA.name))
    assert window.status(wrong) == [(100, False), (800, True)]
    assert list(window.allowance().values()) == [10000]


def test_a_refused_list_may_be_changed_or_deleted(window: Window, tell: Tell) -> None:
    wrong = inventory(buyerName="错名")
    tell(order(), payment(), waybill(), wrong, wrong.changed(buyerName=ANNA.name))
    assert window.status(wrong) == [(100, False), (800, True)]
    wrong = inventory(2, buyerName="错名")
    tell(order(2), payment(2), waybill(2), wrong, wrong.deleted())
    assert window.status(wrong) == [(100, False), (2, False)]


def test_a_document_is_sent_again_after_a_refusal_for_its_form(window: Window, tell: Tell) -> None:
    bad = order(buyerName=None)
    tell(bad, bad.again(buyerName=ANNA.name), payment(), waybill(), inventory())
    assert window.status(bad) == [(-301008, False), (120, True)]
    assert window.status(inventory()) == [(800, True)]


def test_a_released_list_is_not_sent_again(window: Window, tell: Tell) -> None:
    tell(*parcel(), inventory().again(), inventory().changed())
    assert window.status(inventory()) == [(800, True), (-621004, False), (-621012, False)]
    assert list(window.allowance().values()) == [10000]


def test_a_duplicate_changes_nothing(window: Window, tell: Tell) -> None:
    tell(order(), order().again(buyerName="别人"), payment(), waybill(), inventory())
    assert window.status(order()) == [(120, True), (-301010, False)]
    assert window.status(inventory()) == [(800, True)]


def test_a_stale_change_changes_nothing(window: Window, tell: Tell) -> None:
    first = order()
    tell(first, first.changed(-5, buyerName="别人"), *parcel()[1:])
    assert window.status(first) == [(120, True), (-301014, False)]
    assert window.status(inventory()) == [(800, True)]


def test_a_matched_document_is_changed_no_more(window: Window, tell: Tell) -> None:
    tell(*parcel(), payment().changed(amountPaid="1"), waybill().deleted())
    assert window.status(payment()) == [(120, True), (-401008, False)]
    assert window.status(waybill()) == [(120, True), (-504016, False)]


def test_documents_of_a_refused_list_stay_open(window: Window, tell: Tell) -> None:
    wrong = payment(amountPaid="1")
    tell(order(), waybill(), inventory(), wrong)
    assert window.status(inventory()) == [(100, True)]
    tell(wrong.changed(amountPaid="100"))
    assert window.status(wrong) == [(2, False), (2, True)]
    tell(inventory().again())
    assert window.status(inventory()) == [(100, False), (800, True)]


def test_the_same_number_of_two_platforms_are_two_orders(window: Window, tell: Tell) -> None:
    other = order(ebpCode="3301960P02", payTransactionId="T0000002")
    tell(order(), other, waybill(), payment(), inventory())
    assert window.status(order()) == [(120, True)]
    assert window.status(other) == [(2, True)]


def test_a_payment_is_found_by_the_order_when_the_order_names_none(
    window: Window, tell: Tell
) -> None:
    tell(waybill(), inventory(), payment(), order(payTransactionId=None))
    assert window.status(inventory()) == [(800, True)]


def test_a_payment_that_the_order_does_not_name_is_not_its_payment(
    window: Window, tell: Tell
) -> None:
    tell(waybill(), inventory(), payment(), order(payTransactionId="T0000007"))
    assert window.status(inventory()) == [(2, True)]


def test_one_order_serves_one_list(window: Window, tell: Tell) -> None:
    second = inventory(ebcCode="3301960S02", copNo="C0000002")
    tell(*parcel(), second)
    assert window.status(inventory()) == [(800, True)]
    assert window.status(second) == [(2, True)]
    assert list(window.allowance().values()) == [10000]


def test_a_waybill_number_is_free_again_after_six_months(window: Window) -> None:
    window.clear(*parcel(), at="2022-01-01T12:00:00+08:00")
    used = waybill(2, logisticsNo="L0000001")
    window.clear(used, at="2022-06-30T12:00:00+08:00")
    assert [status for status, _ in window.status(used)] == [120, -504015]
    later = [order(2), payment(2), used.again(), inventory(2, logisticsNo="L0000001")]
    done = window.clear(*later, at="2022-07-06T12:00:00+08:00")
    assert done.inventory["status"] == 800
    assert window.status(used) == [(120, False), (-504015, False), (120, True)]


def test_signed_for_and_arrival_are_received_as_they_are(window: Window, tell: Tell) -> None:
    tell(signed_for(), arrival())
    assert window.status(signed_for()) == [(120, True)]
    assert window.status(arrival()) == [(120, True)]


def test_keys_are_of_one_kind_and_of_one_company(window: Window) -> None:
    foreign = inventory(ebcCode="3301960S02").deleted()
    done = window.clear(*parcel()[1:], foreign)
    one, other = done.all("inventory")
    assert one["history"] == [2]
    assert rules(other) == ["message.absent"]  # another company's list is not found
    assert SELLER[0] == inventory().head["ebcCode"]


def test_every_kind_arrives_in_any_order(window: Window, tell: Tell) -> None:
    first, second = parcel(1), parcel(2, buyer=BO)
    tell(first[3], second[0], second[3], first[0], first[2], second[2], second[1], first[1])
    assert window.status(inventory(1)) == [(800, True)]
    assert window.status(inventory(2)) == [(800, True)]


def test_a_file_that_came_before_is_answered_and_changes_nothing(window: Window) -> None:
    files = [message(paper) for paper in parcel()]
    first = window.clear(*files)
    before = window.rows("SELECT * FROM document ORDER BY id")
    second = window.clear(*files, at="2022-06-05T12:00:00+08:00")
    assert second.run.repeated == 4
    assert second.run.messages == 0
    assert second.lines == first.lines
    assert window.rows("SELECT * FROM document ORDER BY id") == before


def test_two_copies_of_a_file_in_one_run_are_one(window: Window) -> None:
    data = message(order())
    done = window.clear(data, data, *parcel()[1:])
    assert done.run.repeated == 1
    assert window.status(order()) == [(120, True)]


def test_waiting_lists_of_one_buyer_are_decided_in_the_order_of_completion(window: Window) -> None:
    dear = (Item("15000"),)
    window.clear(inventory(1, items=dear), at="2022-06-01T12:00:00+08:00")
    window.clear(inventory(2, items=dear), at="2022-06-02T12:00:00+08:00")
    rest = [order(2, items=dear), payment(2, items=dear), waybill(2)]
    rest += [order(1, items=dear), payment(1, items=dear), waybill(1)]
    window.clear(*rest, at="2022-06-03T12:00:00+08:00", cut=True)
    assert window.status(inventory(2)) == [(800, True)]  # complete first, accepted last
    assert window.status(inventory(1)) == [(100, True)]


def test_an_undisturbed_run_leaves_nothing_to_the_sweep(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BATCH_FILES", 2)
    window.clear(*parcel(1), *reversed(parcel(2)), cut=True)
    late = window.rows(
        """SELECT b.id FROM batch b WHERE EXISTS (SELECT FROM event WHERE batch_id = b.id)
        AND NOT EXISTS (SELECT FROM message WHERE batch_id = b.id)"""
    )
    assert late == []
