"""Made-up documents that are good, for the tests to spoil."""

from collections.abc import Callable

import polars as pl
import pytest

from tongguan import messages

#: A good value for every element that is not free text; the people do not exist.
GOOD = {
    "guid": "4CDE1CFD-EDED-46B1-946C-B8022E42FC94",
    "appType": "1",
    "appTime": "20220601093000",
    "appStatus": "2",
    "orderType": "I",
    "currency": "142",
    "buyerIdType": "1",
    "payerIdType": "1",
    "buyerIdNumber": "11010119900307109X",
    "payerIdNumber": "11010119900307109X",
    "payTime": "20220601092959",
    "logisticsTime": "20220602101500",
    "logisticsStatus": "S",
    "consigneeDistrict": "110101",
    "country": "142",
    "tradeCountry": "116",
    "unit": "011",
    "unit1": "035",
    "unit2": "011",
    "packNo": "1",
    "ieFlag": "I",
    "declTime": "20220601",
    "ieDate": "20220531",
    "customsCode": "2900",
    "portCode": "2900",
    "tradeMode": "1210",
    "trafMode": "4",
    "wrapType": "2",
    "gcode": "1901101090",
    "returnStatus": "120",
    "returnTime": "20220601093000123",
    "invtNo": "29002022I000000001",
    "preNo": "B20220601000000001",
    "status": "1",
    "qty": "2",
}
TRANSFER = {
    "copCode": "3301960A00",
    "copName": "杭州某某公司",
    "dxpMode": "DXP",
    "dxpId": "DXPENT0000000001",
    "note": None,
}


def _value(field: messages.Field) -> str:
    if field.name in GOOD:
        return GOOD[field.name]
    if field.kind == "decimal":
        return "12.5"
    length = field.least if field.least == field.most else min(8, field.most or 8)
    return "A1".ljust(length, "7")[:length]


def _documents(
    name: str, count: int = 1, lines: int = 2, edition: str = "202205"
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Heads and lines of good documents, as ``render`` takes them."""
    kind = messages.message_type(name, edition)
    head = {field.name: [_value(field)] * count for field in kind.head_fields}
    heads = pl.DataFrame(
        {"message": [0] * count, "position": list(range(count)), **head},
        schema_overrides={"message": pl.UInt32, "position": pl.UInt32},
    )
    if "orderNo" in heads:
        heads = heads.with_columns(orderNo=pl.format("O{}", pl.col("position")))
    total = count * lines if kind.line else 0
    line = {field.name: [_value(field)] * total for field in kind.line_fields}
    frame = pl.DataFrame(
        {"message": [0] * total, "position": [i // lines for i in range(total)], **line},
        schema_overrides={"message": pl.UInt32, "position": pl.UInt32},
    )
    if kind.line:
        frame = frame.with_columns(gnum=pl.Series([str(i % lines + 1) for i in range(total)]))
    return heads, frame


def _message(name: str, heads: pl.DataFrame, lines: pl.DataFrame, edition: str = "202205") -> bytes:
    kind = messages.message_type(name, edition)
    fragments = messages.render(name, heads, lines, edition).to_list()
    transfer = TRANSFER if kind.blocks else None
    return messages.message(name, fragments, GOOD["guid"], transfer=transfer, edition=edition)


@pytest.fixture(scope="session")
def documents() -> Callable[..., tuple[pl.DataFrame, pl.DataFrame]]:
    """Makes frames of good documents."""
    return _documents


@pytest.fixture(scope="session")
def written() -> Callable[..., bytes]:
    """Writes frames of documents as a message."""
    return _message
