"""CEB816 and CEB818 as the standard prescribes them."""

from pathlib import Path

import polars as pl
import psycopg
import pytest
from lxml import etree
from parcels import guarantee, ms, release

from tongguan import finance, messages

CEB = {"c": "http://www.chinaport.gov.cn/ceb"}
AT = ms("2022-06-01T10:00:01.002")


def _bills(conn: psycopg.Connection, count: int = 2) -> finance.Bills:
    guarantee(conn, fen=100_000_000)
    parcels = {n: [(0, 5, 100 + n), (12345, 0, 7)] for n in range(1, count + 1)}
    made = release(conn, "2022-06-01T10:00", parcels)
    heads = made.heads.with_columns(
        at=pl.lit(AT),
        receiver=pl.Series(["DXP1", "DXP2", None] * count, dtype=pl.String).head(count),
        company=pl.Series(["C1", "C2", None] * count, dtype=pl.String).head(count),
        ebcCode=pl.lit("E<1"),
        logisticsCode=pl.lit("L1"),
        agentCode=pl.lit("A1"),
        customsCode=pl.lit("5316"),
    )
    return finance.Bills(heads, made.lines)


def _states(conn: psycopg.Connection) -> pl.DataFrame:
    made = _bills(conn)
    number = pl.Series(["JK20220702000001", None], dtype=pl.String)
    return made.heads.with_columns(number=number, status=pl.Series([2, 3]))


def _texts(message: bytes, path: str) -> list[str | None]:
    return [one.text for one in etree.fromstring(message).findall(path, CEB)]


def _schema(name: str, edition: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.fromstring(messages.xsd(name, edition).encode()))


def test_816_says_what_the_bill_says(conn: psycopg.Connection) -> None:
    made = _bills(conn, 1)
    ((type_, receiver, company, count, message),) = finance.xml816(made.heads, made.lines)
    assert (type_, receiver, company, count) == ("CEB816", "DXP1", "C1", 1)
    head = etree.fromstring(message).find("c:Tax/c:TaxHeadRd", CEB)
    told = {etree.QName(one).localname: one.text for one in head}
    assert len(told.pop("guid")) == 36
    assert told == {
        "returnTime": "20220601100001002",
        "invtNo": "53162022I000000001",
        "taxNo": made.heads["tax_no"][0],
        "customsTax": "123.45",
        "valueAddedTax": "1.08",
        "consumptionTax": "0.05",
        "status": "1",
        "assureCode": "G1",
        "ebcCode": "E<1",
        "logisticsCode": "L1",
        "agentCode": "A1",
        "customsCode": "5316",
    }
    lines = [
        [f.text for f in one] for one in etree.fromstring(message).iterfind(".//c:TaxListRd", CEB)
    ]
    assert lines == [
        ["1", "3304100001", "106.00", "0.00", "1.01", "0.05"],
        ["2", "3304100002", "12352.00", "123.45", "0.07", "0.00"],
    ]


def test_818_says_state_and_payment(conn: psycopg.Connection) -> None:
    told = finance.xml818(_states(conn))
    assert [(type_, receiver, count) for type_, receiver, _, count, _ in told] == [
        ("CEB818", "DXP1", 1),
        ("CEB818", "DXP2", 1),
    ]
    assert [_texts(one[-1], ".//c:status") for one in told] == [["2"], ["3"]]
    assert [_texts(one[-1], ".//c:entDutyNo") for one in told] == [["JK20220702000001"], []]


def test_a_receiver_gets_its_own_bills_a_hundred_a_message(conn: psycopg.Connection) -> None:
    made = _bills(conn, 303)
    told = finance.xml816(made.heads, made.lines)
    assert [(receiver, count) for _, receiver, _, count, _ in told] == [
        *(("DXP1", 100), ("DXP1", 1), ("DXP2", 100), ("DXP2", 1), (None, 100), (None, 1)),
    ]
    numbers = [
        n for _, receiver, *_, one in told if receiver == "DXP2" for n in _texts(one, ".//c:taxNo")
    ]
    assert numbers == made.heads.filter(receiver="DXP2")["tax_no"].to_list()


def test_no_bills_make_no_message(conn: psycopg.Connection) -> None:
    made = _bills(conn)
    assert finance.xml816(made.heads.clear(), made.lines.clear()) == []
    assert finance.xml818(made.heads.clear()) == []


def _both(conn: psycopg.Connection) -> list[tuple[str, bytes]]:
    states = _states(conn)
    lines = finance.bills.stored(conn, states["bill_id"]).lines
    return [(one[0], one[-1]) for one in finance.xml816(states, lines) + finance.xml818(states)]


@pytest.mark.parametrize("edition", messages.EDITIONS)
def test_valid_by_the_catalogue(conn: psycopg.Connection, edition: str) -> None:
    for name, message in _both(conn):
        _schema(name, edition).assertValid(etree.fromstring(message))
        assert messages.parse(message).findings == []


@pytest.mark.parametrize("edition", messages.EDITIONS)
def test_valid_by_the_official_schema(conn: psycopg.Connection, shared: Path, edition: str) -> None:
    official = etree.XMLSchema(etree.parse(shared / "ceb/xsd" / edition / "import.xsd"))
    for _, message in _both(conn):
        official.assertValid(etree.fromstring(message))
