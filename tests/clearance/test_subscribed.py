"""Receipts for counterparties: whom a message names, who of them may really be told."""

from datetime import date

import pytest
from dossiers import (
    AGENT,
    CARRIER,
    PAYMENT,
    PLATFORM,
    SELLER,
    SITE,
    Cleared,
    Paper,
    Window,
    inventory,
    message,
    order,
    parcel,
    payment,
    rules,
    waybill,
)

from tongguan import messages, store
from tongguan.sharing import companies, registry, subscriptions
from tongguan.sharing.rules import Refused

ADDRESSES = {
    PLATFORM[0]: "DXPENT0000000001",
    SELLER[0]: "DXPENT0000000002",
    AGENT[0]: "DXPENT0000000003",
    SITE[0]: "DXPENT0000000004",
}
CREDIT = "91330100MA2CC0XY1B"


@pytest.fixture(autouse=True)
def _filed(window: Window) -> None:
    def file(conn) -> None:
        for (code, name), role in (
            (PLATFORM, "platform"),
            (SELLER, "seller"),
            (AGENT, "declarant"),
            (SITE, "site"),
        ):
            registry.file_company(conn, code, name, [role], 0, dxp_id=ADDRESSES[code])

    store.transact(window.database, file)


def telling(paper: Paper, *firms: tuple[str, str] | str, content: str = "RET") -> bytes:
    """A message whose sender names the addresses of these firms."""
    blocks = [
        {
            "status": content,
            "dxpMode": "DXP",
            "dxpAddress": firm if isinstance(firm, str) else ADDRESSES[firm[0]],
        }
        for firm in firms
    ]
    return message(paper, subscribes=blocks)


def told(window: Window, firm: tuple[str, str]) -> list[tuple[str, str]]:
    """(type, status) of every return a company was told of, in order."""
    rows = window.rows(
        "SELECT type, xml, receiver FROM receipt WHERE company = %s ORDER BY id", firm[0]
    )
    found = []
    for type_, xml, receiver in rows:
        assert receiver in (ADDRESSES.get(firm[0]), f"DXPENT{firm[0]}")
        if type_ != "CEB816":
            heads = messages.parse(xml.encode()).heads
            found += [(type_, str(status)) for status in heads["returnStatus"]]
    return found


def warned(done: Cleared, kind: str) -> list[tuple[str, str]]:
    return [
        (found["expected"], found["actual"])
        for found in done.one(kind)["findings"]
        if found["rule"] == "receipt.subscriber"
    ]


LIFE = [("CEB622", status) for status in ("2", "120", "399", "800")]


def test_a_company_that_the_document_names_is_told_like_the_sender(window: Window) -> None:
    done = window.clear(order(), payment(), waybill(), telling(inventory(), SELLER))
    assert done.inventory["status"] == 800
    assert told(window, AGENT) == LIFE
    assert told(window, SELLER) == LIFE
    assert warned(done, "inventory") == []


def test_only_who_is_named_is_told_and_of_that_message_only(window: Window) -> None:
    window.clear(telling(order(), SELLER), payment(), waybill(), inventory())
    assert told(window, SELLER) == [("CEB312", "2"), ("CEB312", "120")]
    assert told(window, SITE) == []
    window.clear(*parcel(2))
    assert len(told(window, SELLER)) == 2


def test_later_runs_tell_the_subscriber_too(window: Window) -> None:
    window.clear(telling(inventory(), SELLER))
    assert told(window, SELLER) == LIFE[:1]
    window.clear(order(), payment(), waybill())
    assert told(window, SELLER) == LIFE


def test_receipt_subscriber(window: Window) -> None:
    """Nobody's address, and one whose company has no part in the document: both are remarked."""
    done = window.clear(
        order(), payment(), waybill(), telling(inventory(), SITE, "DXPENT9999999999")
    )
    assert done.inventory["status"] == 800
    assert warned(done, "inventory") == [
        (
            "a company that the document names, or with a mandate",
            f"{ADDRESSES[SITE[0]]} of {SITE[0]}",
        ),
        ("the address of a filed company", "DXPENT9999999999, which nobody has filed"),
    ]
    assert rules(done.inventory) == []
    assert told(window, SITE) == []


