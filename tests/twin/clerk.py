"""A slow clerk who reads a folder of messages, one document after the other, in plain Python.

What it sees in a parcel is compared with what the twin says about it. It shares nothing with the
twin or the clearance; `messages` reads the files.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import polars as pl
from stdnum.cn import ric

from tongguan import messages, policy

KINDS = {"CEB311": "order", "CEB411": "payment", "CEB511": "waybill", "CEB621": "inventory"}
KEYS = {
    "order": ("ebpCode", "orderNo"),
    "payment": ("payCode", "payTransactionId"),
    "waybill": ("logisticsCode", "logisticsNo"),
    "inventory": ("ebcCode", "orderNo"),
}
FEN = Decimal("0.01")


@dataclass
class Document:
    kind: str
    head: dict
    lines: list[dict]
    fields_wrong: set[str]

    @property
    def key(self) -> tuple[str, ...]:
        return (self.kind, *(self.head[name] for name in KEYS[self.kind]))

    def form(self) -> set[str]:
        """The rules of form it breaks."""
        if self.fields_wrong:
            return {"message.field"}
        if self.kind == "order" and order_total(self.head) != self.head["acturalPaid"]:
            return {"order.total"}
        off = [abs(row["qty"] * row["price"] - row["totalPrice"]) for row in self.lines]
        if self.kind == "inventory" and max(off) > FEN:
            return {"list.line-total"}
        return set()


@dataclass
class Desk:
    """What lies on the desk when all is read: the documents that count, and those refused."""

    accepted: dict[tuple, Document] = field(default_factory=dict)
    drafts: set[tuple] = field(default_factory=set)
    refused: list[tuple[tuple, str]] = field(default_factory=list)
    superseded: list[tuple] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def order_total(head: dict) -> Decimal:
    return head["goodsValue"] + head["freight"] + head["taxTotal"] - head["discount"]


def read(folder: Path) -> tuple[list[Document], list[str]]:
    """All documents in order of arrival, and the names of the files that cannot be read.

    A file that repeats another byte for byte is read once.
    """
    files = {path.read_bytes(): path.name for path in sorted(folder.iterdir(), reverse=True)}
    files = dict(sorted(files.items(), key=lambda item: item[1]))
    parsed = [messages.parse(data) for data in files]
    names = list(files.values())
    found: list[tuple[int, int, Document]] = []
    for type_, batch in messages.collect(parsed).items():
        checked = messages.check(batch)
        wrong: dict[tuple, set[str]] = defaultdict(set)
        errors = checked.findings.filter(pl.col("severity") == "error")
        for message, position, name in errors.select("message", "position", "field").iter_rows():
            wrong[message, position].add(name)
        lines: dict[tuple, list[dict]] = defaultdict(list)
        for row in checked.lines.iter_rows(named=True):
            lines[row["message"], row["position"]].append(row)
        for row in checked.heads.iter_rows(named=True):
            at = row["message"], row["position"]
            found.append((*at, Document(KINDS[type_], row, lines[at], wrong[at])))
    found.sort(key=lambda item: item[:2])
    unreadable = [n for n, one in zip(names, parsed, strict=True) if one.refused]
    return [document for *_, document in found], unreadable


def clear_desk(folder: Path) -> Desk:
    """Take in every document: the rules of form, then new, change and deletion."""
    documents, unreadable = read(folder)
    desk = Desk(unreadable=unreadable)
    for one in documents:
        broken = one.form()
        known = desk.accepted.get(one.key)
        if broken:
            desk.refused.append((one.key, *broken))
        elif one.head["appStatus"] == "1":
            desk.drafts.add(one.key)
        elif one.head["appType"] == "1" and known:
            desk.refused.append((one.key, "message.duplicate"))
        elif one.head["appType"] == "1":
            desk.accepted[one.key] = one
        elif one.head["appTime"] <= known.head["appTime"]:
            desk.refused.append((one.key, "message.stale"))
        elif one.head["appType"] == "2":
            desk.superseded.append(one.key)
            desk.accepted[one.key] = one
        else:
            desk.superseded += [one.key, one.key]
            del desk.accepted[one.key]
    return desk


def documents_of(inventory: Document, desk: Desk) -> dict[str, Document | None]:
    """The order, payment and waybill of a list, None where there is none."""
    head = inventory.head
    order = desk.accepted.get(("order", head["ebpCode"], head["orderNo"]))
    payment = None
    if order and order.head["payTransactionId"]:
        name = ("payment", order.head["payCode"], order.head["payTransactionId"])
        payment = desk.accepted.get(name)
    elif order:
        wanted = (head["ebpCode"], head["orderNo"])
        payment = next(
            (
                d
                for d in desk.accepted.values()
                if d.kind == "payment" and (d.head["ebpCode"], d.head["orderNo"]) == wanted
            ),
            None,
        )
    waybill = desk.accepted.get(("waybill", head["logisticsCode"], head["logisticsNo"]))
    return {"order": order, "payment": payment, "waybill": waybill}


def faults(inventory: Document, beside: dict, law: policy.Law, listed: dict | None) -> set[str]:
    """Every rule that refuses a list whose documents are all there.

    `listed`: eight-digit code -> remark of a complete positive list, if there is one.
    """
    head, order = inventory.head, beside["order"].head
    payment, waybill = beside["payment"].head, beside["waybill"].head
    seen = set(_goods(inventory, law, listed))
    if len(inventory.lines) != len(beside["order"].lines):
        seen.add("match.item-count")
    ordered = {row["gnum"]: (row["qty"], row["totalPrice"]) for row in beside["order"].lines}
    declared = {row["gnum"]: (row["qty"], row["totalPrice"]) for row in inventory.lines}
    if any(ordered[n] != declared[n] for n in ordered.keys() & declared.keys()):
        seen.add("match.items")
    for rule, name in (
        ("match.buyer-name", "buyerName"),
        ("match.buyer-phone", "buyerTelephone"),
        ("match.buyer-id", "buyerIdNumber"),
    ):
        if head[name] != order[name]:
            seen.add(rule)
    payer = (payment["payerName"], payment["payerIdNumber"])
    if payer != (order["buyerName"], order["buyerIdNumber"]):
        seen.add("match.payer")
    if payment["amountPaid"] != order["acturalPaid"]:
        seen.add("match.amount")
    if waybill["orderNo"] != head["orderNo"]:
        seen.add("match.waybill-order")
    return seen


def value(inventory: Document) -> Decimal:
    goods = sum(row["totalPrice"] for row in inventory.lines)
    return goods + inventory.head["freight"] + inventory.head["insuredFee"]


def _goods(inventory: Document, law: policy.Law, listed: dict | None) -> Iterator[str]:
    worth, lines = value(inventory), inventory.lines
    if worth > 5000 and (len(lines) > 1 or lines[0]["qty"] != 1):
        yield "limit.single"
    if worth > 26000:
        yield "limit.annual"
    number = inventory.head["buyerIdNumber"]
    try:
        ric.get_birth_date(number)
        good = ric.calc_check_digit(number) == number[-1]
    except ValueError:
        good = False
    if not good:
        yield "buyer.identity"
    tariff = {row["code"]: row for row in law.tariff.iter_rows(named=True)}
    for row in lines:
        rate = tariff.get(row["gcode"])
        if rate is None:
            yield "goods.unknown-code"
        elif (rate["ct_condition"] or rate["ct_specific_micro"]) and row["unit1"] == "140":
            yield "goods.tax-quantity"
        if listed is not None:
            if row["gcode"][:8] not in listed:
                yield "goods.not-listed"
            elif "网购保税" in listed[row["gcode"][:8]] and inventory.head["tradeMode"] == "9610":
                yield "goods.bonded-only"


def expected(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "expected.jsonl").read_text("utf-8").splitlines()]
