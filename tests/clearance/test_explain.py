"""Explaining decides again, from what was stored, and is loud if the answer differs."""

from datetime import date
from decimal import Decimal

import pytest
from dossiers import (
    ANNA,
    BO,
    Item,
    Window,
    inventory,
    order,
    parcel,
    payment,
    waybill,
)

from tongguan import clearance


def tamper(window: Window, statement: str) -> None:
    with window.database.connect() as conn:
        assert conn.execute(statement).rowcount
        conn.commit()


def test_a_released_parcel(window: Window) -> None:
    items = (Item("150", "2"), Item("60"))
    window.clear(*parcel(items=items, freight="10"))
    [found] = window.explain("O0000001")
    assert [line["document"] for line in found.documents] == [
        *("order", "payment", "waybill", "inventory"),
    ]
    assert [event["status"] for event in found.documents[-1]["events"]] == [2, 120, 399, 800]
    assert len(found.compared) == 8
    assert all(pair.equal for pair in found.compared)
    assert found.day == date(2022, 6, 1)
    vat = [step for step in found.steps if step.what == "vat" or "VAT" in step.en]
    assert vat
    assert any(basis.parameter == "vat.standard" for step in vat for basis in step.basis)
    facts = found.facts()
    assert facts["day"] == "2022-06-01"
    total = Decimal(found.documents[-1]["tax"]["total"])
    assert total == Decimal("33.67")  # 370 × 13 % × 70 %


@pytest.mark.parametrize("key", ["O0000001", "C0000001", "invtNo"])
def test_every_number_of_a_list_finds_it(window: Window, key: str) -> None:
    done = window.clear(*parcel(), *parcel(2, buyer=BO))
    number = done.one("inventory", 1)["key"].get(key, key)
    [found] = window.explain(number)
    assert found.documents[-1]["key"]["orderNo"] == "O0000001"


def test_a_refused_parcel(window: Window) -> None:
    papers = [payment(amountPaid="1", payerIdNumber=BO.number), waybill(), inventory()]
    window.clear(order(), *papers)
    [found] = window.explain("O0000001")
    unequal = [(pair.rule, pair.left_value, pair.right_value) for pair in found.compared
               if not pair.equal]  # fmt: skip
    masked = [f"{n[:3]}***{n[-2:]}" for n in (ANNA.number, BO.number)]
    assert unequal == [("match.payer", *masked), ("match.amount", "100.00", "1.00")]
    assert found.documents[-1]["status"] == 100
    assert found.documents[-1]["tax"] is None


def test_a_list_over_the_year_is_explained_with_what_the_year_held(window: Window) -> None:
    window.clear(*parcel(1, items=(Item("20000"),)), *parcel(2, items=(Item("9000"),)))
    window.clear(*parcel(3))  # the year goes on; the refusal is explained as of then
    [found] = window.explain("O0000002")
    assert found.documents[-1]["allowance"]["before"] == "20000.00"


def test_a_waiting_list(window: Window) -> None:
    window.clear(order(), inventory())
    [found] = window.explain("C0000001")
    assert (found.compared, found.steps, found.day) == ([], (), None)
    rules = [f["rule"] for f in found.documents[0]["findings"] if f["rule"].startswith("match.")]
    assert rules == ["match.payment-missing", "match.waybill-missing"]


def test_a_list_refused_for_its_form(window: Window) -> None:
    window.clear(inventory(packNo="2"))
    [found] = window.explain("O0000001")
    assert found.documents[0]["status"] == -621001
    assert found.compared == []


def test_a_document_that_belongs_to_no_list_yet(window: Window) -> None:
    window.clear(payment(), waybill(5))
    for key, kind in (("T0000001", "payment"), ("L0000005", "waybill")):
        [found] = window.explain(key)
        assert [line["document"] for line in found.documents] == [kind]


def test_a_list_sent_again_is_explained_both_times(window: Window) -> None:
    wrong = inventory(buyerName="错名")
    window.clear(*parcel()[:3], wrong)
    window.clear(wrong.again(buyerName=ANNA.name))
    found = window.explain("O0000001")
    assert [each.documents[-1]["status"] for each in found] == [100, 800]


def test_an_unknown_number(window: Window) -> None:
    window.clear(order())
    with pytest.raises(clearance.UnknownKey, match="'O7'"):
        window.explain("O7")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE decision SET vat_fen = vat_fen + 1", "vat_fen: recorded 911, recomputed 910"),
        ("UPDATE decision SET used_after_fen = 0", "used_after_fen: recorded 0"),
        ("UPDATE decision SET regime = 'general-trade'", "regime: recorded general-trade"),
        ("UPDATE decision SET refused = true", "refused: recorded True, recomputed False"),
        ("UPDATE tax_line SET basis_fen = 1", "line 1: recorded"),
        ("DELETE FROM tax_line", "line 1: recorded None"),
        ('UPDATE inventory_line SET "totalPrice" = 99', "value_fen: recorded 10000"),
        ('UPDATE payment_head SET "amountPaid" = 99', "recomputed only: ('match.amount'"),
        ("UPDATE order_head SET \"buyerName\" = 'x'", "recomputed only: ('match.buyer-name'"),
    ],
)
def test_a_record_that_was_tampered_with(window: Window, statement: str, named: str) -> None:
    window.clear(*parcel())
    tamper(window, statement)
    with pytest.raises(clearance.Differs) as loud:
        window.explain("O0000001")
    assert any(named in difference for difference in loud.value.differences), loud.value
    assert named in str(loud.value)


def test_a_finding_that_was_taken_away(window: Window) -> None:
    window.clear(order(), payment(amountPaid="1"), waybill(), inventory())
    tamper(window, "DELETE FROM finding WHERE rule = 'match.amount'")
    with pytest.raises(clearance.Differs, match=r"recomputed only: \('match\.amount'"):
        window.explain("O0000001")


def test_a_policy_that_nobody_has(window: Window) -> None:
    window.clear(*parcel())
    tamper(window, "UPDATE decision SET policy = repeat('0', 64)")
    with pytest.raises(clearance.UnknownPolicy, match="000000000000"):
        window.explain("O0000001")
