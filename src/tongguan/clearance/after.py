"""After release: what a calendar or a person does to parcels, payments, guarantees and years.

Each is one transaction, and doing it again changes nothing more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import psycopg

from tongguan import finance, store
from tongguan.clearance import receipts, record, taxing, writing
from tongguan.clearance.intake import normalised
from tongguan.clearance.report import money
from tongguan.clearance.service import sign_head
from tongguan.clearance.settings import ZONE, Settings
from tongguan.sharing.heads import Signer

T = TypeVar("T")

PAYMENT_PROBLEMS = (finance.PaymentDiffers, finance.NotDue, finance.UnknownBill)
"""What a payer is told: another amount is owed, nothing is, or there is no such payment."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement did. lines: report lines of payments; receipts: how many were told."""

    lines: list[dict[str, Any]]
    receipts: int


def settle(
    database: store.Database,
    under: Settings,
    receipts_folder: Path | None = None,
    signer: Signer | None = None,
) -> Settled:
    """Do all that falls due by a time: closings and expiries, bills into payments, late payments.

    Lists whose match window ended are refused, bills of the thirty-first day after release are
    summed into payments (818: summarised), late fees are counted and guarantees claimed.
    """

    def work(conn: psycopg.Connection) -> tuple[int, Settled, list[receipts.Receipt]]:
        done = record.sweep(conn, under)
        told, lines = _payments(conn, done.batch_id, under)
        answers = [*done.receipts, *receipts.write(conn, done.batch_id, told, [])]
        if answers and receipts_folder is not None:
            writing.write_owed(conn, done.batch_id)
        return done.batch_id, Settled(lines, len(answers)), answers

    batch_id, settled, answers = store.transact(database, work)
    sign_head(database, signer, under)
    _send(database, answers, [batch_id], receipts_folder)
    return settled


def _payments(
    conn: psycopg.Connection, batch_id: int, under: Settings
) -> tuple[list[receipts.Made], list[dict[str, Any]]]:
    due = finance.summarise(conn, under.day, batch_id, under.at_ms, _under_way(conn))
    told = finance.xml818(taxing.addressed(conn, due)) if due.height else []
    late = finance.overdue(conn, under.law)
    claimed = finance.enforce(conn, under.law, under.at_ms, batch_id)
    _watch(conn, under, claimed["guarantor"], batch_id)
    numbers = pl.concat(
        [frame["number"] for frame in (due, late, claimed) if frame.height]
        or [pl.Series("number", [], dtype=pl.String)]
    )
    facts = finance.summaries(conn, numbers.unique().sort())
    return told, [bill_line(row) for row in facts.iter_rows(named=True)]


def _under_way(conn: psycopg.Connection) -> pl.Series:
    """Lists with an approved return whose goods have not arrived: their tax is not summed yet."""
    sql = """SELECT DISTINCT c.list_id FROM return_case c JOIN document d ON d.id = c.document_id
        WHERE d.kind = 625 AND d.status = 399"""
    return store.fetch(conn, sql)["list_id"]


def bill_line(payment: dict[str, Any]) -> dict[str, Any]:
    """A payment (finance.settlement.SUMMARY) as a report line."""
    return {
        "document": "bill",
        "key": {"bill": payment["number"], "guarantor": payment["guarantor"]},
        "status": payment["status"],
        "amount": money(payment["owed_fen"]),
        "fee": money(payment["fee_fen"]),
        "due_from": payment["due_from"].isoformat(),
        "due_to": payment["due_to"].isoformat(),
        "parcels": payment["parcels"],
    }


def _send(
    database: store.Database,
    answers: list[receipts.Receipt],
    batch: list[int],
    folder: Path | None,
) -> None:
    if folder is None or not answers:
        return
    with store.environment():
        receipts.to_files(answers, folder)
    store.transact(database, lambda conn: writing.write_sent(conn, batch))


def pay(
    database: store.Database, under: Settings, number: str, amount_fen: int, reference: str
) -> finance.Payment:
    """Record a payment in full. Raises finance.PaymentDiffers, NotDue, UnknownBill."""

    def work(conn: psycopg.Connection, batch_id: int) -> finance.Payment:
        at = under.at_ms
        done = finance.pay(conn, number, amount_fen, reference, at, batch_id, under.law)
        _watch(conn, under, pl.Series([done.guarantor]), batch_id)
        return done

    return _in_batch(database, under, work)


def _watch(conn: psycopg.Connection, under: Settings, codes: pl.Series, batch_id: int) -> None:
    """What became free ends a warning, so that the next time brings one again."""
    finance.guarantees.watch(conn, codes, under.law, under.at_ms, batch_id)


