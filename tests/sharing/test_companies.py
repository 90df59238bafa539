"""Filing by a person: examined, whole or not at all, and remembered for good."""

from datetime import date

import polars as pl
import psycopg
import pytest

from tongguan import store
from tongguan.sharing import companies, registry
from tongguan.sharing.rules import Refused

CREDIT = "91330100MA2CC0XY1B"
OTHER = "3301960D01"


def file(conn: psycopg.Connection, code: str = "3302695961", **more: object) -> str:
    said = {"name": "甲公司", "roles": ["seller"], "by": "wang", "at_ms": 1654056000000} | more
    return companies.file(conn, code, **said)  # type: ignore[arg-type]


def test_a_filed_company_is_shown_by_either_code_with_who_said_it_and_when(
    conn: psycopg.Connection,
) -> None:
    file(conn, roles=["seller", "declarant"], credit_code=CREDIT, zone="001")
    facts = companies.shown(conn, "3302695961")
    assert facts == companies.shown(conn, CREDIT)
    assert facts == {
        "code": "3302695961",
        "name": "甲公司",
        "credit_code": CREDIT,
        "zone": "001",
        "dxp_id": None,
        "roles": ["declarant", "seller"],
        "provisional": [],
        "mandates": [],
        "history": [
            {
                "at": "2022-06-01T04:00:00+00:00",
                "what": "filed",
                "by": "wang",
                "facts": {
                    "name": "甲公司",
                    "roles": ["seller", "declarant"],
                    "credit_code": CREDIT,
                    "zone": "001",
                },
            }
        ],
    }
    with pytest.raises(companies.UnknownCompany, match="tongguan company file 3302695962"):
        companies.shown(conn, "3302695962")


def test_filing_again_adds_roles_and_keeps_what_is_not_said(conn: psycopg.Connection) -> None:
    file(conn, credit_code=CREDIT, zone="001")
    assert file(conn, CREDIT, name="甲集团", roles=["platform"]) == "3302695961"
    [company] = companies.listed(conn)
    assert company["name"] == "甲集团"
    assert company["roles"] == ["platform", "seller"]
    assert (company["credit_code"], company["zone"]) == (CREDIT, "001")
    assert len(companies.history(conn, "3302695961")) == 2


def test_a_refused_filing_leaves_nothing(conn: psycopg.Connection) -> None:
    with pytest.raises(Refused) as caught:
        file(conn, "33026959", name="", roles=["king"])
    assert [problem.field for problem in caught.value.problems] == ["code", "name", "role"]
    assert companies.listed(conn) == []


def test_a_credit_code_belongs_to_one_company(conn: psycopg.Connection) -> None:
    file(conn, credit_code=CREDIT)
    with pytest.raises(Refused, match="that of 3302695961"):
        file(conn, OTHER, credit_code=CREDIT)
    with pytest.raises(Refused, match="as filed before"):
        file(conn, credit_code="91330100MA2CC0XY2E")
    assert [row["code"] for row in companies.listed(conn)] == ["3302695961"]


def test_what_was_provisional_under_the_second_code_becomes_one_company(
    conn: psycopg.Connection,
) -> None:
    named = (1, "order", "ebcCode", "seller", CREDIT, "甲")
    frame = pl.DataFrame([named], schema=registry.PARTIES, orient="row")
    registry.file_provisionally(conn, frame, 1)
    assert companies.listed(conn)[0]["provisional"] == ["seller"]
    file(conn, credit_code=CREDIT)
    [company] = companies.listed(conn)
    assert (company["code"], company["roles"], company["provisional"]) == (
        "3302695961",
        ["seller"],
        [],
    )
    assert [said["what"] for said in companies.history(conn, CREDIT)] == ["filed provisionally"]


def test_history_only_grows(conn: psycopg.Connection) -> None:
    file(conn)
    conn.commit()
    for attack in ("UPDATE filing SET said_by = 'x'", "DELETE FROM filing", "TRUNCATE filing"):
        with pytest.raises(psycopg.errors.CheckViolation, match="only grows"):
            conn.execute(attack)
        conn.rollback()


