"""What becomes of the tax of lists: billed at release, freed when cancelled, taken back on return.

The bridge to finance/: the job says what happened to lists, finance keeps guarantees and bills.
Everything runs in the transaction of what happened.
"""

from typing import Any

import polars as pl
import psycopg

from tongguan import finance, store
from tongguan.clearance import steps
from tongguan.clearance.kinds import KINDS
from tongguan.clearance.round import Round
from tongguan.clearance.settings import Settings
from tongguan.clearance.steps import AWAITED, RELEASED

TAXES = ("duty_fen", "consumption_fen", "vat_fen", "total_fen")
BILLED_FROM_REGIME = ("retail-import", "general-trade")
"""Regimes whose tax is collected by the seller's side; parcel tax is not billed."""

_DECIDED: dict[str, Any] = {
    "document_id": pl.Int64,
    "message_id": pl.Int64,
    "invt_no": pl.String,
    "guarantor": pl.String,
    "buyer": pl.String,
    "hold_fen": pl.Int64,
    "day": pl.Date,
    **dict.fromkeys(TAXES, pl.Int64),
    **dict.fromkeys(("ebpCode", "ebcCode", "logisticsCode", "agentCode", "customsCode"), pl.String),
}


def follow(
    conn: psycopg.Connection, part: Round, settings: Settings, batch_id: int
) -> list[finance.notices.Notice]:
    """Do what a round's steps mean for tax; the CEB816 and CEB818 that tell it, in order.

    The round's documents and events are written already.
    """
    told = [
        *_bill(conn, part, settings, batch_id),
        *_free(conn, part, settings, batch_id),
        *_take_back(conn, part, settings, batch_id),
    ]
    _watch(conn, part, settings, batch_id)
    return told


def _watch(conn: psycopg.Connection, part: Round, settings: Settings, batch_id: int) -> None:
    """Warn of guarantees that this round brought to the warning share, or note their relief."""
    events = pl.concat([steps.none(), *part.events])
    holding = (pl.col("kind") == KINDS["inventory"].number) & pl.col("after").is_in(
        [AWAITED, RELEASED]
    )
    moved = [events.filter(holding), *part.cancelled, *part.returned]
    document = pl.col("document_id").cast(pl.Int64)
    ids = pl.concat([frame.select(document) for frame in moved]).unique()
    if ids.is_empty():
        return
    source, values = store.unnest("k", ids)
    sql = f"""SELECT DISTINCT t.guarantor FROM {source} CROSS JOIN LATERAL (
            SELECT guarantor FROM decision
            WHERE document_id = k.document_id AND hold_fen > 0 OFFSET 0) AS t"""
    codes = store.fetch(conn, sql, values, {"guarantor": pl.String})["guarantor"]
    finance.guarantees.watch(conn, codes, settings.law, settings.at_ms, batch_id)


def _bill(
    conn: psycopg.Connection, part: Round, settings: Settings, batch_id: int
) -> list[finance.notices.Notice]:
    """Bill the lists that were released, and post what their guarantees hold."""
    events = pl.concat([steps.none(), *part.events])
    is_release = (pl.col("kind") == KINDS["inventory"].number) & (pl.col("after") == RELEASED)
    released = events.filter(is_release).select("document_id", released_at="at")
    if released.is_empty():
        return []
    decided = _decided(conn, released.select("document_id"))
    decided = decided.join(released, on="document_id", maintain_order="left")
    told: list[finance.notices.Notice] = []
    for day in decided["day"].unique().sort():
        mine = decided.filter(pl.col("day") == day).with_columns(
            secured=pl.col("hold_fen") > 0, collector=collector()
        )
        lines = _tax_lines(conn, mine.select("document_id"))
        bills = finance.make_bills(conn, mine, lines, settings.policy.on(day), batch_id)
        posted = bills.heads.filter("secured").select(
            "document_id", "bill_id", code="guarantor", amount_fen="total_fen", at="released_at"
        )
        finance.ledger.within(conn, "post", posted, batch_id)
        told += finance.xml816(
            addressed(conn, bills.heads).with_columns(at="released_at"), bills.lines
        )
    return told


def collector() -> pl.Expr:
    """Who collects the tax: the guarantor if it is platform, logistics firm or declarant of the
    list, else its declarant (GACC notice 2018-194)."""
    may = pl.concat_list("ebpCode", "logisticsCode", "agentCode")
    return pl.when(may.list.contains(pl.col("guarantor"))).then("guarantor").otherwise("agentCode")


