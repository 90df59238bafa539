"""Bills made, corrected and void; and the database that keeps them as they were made."""

import polars as pl
import psycopg
import pytest
from parcels import balance, guarantee, law, ms, parts, release

from tongguan import finance, policy, store
from tongguan.finance import bills

AT = ms("2022-06-10T10:00")


def _back(bill_id: int, gnum: int, *fen: int, document: int = 900) -> pl.DataFrame:
    return pl.DataFrame([(bill_id, gnum, document, *fen)], schema=bills.CORRECTION, orient="row")


def _void(conn: psycopg.Connection, *ids: int, document: int = 900) -> bills.Bills:
    return finance.void(conn, pl.DataFrame({"bill_id": ids, "document_id": document}), AT, 1)


def test_a_bill_is_the_decision_to_the_fen(conn: psycopg.Connection) -> None:
    guarantee(conn)
    parcels = {7: [(0, 3, 1001), (0, 0, 999)], 8: [(500, 1, 2)]}
    made = release(conn, "2022-06-01T10:00", parcels)
    kept = bills.of_documents(conn, pl.Series([8, 7, 99]))
    amounts = ("duty_fen", "consumption_fen", "vat_fen", "total_fen")
    assert kept.heads.select("document_id", *amounts).rows() == [
        (7, 0, 3, 2000, 2003),
        (8, 500, 1, 2, 503),
    ]
    for document, lines in parcels.items():
        bill = kept.heads.filter(document_id=document)["bill_id"][0]
        mine = kept.lines.filter(bill_id=bill)
        assert mine.select("duty_fen", "consumption_fen", "vat_fen").rows() == lines
        assert mine["tax_price_fen"].to_list() == [100 * sum(one) for one in lines]
    assert made.heads["tax_no"].to_list() == kept.heads["tax_no"].to_list()
    assert kept.heads["tax_no"][0].startswith("53162022T")
    assert kept.heads["status"].to_list() == [1, 1]
    assert parts(conn) == (1_000_000 - 2506, 0, 2506)


def test_a_tax_of_nothing_makes_no_bill(conn: psycopg.Connection) -> None:
    made = release(conn, "2022-06-01T10:00", {7: [(0, 0, 0)]})
    assert made.heads.is_empty()
    assert bills.of_documents(conn, pl.Series([7])).heads.is_empty()


def test_a_list_has_one_bill(conn: psycopg.Connection) -> None:
    release(conn, "2022-06-01T10:00", {7: [(0, 0, 5)]}, secured=False)
    with pytest.raises(psycopg.errors.UniqueViolation):
        release(conn, "2022-06-01T10:00", {7: [(0, 0, 5)]}, secured=False)


@pytest.mark.parametrize(
    ("released", "due_from", "due_to"),
    [
        ("2022-06-01T00:00", "2022-07-02", "2022-07-16"),
        ("2022-06-01T23:59:59.999", "2022-07-02", "2022-07-16"),
        ("2022-06-02T00:00", "2022-07-03", "2022-07-17"),
        # Leap day lies between, is the day of release, is the first and the last day.
        ("2024-01-29T12:00", "2024-02-29", "2024-03-14"),
        ("2024-02-29T12:00", "2024-03-31", "2024-04-14"),
        ("2024-01-15T12:00", "2024-02-15", "2024-02-29"),
        ("2023-01-29T12:00", "2023-03-01", "2023-03-15"),
        # New year: 23:59 of the old one in Shanghai is 15:59 UTC, 00:00 is still its day in UTC.
        ("2021-12-31T23:59:59.999", "2022-01-31", "2022-02-14"),
        ("2022-01-01T00:00", "2022-02-01", "2022-02-15"),
        ("2021-12-01T08:00", "2022-01-01", "2022-01-15"),
    ],
)
def test_tax_falls_due_from_day_31_to_day_45(
    conn: psycopg.Connection, released: str, due_from: str, due_to: str
) -> None:
    made = release(conn, released, {7: [(0, 0, 5)]}, secured=False)
    days = made.heads.select("due_from", "due_to").row(0)
    assert tuple(map(str, days)) == (due_from, due_to)


