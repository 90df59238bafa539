"""Parcels live in any order, and after every step the books agree with a model of a few lines.

The model knows days, quantities and fen; it computes tax, limits and late fees itself.
"""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

import psycopg
import pytest
from dossiers import ANNA, BO, PLATFORM, Buyer, Item, Window, cancellation, parcel, returned
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.conninfo import make_conninfo

from tongguan import clearance, codes, finance, store
from tongguan.clearance.transitions import transitions

CODE = PLATFORM[0]
SHANGHAI = ZoneInfo("Asia/Shanghai")
OPENED = 600_00
YEAR = 26_000_00
REFUSED, AWAITED, RELEASED = 100, 400, 800
_numbers = itertools.count(1)


def half_up(above: int, below: int) -> int:
    return (2 * above + below) // (2 * below)


@dataclass
class Bought:
    """A parcel of one line as it should stand. asked, back: pieces on their way back, and back."""

    no: int
    buyer: Buyer
    price: int
    qty: int
    declared: date
    status: int = 0
    released: date | None = None
    asked: int = 0
    back: int = 0
    payment: str | None = None

    @property
    def items(self) -> tuple[Item, ...]:
        return (Item(f"{self.price // 100}.{self.price % 100:02d}", str(self.qty)),)

    @property
    def whole_tax(self) -> int:
        """13 % × 70 % of the goods."""
        return half_up(self.price * self.qty * 91, 1000)

    @property
    def tax(self) -> int:
        """What is left of it."""
        return self.whole_tax - half_up(self.whole_tax * self.back, self.qty)

    @property
    def counted(self) -> int:
        """What it takes of its buyer's year."""
        taken = self.status in (AWAITED, RELEASED)
        return self.price * (self.qty - self.back) if taken else 0


@dataclass
class Back:
    """A return under way."""

    key: str
    parcel: Bought
    qty: int


@dataclass
class Owed:
    """A payment that settlement made."""

    number: str
    parcels: list[Bought]
    due_to: date
    status: str = "due"
    claimed: int = 0
    fee: int = 0

    @property
    def tax(self) -> int:
        return sum(one.tax for one in self.parcels)

    def fee_on(self, day: date) -> int:
        """0.05 % of the tax for each day after the last one."""
        return half_up(self.tax * 5 * max((day - self.due_to).days, 0), 10_000)


