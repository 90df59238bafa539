"""The lines of expected-life.jsonl: how everything in a zone has ended."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tongguan.twin.lives import Court, Listed
from tongguan.twin.treasury import Bill, Guarantee, Payment

TAXES = ("duty_fen", "consumption_fen", "vat_fen")


def lines(court: Court) -> Iterator[str]:
    """One JSON line for each list, bill, cancellation, return, payment, guarantee and year.

    `what` says which; `rules` are those of severity error; amounts are fen. `bill`: as it stands,
    what returns took back subtracted. The last line: what customs has received in all.
    """
    books = court.treasury
    for one in court.lists:
        yield _line("list", _list(one))
    for bill in books.bills:
        yield _line("bill", _bill(bill))
    for it in court.asked:
        facts = {"copNo": it.cop_no, "status": it.status, "rules": it.rules}
        yield _line(it.kind, {"agentCode": it.about.parcel.agent.code, **facts})
    for payment in books.payments:
        yield _line("payment", _payment(payment))
    for guarantee in books.guarantees.values():
        yield _line("guarantee", _guarantee(guarantee))
    for (number, year), used in court.used.items():
        yield _line("allowance", {"number": number, "year": year, "used_fen": used})
    yield _line("customs", {"received_fen": books.customs, "outside_fen": books.outside})


def _line(what: str, facts: dict[str, Any]) -> str:
    return json.dumps({"what": what, **facts}, ensure_ascii=False)


def _list(one: Listed) -> dict[str, Any]:
    return {
        "ebcCode": one.parcel.seller.code,
        "orderNo": one.parcel.order_no,
        "status": one.status,
        "rules": one.rules,
        "held_fen": one.held,
        "released": one.released.isoformat() if one.released else None,
    }


def _bill(bill: Bill) -> dict[str, Any]:
    left = (made - taken for made, taken in zip(bill.taxes, bill.taken, strict=True))
    return {
        "orderNo": bill.order_no,
        "guarantor": bill.guarantor,
        "collector": bill.collector,
        "secured": bill.secured,
        "status": bill.status,
        **dict(zip(TAXES, left, strict=True)),
        "due_from": bill.due_from.isoformat(),
        "due_to": bill.due_to.isoformat(),
        "cycle": bill.cycle,
        "nth": bill.payment.nth if bill.payment else None,
    }


def _payment(payment: Payment) -> dict[str, Any]:
    owed = payment.total - payment.returned + payment.fee - payment.claimed - (payment.paid or 0)
    return {
        "guarantor": payment.guarantor,
        "cycle": payment.cycle,
        "nth": payment.nth,
        "status": payment.status,
        "total_fen": payment.total,
        "returned_fen": payment.returned,
        "refunded_fen": payment.refunded,
        "fee_fen": payment.fee,
        "claimed_fen": payment.claimed,
        "paid_fen": payment.paid,
        "owed_fen": owed,
        "parcels": len(payment.bills),
        "due_from": payment.due_from.isoformat(),
        "due_to": payment.due_to.isoformat(),
    }


def _guarantee(found: Guarantee) -> dict[str, Any]:
    return {
        "code": found.code,
        "kind": found.kind,
        "frozen": found.frozen,
        "free_fen": found.free,
        "pending_fen": found.pending,
        "posted_fen": found.posted,
    }


def ends(court: Court) -> Counter[str]:
    """How often each ending came up."""
    found: Counter[str] = Counter()
    for one in court.lists:
        found[f"list {one.status} {' '.join(one.rules)}".strip()] += 1
    for it in court.asked:
        found[f"{it.kind} {it.status} {' '.join(it.rules)}".strip()] += 1
    found.update(f"bill {bill.status}" for bill in court.treasury.bills)
    found.update(f"payment {payment.status}" for payment in court.treasury.payments)
    return found
