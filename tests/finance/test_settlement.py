"""Bills summed, paid, overdue, claimed: each deadline on both sides of midnight in Shanghai."""

from datetime import date
from fractions import Fraction

import polars as pl
import psycopg
import pytest
from parcels import balance, guarantee, law, ms, parts, release

from tongguan import finance, policy
from tongguan.finance import bills

RELEASED = "2022-06-01T23:59:59.999"
DAY_30, DAY_31, DAY_45, DAY_46 = "2022-07-01", "2022-07-02", "2022-07-16", "2022-07-17"


def _summarise(conn: psycopg.Connection, day: str, **more: object) -> pl.DataFrame:
    return finance.summarise(conn, date.fromisoformat(day), 1, ms(f"{day}T09:00"), **more)


def _pay(conn: psycopg.Connection, number: str, fen: int, day: str, reference: str = "R1"):
    return finance.pay(conn, number, fen, reference, ms(f"{day}T12:00"), 1, law(day))


def _enforce(conn: psycopg.Connection, day: str) -> pl.DataFrame:
    return finance.enforce(conn, law(day), ms(f"{day}T12:00"), 1)


def _one(conn: psycopg.Connection, fen: int = 1000, **more: object) -> str:
    """The number of the payment of one bill, made on day 31."""
    guarantee(conn)
    release(conn, RELEASED, {7: [(0, 0, fen)]}, **more)
    return _summarise(conn, DAY_31)["number"][0]


def _facts(conn: psycopg.Connection, number: str) -> dict[str, object]:
    return finance.summaries(conn, pl.Series([number])).row(0, named=True)


def _books(conn: psycopg.Connection) -> list[object]:
    tables = ("account", "transfer", "bill", "bill_correction", "summary", "guarantee_event")
    return [conn.execute(f"SELECT * FROM {t} ORDER BY 1").fetchall() for t in tables]


def test_nothing_is_summed_on_day_30_and_all_on_day_31(conn: psycopg.Connection) -> None:
    guarantee(conn)
    release(conn, RELEASED, {7: [(0, 0, 1000)], 8: [(0, 5, 200)]})
    assert _summarise(conn, DAY_30).is_empty()
    told = _summarise(conn, DAY_31)
    assert told.select("document_id", "status", "total_fen").rows() == [(7, 2, 1000), (8, 2, 205)]
    (number,) = told["number"].unique()
    facts = _facts(conn, number)
    assert (facts["total_fen"], facts["owed_fen"], facts["parcels"]) == (1205, 1205, 2)
    assert (str(facts["due_from"]), str(facts["due_to"])) == (DAY_31, DAY_45)
    assert (facts["status"], facts["guarantor"], facts["cycle"]) == ("due", "G1", "2022-06-01")
    assert bills.of_documents(conn, pl.Series([7])).heads["number"][0] == number


def test_a_release_after_midnight_waits_a_day_longer(conn: psycopg.Connection) -> None:
    release(conn, "2022-06-02T00:00", {7: [(0, 0, 1000)]}, secured=False)
    assert _summarise(conn, DAY_31).is_empty()
    assert _summarise(conn, "2022-07-03").height == 1


def test_each_guarantor_and_cycle_has_its_own_payment(conn: psycopg.Connection) -> None:
    for code in ("G1", "G2"):
        guarantee(conn, code)
    release(conn, RELEASED, {1: [(0, 0, 1)], 2: [(0, 0, 2)]}, "G1")
    release(conn, RELEASED, {3: [(0, 0, 4)]}, "G2")
    release(conn, "2022-06-02T10:00", {4: [(0, 0, 8)]}, "G1")
    told = _summarise(conn, "2022-08-30")
    facts = finance.summaries(conn, told["number"].unique())
    assert facts.select("guarantor", "cycle", "total_fen", "parcels").sort("total_fen").rows() == [
        ("G1", "2022-06-01", 3, 2),
        ("G2", "2022-06-01", 4, 1),
        ("G1", "2022-06-02", 8, 1),
    ]