@pytest.mark.parametrize(
    ("cycle", "released", "name", "due_from"),
    [
        ("release-day", "2022-06-15T10:00", "2022-06-15", "2022-07-16"),
        ("half-month", "2022-06-01T00:00", "2022-06-01/2022-06-15", "2022-07-16"),
        ("half-month", "2022-06-15T23:59", "2022-06-01/2022-06-15", "2022-07-16"),
        ("half-month", "2022-06-16T00:00", "2022-06-16/2022-06-30", "2022-07-31"),
        ("half-month", "2024-02-29T23:59", "2024-02-16/2024-02-29", "2024-03-31"),
        ("month", "2024-02-01T00:00", "2024-02", "2024-03-31"),
        ("month", "2022-12-31T23:59", "2022-12", "2023-01-31"),
    ],
)
def test_the_cycle_is_a_parameter(
    conn: psycopg.Connection, cycle: str, released: str, name: str, due_from: str
) -> None:
    drafted = policy.load(parameters={"settlement.cycle": {"2020-01-01": cycle}})
    under = drafted.on(law(released[:10]).day)
    made = release(conn, released, {7: [(0, 0, 5)]}, secured=False, under=under)
    told = made.heads.select("cycle", pl.col("due_from").cast(pl.String)).row(0)
    assert told == (name, due_from)


def test_a_bill_keeps_what_else_its_message_needs(conn: psycopg.Connection) -> None:
    lines = pl.DataFrame([(7, 1, "3304100000", 9, 0, 0, 5)], schema=bills.LINES, orient="row")
    row = (7, "53162022I000000007", "G1", "E1", "1:aa", False, 0, 0, 5, 5, AT)
    released = pl.DataFrame([row], schema=bills.RELEASED, orient="row")
    released = released.with_columns(ebcCode=pl.lit("E1"))
    assert (
        finance.make_bills(conn, released, lines, law("2022-06-10"), 1).heads["ebcCode"][0] == "E1"
    )


def test_a_bill_that_is_not_its_lines_is_refused(conn: psycopg.Connection) -> None:
    lines = pl.DataFrame([(7, 1, "3304100000", 9, 0, 0, 4)], schema=bills.LINES, orient="row")
    row = (7, "53162022I000000007", "G1", "E1", "1:aa", False, 0, 0, 5, 5, AT)
    released = pl.DataFrame([row], schema=bills.RELEASED, orient="row")
    finance.make_bills(conn, released, lines, law("2022-06-10"), 1)
    with pytest.raises(psycopg.errors.CheckViolation, match="not the sum of its lines"):
        store.settle(conn)


def test_a_partial_return_lowers_the_bill_and_frees_the_guarantee(conn: psycopg.Connection) -> None:
    guarantee(conn)
    made = release(conn, "2022-06-01T10:00", {7: [(0, 10, 90), (0, 0, 50)]})
    bill = made.heads["bill_id"][0]
    now = finance.correct(conn, _back(bill, 1, 4000, 0, 4, 36), AT, 1)
    assert now.heads.select("duty_fen", "consumption_fen", "vat_fen", "total_fen", "status").row(
        0
    ) == (0, 6, 104, 110, 1)
    assert now.lines.select("gnum", "tax_price_fen", "consumption_fen", "vat_fen").rows() == [
        (1, 6000, 6, 54),
        (2, 5000, 0, 50),
    ]
    assert parts(conn) == (1_000_000 - 110, 0, 110)
    row = conn.execute("SELECT total_fen FROM bill WHERE id = %s", (bill,)).fetchone()
    assert row == (150,)


def test_a_bill_of_which_no_tax_is_left_is_void(conn: psycopg.Connection) -> None:
    guarantee(conn)
    made = release(conn, "2022-06-01T10:00", {7: [(0, 0, 90), (0, 0, 50)]})
    bill = made.heads["bill_id"][0]
    assert finance.correct(conn, _back(bill, 1, 9000, 0, 0, 90), AT, 1).heads["status"][0] == 1
    now = finance.correct(conn, _back(bill, 2, 5000, 0, 0, 50, document=901), AT, 1)
    assert now.heads.select("status", "total_fen").row(0) == (3, 0)
    assert parts(conn) == (1_000_000, 0, 0)


