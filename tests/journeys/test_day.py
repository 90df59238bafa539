"""A day at the window, told run by run."""

from dossiers import (
    ANNA,
    BO,
    CAI,
    Item,
    Window,
    inventory,
    order,
    payment,
    rules,
    waybill,
)

MORNING, NOON, AFTERNOON, EVENING = (
    f"2022-06-01T{hour}:00:00+08:00" for hour in ("09", "12", "15", "20")
)


def test_a_day_at_the_window(window: Window) -> None:
    tins = (Item("200", "2"),)

    # In the morning the declarant is early: Anna's list comes before anything else.
    done = window.clear(inventory(1, items=tins), at=MORNING)
    assert done.inventory["history"] == [2]
    assert [f["rule"] for f in done.inventory["findings"] if f["rule"].startswith("match.")] == [
        "match.order-missing",
        "match.payment-missing",
        "match.waybill-missing",
    ]
    [told] = done.returns("CEB622")
    assert told["returnStatus"] == "2"

    # At noon order and waybill follow, and Bo's whole dossier, with a slip in the buyer's name.
    done = window.clear(
        *[order(1, items=tins), order(2, buyer=BO)],
        *[waybill(1), waybill(2, buyer=BO)],
        payment(2, buyer=BO),
        inventory(2, buyer=BO, buyerName="薄二"),
        at=NOON,
    )
    slip = done.one("inventory", 2)
    assert slip["history"] == [2, 100]
    assert rules(slip) == ["match.buyer-name"]
    assert done.one("order", 1)["history"] == [2]

    # Why does Anna's parcel wait?
    [why] = window.explain("O0000001")
    waits = [f["rule"] for f in why.documents[0]["findings"] if f["rule"].startswith("match.")]
    assert waits == ["match.payment-missing"]

    # In the afternoon the payment arrives and Bo's list comes again, put right.
    again = inventory(2, buyer=BO).again(300)
    done = window.clear(payment(1, items=tins), again, at=AFTERNOON)
    assert done.one("payment")["history"] == [2, 120]
    assert done.one("inventory", 2)["history"] == [2, 120, 399, 800]
    assert window.status(inventory(2)) == [(100, False), (800, True)]

    # Anna's receipts of that run: her list went through, and its law is told to the fen.
    hers = [b["returnStatus"] for b in done.returns("CEB622") if b["copNo"] == "C0000001"]
    assert hers == ["120", "399", "800"]
    [anna] = window.explain("C0000001")
    assert anna.documents[-1]["history"] == [2, 120, 399, 800]
    assert anna.documents[-1]["tax"]["total"] == "36.40"
    assert anna.documents[-1]["allowance"] == {"before": "0.00", "after": "400.00"}
    assert all(pair.equal for pair in anna.compared)
    first, second = window.explain("O0000002")
    assert (first.documents[-1]["status"], second.documents[-1]["status"]) == (100, 800)
    assert [pair.rule for pair in first.compared if not pair.equal] == ["match.buyer-name"]

    # The platform changes its mind too late; a stranger asks about a number nobody knows.
    done = window.clear(order(1, items=tins).changed(600, buyerName=CAI.name), at=EVENING)
    assert rules(done.one("order")) == ["message.state"]

    # A month later the window has nothing left to wait for.
    done = window.clear(at="2022-07-15T09:00:00+08:00")
    assert done.receipts == []
    digests = window.vault.digest([ANNA.number, BO.number])
    assert window.allowance() == dict(zip(digests, (400_00, 100_00), strict=True))


def test_a_parcel_whose_payment_never_comes(window: Window) -> None:
    window.clear(order(), waybill(), inventory(), at=NOON)
    for day in ("2022-06-15", "2022-07-01"):
        assert window.clear(at=f"{day}T12:00:00+08:00").receipts == []
    done = window.clear(at="2022-07-02T12:00:00+08:00")
    [told] = done.returns("CEB622")
    assert told["returnStatus"] == "100"
    assert "match.payment-missing" in str(told["returnInfo"])
    assert window.allowance() == {}

    # The payment comes after all: the list is refused, and must be declared again.
    done = window.clear(payment(), at="2022-07-03T12:00:00+08:00")
    assert window.status(inventory()) == [(100, True)]
    done = window.clear(inventory().again(), at="2022-07-03T13:00:00+08:00")
    assert done.inventory["status"] == 800