JUNE, JULY = date(2022, 6, 1), date(2022, 7, 1)


def two(conn: psycopg.Connection) -> tuple[str, str]:
    return file(conn, credit_code=CREDIT), file(conn, OTHER, name="乙公司", roles=["declarant"])


def give(conn: psycopg.Connection, since: date, until: date | None = None) -> None:
    companies.mandate(conn, "3302695961", OTHER, since, until, "wang", 1)


def test_a_mandate_is_given_and_ended_by_either_code(conn: psycopg.Connection) -> None:
    principal, agent = two(conn)
    companies.mandate(conn, CREDIT, agent, JUNE, None, "wang", 1)
    assert companies.mandates(conn, agent) == [
        {"principal": principal, "agent": agent, "since": "2022-06-01", "until": None}
    ]
    companies.end_mandate(conn, CREDIT, agent, date(2022, 6, 15), "li", 2)
    assert companies.mandates(conn, principal)[0]["until"] == "2022-06-15"
    said = [(row["what"], row["by"]) for row in companies.history(conn, principal)[1:]]
    assert said == [("mandate given", "wang"), ("mandate ended", "li")]


def test_two_mandates_never_hold_on_one_day(conn: psycopg.Connection) -> None:
    two(conn)
    give(conn, JUNE, date(2022, 6, 30))
    for since, until in (
        (date(2022, 6, 30), None),
        (date(2022, 5, 1), JUNE),
        (date(2022, 6, 10), date(2022, 6, 11)),
        (JUNE, None),
    ):
        with pytest.raises(Refused, match="one from 2022-06-01 to 2022-06-30"):
            give(conn, since, until)
    give(conn, JULY)
    give(conn, date(2022, 5, 1), date(2022, 5, 31))
    assert len(companies.mandates(conn, OTHER)) == 3


def test_a_mandate_that_has_not_begun_can_be_taken_back_and_given_anew(
    conn: psycopg.Connection,
) -> None:
    two(conn)
    give(conn, JULY)
    companies.end_mandate(conn, "3302695961", OTHER, date(2022, 6, 30), "wang", 2)
    pairs = pl.DataFrame({"principal": ["3302695961"], "agent": [OTHER]})
    assert registry.without_mandate(conn, pairs, JULY).height == 1
    give(conn, JULY)
    assert registry.without_mandate(conn, pairs, JULY).is_empty()


def test_what_is_no_mandate_is_refused_with_what_there_is(conn: psycopg.Connection) -> None:
    two(conn)
    with pytest.raises(Refused, match="found no mandate"):
        companies.end_mandate(conn, "3302695961", OTHER, JUNE, "wang", 1)
    give(conn, JULY, date(2022, 7, 31))
    with pytest.raises(Refused, match="2022-07-01 to 2022-07-31"):
        companies.end_mandate(conn, "3302695961", OTHER, date(2022, 8, 1), "wang", 1)
    with pytest.raises(Refused) as caught:
        companies.mandate(conn, CREDIT, "3302695961", JULY, JUNE, "wang", 1)
    assert [problem.field for problem in caught.value.problems] == ["agent", "until"]
    with pytest.raises(companies.UnknownCompany):
        companies.mandate(conn, "3302695961", "3302695969", JULY, None, "wang", 1)


def test_filing_is_one_transaction(database: store.Database, conn: psycopg.Connection) -> None:
    file(conn)
    with database.connect() as other:
        assert companies.listed(other) == []
    conn.commit()
    with database.connect() as other:
        assert len(companies.listed(other)) == 1


def test_an_address_belongs_to_one_company(conn: psycopg.Connection) -> None:
    file(conn, dxp_id="DXPENT0000000001")
    file(conn, dxp_id="DXPENT0000000001")
    with pytest.raises(Refused, match="dxp-id: expected an address that is nobody else's"):
        file(conn, OTHER, dxp_id="DXPENT0000000001")
    with pytest.raises(Refused, match="1 to 30 characters"):
        file(conn, OTHER, dxp_id="DXP ENT")
    assert companies.listed(conn)[0]["dxp_id"] == "DXPENT0000000001"
