"""The registry: who is filed in which role, and who may send for whom."""

from datetime import date

import polars as pl
import psycopg
import pytest

from tongguan import store
from tongguan.sharing import registry


def parties(*rows: tuple[int, str, str]) -> pl.DataFrame:
    """doc, role, code of companies as documents name them."""
    return pl.DataFrame(
        [(doc, "order", "ebpCode", role, code, f"公司{code}") for doc, role, code in rows],
        schema=registry.PARTIES,
        orient="row",
    )


def pairs(*rows: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=registry.PAIRS, orient="row")


def unfiled(conn: psycopg.Connection, *rows: tuple[str, str]) -> list[tuple[str, str]]:
    return sorted(registry.unfiled(conn, pairs(*rows)).select("code", "role").rows())


def test_a_company_is_known_in_its_role_only(conn: psycopg.Connection) -> None:
    registry.file_company(conn, "A", "甲公司", ["platform", "seller"], 1)
    asked = [("A", "platform"), ("A", "payment"), ("A", "seller"), ("B", "seller")]
    assert unfiled(conn, *asked) == [("A", "payment"), ("B", "seller")]
    assert unfiled(conn) == []


def test_what_is_filed_provisionally_is_known_by_its_first_mention(
    conn: psycopg.Connection,
) -> None:
    named = parties((1, "seller", "A"), (2, "platform", "B"), (3, "seller", "A"))
    named = named.with_columns(name=pl.Series(["先", "公司B", "后"]))
    registry.file_provisionally(conn, named, 5)
    assert unfiled(conn, ("A", "seller"), ("B", "platform")) == []
    rows = """SELECT code, role, name, provisional, filed_at
        FROM company JOIN company_role USING (code) ORDER BY code"""
    assert conn.execute(rows).fetchall() == [
        ("A", "seller", "先", True, 5),
        ("B", "platform", "公司B", True, 5),
    ]


def test_filing_makes_a_provisional_company_a_full_one_and_never_back(
    conn: psycopg.Connection,
) -> None:
    registry.file_provisionally(conn, parties((1, "seller", "A")), 5)
    registry.file_company(conn, "A", "甲公司", ["seller"], 6)
    row = "SELECT name, provisional, filed_at FROM company JOIN company_role USING (code)"
    assert conn.execute(row).fetchall() == [("甲公司", False, 5)]
    registry.file_provisionally(conn, parties((1, "seller", "A")), 7)
    assert conn.execute(row).fetchall() == [("甲公司", False, 5)]


def test_nobody_is_filed_twice_by_two_workers(database: store.Database) -> None:
    with database.connect() as one, database.connect() as two:
        store.migrate(one, "sharing", registry.STEPS)
        one.commit()
        named = parties((1, "seller", "A"))
        assert unfiled(two, ("A", "seller")) == [("A", "seller")]
        registry.file_provisionally(one, named, 1)
        one.commit()
        registry.file_provisionally(two, named, 2)
        two.commit()
        assert two.execute("SELECT filed_at FROM company_role").fetchall() == [(1,)]


DAYS = [
    ("2022-05-31", False),
    ("2022-06-01", True),
    ("2022-06-30", True),
    ("2022-07-01", False),
]


@pytest.mark.parametrize(("day", "held"), DAYS)
def test_a_mandate_holds_from_its_first_to_its_last_day(
    conn: psycopg.Connection, day: str, held: bool
) -> None:
    registry.grant_mandate(conn, "P", "A", date(2022, 6, 1), date(2022, 6, 30))
    pairs = pl.DataFrame({"principal": ["P"], "agent": ["A"]})
    left = registry.without_mandate(conn, pairs, date.fromisoformat(day))
    assert left.is_empty() is held


def test_a_mandate_without_end_and_of_one_direction(conn: psycopg.Connection) -> None:
    registry.grant_mandate(conn, "P", "A", date(2022, 6, 1), None)
    pairs = pl.DataFrame({"principal": ["P", "A", "P", "P"], "agent": ["A", "P", "P", "B"]})
    left = registry.without_mandate(conn, pairs, date(2030, 1, 1))
    assert sorted(left.rows()) == [("A", "P"), ("P", "B")]  # itself needs none


def test_a_closed_registry_takes_a_provisional_filing_for_none(conn: psycopg.Connection) -> None:
    registry.file_provisionally(conn, parties((1, "seller", "A")), 1)
    asked = pairs(("A", "seller"))
    assert registry.unfiled(conn, asked).is_empty()
    assert registry.unfiled(conn, asked, provisional=False).rows() == [("A", "seller")]
    registry.file_company(conn, "A", "甲公司", ["seller"], 2)
    assert registry.unfiled(conn, asked, provisional=False).is_empty()


def test_a_company_is_one_by_whichever_of_its_codes(conn: psycopg.Connection) -> None:
    registry.file_company(conn, "A", "甲公司", ["seller"], 1, credit_code="A-CREDIT")
    registry.file_company(conn, "B", "乙公司", ["declarant"], 1, credit_code="B-CREDIT")
    registry.grant_mandate(conn, "A", "B", date(2022, 6, 1), None)
    assert unfiled(conn, ("A-CREDIT", "seller"), ("A-CREDIT", "payment")) == [
        ("A-CREDIT", "payment")
    ]
    registry.file_provisionally(conn, parties((1, "payment", "A-CREDIT")), 2)
    assert unfiled(conn, ("A", "payment"), ("A-CREDIT", "payment")) == []
    rows = [("A-CREDIT", "B"), ("A", "B-CREDIT"), ("A", "A-CREDIT"), ("B-CREDIT", "A")]
    named = pl.DataFrame(rows, schema=["principal", "agent"], orient="row")
    left = registry.without_mandate(conn, named, date(2022, 6, 1))
    assert left.rows() == [("B-CREDIT", "A")]


def test_the_step_to_companies_of_their_own_loses_nothing(database: store.Database) -> None:
    with database.connect() as conn:
        store.migrate(conn, "sharing", registry.STEPS[:1])
        conn.execute(
            """INSERT INTO company (code, role, name, provisional, filed_at) VALUES
            ('A', 'seller', '先', true, 1), ('A', 'platform', '甲公司', false, 2),
            ('B', 'payment', '乙公司', true, 3)"""
        )
        store.migrate(conn, "sharing", registry.STEPS)
        found = conn.execute(
            """SELECT code, name, role, provisional, filed_at
            FROM company JOIN company_role USING (code) ORDER BY code, role"""
        ).fetchall()
        assert found == [
            ("A", "甲公司", "platform", False, 2),
            ("A", "甲公司", "seller", True, 1),
            ("B", "乙公司", "payment", True, 3),
        ]
