"""The database itself keeps the ledger: every attack here is plain SQL."""

import polars as pl
import psycopg
import pytest

from tongguan.finance import guarantees, ledger

OPEN = ("open", "outside", "guarantee/G1")


def _sql(conn: psycopg.Connection, what: str, debit: str, credit: str, fen: int) -> None:
    conn.execute(
        """INSERT INTO transfer (batch_id, at, what, debit, credit, amount_fen)
        VALUES (1, 0, %s, %s, %s, %s)""",
        (what, debit, credit, fen),
    )


def _balances(conn: psycopg.Connection) -> dict[str, int]:
    return dict(conn.execute("SELECT id, balance_fen FROM account").fetchall())


def _part(conn: psycopg.Connection, code: str = "G1") -> tuple[int, int, int]:
    facts = guarantees.show(conn, code)
    return facts["free_fen"], facts["pending_fen"], facts["posted_fen"]


def _moved(fen: int, **more: object) -> pl.DataFrame:
    return pl.DataFrame({"code": ["G1"], "amount_fen": [fen], "at": [5], **more})


def test_a_transfer_moves_its_amount_from_debit_to_credit(conn: psycopg.Connection) -> None:
    _sql(conn, *OPEN, 500)
    assert _balances(conn) == {"outside": -500, "guarantee/G1": 500}


def test_no_account_falls_below_its_floor(conn: psycopg.Connection) -> None:
    _sql(conn, *OPEN, 500)
    with pytest.raises(psycopg.errors.CheckViolation, match="account_not_below_its_floor"):
        _sql(conn, "hold", "guarantee/G1", "guarantee/G1/pending", 501)


def test_the_last_fen_can_be_held(conn: psycopg.Connection) -> None:
    _sql(conn, *OPEN, 500)
    _sql(conn, "hold", "guarantee/G1", "guarantee/G1/pending", 500)
    assert _balances(conn)["guarantee/G1"] == 0


@pytest.mark.parametrize("fen", [0, -1])
def test_an_amount_is_positive(conn: psycopg.Connection, fen: int) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="transfer_moves_something"):
        _sql(conn, *OPEN, fen)


@pytest.mark.parametrize(
    ("what", "debit", "credit"),
    [
        ("open", "customs", "guarantee/G1"),
        ("open", "outside", "guarantee/G1/posted"),
        ("hold", "guarantee/G1", "guarantee/G2/pending"),
        ("post", "guarantee/G1/pending", "guarantee/G2/posted"),
        ("post", "guarantee/G1", "guarantee/G1/posted"),
        ("void", "guarantee/G1/posted", "guarantee/G1"),
        ("pay", "guarantee/G1/posted", "guarantee/G2"),
        ("pay", "guarantee/G1", "customs"),
        ("claim", "guarantee/G1/pending", "customs"),
        ("claim", "guarantee/G1/posted", "outside"),
        ("reverse", "guarantee/G1/pending", "guarantee/G1"),
        ("refund", "customs", "guarantee/G1"),
        ("gift", "outside", "guarantee/G1"),
        ("open", "outside", "guarantee/"),
        ("open", "outside", "guarantee/G1/pending"),
    ],
)
def test_a_movement_has_its_own_accounts(
    conn: psycopg.Connection, what: str, debit: str, credit: str
) -> None:
    for code in ("G1", "G2"):
        _sql(conn, "open", "outside", f"guarantee/{code}", 500)
        _sql(conn, "hold", f"guarantee/{code}", f"guarantee/{code}/pending", 200)
        _sql(conn, "post", f"guarantee/{code}/pending", f"guarantee/{code}/posted", 100)
    with pytest.raises(psycopg.errors.CheckViolation, match="transfer_goes_its_way"):
        _sql(conn, what, debit, credit, 1)


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE transfer SET amount_fen = 1",
        "DELETE FROM transfer",
        "TRUNCATE transfer",
        "UPDATE account SET balance_fen = 10000 WHERE id = 'guarantee/G1'",
        "UPDATE account SET floor_fen = NULL",
        "INSERT INTO account VALUES ('guarantee/G9', 7, 0)",
        "DELETE FROM account",
        "TRUNCATE account",
        "DELETE FROM guarantee",
        "DELETE FROM guarantee_event",
        "UPDATE guarantee_event SET amount_fen = 1",
    ],
)
def test_nothing_is_edited(conn: psycopg.Connection, attack: str) -> None:
    guarantees.open_guarantee(conn, "G1", "deposit", 500, 1, 1)
    before = _balances(conn)
    with pytest.raises(psycopg.errors.CheckViolation), conn.transaction():
        conn.execute(attack)
    assert _balances(conn) == before


def test_accounts_are_the_sums_of_their_transfers(conn: psycopg.Connection) -> None:
    guarantees.open_guarantee(conn, "G1", "deposit", 900, 1, 1)
    for what, fen in (("hold", 700), ("post", 500), ("void", 50), ("expire", 30), ("pay", 90)):
        ledger.within(conn, what, _moved(fen), 1)
    ledger.within(conn, "reverse", _moved(10), 1)
    sql = """SELECT id, sum(fen) FROM (SELECT debit AS id, -amount_fen AS fen FROM transfer
        UNION ALL SELECT credit, amount_fen FROM transfer) side GROUP BY id"""
    assert dict(conn.execute(sql).fetchall()) == _balances(conn)
    assert sum(_balances(conn).values()) == 0
    assert _part(conn) == (900 - 700 + 50 + 30 + 90 + 10, 700 - 500 - 50 - 30, 500 - 90 - 10)


def test_hold_and_post_in_one_statement_count_as_a_sum(conn: psycopg.Connection) -> None:
    guarantees.open_guarantee(conn, "G1", "deposit", 100, 1, 1)
    both = pl.DataFrame(
        {
            "batch_id": [1, 1],
            "at": [1, 1],
            "what": ["hold", "post"],
            "debit": ["guarantee/G1", "guarantee/G1/pending"],
            "credit": ["guarantee/G1/pending", "guarantee/G1/posted"],
            "amount_fen": [100, 100],
            "document_id": [7, 7],
        }
    )
    ledger.move(conn, both)
    assert _part(conn) == (0, 0, 100)
    rows = conn.execute("SELECT what, document_id FROM transfer ORDER BY id").fetchall()
    assert rows == [("open", None), ("hold", 7), ("post", 7)]


@pytest.mark.parametrize("what", ["void", "expire", "post"])
def test_no_more_leaves_pending_than_was_held(conn: psycopg.Connection, what: str) -> None:
    guarantees.open_guarantee(conn, "G1", "deposit", 500, 1, 1)
    ledger.within(conn, "hold", _moved(100), 1)
    with pytest.raises(psycopg.errors.CheckViolation, match="account_not_below"):
        ledger.within(conn, what, _moved(101), 1)


@pytest.mark.parametrize("what", ["pay", "reverse"])
def test_no_more_is_freed_than_was_posted(conn: psycopg.Connection, what: str) -> None:
    guarantees.open_guarantee(conn, "G1", "deposit", 500, 1, 1)
    ledger.within(conn, "hold", _moved(100), 1)
    ledger.within(conn, "post", _moved(100), 1)
    with pytest.raises(psycopg.errors.CheckViolation, match="account_not_below"):
        ledger.within(conn, what, _moved(101), 1)


def test_amounts_of_nothing_are_no_transfers(conn: psycopg.Connection) -> None:
    guarantees.open_guarantee(conn, "G1", "deposit", 500, 1, 1)
    ledger.within(conn, "hold", _moved(0), 1)
    assert conn.execute("SELECT count(*) FROM transfer").fetchone() == (1,)
