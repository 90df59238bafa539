"""Documents as columns of the standard's elements, for the renderer.

Each element names the attribute of the parcel (or line, or document) it comes from; money and
text conversions stand beside it. Constants are written with a leading `=`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import polars as pl

from tongguan.twin.parcels import Document, Line

TYPES: Mapping[str, str] = {
    "order": "CEB311",
    "payment": "CEB411",
    "waybill": "CEB511",
    "inventory": "CEB621",
}

HEADS: Mapping[str, Mapping[str, str]] = {
    "order": {
        "orderType": "=I",
        "orderNo": "order_no",
        "ebpCode": "platform.code",
        "ebpName": "platform.name",
        "ebcCode": "seller.code",
        "ebcName": "seller.name",
        "goodsValue": "fen goods_fen",
        "freight": "fen order_freight_fen",
        "discount": "fen discount_fen",
        "taxTotal": "fen tax_total_fen",
        "acturalPaid": "fen paid_fen",
        "currency": "=142",
        "buyerRegNo": "buyer.register_no",
        "buyerName": "buyer.name",
        "buyerTelephone": "buyer.phone",
        "buyerIdType": "=1",
        "buyerIdNumber": "buyer.number",
        "payCode": "order_pay_code",
        "payName": "order_pay_name",
        "payTransactionId": "order_transaction",
        "consignee": "consignee",
        "consigneeTelephone": "buyer.phone",
        "consigneeAddress": "buyer.address",
    },
    "payment": {
        "payCode": "payer_firm.code",
        "payName": "payer_firm.name",
        "payTransactionId": "transaction",
        "orderNo": "order_no",
        "ebpCode": "platform.code",
        "ebpName": "platform.name",
        "payerIdType": "=1",
        "payerIdNumber": "buyer.number",
        "payerName": "buyer.name",
        "telephone": "buyer.phone",
        "amountPaid": "fen paid_fen",
        "currency": "=142",
        "payTime": "time second",
    },
    "waybill": {
        "logisticsCode": "carrier.code",
        "logisticsName": "carrier.name",
        "logisticsNo": "logistics_no",
        "billNo": "bill_no",
        "orderNo": "order_no",
        "freight": "fen freight_fen",
        "insuredFee": "fen insured_fen",
        "currency": "=142",
        "weight": "gross",
        "packNo": "=1",
        "consignee": "consignee",
        "consigneeAddress": "buyer.address",
        "consigneeTelephone": "buyer.phone",
    },
    "inventory": {
        "orderNo": "order_no",
        "ebpCode": "platform.code",
        "ebpName": "platform.name",
        "ebcCode": "seller.code",
        "ebcName": "seller.name",
        "logisticsNo": "logistics_no",
        "logisticsCode": "carrier.code",
        "logisticsName": "carrier.name",
        "copNo": "cop_no",
        "assureCode": "assure.code",
        "emsNo": "site.ems_no",
        "ieFlag": "=I",
        "declTime": "day second",
        "customsCode": "site.customs_code",
        "portCode": "site.port_code",
        "buyerIdType": "=1",
        "buyerIdNumber": "buyer.number",
        "buyerName": "buyer.name",
        "buyerTelephone": "buyer.phone",
        "consigneeAddress": "buyer.address",
        "agentCode": "agent.code",
        "agentName": "agent.name",
        "areaCode": "site.area_code",
        "areaName": "site.area_name",
        "tradeMode": "site.trade_mode",
        "trafMode": "site.traf_mode",
        "trafNo": "traf_no",
        "voyageNo": "voyage_no",
        "billNo": "bill_no",
        "country": "sent_from",
        "freight": "fen freight_fen",
        "insuredFee": "fen insured_fen",
        "currency": "=142",
        "wrapType": "=2",
        "packNo": "=1",
        "grossWeight": "gross",
        "netWeight": "net",
    },
}

LINES: Mapping[str, Mapping[str, str]] = {
    "order": {
        "itemNo": "goods.item_no",
        "itemName": "goods.name",
        "gmodel": "goods.model",
        "barCode": "goods.bar_code",
        "unit": "goods.unit",
        "qty": "str qty",
        "price": "price",
        "totalPrice": "fen total_fen",
        "currency": "=142",
        "country": "country",
    },
    "inventory": {
        "itemNo": "goods.item_no",
        "itemName": "goods.name",
        "gcode": "gcode",
        "gname": "goods.name",
        "gmodel": "goods.model",
        "barCode": "goods.bar_code",
        "country": "country",
        "currency": "=142",
        "qty": "str qty",
        "unit": "goods.unit",
        "qty1": "qty1",
        "unit1": "unit1",
        "qty2": "qty2",
        "unit2": "unit2",
        "price": "price",
        "totalPrice": "fen total_fen",
    },
}

SENDERS: Mapping[str, str] = {
    "order": "platform",
    "payment": "payer_firm",
    "waybill": "carrier",
    "inventory": "agent",
}


def heads(
    kind: str, documents: Sequence[Document], guids: Sequence[str], day: str
) -> dict[str, pl.Series]:
    """The head elements of documents of one kind, one value each, patches applied.

    `guids`: one per document; `day`: YYYYMMDD.
    """
    parcels = [d.parcel for d in documents]
    columns = {
        "guid": _text(guids),
        "appType": _text([d.app_type for d in documents]),
        "appTime": _times([d.second for d in documents], day),
        "appStatus": _text([d.app_status for d in documents]),
    }
    for element, source in HEADS[kind].items():
        columns[element] = _values(source, parcels, day)
    return _patched(columns, documents)


def lines(kind: str, documents: Sequence[Document]) -> pl.DataFrame | None:
    """The line elements with `document` (Int64, index into documents); None for kinds without."""
    if kind not in LINES:
        return None
    positions: list[int] = []
    numbers: list[str] = []
    rows: list[Line] = []
    records: list[str | None] = []
    for position, document in enumerate(documents):
        parcel = document.parcel
        own = parcel.lines if kind == "order" else parcel.declared_lines
        positions += [position] * len(own)
        numbers += _NUMBERS[: len(own)]
        rows += own
        if kind == "inventory":
            bonded = parcel.site.keeper is not None
            records += [line.goods.record_no if bonded else None for line in own]
    columns = {"gnum": _text(numbers)}
    if kind == "inventory":
        columns["itemRecordNo"] = _text(records)
    for element, source in LINES[kind].items():
        columns[element] = _values(source, rows, "")
    return pl.DataFrame(columns).with_columns(pl.Series("document", positions, pl.Int64))


_NUMBERS = [str(n) for n in range(1, 100)]


def _values(source: str, things: Sequence[Any], day: str) -> pl.Series:
    if source.startswith("="):
        return pl.repeat(source[1:], len(things), dtype=pl.String, eager=True)
    convert, _, path = source.rpartition(" ")
    return _CONVERSIONS[convert](list(map(attrgetter(path), things)), day)


def _text(values: Sequence[str | None]) -> pl.Series:
    return pl.Series(values, dtype=pl.String)


def _fen(values: list[int]) -> pl.Series:
    """Non-negative fen as yuan with two decimals."""
    fen = pl.Series(values, dtype=pl.Int64)
    return (fen // 100).cast(pl.String) + "." + (fen % 100).cast(pl.String).str.zfill(2)


def _times(seconds: list[int], day: str) -> pl.Series:
    return _text([f"{day}{s // 3600:02d}{s // 60 % 60:02d}{s % 60:02d}" for s in seconds])


_CONVERSIONS: Mapping[str, Callable[[list[Any], str], pl.Series]] = {
    "": lambda values, day: _text(values),
    "fen": lambda values, day: _fen(values),
    "str": lambda values, day: pl.Series(values, dtype=pl.Int64).cast(pl.String),
    "time": _times,
    "day": lambda values, day: pl.repeat(day, len(values), dtype=pl.String, eager=True),
}


def _patched(columns: dict[str, pl.Series], documents: Sequence[Document]) -> dict[str, pl.Series]:
    """The columns with what documents override; few do, and in few elements."""
    changed: dict[str, list[str | None]] = {}
    for row, document in enumerate(documents):
        for element, value in (document.patch or {}).items():
            if element not in changed:
                known = columns.get(element)
                changed[element] = [None] * len(documents) if known is None else known.to_list()
            changed[element][row] = value
    return {**columns, **{element: _text(values) for element, values in changed.items()}}