def _decided(conn: psycopg.Connection, ids: pl.DataFrame) -> pl.DataFrame:
    source, values = store.unnest("k", ids)
    regimes = ", ".join(f"'{regime}'" for regime in BILLED_FROM_REGIME)
    sql = f"""SELECT l.* FROM {source} CROSS JOIN LATERAL (
            SELECT t.document_id, d.message_id, d.invt_no, t.guarantor, t.buyer, t.hold_fen,
                t.day, t.duty_fen, t.consumption_fen, t.vat_fen, t.total_fen, h."ebpCode",
                h."ebcCode", h."logisticsCode", h."agentCode", h."customsCode"
            FROM decision t, document d, inventory_head h
            WHERE t.document_id = k.document_id AND d.id = k.document_id
                AND h.document_id = k.document_id
                AND t.regime IN ({regimes}) AND t.total_fen > 0 OFFSET 0
        ) AS l ORDER BY l.document_id"""
    return store.fetch(conn, sql, values, _DECIDED)


def _tax_lines(conn: psycopg.Connection, ids: pl.DataFrame) -> pl.DataFrame:
    source, values = store.unnest("k", ids)
    sql = f"""SELECT l.* FROM {source} CROSS JOIN LATERAL (
            SELECT t.document_id, t.gnum::bigint AS gnum, l.gcode, t.basis_fen AS tax_price_fen,
                t.duty_fen, t.consumption_fen, t.vat_fen
            FROM tax_line t JOIN inventory_line l USING (gnum)
            WHERE t.document_id = k.document_id AND l.document_id = k.document_id OFFSET 0
        ) AS l ORDER BY l.document_id, l.gnum"""
    return store.fetch(conn, sql, values, finance.bills.LINES)


def addressed(conn: psycopg.Connection, bills: pl.DataFrame) -> pl.DataFrame:
    """Bills with the receiver and the company of their list's receipts."""
    source, values = store.unnest("k", bills.select(pl.col("document_id").unique()))
    sql = f"""SELECT k.document_id, m.receiver, m.company FROM {source} CROSS JOIN LATERAL (
            SELECT m.receiver, m.company FROM document d JOIN message m ON m.id = d.message_id
            WHERE d.id = k.document_id OFFSET 0) AS m"""
    schema = {"document_id": pl.Int64, "receiver": pl.String, "company": pl.String}
    return bills.join(
        store.fetch(conn, sql, values, schema), on="document_id", how="left", maintain_order="left"
    )


def _free(
    conn: psycopg.Connection, part: Round, settings: Settings, batch_id: int
) -> list[finance.notices.Notice]:
    """Give back what guarantees hold for cancelled lists."""
    gone = [frame.select("document_id") for frame in part.cancelled]
    if not gone:
        return []
    source, values = store.unnest("k", pl.concat(gone).unique())
    sql = f"""SELECT document_id, guarantor AS code, hold_fen AS amount_fen
        FROM {source} JOIN decision USING (document_id) WHERE hold_fen > 0 ORDER BY document_id"""
    schema = {"document_id": pl.Int64, "code": pl.String, "amount_fen": pl.Int64}
    held = store.fetch(conn, sql, values, schema).with_columns(at=pl.lit(settings.at_ms))
    finance.ledger.within(conn, "void", held, batch_id)
    return []


def _take_back(
    conn: psycopg.Connection, part: Round, settings: Settings, batch_id: int
) -> list[finance.notices.Notice]:
    """Take tax of returned goods off its bill: void (818) what is all back, correct the rest."""
    if not part.returned:
        return []
    back = pl.concat(part.returned)
    bills = finance.bills.of_documents(conn, back["document_id"].unique())
    lines = back.join(bills.heads.select("bill_id", "document_id"), on="document_id")
    if lines.is_empty():
        return []
    whole = lines.filter("all_back").select("bill_id", document_id="return_id").unique("bill_id")
    partly = lines.filter(~pl.col("all_back"))
    told: list[finance.notices.Notice] = []
    at, stamp = settings.at_ms, pl.lit(settings.at_ms)
    # First the parts: a bill that is void has nothing left to correct.
    if partly.height:
        taken = partly.select(
            *("bill_id", "gnum", "duty_fen", "consumption_fen", "vat_fen"),
            tax_price_fen="basis_fen",
            document_id="return_id",
        )
        net = finance.correct(conn, taken, at, batch_id)
        told += finance.xml816(addressed(conn, net.heads).with_columns(at=stamp), net.lines)
    if whole.height:
        void = finance.void(conn, whole, at, batch_id)
        told += finance.xml818(addressed(conn, void.heads).with_columns(at=stamp))
    return told