def test_void_takes_back_what_is_left_and_only_once(conn: psycopg.Connection) -> None:
    guarantee(conn)
    made = release(conn, "2022-06-01T10:00", {7: [(0, 10, 90)], 8: [(0, 0, 7)]})
    bill, other = made.heads["bill_id"]
    finance.correct(conn, _back(bill, 1, 4000, 0, 4, 36), AT, 1)
    for document in (901, 902):
        now = _void(conn, bill, document=document)
        assert now.heads.select("status", "total_fen").row(0) == (3, 0)
    assert now.lines["tax_price_fen"].to_list() == [0]
    assert parts(conn) == (1_000_000 - 7, 0, 7)
    assert bills.stored(conn, pl.Series([other])).heads["status"][0] == 1


def test_an_unsecured_bill_frees_nothing(conn: psycopg.Connection) -> None:
    guarantee(conn)
    made = release(conn, "2022-06-01T10:00", {7: [(0, 0, 90)]}, secured=False)
    assert _void(conn, made.heads["bill_id"][0]).heads["status"][0] == 3
    assert parts(conn) == (1_000_000, 0, 0)


def test_no_more_is_taken_back_than_a_line_holds(conn: psycopg.Connection) -> None:
    made = release(conn, "2022-06-01T10:00", {7: [(0, 0, 90), (0, 0, 9)]}, secured=False)
    bill = made.heads["bill_id"][0]
    finance.correct(conn, _back(bill, 1, 1, 0, 0, 50), AT, 1)
    for back in (_back(bill, 1, 1, 0, 0, 41, document=901), _back(bill, 3, 1, 0, 0, 1)):
        with pytest.raises(psycopg.errors.CheckViolation, match="taken back"), conn.transaction():
            finance.correct(conn, back, AT, 1)
    with pytest.raises(psycopg.errors.UniqueViolation), conn.transaction():
        finance.correct(conn, _back(bill, 1, 0, 0, 0, 1), AT, 1)
    finance.correct(conn, _back(bill, 1, 1, 0, 0, 40, document=901), AT, 1)


def test_an_unknown_bill_is_said_to_be_unknown(conn: psycopg.Connection) -> None:
    with pytest.raises(finance.UnknownBill, match="1 of 1"):
        _void(conn, 123456)


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE bill SET vat_fen = 1, total_fen = 1",
        "UPDATE bill SET due_to = due_to + 100",
        "UPDATE bill SET guarantor = 'G2'",
        "UPDATE bill SET secured = false",
        "UPDATE bill SET status = 2",
        "UPDATE bill SET status = 3",
        "UPDATE bill SET status = 1",
        "DELETE FROM bill",
        "TRUNCATE bill",
        "UPDATE bill_line SET vat_fen = 0",
        "DELETE FROM bill_line",
        "UPDATE bill_correction SET vat_fen = 2",
        "DELETE FROM bill_correction",
        "INSERT INTO bill_correction VALUES (1, 1, 1, 1, 1, 0, 0, 0, 5)",
        "INSERT INTO bill_correction SELECT id, 1, 5, 1, 1, 0, 0, 0, -5 FROM bill",
        "INSERT INTO bill_correction SELECT id, 1, 5, 1, 1, 0, 0, 0, 90 FROM bill",
    ],
)
def test_a_bill_is_not_edited(conn: psycopg.Connection, attack: str) -> None:
    made = release(conn, "2022-06-01T10:00", {7: [(0, 0, 90)]}, secured=False)
    finance.correct(conn, _back(made.heads["bill_id"][0], 1, 1, 0, 0, 1), AT, 1)
    with pytest.raises(psycopg.errors.CheckViolation), conn.transaction():
        conn.execute(attack)
    assert balance(conn, "customs") == 0