def test_settling_seldom_gives_the_same_as_settling_daily(conn: psycopg.Connection) -> None:
    def told(days: list[str], first: int) -> list[tuple[object, ...]]:
        for n in range(3):
            at = f"2022-06-0{n + 1}T10:00"
            release(conn, at, {first + n: [(0, 0, 10 + n)]}, f"H{first}", secured=False)
        for day in days:
            _summarise(conn, day)
        sql = """SELECT cycle, total_fen, due_from, due_to FROM summary WHERE guarantor = %s
            ORDER BY due_from"""
        return conn.execute(sql, (f"H{first}",)).fetchall()

    daily = told([f"2022-07-0{n}" for n in range(1, 6)], 100)
    assert daily == told(["2022-07-31"], 200)
    assert len(daily) == 3


def test_settling_twice_changes_nothing(conn: psycopg.Connection) -> None:
    guarantee(conn)
    release(conn, RELEASED, {7: [(0, 0, 1000)]})
    release(conn, "2022-10-01T10:00", {8: [(0, 0, 3000)]})
    for day in ("2022-07-02", "2022-07-20", "2022-12-01"):
        _summarise(conn, day)
        finance.overdue(conn, law(day))
        _enforce(conn, day)
        before = _books(conn)
        assert _summarise(conn, day).is_empty()
        assert finance.overdue(conn, law(day)).is_empty()
        assert _enforce(conn, day).is_empty()
        assert _books(conn) == before


def test_what_is_corrected_before_is_not_summed(conn: psycopg.Connection) -> None:
    guarantee(conn)
    made = release(conn, RELEASED, {7: [(0, 0, 1000)], 8: [(0, 0, 70)]})
    whole, part = made.heads["bill_id"]
    finance.void(conn, pl.DataFrame({"bill_id": [whole], "document_id": [9]}), 1, 1)
    taken = pl.DataFrame([(part, 1, 9, 0, 0, 0, 30)], schema=bills.CORRECTION, orient="row")
    finance.correct(conn, taken, 1, 1)
    told = _summarise(conn, DAY_31)
    assert told.select("bill_id", "total_fen").rows() == [(part, 40)]


def test_a_list_whose_return_is_under_way_is_withheld(conn: psycopg.Connection) -> None:
    release(conn, RELEASED, {7: [(0, 0, 1000)], 8: [(0, 0, 70)]}, secured=False)
    told = _summarise(conn, DAY_31, withheld=pl.Series([7]))
    assert told["document_id"].to_list() == [8]
    later = _summarise(conn, "2022-07-10")
    assert later["document_id"].to_list() == [7]
    assert str(later["due_to"][0]) == DAY_45


def test_payment_frees_the_guarantee(conn: psycopg.Connection) -> None:
    number = _one(conn)
    assert parts(conn) == (999_000, 0, 1000)
    paid = _pay(conn, number, 1000, DAY_45)
    assert (paid.amount_fen, paid.fee_fen, paid.freed_fen, paid.repeated) == (1000, 0, 1000, False)
    assert parts(conn) == (1_000_000, 0, 0)
    assert balance(conn, "customs") == 1000
    facts = _facts(conn, number)
    assert (facts["status"], facts["owed_fen"], facts["reference"]) == ("paid", 0, "R1")
    assert facts["paid_at"] == ms(f"{DAY_45}T12:00")


def test_a_payment_told_twice_is_recorded_once(conn: psycopg.Connection) -> None:
    number = _one(conn)
    _pay(conn, number, 1000, DAY_31)
    before = _books(conn)
    assert _pay(conn, number, 1000, DAY_31).repeated
    assert _books(conn) == before
    with pytest.raises(finance.NotDue, match="paid"):
        _pay(conn, number, 1000, DAY_31, reference="R2")