class Life(RuleBasedStateMachine):
    """One window, its guarantee of 600 yuan, two buyers."""

    seen: ClassVar[set[str]] = set()
    """The kinds of movements in the ledger, over all lives."""

    def __init__(self, server: store.Database, template: str, folder: Path) -> None:
        super().__init__()
        self.stack = ExitStack()
        number = next(_numbers)
        name = f"life_{number}"
        with server.connect(autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        self.stack.callback(self._drop, server.url, name)
        database = self.stack.enter_context(store.open(make_conninfo(server.url, dbname=name)))
        own = folder / name
        own.mkdir()
        self.window = Window(database, store.Vault(bytes(range(32))), own)
        self.moment = datetime.combine(date(2022, 11, 20), time(12), SHANGHAI)
        self.parcels: list[Bought] = []
        self.returns: list[Back] = []
        self.payments: list[Owed] = []
        self.numbers = itertools.count(1)
        self.claimed = 0

    @staticmethod
    def _drop(url: str, name: str) -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def teardown(self) -> None:
        self.seen.update(row[0] for row in self.window.rows("SELECT DISTINCT what FROM transfer"))
        self.stack.close()

    @property
    def at(self) -> str:
        return self.moment.isoformat()

    @property
    def today(self) -> date:
        return self.moment.date()

    @property
    def under(self) -> clearance.Settings:
        return self.window.settings(self.at)

    def pending(self) -> int:
        return sum(one.tax for one in self.parcels if one.status == AWAITED)

    def posted(self) -> int:
        """Tax of released parcels that is neither paid nor claimed."""
        done = {one.number for one in self.payments if one.status in ("paid", "claimed")}
        released = [one for one in self.parcels if one.status == RELEASED]
        return sum(one.tax for one in released if one.payment not in done)

    def free(self) -> int:
        return OPENED - self.claimed - self.pending() - self.posted()

    def used(self, buyer: Buyer, year: int) -> int:
        mine = [one for one in self.parcels if (one.buyer, one.declared.year) == (buyer, year)]
        return sum(one.counted for one in mine)

    def swept(self) -> None:
        """Returns whose goods have not come by day 45 have no effect."""
        for one in [each for each in self.returns if self.late(each)]:
            one.parcel.asked -= one.qty
            self.returns.remove(one)

    def late(self, one: Back) -> bool:
        assert one.parcel.released
        return self.today > one.parcel.released + timedelta(days=45)

    # ── steps ───────────────────────────────────────────────────────────────────────────────

    @initialize()
    def begin(self) -> None:
        """A guarantee, and three parcels, so that every step has something to be about."""
        clearance.open_guarantee(self.window.database, self.under, CODE, "letter", OPENED)
        for buyer, bought, direct in START:
            self.buy(buyer, bought, direct)

    @rule(
        buyer=st.sampled_from([ANNA, BO]),
        bought=st.sampled_from([(100_00, 3), (33_33, 7), (1234_56, 4), (4_999_99, 1), (57, 1)]),
        direct=st.booleans(),
    )
    def declare(self, buyer: Buyer, bought: tuple[int, int], direct: bool) -> None:
        self.buy(buyer, bought, direct)

    def buy(self, buyer: Buyer, bought: tuple[int, int], direct: bool) -> None:
        one = Bought(len(self.parcels) + 1, buyer, *bought, self.today)
        fits = self.used(buyer, self.today.year) + one.price * one.qty <= YEAR
        fits = fits and one.tax <= self.free()
        papers = parcel(one.no, buyer=buyer, items=one.items, mode="9610" if direct else "1210")
        done = self.window.clear(*papers, at=self.at, arrivals="required")
        one.status = (AWAITED if direct else RELEASED) if fits else REFUSED
        one.released = self.today if one.status == RELEASED else None
        self.parcels.append(one)
        self.swept()
        assert done.one("inventory")["status"] == one.status

    @precondition(lambda self: any(one.status == AWAITED for one in self.parcels))
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([p for p in self.parcels if p.status == AWAITED]))
        [line] = self.window.arrive(f"L{one.no:07d}", self.at)
        one.status, one.released = RELEASED, self.today
        assert line["history"][-2:] == [AWAITED, RELEASED]

    @precondition(lambda self: self.parcels)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.parcels))
        paper = cancellation(one.no, buyer=one.buyer, copNo=f"X{next(self.numbers):07d}")
        [line] = self.window.clear(paper, at=self.at).all("cancellation")
        self.swept()
        assert (line["status"] == 399) == (one.status == AWAITED)
        if one.status == AWAITED:
            one.status = REFUSED

    @precondition(lambda self: any(one.released for one in self.parcels))
    @rule(data=st.data())
    def send_back(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([p for p in self.parcels if p.released]))
        qty = data.draw(st.integers(1, one.qty))
        key = f"R{next(self.numbers):07d}"
        paper = returned(one.no, buyer=one.buyer, items=one.items, part=(str(qty),), copNo=key)
        assert one.released
        in_time = self.today <= one.released + timedelta(days=30)
        good = in_time and qty <= one.qty - one.asked
        [line] = self.window.clear(paper, at=self.at).all("return")
        assert line["status"] == (399 if good else 100)
        if good:
            one.asked += qty
            self.returns.append(Back(key, one, qty))
        self.swept()

    @precondition(lambda self: self.returns)
    @rule(data=st.data())
    def receive(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.returns))
        [line] = self.window.arrive(one.key, self.at)
        assert line["status"] == (100 if self.late(one) else 899)
        if self.late(one):
            one.parcel.asked -= one.qty
        else:
            one.parcel.back += one.qty
        self.returns.remove(one)

    @rule(days=st.sampled_from([1, 14, 30, 31]), hour=st.sampled_from([0, 12, 23]))
    def pass_days(self, days: int, hour: int) -> None:
        clock = time(23, 59, 59) if hour == 23 else time(hour)
        day = min(self.today + timedelta(days=days), date(2025, 12, 31))
        self.moment = max(self.moment, datetime.combine(day, clock, SHANGHAI))

    @rule(days=st.sampled_from([0, 30, 31, 46, 140]))
    def settle(self, days: int) -> None:
        self.pass_days(days, 0 if days else 12)
        clearance.settle(self.window.database, self.under)
        self.swept()
        self._sum_up()
        for one in self.payments:
            late = (self.today - one.due_to).days
            if one.status in ("due", "overdue") and late > 0:
                one.status, one.fee = "overdue", one.fee_on(self.today)
            if one.status == "overdue" and late > 90:
                self._claim(one)
        again = clearance.settle(self.window.database, self.under)
        assert (again.lines, again.receipts) == ([], 0)

    def _sum_up(self) -> None:
        away = {one.parcel.no for one in self.returns}
        due: dict[date, list[Bought]] = {}
        for one in self.parcels:
            if one.status == RELEASED and one.payment is None and one.tax and one.no not in away:
                assert one.released
                if self.today >= one.released + timedelta(days=31):
                    due.setdefault(one.released, []).append(one)
        known = {one.number for one in self.payments}
        rows = self.window.rows(
            """SELECT s.number, s.due_from, s.due_to, d.key_b FROM summary s
            JOIN bill b ON b.summary_id = s.id JOIN document d ON d.id = b.document_id
            WHERE s.number <> ALL(%s) ORDER BY s.id, d.id""",
            list(known),
        )
        made = [(key, list(rest)) for key, rest in itertools.groupby(rows, lambda row: row[:3])]
        assert len(made) == len(due)
        for (number, first, last), rest in made:
            mine = due[first - timedelta(days=31)]
            assert last == first + timedelta(days=14)
            assert [row[3] for row in rest] == [f"O{one.no:07d}" for one in mine]
            for one in mine:
                one.payment = number
            self.payments.append(Owed(number, mine, last))

    def _claim(self, one: Owed) -> None:
        """The tax from what is posted for it, the late fee as far as what is free reaches."""
        of_fee = min(one.fee, self.free())
        one.status, one.claimed = "claimed", one.tax + of_fee
        self.claimed += one.claimed

    @precondition(lambda self: self.payments)
    @rule(data=st.data())
    def pay(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.payments))
        if one.status in ("due", "overdue"):
            one.fee = one.fee_on(self.today)
        owed = one.tax + one.fee - one.claimed if one.status != "paid" else 0

        def paid(fen: int) -> finance.Payment:
            return clearance.pay(self.window.database, self.under, one.number, fen, "R")

        if owed == 0:
            with pytest.raises(finance.NotDue):
                paid(1_000_000_00)
            return
        for wrong in (owed - 1, owed + 1):
            with pytest.raises(finance.PaymentDiffers) as told:
                paid(wrong)
            assert (told.value.expected, told.value.difference) == (owed, wrong - owed)
        assert paid(owed).freed_fen == (0 if one.claimed else one.tax)
        one.status = "paid"
        assert paid(owed).repeated

    # ── what always holds ───────────────────────────────────────────────────────────────────

    def one_row(self, sql: str) -> tuple[int, ...]:
        [row] = self.window.rows(sql)
        return row

    @invariant()
    def the_ledger_is_balanced(self) -> None:
        assert self.one_row("SELECT coalesce(sum(balance_fen), 0)::bigint FROM account") == (0,)

    @invariant()
    def the_guarantee_is_all_there(self) -> None:
        balances = dict(self.window.rows("SELECT id, balance_fen FROM account"))
        name = f"guarantee/{CODE}"
        held = [balances.get(name + part, 0) for part in ("", "/pending", "/posted")]
        if held == [0, 0, 0]:
            return  # before it is opened
        assert held == [self.free(), self.pending(), self.posted()]
        (claimed,) = self.one_row(
            "SELECT coalesce(sum(amount_fen), 0)::bigint FROM transfer WHERE what = 'claim'"
        )
        assert (claimed, sum(held)) == (self.claimed, OPENED - claimed)

    @invariant()
    def the_year_is_what_was_not_returned(self) -> None:
        rows = self.window.rows("SELECT buyer, year, used_fen FROM allowance WHERE used_fen > 0")
        digests = self.window.vault.digest([ANNA.number, BO.number])
        names = dict(zip(digests, (ANNA, BO), strict=True))
        expected = {
            (buyer, year): self.used(buyer, year)
            for buyer in (ANNA, BO)
            for year in range(2022, 2026)
            if self.used(buyer, year)
        }
        assert {(names[b.split(":")[-1]], year): fen for b, year, fen in rows} == expected
        entries = self.window.rows(
            """SELECT buyer, year, sum(CASE what WHEN 'use' THEN fen ELSE -fen END)::bigint
            FROM allowance_entry GROUP BY 1, 2 HAVING
                sum(CASE what WHEN 'use' THEN fen ELSE -fen END) > 0"""
        )
        assert sorted(entries) == sorted(rows)

    @invariant()
    def each_document_is_in_one_legal_state(self) -> None:
        lists = self.window.rows(
            "SELECT key_b, status FROM document WHERE kind = %s AND current ORDER BY id",
            codes.KINDS["inventory"],
        )
        assert lists == [(f"O{one.no:07d}", one.status) for one in self.parcels]
        steps = self.window.rows("SELECT DISTINCT kind, before, greatest(after, -1) FROM event")
        assert set(steps) <= LEGAL
        twice = """SELECT kind, key_a, key_b FROM document WHERE current
            GROUP BY 1, 2, 3 HAVING count(*) > 1"""
        assert self.window.rows(twice) == []
        astray = """SELECT d.id FROM document d WHERE d.status IS DISTINCT FROM (SELECT e.after
            FROM event e WHERE e.document_id = d.id ORDER BY e.seq DESC LIMIT 1)"""
        assert self.window.rows(astray) == []

    @invariant()
    def bills_are_decisions_less_what_came_back(self) -> None:
        rows = self.window.rows(
            """SELECT d.key_b, b.status, b.total_fen = t.total_fen,
                b.total_fen - coalesce((SELECT sum(c.duty_fen + c.consumption_fen + c.vat_fen)
                    FROM bill_correction c WHERE c.bill_id = b.id), 0)::bigint
            FROM bill b JOIN document d ON d.id = b.document_id
            JOIN decision t ON t.document_id = d.id ORDER BY d.id"""
        )
        billed = [one for one in self.parcels if one.status == RELEASED and one.whole_tax]
        assert rows == [
            (
                f"O{one.no:07d}",
                3 if one.tax == 0 else 2 if one.payment else 1,
                True,
                one.tax,
            )
            for one in billed
        ]
        payments = self.window.rows("SELECT number, status FROM summary ORDER BY id")
        assert payments == [(one.number, one.status) for one in self.payments]