def test_a_carrier_may_tell_the_platform_it_has_met_in_a_list(window: Window) -> None:
    first = window.clear(telling(waybill(), PLATFORM))
    assert len(warned(first, "waybill")) == 1
    assert told(window, PLATFORM) == []
    window.clear(order(), payment(), inventory())  # the list names both
    assert ("CEB512", "120") in told(window, PLATFORM)
    second = window.clear(telling(waybill(2), PLATFORM))
    assert warned(second, "waybill") == []
    assert told(window, PLATFORM)[-1] == ("CEB512", "2")


@pytest.mark.parametrize("direction", ["given", "held"])
def test_a_mandate_makes_a_counterparty_while_it_holds(window: Window, direction: str) -> None:
    pair = (PAYMENT[0], SITE[0]) if direction == "given" else (SITE[0], PAYMENT[0])

    def grant(conn) -> None:
        registry.grant_mandate(conn, *pair, date(2022, 6, 1), date(2022, 6, 1))

    store.transact(window.database, grant)
    window.clear(telling(payment(), SITE))
    assert told(window, SITE) == [("CEB412", "2")]
    later = window.clear(telling(payment(2), SITE), at="2022-06-02T12:00:00+08:00")
    assert len(warned(later, "payment")) == 1
    assert told(window, SITE) == [("CEB412", "2")]


def test_a_company_named_by_its_credit_code_is_the_same(window: Window) -> None:
    def file(conn) -> None:
        companies.file(conn, SELLER[0], SELLER[1], ["seller"], "wang", 1, credit_code=CREDIT)

    store.transact(window.database, file)
    window.clear(telling(order(ebcCode=CREDIT), SELLER))
    assert told(window, SELLER) == [("CEB312", "2")]


def test_data_alone_is_kept_and_not_passed_on(window: Window) -> None:
    done = window.clear(telling(inventory(), SELLER, content="DATA"))
    assert told(window, SELLER) == []
    assert warned(done, "inventory") == []
    with window.database.borrow() as conn:
        [row] = subscriptions.listed(conn, SELLER[0])
        conn.rollback()
    assert (row["publisher"], row["subscriber"], row["content"]) == (AGENT[0], SELLER[0], "DATA")


def test_the_sender_is_not_told_twice(window: Window) -> None:
    window.clear(telling(inventory(), AGENT, SELLER, SELLER))
    assert told(window, AGENT) == LIFE[:1]
    assert told(window, SELLER) == LIFE[:1]


def test_what_was_said_ends_and_can_be_said_again(window: Window) -> None:
    window.clear(telling(inventory(), SELLER))

    def end(conn) -> int:
        return subscriptions.end(conn, AGENT[0], SELLER[0], "li", 5)

    assert store.transact(window.database, end) == 1
    with pytest.raises(Refused, match="company subscriptions"):
        store.transact(window.database, end)
    window.clear(order(), payment(), waybill())
    assert told(window, SELLER) == LIFE[:1]
    assert told(window, AGENT) == LIFE
    window.clear(telling(inventory(2), SELLER))
    assert told(window, SELLER) == LIFE[:1] * 2
    with window.database.borrow() as conn:
        [row] = subscriptions.listed(conn, AGENT[0])
        said = companies.history(conn, AGENT[0])
        conn.rollback()
    assert (row["messages"], row["ended"]) == (2, 1)
    assert (said[-1]["what"], said[-1]["by"]) == ("subscription ended", "li")


def test_a_document_refused_for_its_form_is_told_too(window: Window) -> None:
    window.clear(telling(order(acturalPaid="1"), SELLER))
    [(type_, status)] = told(window, SELLER)
    assert (type_, int(status) < 0) == ("CEB312", True)


def test_returns_of_documents_with_and_without_a_part_do_not_mix(window: Window) -> None:
    """One message, two documents: the subscriber hears of the one that names it.

    That it has met the sender in the other gives it no part in a competitor's order.
    """
    other = order(2, ebcCode=CARRIER[0])
    both = message(
        order(),
        other,
        subscribes=[{"status": "ALL", "dxpMode": "DXP", "dxpAddress": ADDRESSES[SELLER[0]]}],
    )
    window.clear(both)
    [xml] = [row[0] for row in window.rows("SELECT xml FROM receipt WHERE company = %s", SELLER[0])]
    assert messages.parse(xml.encode()).heads["orderNo"] == [order().head["orderNo"]]