@pytest.mark.parametrize(("given", "gap"), [(999, -1), (1001, 1), (500, -500)])
def test_a_partial_payment_is_refused_with_the_difference(
    conn: psycopg.Connection, given: int, gap: int
) -> None:
    number = _one(conn)
    before = _books(conn)
    with pytest.raises(finance.PaymentDiffers, match=r"10\.00 yuan") as refused:
        _pay(conn, number, given, DAY_31)
    told = refused.value
    assert (told.expected, told.given, told.difference) == (1000, given, gap)
    assert _books(conn) == before


def test_an_unknown_payment_is_said_to_be_unknown(conn: psycopg.Connection) -> None:
    with pytest.raises(finance.UnknownBill, match="JK0"):
        _pay(conn, "JK0", 1, DAY_31)


def test_day_45_is_in_time_and_day_46_owes_a_day(conn: psycopg.Connection) -> None:
    number = _one(conn, fen=100_000)
    assert finance.overdue(conn, law(DAY_45)).is_empty()
    told = finance.overdue(conn, law(DAY_46))
    assert told.select("number", "status", "fee_fen", "owed_fen").row(0) == (
        number,
        "overdue",
        50,
        100_050,
    )
    with pytest.raises(finance.PaymentDiffers, match=r"1000\.50"):
        _pay(conn, number, 100_000, DAY_46)
    # Without settlement in between the fee is counted to the day of payment.
    paid = _pay(conn, number, 100_100, "2022-07-18")
    assert (paid.fee_fen, paid.freed_fen) == (100, 100_000)
    assert balance(conn, "customs") == 100_100


@pytest.mark.parametrize("tax", [1, 999, 1000, 1001, 123_457, 99_999_999_999])
@pytest.mark.parametrize("days", [1, 7, 61])
def test_the_late_fee_is_exact_and_half_a_fen_goes_up(
    conn: psycopg.Connection, tax: int, days: int
) -> None:
    _one(conn, fen=tax, secured=False)
    day = date(2022, 7, 16).toordinal() + days
    told = finance.overdue(conn, law(date.fromordinal(day).isoformat()))
    exact = tax * days * Fraction(5, 10_000)
    assert told["fee_fen"][0] == (2 * exact + 1).__floor__() // 2


def test_a_day_before_the_last_count_changes_nothing(conn: psycopg.Connection) -> None:
    number = _one(conn, fen=100_000)
    finance.overdue(conn, law("2022-07-20"))
    assert finance.overdue(conn, law("2022-07-18")).is_empty()
    assert _facts(conn, number)["fee_fen"] == 200


def test_the_guarantee_is_claimed_after_ninety_days(conn: psycopg.Connection) -> None:
    number = _one(conn, fen=100_000)
    assert _enforce(conn, "2022-10-14").is_empty()
    told = _enforce(conn, "2022-10-15")
    fee = 100_000 * 91 * 5 // 10_000
    assert told.select("number", "status", "fee_fen", "claimed_fen", "owed_fen").row(0) == (
        number,
        "claimed",
        fee,
        100_000 + fee,
        0,
    )
    assert parts(conn) == (900_000 - fee, 0, 0)
    assert balance(conn, "customs") == 100_000 + fee
    with pytest.raises(finance.NotDue, match="claimed"):
        _pay(conn, number, 0, "2022-10-16")


def test_what_the_guarantee_does_not_cover_of_the_fees_stays_owed(conn: psycopg.Connection) -> None:
    guarantee(conn, fen=200_005)
    release(conn, RELEASED, {1: [(0, 0, 100_000)]})
    release(conn, "2022-06-02T10:00", {2: [(0, 0, 100_000)]})
    _summarise(conn, "2022-07-31")
    told = _enforce(conn, "2022-12-31").sort("due_to")
    assert told["claimed_fen"].to_list() == [100_005, 100_000]
    assert parts(conn) == (0, 0, 0)
    number, rest = told.select("number", "owed_fen").row(0)
    assert rest == told["fee_fen"][0] - 5
    paid = _pay(conn, number, rest, "2023-01-31")
    assert (paid.amount_fen, paid.freed_fen) == (rest, 0)
    assert _facts(conn, number)["status"] == "paid"


