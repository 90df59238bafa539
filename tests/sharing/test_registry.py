"""The registry: who is filed in which role, and who may send for whom."""

from collections.abc import Iterator
from datetime import date

import polars as pl
import psycopg
import pytest

from tongguan import store
from tongguan.sharing import registry


@pytest.fixture
def conn(database: store.Database) -> Iterator[psycopg.Connection]:
    with database.connect() as connection:
        store.migrate(connection, "sharing", registry.STEPS)
        yield connection


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
    rows = "SELECT code, role, name, provisional, filed_at FROM company ORDER BY code"
    assert conn.execute(rows).fetchall() == [
        ("A", "seller", "先", True, 5),
        ("B", "platform", "公司B", True, 5),
    ]


def test_filing_makes_a_provisional_company_a_full_one_and_never_back(
    conn: psycopg.Connection,
) -> None:
    registry.file_provisionally(conn, parties((1, "seller", "A")), 5)
    registry.file_company(conn, "A", "甲公司", ["seller"], 6)
    row = "SELECT name, provisional, filed_at FROM company"
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
        assert two.execute("SELECT filed_at FROM company").fetchall() == [(1,)]


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
