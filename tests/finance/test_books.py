"""The invariants of the books, whatever is done to them in whatever order, also at once."""

import threading
from collections.abc import Callable
from datetime import date, timedelta

import polars as pl
import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parcels import POLICY, guarantee, ms, parts, release

from tongguan import finance, store
from tongguan.finance import bills, guarantees

START = date(2022, 6, 1)
FREE = 5_000

ACTS = st.lists(
    st.tuples(
        st.sampled_from(["release", "raise", "part", "void", "wait", "wait", "settle", "pay"]),
        st.integers(0, 1_000),
    ),
    min_size=4,
    max_size=25,
)


def _void(conn: psycopg.Connection, document: int) -> None:
    heads = bills.of_documents(conn, pl.Series([document])).heads
    finance.void(conn, heads.select("bill_id", document_id=pl.lit(10_000 + document)), 1, 1)


class Story:
    """Acts on one guarantee, chosen by numbers; what cannot be done then is left."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self.conn, self.day, self.opened, self.documents = conn, START, FREE, 0
        guarantee(conn, fen=FREE)

    @property
    def at(self) -> int:
        return ms(f"{self.day}T10:00")

    def release(self, chance: int) -> None:
        states = guarantees.states(self.conn, pl.Series(["G1"]))
        tax = 1 + chance
        cases = pl.DataFrame(
            {"case": [0], "guarantor": ["G1"], "tax_fen": [tax], "eligible": [True]}
        )
        if finance.allot(cases, states, opened_registry=False).heads["holds"][0]:
            self.documents += 1
            taxes = [(0, 0, tax // 2), (0, 0, tax - tax // 2)]
            release(self.conn, f"{self.day}T10:00", {self.documents: taxes})

    def raise_(self, chance: int) -> None:
        guarantees.open_guarantee(self.conn, "G1", "deposit", 1 + chance, self.at, 1)
        self.opened += 1 + chance

    def _bill(self, chance: int) -> bills.Bills:
        return bills.of_documents(self.conn, pl.Series([chance % max(1, self.documents) + 1]))

    def part(self, chance: int) -> None:
        left = self._bill(chance).lines.filter(pl.col("vat_fen") > 0).head(1)
        back = left.drop("gcode").with_columns(
            document_id=pl.lit(1000 + chance), vat_fen=(pl.col("vat_fen") + 1) // 2
        )
        known = "SELECT 1 FROM bill_correction WHERE document_id = %s"
        if not self.conn.execute(known, (1000 + chance,)).fetchone():
            finance.correct(self.conn, back, self.at, 1)

    def void(self, chance: int) -> None:
        _void(self.conn, chance % max(1, self.documents) + 1)

    def wait(self, chance: int) -> None:
        self.day += timedelta(days=chance % 60)

    def settle(self, chance: int) -> None:
        law = POLICY.on(self.day)
        finance.summarise(self.conn, self.day, 1, self.at)
        finance.overdue(self.conn, law)
        finance.enforce(self.conn, law, self.at, 1)

    def pay(self, chance: int) -> None:
        rows = self.conn.execute("SELECT number FROM summary ORDER BY id").fetchall()
        if not rows:
            return
        number = rows[chance % len(rows)][0]
        try:
            finance.pay(self.conn, number, -1, "R", self.at, 1, POLICY.on(self.day))
        except finance.PaymentDiffers as told:
            finance.pay(self.conn, number, told.expected, "R", self.at, 1, POLICY.on(self.day))
        except finance.NotDue:
            pass


def _one(conn: psycopg.Connection, sql: str) -> int:
    row = conn.execute(sql).fetchone()
    assert row
    return int(row[0] or 0)


_NET = "b.total_fen - coalesce((SELECT sum(vat_fen) FROM bill_correction WHERE bill_id = b.id), 0)"


def _balanced(conn: psycopg.Connection, opened: int) -> None:
    free, pending, posted = parts(conn)
    claimed = _one(
        conn, "SELECT sum(amount_fen) FROM transfer WHERE what = 'claim' AND debit LIKE 'guara%'"
    )
    assert free + pending + posted == opened - claimed
    assert _one(conn, "SELECT sum(balance_fen) FROM account") == 0
    unsettled = f"""SELECT sum({_NET}) FROM bill b LEFT JOIN summary s ON s.id = b.summary_id
        WHERE b.secured AND coalesce(s.status, '') NOT IN ('paid', 'claimed')"""
    assert posted == _one(conn, unsettled)
    owed = """SELECT sum(total_fen - returned_fen) FROM summary
        WHERE status IN ('due', 'overdue', 'void')"""
    of_bills = f"""SELECT sum({_NET}) FROM bill b JOIN summary s ON s.id = b.summary_id
        WHERE s.status IN ('due', 'overdue', 'void')"""
    assert _one(conn, owed) == _one(conn, of_bills)
    received = """SELECT sum(coalesce(paid_fen, 0) + claimed_fen - refunded_fen) FROM summary"""
    customs = _one(conn, "SELECT sum(balance_fen) FROM account WHERE id = 'customs'")
    assert customs == _one(conn, received)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(acts=ACTS)
def test_the_books_balance_whatever_is_done(
    conn: psycopg.Connection, acts: list[tuple[str, int]]
) -> None:
    conn.rollback()
    story = Story(conn)
    for act, chance in acts:
        getattr(story, "raise_" if act == "raise" else act)(chance)
        _balanced(conn, story.opened)
    conn.rollback()


def _together(works: list[Callable[[], None]]) -> None:
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_settling_paying_and_returning_at_once(books: store.Database) -> None:
    """Four settle, then four pay each bill while four others return half of the parcels."""
    with books.connect() as conn:
        guarantee(conn, fen=1_000_000)
        for n in range(1, 41):
            release(conn, f"2022-06-{n % 20 + 1:02d}T10:00", {n: [(0, 0, 100 + n)]})
        conn.commit()
    day = date(2022, 7, 31)

    def settle() -> None:
        store.transact(books, lambda c: finance.summarise(c, day, 1, 1))

    _together([settle] * 4)
    with books.connect() as conn:
        assert _one(conn, "SELECT count(*) FROM summary") == 20
        assert _one(conn, "SELECT sum(parcels) FROM summary") == 40
        numbers = [row[0] for row in conn.execute("SELECT number FROM summary ORDER BY id")]

    def pay_one(conn: psycopg.Connection, number: str) -> None:
        asked = pl.Series([number])
        owed = finance.summaries(conn, asked)["owed_fen"][0]
        try:
            finance.pay(conn, number, owed, "R", 1, 1, POLICY.on(date(2022, 7, 10)))
        except finance.PaymentDiffers as told:
            finance.pay(conn, number, told.expected, "R", 1, 1, POLICY.on(date(2022, 7, 10)))
        except finance.NotDue:
            pass

    def pay() -> None:
        for number in numbers:
            store.transact(books, lambda c, n=number: pay_one(c, n))

    def take_back(first: int) -> None:
        for document in range(first, 41, 4):
            if document % 2:
                store.transact(books, lambda c, d=document: _void(c, d))

    _together([pay] * 4 + [lambda n=n: take_back(n) for n in range(1, 5)])
    with books.connect() as conn:
        _balanced(conn, 1_000_000)
        assert _one(conn, "SELECT count(*) FROM bill WHERE status = 3") == 20
        assert parts(conn) == (1_000_000, 0, 0)
