"""What can be wrong, or merely unusual, with a parcel, and the outcome each must get.

Every fault is one function that changes a finished, faultless parcel and its documents, and notes
on the `Outcome` what the zone must make of it. Rules: DESIGN §6; receipt codes: the dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tongguan.twin.identity import broken_resident_number, mobile_number, person_name
from tongguan.twin.parcels import KINDS, Document, Line, Maker, Parcel, decimal_text, fen_text
from tongguan.twin.zone import Goods

FORMATS = ("truncated", "root", "namespace", "bytes", "over-100")


@dataclass(slots=True)
class Outcome:
    """What must become of one parcel.

    `refusals`: rules that refuse the list (100). `forms`: kind -> rule that refuses that document's
    form. `absent`: kinds that never arrive. `drafts`: kinds that stay at 1. `again`: documents
    answered on their own, each with the rule that refuses it. `broken`: kind -> how its message is
    broken. `superseded`: documents that were taken and then changed or deleted: they stay at 2.
    `late`: documents sent when all else has arrived, in a message after all others of the parcel.
    `spoilt`: kind -> what of the signature of its message does not fit (ds:DigestValue …).
    """

    refusals: set[str] = field(default_factory=set)
    forms: dict[str, str] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    drafts: set[str] = field(default_factory=set)
    again: list[tuple[str, str]] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    superseded: list[str] = field(default_factory=list)
    late: list[Document] = field(default_factory=list)
    spoilt: dict[str, str] = field(default_factory=dict)

    def arrived(self, kind: str) -> bool:
        """Whether the document of that kind is there and takes part."""
        return not (kind in self.forms or kind in self.absent or kind in self.drafts)


Change = Callable[[Parcel, Outcome, Maker], None]


def patch(document: Document, **values: str | None) -> None:
    document.patch = {**(document.patch or {}), **values}


def sent(parcel: Parcel, kind: str) -> Document:
    """The one document of that kind that the parcel sends."""
    return next(d for unit in parcel.documents for d in unit if d.kind == kind)


def list_last(parcel: Parcel, outcome: Outcome) -> None:
    """Keep the list back, so that nothing is decided while its documents still change."""
    outcome.late.append(sent(parcel, "inventory"))
    withhold(parcel, "inventory")


def withhold(parcel: Parcel, kind: str) -> None:
    parcel.documents = [u for u in parcel.documents if u[0].kind != kind]


# -- the list and the order differ ---------------------------------------------------------------


def item_count(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """The order has a line that the list lacks."""
    parcel.list_lines = list(parcel.lines)
    goods = maker.rng.choice(maker.stock(parcel.site.trade_mode))
    parcel.lines = [*parcel.lines, maker.line(goods)]
    maker.price(parcel)
    outcome.refusals.add("match.item-count")


def items(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """One line of the list has another total, or another quantity."""
    lines = list(parcel.lines)
    at = maker.rng.randrange(len(lines))
    line = lines[at]
    if maker.rng.random() < 0.5:
        off = line.qty * maker.rng.randint(1, 30) * 10
        # Downwards where it can be, lest the list also meet the single limit.
        lines[at] = line.retotal(line.total_fen + (off if line.total_fen < 2 * off else -off))
    else:
        # Twice as many at half the price: only the quantity tells.
        lines[at] = replace(line, qty=line.qty * 2).retotal(line.total_fen)
    parcel.list_lines = lines
    outcome.refusals.add("match.items")


def buyer_name(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    name = parcel.buyer.name
    while name == parcel.buyer.name:
        name = person_name(maker.rng)
    patch(sent(parcel, "inventory"), buyerName=name)
    outcome.refusals.add("match.buyer-name")


def buyer_phone(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    phone = parcel.buyer.phone
    while phone == parcel.buyer.phone:
        phone = mobile_number(maker.rng)
    patch(sent(parcel, "inventory"), buyerTelephone=phone)
    outcome.refusals.add("match.buyer-phone")


def buyer_id(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    other = maker.zone.buyer(maker.rng)
    patch(sent(parcel, "inventory"), buyerIdNumber=other.number)
    outcome.refusals.add("match.buyer-id")


def payer(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """Somebody else paid; or the name alone, or the number alone, differs."""
    other = maker.zone.buyer(maker.rng)
    name = other.name if other.name != parcel.buyer.name else other.name + "之"
    which = maker.rng.randrange(3)
    if which != 1:
        patch(sent(parcel, "payment"), payerName=name)
    if which != 0:
        patch(sent(parcel, "payment"), payerIdNumber=other.number)
    outcome.refusals.add("match.payer")


def amount(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """The payment is another amount, by as little as one fen."""
    off = maker.rng.choice((1, 100, 3000, -1))
    patch(sent(parcel, "payment"), amountPaid=fen_text(parcel.paid_fen + off))
    outcome.refusals.add("match.amount")


def waybill_order(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    patch(sent(parcel, "waybill"), orderNo=f"X{parcel.order_no[1:]}")
    outcome.refusals.add("match.waybill-order")


def missing(kind: str) -> Change:
    """The document is never sent; the list waits."""

    def change(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
        withhold(parcel, kind)
        outcome.absent.add(kind)

    return change


# -- the law -------------------------------------------------------------------------------------


def _worth(parcel: Parcel, maker: Maker, value_fen: int) -> None:
    """Give the parcel this value by the total of its first line; a new buyer, met never again."""
    maker.price(parcel)
    rest = parcel.value_fen - parcel.lines[0].total_fen
    parcel.lines[0] = parcel.lines[0].retotal(value_fen - rest)
    maker.price(parcel)
    parcel.buyer = maker.zone.buyer(maker.rng)
    parcel.buyer.used_fen = value_fen
    parcel.consignee = parcel.buyer.name


def _several(parcel: Parcel) -> None:
    """More than one item: two lines, or one line of two pieces."""
    if len(parcel.lines) == 1:
        line = parcel.lines[0]
        qty = max(2, line.qty)
        parcel.lines = [_pieces(line, qty)]


def _pieces(line: Line, qty: int) -> Line:
    goods = line.goods
    return replace(
        line,
        qty=qty,
        qty1=decimal_text(goods.per1 * qty),
        qty2=decimal_text(goods.per2 * qty) if goods.unit2 else None,
    ).retotal(line.total_fen)


def single_limit(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """Several items over the single limit, by as little as one fen."""
    limit = maker.zone.limits.single_fen
    _several(parcel)
    over = 1 if maker.rng.random() < 0.3 else maker.rng.randint(2, 600_000)
    _worth(parcel, maker, limit + over)
    outcome.refusals.add("limit.single")


def annual_limit(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """One parcel that alone is over the year, whatever arrived before it."""
    limits = maker.zone.limits
    over = 1 if maker.rng.random() < 0.3 else maker.rng.randint(2, 3_000_000)
    if maker.rng.random() < 0.3:
        _several(parcel)
        outcome.refusals.add("limit.single")
    else:
        parcel.lines = [_pieces(parcel.lines[0], 1)]
    _worth(parcel, maker, limits.annual_fen + over)
    outcome.refusals.add("limit.annual")


def unknown_code(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """A code of chapter 77, which the tariff keeps empty."""
    _recode(parcel, maker, UNKNOWN_CODE8 + "00")
    outcome.refusals.add("goods.unknown-code")


UNKNOWN_CODE8 = "77010010"


def _recode(parcel: Parcel, maker: Maker, gcode: str) -> None:
    lines = list(parcel.declared_lines)
    at = maker.rng.randrange(len(lines))
    lines[at] = replace(lines[at], gcode=gcode)
    parcel.list_lines = lines


def tax_quantity(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """Conditional or specific consumption tax, and only a count of boxes to decide it by."""
    goods = maker.rng.choice([g for g in maker.stock(parcel.site.trade_mode) if g.rates.quantified])
    line = _only(parcel, maker, goods)
    parcel.list_lines = [replace(line, qty1=str(line.qty), unit1="140", qty2=None, unit2=None)]
    outcome.refusals.add("goods.tax-quantity")


def _only(parcel: Parcel, maker: Maker, goods: Goods) -> Line:
    """One piece of these goods and nothing else: no limit is near."""
    line = _pieces(maker.line(goods), 1)
    parcel.lines = [line.retotal(goods.price_low)]
    maker.price(parcel)
    return parcel.lines[0]


def not_listed(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    goods = maker.rng.choice([g for g in maker.zone.goods if g.code[:8] in maker.unlisted])
    _only(parcel, maker, goods)
    outcome.refusals.add("goods.not-listed")


def bonded_only(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """Goods for bonded import only, declared as a direct purchase."""
    goods = maker.rng.choice([g for g in maker.zone.goods if g.code[:8] in maker.restricted])
    _only(parcel, maker, goods)
    outcome.refusals.add("goods.bonded-only")


def identity(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """The same false number on order, payment and list."""
    number = broken_resident_number(maker.zone.next_person(), maker.rng)
    parcel.buyer = replace(parcel.buyer, number=number)
    outcome.refusals.add("buyer.identity")


# -- the form ------------------------------------------------------------------------------------


def order_total(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """The order's sum does not add up; the payment pays what the order says."""
    paid = fen_text(parcel.paid_fen + maker.rng.choice((1, 50, 990)))
    patch(sent(parcel, "order"), acturalPaid=paid)
    patch(sent(parcel, "payment"), amountPaid=paid)
    outcome.forms["order"] = "order.total"