def test_what_was_never_secured_is_not_claimed(conn: psycopg.Connection) -> None:
    number = _one(conn, secured=False)
    finance.overdue(conn, law("2022-12-31"))
    assert _enforce(conn, "2022-12-31").is_empty()
    assert _facts(conn, number)["status"] == "overdue"
    assert parts(conn) == (1_000_000, 0, 0)


def test_the_days_until_enforcement_are_a_parameter(conn: psycopg.Connection) -> None:
    _one(conn)
    drafted = policy.load(parameters={"settlement.enforce-after-days": {"2020-01-01": 1}})
    assert finance.enforce(conn, drafted.on(date(2022, 7, 17)), 1, 1).is_empty()
    assert finance.enforce(conn, drafted.on(date(2022, 7, 18)), 1, 1).height == 1


def _return(conn: psycopg.Connection, document: int = 7) -> bills.Bills:
    bill = bills.of_documents(conn, pl.Series([document])).heads["bill_id"][0]
    back = pl.DataFrame({"bill_id": [bill], "document_id": [900]})
    return finance.void(conn, back, ms("2022-07-15T10:00"), 1)


def test_a_return_before_payment_lowers_what_is_owed(conn: psycopg.Connection) -> None:
    guarantee(conn)
    release(conn, RELEASED, {7: [(0, 0, 1000)], 8: [(0, 0, 70)]})
    number = _summarise(conn, DAY_31)["number"][0]
    assert _return(conn).heads.select("status", "number").row(0) == (3, number)
    facts = _facts(conn, number)
    assert (facts["total_fen"], facts["returned_fen"], facts["owed_fen"]) == (1070, 1000, 70)
    assert parts(conn) == (1_000_000 - 70, 0, 70)
    assert _pay(conn, number, 70, DAY_45).freed_fen == 70
    assert parts(conn) == (1_000_000, 0, 0)


def test_a_payment_of_which_nothing_is_left_is_void(conn: psycopg.Connection) -> None:
    number = _one(conn)
    finance.overdue(conn, law(DAY_46))
    _return(conn)
    facts = _facts(conn, number)
    assert (facts["status"], facts["owed_fen"]) == ("void", 0)
    assert parts(conn) == (1_000_000, 0, 0)
    with pytest.raises(finance.NotDue, match="void"):
        _pay(conn, number, 0, DAY_46)


@pytest.mark.parametrize("how", ["paid", "claimed"])
def test_a_return_after_it_was_settled_is_refunded(conn: psycopg.Connection, how: str) -> None:
    number = _one(conn)
    if how == "paid":
        _pay(conn, number, 1000, DAY_31)
    else:
        _enforce(conn, "2022-12-31")
    before = balance(conn, "customs")
    held = parts(conn)
    _return(conn)
    assert balance(conn, "customs") == before - 1000
    assert parts(conn) == held
    facts = _facts(conn, number)
    assert (facts["status"], facts["refunded_fen"], facts["owed_fen"]) == (how, 1000, 0)


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE summary SET total_fen = 1",
        "UPDATE summary SET due_to = due_to + 10",
        "UPDATE summary SET status = 'paid'",
        "UPDATE summary SET status = 'paid', paid_fen = 999, paid_at = 1, reference = 'x'",
        "UPDATE summary SET status = 'void'",
        "UPDATE summary SET returned_fen = 1001",
        "UPDATE summary SET claimed_fen = 1001",
        "UPDATE bill SET summary_id = 0",
        "DELETE FROM summary",
        "TRUNCATE summary",
    ],
)
def test_a_payment_is_not_edited(conn: psycopg.Connection, attack: str) -> None:
    number = _one(conn)
    before = _books(conn)
    with pytest.raises(psycopg.errors.CheckViolation), conn.transaction():
        conn.execute(attack)
    assert _books(conn) == before
    _pay(conn, number, 1000, DAY_31)
    with pytest.raises(psycopg.errors.CheckViolation), conn.transaction():
        conn.execute("UPDATE summary SET status = 'due', paid_fen = NULL")
