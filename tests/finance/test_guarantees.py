"""Guarantees opened, raised, frozen and watched; and eight who want the same one at once."""

import threading
from datetime import date
from fractions import Fraction

import polars as pl
import psycopg
import pytest

from tongguan import finance, policy, store
from tongguan.finance import guarantees, ledger

LAW = policy.load().on(date(2022, 6, 1))


def _open(conn: psycopg.Connection, code: str, fen: int, at_ms: int = 1) -> None:
    guarantees.open_guarantee(conn, code, "letter", fen, at_ms, 1)


def _hold(conn: psycopg.Connection, code: str, fen: int, what: str = "hold") -> None:
    ledger.within(conn, what, pl.DataFrame({"code": [code], "amount_fen": [fen], "at": [2]}), 1)


def _events(conn: psycopg.Connection) -> list[tuple[str, str]]:
    return conn.execute("SELECT code, what FROM guarantee_event ORDER BY id").fetchall()


def test_opening_again_raises_it(conn: psycopg.Connection) -> None:
    _open(conn, "G1", 700, at_ms=1)
    guarantees.open_guarantee(conn, "G1", "deposit", 300, 9, 2)
    facts = guarantees.show(conn, "G1")
    assert (facts["amount_fen"], facts["free_fen"], facts["kind"]) == (1000, 1000, "letter")
    assert facts["opened_at"] == 1
    assert _events(conn) == [("G1", "opened"), ("G1", "increased")]


@pytest.mark.parametrize(
    ("code", "kind", "fen"),
    [("G1", "letter", 0), ("G1", "promise", 5), ("G1/posted", "letter", 5), ("", "letter", 5)],
)
def test_what_is_no_guarantee_is_refused(
    conn: psycopg.Connection, code: str, kind: str, fen: int
) -> None:
    with pytest.raises(ValueError, match=r"guarantee|code"):
        guarantees.open_guarantee(conn, code, kind, fen, 1, 1)


def test_a_guarantee_shows_its_parts(conn: psycopg.Connection) -> None:
    _open(conn, "G1", 1000)
    _hold(conn, "G1", 500)
    _hold(conn, "G1", 200, "post")
    facts = guarantees.show(conn, "G1")
    parts = [facts[f"{name}_fen"] for name in ("amount", "free", "pending", "posted")]
    assert parts == [1000, 500, 300, 200]
    assert facts["used"] == Fraction(1, 2)
    assert facts["forecast_free_fen"] == 1000


def test_an_unknown_guarantee_is_said_to_be_unknown(conn: psycopg.Connection) -> None:
    for asked in (guarantees.show, lambda c, code: guarantees.freeze(c, code, 1, 1)):
        with pytest.raises(guarantees.UnknownGuarantee, match="G9"):
            asked(conn, "G9")


def test_a_frozen_guarantee_holds_nothing_even_by_sql(conn: psycopg.Connection) -> None:
    _open(conn, "G1", 1000)
    _hold(conn, "G1", 100)
    assert guarantees.freeze(conn, "G1", 3, 1)
    assert not guarantees.freeze(conn, "G1", 4, 1)
    with pytest.raises(psycopg.errors.CheckViolation, match="frozen"), conn.transaction():
        _hold(conn, "G1", 1)
    _hold(conn, "G1", 100, "void")
    assert guarantees.unfreeze(conn, "G1", 5, 1)
    _hold(conn, "G1", 1)
    assert [what for _, what in _events(conn)] == ["opened", "frozen", "unfrozen"]


def test_states_of_known_frozen_and_unknown(conn: psycopg.Connection) -> None:
    _open(conn, "B", 1000)
    _open(conn, "A", 50)
    _hold(conn, "B", 400)
    guarantees.freeze(conn, "A", 3, 1)
    asked = pl.Series(["B", None, "C", "A", "B"])
    for lock in (True, False):
        assert guarantees.states(conn, asked, lock).rows() == [
            ("A", True, True, 50, 50),
            ("B", True, False, 600, 1000),
            ("C", False, False, 0, 0),
        ]
    nobody = guarantees.states(conn, pl.Series([None], dtype=pl.String))
    assert nobody.schema == pl.Schema(guarantees.STATES)
    assert nobody.is_empty()


def test_four_fifths_warn_once_until_relieved(conn: psycopg.Connection) -> None:
    _open(conn, "G1", 1000)
    asked = pl.Series(["G1"])

    def told() -> list[tuple[str, str, int, int]]:
        return guarantees.watch(conn, asked, LAW, 3, 1).rows()

    _hold(conn, "G1", 799)
    assert told() == []
    _hold(conn, "G1", 1)
    assert told() == [("G1", "warned", 1000, 200)]
    assert told() == []
    assert guarantees.show(conn, "G1")["warned"]
    _hold(conn, "G1", 1, "void")
    assert told() == [("G1", "relieved", 1000, 201)]
    assert [what for _, what in _events(conn)] == ["opened", "warned", "relieved"]


WORKERS, BATCHES, FREE = 8, 6, 100_000


def test_eight_workers_never_release_more_than_the_guarantee(books: store.Database) -> None:
    """Each reads, allots and posts like the job does; the guarantee is short of a third of it."""
    with books.connect() as conn:
        _open(conn, "G1", FREE)
        conn.commit()
    taxes = [
        [(w * 977 + b * 3571 + k * 131) % 3000 + 1 for k in range(3)]
        for w in range(8)
        for b in range(BATCHES)
    ]
    assert sum(map(sum, taxes)) > FREE * 4 // 3
    served: list[tuple[int, int, list[bool]]] = []
    failures: list[BaseException] = []

    def work(conn: psycopg.Connection, mine: list[int]) -> tuple[int, int, list[bool]]:
        states = guarantees.states(conn, pl.Series(["G1"]))
        turn = conn.execute("SELECT nextval('transfer_id')").fetchone()
        cases = pl.DataFrame(
            {
                "case": range(len(mine)),
                "guarantor": ["G1"] * len(mine),
                "tax_fen": mine,
                "eligible": [True] * len(mine),
            }
        )
        holds = finance.allot(cases, states, opened_registry=False).heads["holds"]
        moved = cases.filter(holds).select(
            code="guarantor", amount_fen="tax_fen", at=pl.lit(2, dtype=pl.Int64)
        )
        ledger.within(conn, "hold", moved, 1)
        ledger.within(conn, "post", moved, 1)
        return turn[0], states["free_fen"][0], holds.to_list()

    def run(number: int) -> None:
        try:
            for batch in range(BATCHES):
                mine = taxes[number * BATCHES + batch]
                turn, _, held = store.transact(books, lambda c, m=mine: work(c, m))
                served.append((turn, number * BATCHES + batch, held))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    free = FREE
    for _, batch, held in sorted(served):
        for tax, one in zip(taxes[batch], held, strict=True):
            assert one == (tax <= free)
            free -= tax if one else 0
    with books.connect() as conn:
        facts = guarantees.show(conn, "G1")
    assert facts["free_fen"] == free
    assert facts["posted_fen"] == FREE - free <= FREE
    assert not all(all(held) for _, _, held in served)
