"""A platform's side: it takes a request and uploads, signed, what it knows of the order.

For the sandbox, and as an example for platforms. What a platform knows of its payments comes from
the orders and payments it sent (CEB311, CEB411).
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tongguan import messages
from tongguan.sharing.payment_data import protocol
from tongguan.sharing.payment_data.protocol import OpenRequest, Unreadable

OTHERS = "3"
"""verDept: neither UnionPay nor NetsUnion, as in a sandbox nobody can verify a payment."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment with its orders, as the interface tells it: head without guid, orders."""

    head: Mapping[str, Any]
    orders: tuple[Mapping[str, Any], ...]


@dataclass(slots=True)
class Book:
    """What a platform knows of its payments, by order number.

    invents: the code of a platform that makes a payment up for any order it does not know.
    """

    payments: dict[str, Payment] = field(default_factory=dict)
    invents: str | None = None

    def of(self, order_no: str) -> Payment | None:
        known = self.payments.get(order_no)
        if known is None and self.invents is not None:
            return _payment([(_made_up(order_no, self.invents), ["sample"])], {})
        return known


def _made_up(order_no: str, platform: str) -> dict[str, str | None]:
    """The elements of an order that a payment is made from."""
    return {
        "orderNo": order_no,
        "payTransactionId": f"T{order_no}"[:60],
        "ebpCode": platform,
        "payCode": platform,
        "acturalPaid": "100.00",
        "appTime": "20190101000000",
        "currency": "142",
        "ebcCode": platform,
        "ebcName": "sample",
    }


def book(files: Iterable[bytes]) -> Book:
    """The payments told by messages: orders (CEB311) with what CEB411 says of their payment.

    Messages of other types are passed over. Orders that one payment pays share it. Raises
    ValueError for a message that cannot be read.
    """
    orders: dict[str, tuple[dict[str, str | None], list[str]]] = {}
    paid: dict[str, dict[str, str | None]] = {}
    for data in files:
        parsed = messages.parse(data)
        if parsed.refused:
            raise ValueError(f"this is no message of the standard: {parsed.findings[0].actual}")
        if parsed.type == "CEB311":
            names = _by_document(parsed, "itemName")
            for n, head in enumerate(_rows(parsed.heads)):
                if head["orderNo"]:
                    orders[head["orderNo"]] = head, names[n]
        elif parsed.type == "CEB411":
            paid |= {row["payTransactionId"] or "": row for row in _rows(parsed.heads)}
    together: dict[str, list[str]] = {}
    for number, (head, _) in orders.items():
        together.setdefault(head["payTransactionId"] or number, []).append(number)
    made = Book()
    for transaction, numbers in together.items():
        payment = _payment([orders[number] for number in numbers], paid.get(transaction, {}))
        made.payments |= dict.fromkeys(numbers, payment)
    return made


def _rows(columns: Mapping[str, list[str | None]]) -> list[dict[str, str | None]]:
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _by_document(parsed: messages.Parsed, column: str) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in range(parsed.documents)]
    lines = parsed.lines
    for position, value in zip(lines.get("#position", []), lines.get(column, []), strict=True):
        found[position].append(value or "")
    return found


def _payment(
    orders: list[tuple[dict[str, str | None], list[str]]], paid: Mapping[str, str | None]
) -> Payment:
    first = orders[0][0]
    transaction = first["payTransactionId"] or f"T{first['orderNo']}"
    amount = paid.get("amountPaid") or str(sum(Decimal(o["acturalPaid"] or 0) for o, _ in orders))
    at = paid.get("payTime") or first["appTime"] or ""
    asked = {"out_trade_no": transaction, "total": amount, "currency": "CNY"}
    head = {
        "initalRequest": f"POST https://pay.example/v1/pay {protocol.json_text(asked)}",
        "initalResponse": protocol.json_text({"trade_no": transaction, "state": "SUCCESS"}),
        "ebpCode": first["ebpCode"],
        "payCode": paid.get("payCode") or first["payCode"] or "",
        "payTransactionId": transaction,
        "totalAmount": Decimal(amount),
        "currency": first["currency"],
        "verDept": OTHERS,
        "payType": "4",
        "tradingTime": at,
        "note": "",
    }
    return Payment(head, tuple(_order(order, names) for order, names in orders))


def _order(order: Mapping[str, str | None], names: Iterable[str]) -> dict[str, Any]:
    number = order["orderNo"]
    return {
        "orderNo": number,
        "goodsInfo": [
            {"gname": name, "itemLink": f"https://shop.example/{number}/{n}"}
            for n, name in enumerate(names, 1)
        ],
        "recpAccount": f"{order['ebcCode']}-01",
        "recpCode": order["ebcCode"],
        "recpName": order["ebcName"],
    }


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform with its certificate and what it knows.

    wrong_signature: it signs something else than it sends, as a platform that numbers its fields
    in another order does.
    """

    signer: messages.Signer
    book: Book
    wrong_signature: bool = False

    def take(self, body: bytes, now_ms: int) -> tuple[dict[str, Any], OpenRequest | None]:
        """What it answers a request, and what it was asked. It says 10000 to any order number.

        Platforms must: an address that answers otherwise is not admitted (integrators' accounts).
        """
        try:
            asked = protocol.read_open_request(body)
        except Unreadable as problem:
            return protocol.opened_answer(now_ms, str(problem)), None
        return protocol.opened_answer(now_ms), asked

    def upload(self, asked: OpenRequest, now_ms: int) -> bytes | None:
        """The body of the upload that answers a request; None: it does not know the order."""
        payment = self.book.of(asked.order_no)
        if payment is None:
            return None
        head = {"guid": str(uuid.uuid4()).upper()} | dict(payment.head)
        serial = self.signer.certificate.serial
        return protocol.write_upload(
            asked.session_id, head, payment.orders, now_ms, serial, self._sign
        )

    def _sign(self, text: bytes) -> bytes:
        return self.signer.sign(text[::-1] if self.wrong_signature else text, protocol.HASHES[0])