def line_total(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """The list's price is off by more than a fen over the whole line."""
    lines = list(parcel.lines)
    at = maker.rng.randrange(len(lines))
    line = lines[at]
    off = line.total_fen + maker.rng.choice((2, 5, 1000))
    lines[at] = replace(line, price=line.retotal(off).price)
    parcel.list_lines = lines
    outcome.forms["inventory"] = "list.line-total"


# kind -> ways to break one element: (patches, elements cut out)
_Break = tuple[dict[str, str | None], tuple[str, ...]]
FIELD_BREAKS: Mapping[str, tuple[_Break, ...]] = {
    "order": (
        ({"buyerName": None}, ()),
        ({"consigneeAddress": "长" * 201}, ()),
        ({"goodsValue": "12,50"}, ()),
        ({"currency": "110"}, ()),
        ({"freight": "1.123456"}, ()),
        ({"appTime": "20221301000000"}, ()),
        ({}, ("buyerTelephone",)),
        ({}, ("gmodel",)),
    ),
    "payment": (
        ({"payerName": None}, ()),
        ({"amountPaid": "一百"}, ()),
        ({"payTime": "20220230000000"}, ()),
        ({"payName": "支" * 101}, ()),
        ({}, ("currency",)),
    ),
    "waybill": (
        ({"consignee": None}, ()),
        ({"packNo": "2"}, ()),
        ({"weight": "1.2kg"}, ()),
        ({"consigneeTelephone": "1" * 51}, ()),
        ({}, ("consigneeAddress",)),
    ),
    "inventory": (
        ({"tradeMode": "961"}, ()),
        ({"buyerName": None, "country": "999"}, ()),
        ({"packNo": "0"}, ()),
        ({"grossWeight": "1.5.2"}, ()),
        ({"customsCode": "9Z99"}, ()),
        ({"declTime": "2022061"}, ()),
        ({}, ("agentName",)),
        ({}, ("gname", "unit1")),
    ),
}


def field_fault(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """One document with one or two elements that are missing, too long or of the wrong kind."""
    kind = maker.rng.choice(KINDS)
    document = sent(parcel, kind)
    if kind == "inventory" and maker.rng.random() < 0.4:
        _mode_fault(parcel, document)
    else:
        values, cut = maker.rng.choice(FIELD_BREAKS[kind])
        patch(document, **values)
        document.drop = cut
    outcome.forms[kind] = "message.field"


def _mode_fault(parcel: Parcel, document: Document) -> None:
    """What the trade mode asks for is missing."""
    if parcel.site.trade_mode == "1210":
        patch(document, emsNo=None, areaCode=None)
    else:
        patch(document, billNo=None, voyageNo=None)


def broken_message(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """One document's message cannot be read at all."""
    kind = maker.rng.choice(KINDS)
    outcome.broken[kind] = maker.rng.choice(FORMATS)
    outcome.absent.add(kind)


def spoilt_signature(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """The message of one document was touched after it was signed, or its signature was."""
    kind = maker.rng.choice(KINDS)
    outcome.spoilt[kind] = maker.rng.choice(("ds:DigestValue", "ds:SignatureValue"))
    outcome.forms[kind] = "message.signature"


def duplicate(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """One document declared as new a second time, in a later message."""
    kind = maker.rng.choice(KINDS)
    outcome.late.append(replace(sent(parcel, kind)))
    outcome.again.append((kind, "message.duplicate"))


def stale(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """A change behind the new document, in one message, with an earlier time."""
    kind = maker.rng.choice(("order", "payment", "waybill"))
    unit = _unit(parcel, kind)
    first = unit[0]
    first.second += 7200
    old = replace(first, app_type="2", second=first.second - 3600)
    patch(old, note="更正")
    unit.append(old)
    outcome.again.append((kind, "message.stale"))
    list_last(parcel, outcome)


def state(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """A change of an order whose list is released; it must come after everything else."""
    late = replace(sent(parcel, "order"), app_type="2")
    late.second += 7200
    patch(late, note="更正")
    outcome.late.append(late)
    outcome.again.append(("order", "message.state"))


def _unit(parcel: Parcel, kind: str) -> list[Document]:
    return next(u for u in parcel.documents if u[0].kind == kind)


# -- good but unusual ----------------------------------------------------------------------------


def unnamed_payment(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """The order names no payment; it is found by platform and order number."""
    parcel.order_pay_firm = None


def changed(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """A document sent with a mistake and put right by a change in the same message."""
    kind = maker.rng.choice(("order", "payment", "waybill"))
    unit = _unit(parcel, kind)
    first = unit[0]
    right = replace(first, app_type="2", second=first.second + 60)
    wrong: dict[str, dict[str, str | None]] = {
        "order": {"buyerName": "误名"},
        "payment": {"amountPaid": fen_text(parcel.paid_fen + 100)},
        "waybill": {"orderNo": f"X{parcel.order_no[1:]}"},
    }
    patch(first, **wrong[kind])
    unit.append(right)
    outcome.superseded.append(kind)
    list_last(parcel, outcome)


def renewed(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """New, deleted and new again in one message."""
    kind = maker.rng.choice(("order", "payment", "waybill"))
    unit = _unit(parcel, kind)
    first = unit[0]
    unit.append(replace(first, app_type="3", second=first.second + 60))
    unit.append(replace(first, second=first.second + 120))
    outcome.superseded += [kind, kind]
    list_last(parcel, outcome)


def deleted(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """New and deleted in one message; the list waits for it."""
    kind = maker.rng.choice(("order", "payment", "waybill"))
    unit = _unit(parcel, kind)
    unit.append(replace(unit[0], app_type="3", second=unit[0].second + 60))
    outcome.absent.add(kind)
    outcome.superseded += [kind, kind]
    list_last(parcel, outcome)


def draft(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """One document is only saved, not declared."""
    kind = maker.rng.choice(KINDS)
    sent(parcel, kind).app_status = "1"
    outcome.drafts.add(kind)


def corrected(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """A document refused for its form, and the same document in order, in one message."""
    kind = maker.rng.choice(KINDS)
    unit = _unit(parcel, kind)
    bad = replace(unit[0], second=max(0, unit[0].second - 30))
    values, bad.drop = maker.rng.choice(FIELD_BREAKS[kind])
    patch(bad, **values)
    unit.insert(0, bad)
    outcome.again.append((kind, "message.field"))


def at_single_limit(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """Several items worth exactly the single limit: inside."""
    _several(parcel)
    _worth(parcel, maker, maker.zone.limits.single_fen)


def over_single_limit(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """One item over the single limit: released with full tax."""
    limits = maker.zone.limits
    parcel.lines = [_pieces(parcel.lines[0], 1)]
    value = maker.rng.choice(
        (limits.single_fen + 1, maker.rng.randint(limits.single_fen, 2_000_000))
    )
    _worth(parcel, maker, value)


def a_fen_apart(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """The list's line total and its price differ by exactly 0.01: allowed."""
    line = _pieces(parcel.lines[0], 1)
    parcel.lines = [line]
    maker.price(parcel)
    parcel.list_lines = [replace(line, price=line.retotal(line.total_fen + 1).price)]


def at_annual_limit(parcel: Parcel, outcome: Outcome, maker: Maker) -> None:
    """One item worth exactly the whole year: inside, with full tax."""
    parcel.lines = [_pieces(parcel.lines[0], 1)]
    _worth(parcel, maker, maker.zone.limits.annual_fen)


@dataclass(frozen=True, slots=True)
class Fault:
    """`touches`: what it changes; two faults may meet in one parcel if they share nothing.

    A fault that touches "all" stands alone. `needs_list`, `in_order`: only with an own positive
    list, or only where the stream is not shuffled. `signed`: only where messages are signed.
    `trade_mode`: only in that mode.
    """

    change: Change
    touches: frozenset[str] = frozenset({"all"})
    needs_list: bool = False
    in_order: bool = False
    signed: bool = False
    trade_mode: str | None = None


def _meets(*touches: str) -> frozenset[str]:
    return frozenset(touches)


_LIMIT = _meets("lines", "paid", "name", "phone", "number", "payer")

FAULTS: Mapping[str, Fault] = {
    "message.format": Fault(broken_message),
    "message.field": Fault(field_fault),
    "message.signature": Fault(spoilt_signature, signed=True),
    "message.duplicate": Fault(duplicate),
    "message.stale": Fault(stale),
    "message.state": Fault(state, in_order=True),
    "order.total": Fault(order_total),
    "list.line-total": Fault(line_total),
    "match.order-missing": Fault(missing("order")),
    "match.payment-missing": Fault(missing("payment")),
    "match.waybill-missing": Fault(missing("waybill")),
    "match.item-count": Fault(item_count, _meets("lines", "paid")),
    "match.items": Fault(items, _meets("lines")),
    "match.buyer-name": Fault(buyer_name, _meets("name")),
    "match.buyer-phone": Fault(buyer_phone, _meets("phone")),
    "match.buyer-id": Fault(buyer_id, _meets("number")),
    "match.payer": Fault(payer, _meets("payer")),
    "match.amount": Fault(amount, _meets("paid")),
    "match.waybill-order": Fault(waybill_order, _meets("waybill")),
    "limit.single": Fault(single_limit, _LIMIT),
    "limit.annual": Fault(annual_limit, _LIMIT),
    "goods.unknown-code": Fault(unknown_code, _meets("lines")),
    "goods.tax-quantity": Fault(tax_quantity, _meets("lines", "paid")),
    "goods.not-listed": Fault(not_listed, _meets("lines", "paid"), needs_list=True),
    "goods.bonded-only": Fault(
        bonded_only, _meets("lines", "paid"), needs_list=True, trade_mode="9610"
    ),
    "buyer.identity": Fault(identity, _meets("number", "name", "phone", "payer")),
}

VARIANTS: Mapping[str, Fault] = {
    "payment-unnamed": Fault(unnamed_payment),
    "changed": Fault(changed),
    "renewed": Fault(renewed),
    "deleted": Fault(deleted),
    "draft": Fault(draft),
    "corrected": Fault(corrected),
    "a-fen-apart": Fault(a_fen_apart),
    "at-single-limit": Fault(at_single_limit),
    "over-single-limit": Fault(over_single_limit),
    "at-annual-limit": Fault(at_annual_limit),
}