def open_guarantee(
    database: store.Database, under: Settings, code: str, kind: str, amount_fen: int
) -> dict[str, Any]:
    """Open or raise a guarantee; its facts. Raises ValueError for what cannot be one."""

    def work(conn: psycopg.Connection, batch_id: int) -> dict[str, Any]:
        finance.guarantees.open_guarantee(conn, code, kind, amount_fen, under.at_ms, batch_id)
        _watch(conn, under, pl.Series([code]), batch_id)
        return guarantee_facts(conn, code)

    return _in_batch(database, under, work)


def freeze_guarantee(
    database: store.Database, under: Settings, code: str, *, frozen: bool
) -> dict[str, Any]:
    """Freeze a guarantee or let it serve again; its facts. Raises UnknownGuarantee."""
    act = finance.guarantees.freeze if frozen else finance.guarantees.unfreeze

    def work(conn: psycopg.Connection, batch_id: int) -> dict[str, Any]:
        act(conn, code, under.at_ms, batch_id)
        return guarantee_facts(conn, code)

    return _in_batch(database, under, work)


def guarantee_facts(conn: psycopg.Connection, code: str) -> dict[str, Any]:
    """A guarantee in yuan. Raises finance.UnknownGuarantee."""
    found = finance.guarantees.show(conn, code)
    return {
        "guarantor": found["code"],
        "kind": found["kind"],
        "opened_at": _iso(found["opened_at"]),
        "frozen": found["frozen"],
        "warned": found["warned"],
        **{name: money(found[f"{name}_fen"]) for name in ("amount", "pending", "posted", "free")},
    }


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZONE).isoformat()


def _in_batch(
    database: store.Database, under: Settings, work: Callable[[psycopg.Connection, int], T]
) -> T:
    def once(conn: psycopg.Connection) -> T:
        [batch_id] = store.numbers(conn, "batch_id", 1)
        writing.write_batch(conn, batch_id, under)
        return work(conn, batch_id)

    return store.transact(database, once)


def arrive(
    database: store.Database,
    under: Settings,
    key: str,
    receipts_folder: Path | None = None,
    signer: Signer | None = None,
) -> list[int]:
    """Goods of a return or of a direct purchase are on site; ids of the documents it is about.

    Raises record.UnknownArrival.
    """

    def work(conn: psycopg.Connection) -> tuple[record.Recorded, list[int]]:
        done, about = record.arrive(conn, key, under)
        if done.receipts and receipts_folder is not None:
            writing.write_owed(conn, done.batch_id)
        return done, about

    done, about = store.transact(database, work)
    sign_head(database, signer, under)
    _send(database, done.receipts, [done.batch_id], receipts_folder)
    return about


# ── the buyer's year ────────────────────────────────────────────────────────────────────────


def statement(
    conn: psycopg.Connection, vault: store.Vault, number: str, year: int
) -> dict[str, Any]:
    """A buyer's year: what it may hold, what it holds, and every debit and credit.

    number: the identity number in clear; it is looked up by its keyed hash and shown masked.
    """
    buyer = vault.digest([normalised(number)])[0]
    sql = """SELECT e.at, e.what, e.fen, d.key_b, d.invt_no, e.document_id FROM allowance_entry e
        JOIN document d ON d.id = e.document_id
        WHERE e.buyer = %s AND e.year = %s ORDER BY e.at, e.document_id, e.what DESC"""
    entries = []
    balance = 0
    for at, what, fen, order_no, invt_no, _ in conn.execute(sql, (buyer, year)):
        balance += fen if what == "use" else -fen
        entries.append(
            {
                "at": _iso(at),
                "what": what,
                "orderNo": order_no,
                "invtNo": invt_no,
                "amount": money(fen if what == "use" else -fen),
                "used": money(balance),
            }
        )
    sql = "SELECT used_fen, limit_fen FROM allowance WHERE buyer = %s AND year = %s"
    row = conn.execute(sql, (buyer, year)).fetchone() or (0, None)
    if row[0] != balance:
        raise RuntimeError(
            f"the year holds {money(row[0])}, its entries sum to {money(balance)}: the ledger of "
            "this buyer is broken"
        )
    return {
        "buyer": f"{number[:3]}***{number[-2:]}",
        "year": year,
        "used": money(row[0]),
        "limit": None if row[1] is None else money(row[1]),
        "entries": entries,
    }


# ── the sandbox's clock ─────────────────────────────────────────────────────────────────────


def clock(conn: psycopg.Connection) -> datetime | None:
    """Where the sandbox's clock stands; None if nobody has set it."""
    row = conn.execute("SELECT at FROM clock").fetchone()
    return None if row is None else datetime.fromtimestamp(row[0] / 1000, ZONE)


def set_clock(conn: psycopg.Connection, at: datetime) -> None:
    """Move the sandbox's clock: commands without --at take its time."""
    at_ms = int(at.replace(microsecond=0).timestamp()) * 1000
    conn.execute(
        "INSERT INTO clock (one, at) VALUES (true, %s) ON CONFLICT (one) DO UPDATE SET at = "
        "excluded.at",
        (at_ms,),
    )