START = ((ANNA, (100_00, 3), False), (BO, (33_33, 7), False), (ANNA, (1234_56, 1), True))
LEGAL = {(codes.KINDS[t.kind], t.before, t.after) for t in transitions()}


@pytest.fixture
def template(server: store.Database) -> Iterator[str]:
    """The name of a database with all tables, to be copied: that is quicker than making them."""
    name = "life_template"
    with server.connect(autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    with store.open(make_conninfo(server.url, dbname=name)) as database:
        clearance.prepare_database(database)
    yield name
    with server.connect(autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    ("lives", "steps", "same"),
    [
        pytest.param(5, 12, True, id="sample"),
        pytest.param(100, 30, False, id="full", marks=pytest.mark.faults_full),
    ],
)
def test_a_life_in_any_order(
    server: store.Database, template: str, tmp_path: Path, lives: int, steps: int, same: bool
) -> None:
    run_state_machine_as_test(
        lambda: Life(server, template, tmp_path),
        settings=settings(
            max_examples=lives,
            stateful_step_count=steps,
            derandomize=same,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # What no life had is not shown; a short run need not have everything.
    everything = {"open", "hold", "post", "void", "reverse", "pay", "claim"}
    assert Life.seen >= (everything - {"claim", "reverse"} if same else everything)
