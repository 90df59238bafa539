"""Bills told to enterprises: CEB816 the bill, CEB818 its new state.

Source: CEB specification 202205, tables of 816 and 818. A bill that was corrected is told by a
CEB816 of the same number with what is left: 818 carries a state and no amounts.
"""

import secrets
from collections.abc import Iterator

import polars as pl

from tongguan import messages

TAXES_MOST = 100
"""Bills in one message: the schema sets no limit, this window writes as many as elsewhere."""
ZONE = "Asia/Shanghai"

Notice = tuple[str, str | None, str | None, int, bytes]
"""type, receiver, company, number of bills, the whole message."""

_HEAD = {
    "invtNo": "invt_no",
    "taxNo": "tax_no",
    "status": "status",
    "entDutyNo": "number",
    "assureCode": "guarantor",
}
_ADDRESS = ("receiver", "company")
_AMOUNTS = {
    "customsTax": "duty_fen",
    "valueAddedTax": "vat_fen",
    "consumptionTax": "consumption_fen",
}


def xml816(heads: pl.DataFrame, lines: pl.DataFrame) -> list[Notice]:
    """CEB816 of bills. heads, lines: as in ``bills.Bills``, with receiver, company, at (ms).

    ebcCode, logisticsCode, agentCode and customsCode of ``heads`` are written if they are there.
    """
    ordered = _ordered(heads)
    elements = {name: _yuan(column) for name, column in _AMOUNTS.items()}
    rows = _elements(ordered).with_columns(**elements)
    place = ordered.select("bill_id", document=pl.int_range(pl.len(), dtype=pl.Int64))
    parts = lines.join(place, on="bill_id", maintain_order="left").with_columns(
        taxPrice=_yuan("tax_price_fen"), **elements
    )
    return list(_messages("CEB816", ordered, messages.render("CEB816", rows, parts)))


def xml818(heads: pl.DataFrame) -> list[Notice]:
    """CEB818 of bills: bill_id, tax_no, invt_no, guarantor, status, number, receiver, company,
    at (ms)."""
    ordered = _ordered(heads)
    return list(_messages("CEB818", ordered, messages.render("CEB818", _elements(ordered))))


def _ordered(heads: pl.DataFrame) -> pl.DataFrame:
    return heads.sort(*_ADDRESS, "bill_id", nulls_last=True)


def _elements(heads: pl.DataFrame) -> pl.DataFrame:
    utc = pl.from_epoch("at", time_unit="ms").dt.replace_time_zone("UTC")
    return heads.with_columns(
        guid=pl.Series(_guids(heads.height), dtype=pl.String),
        returnTime=utc.dt.convert_time_zone(ZONE).dt.strftime("%Y%m%d%H%M%S%3f"),
        **{element: pl.col(column).cast(pl.String) for element, column in _HEAD.items()},
    )


def _yuan(column: str) -> pl.Expr:
    fen = pl.col(column)
    return pl.format("{}.{}", fen // 100, (fen % 100).cast(pl.String).str.zfill(2))


def _messages(type_: str, heads: pl.DataFrame, fragments: pl.Series) -> Iterator[Notice]:
    """One receiver's bills in messages of up to TAXES_MOST."""
    told = heads.select(*_ADDRESS, fragment=fragments).with_columns(
        chunk=pl.int_range(pl.len()).over(_ADDRESS) // TAXES_MOST
    )
    parts = told.group_by(*_ADDRESS, "chunk", maintain_order=True).agg(
        count=pl.len(), body=pl.col("fragment").str.join("")
    )
    for (receiver, company, _, count, body), guid in zip(
        parts.cast({"body": pl.Binary}).iter_rows(), _guids(parts.height), strict=True
    ):
        yield type_, receiver, company, count, messages.joined(type_, body, count, guid)


def _guids(count: int) -> list[str]:
    """New random identifiers (RFC 9562 version 4), lower case as real receipts write them."""
    raw = secrets.token_hex(15 * count)
    return [
        f"{raw[i : i + 8]}-{raw[i + 8 : i + 12]}-4{raw[i + 12 : i + 15]}"
        f"-a{raw[i + 15 : i + 18]}-{raw[i + 18 : i + 30]}"
        for i in range(0, 30 * count, 30)
    ]
