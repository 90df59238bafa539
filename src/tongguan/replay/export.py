"""From the database to history files: what was decided, from what, and what came back.

One snapshot (REPEATABLE READ), streamed and sorted by the server, so that memory does not grow
with the history. Nothing personal leaves: identity numbers are keyed hashes already, names,
telephones and addresses are not taken, and of rules that may quote a person only the rule.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg

from tongguan import codes, store
from tongguan.clearance import ZONE, lawbook
from tongguan.clearance.recorded import DECIDED_BY
from tongguan.replay import sequence
from tongguan.replay.files import Writer
from tongguan.replay.reproduce import LAW_RULES
from tongguan.replay.schema import datasets

Progress = Callable[[str, int], None]
"""Called with the dataset and its rows written so far."""


def export(
    database: store.Database,
    folder: Path,
    since: date | None = None,
    until: date | None = None,
    progress: Progress = lambda dataset, rows: None,
) -> dict[str, Any]:
    """Write the history into a new folder, whole or not at all; returns its manifest.

    since: lists accepted from the first of January of that day's year on, because a buyer's year
    is one sequence. until: what had been decided, and had come back, by the end of that day.
    Raises FileExistsError, store.Unavailable.
    """

    def work(conn: psycopg.Connection) -> dict[str, Any]:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        _select(conn, since, until)
        with Writer(folder) as writer:
            for dataset, sql in QUERIES.items():
                _write(conn, writer, dataset, sql, progress)
            digests = conn.execute(
                "SELECT DISTINCT t.policy FROM decision t JOIN history_list USING (document_id)"
            ).fetchall()
            writer.policies(
                {digest: lawbook.nearest(conn, digest) for digest in sorted(r[0] for r in digests)}
            )
            return writer.finish(since, until)

    with store.environment(), database.connect() as conn:
        try:
            return work(conn)
        finally:
            conn.rollback()


def _write(
    conn: psycopg.Connection, writer: Writer, dataset: str, sql: str, progress: Progress
) -> None:
    schema: dict[str, Any] = datasets()[dataset].polars
    types: dict[str, Any] = {name: pl.String() for name in ("zone", "month")}
    types |= {name: pl.String() if kind == pl.Binary() else kind for name, kind in schema.items()}
    for frame in store.stream(conn, f"{sql} ORDER BY o.zone, o.month, bucket, list", None, types):
        if "buyer" in schema:
            frame = frame.with_columns(pl.col("buyer").str.decode("hex"))
        for (zone, month), rows in frame.group_by("zone", "month", maintain_order=True):
            writer.write(dataset, str(zone), str(month), rows)
        progress(dataset, writer.rows[dataset])


# ── which lists, where they belong, and in which order they were decided ─────────────────────


def _select(conn: psycopg.Connection, since: date | None, until: date | None) -> None:
    """Make the temporary tables history_list and history_back, in the order things happened."""
    first = date(since.year, 1, 1) if since else date.min
    params = {"first": first, "before": _after(until)}
    _make_zones(conn)
    conn.execute(_LISTS, params)
    conn.execute(_BACK, params)
    conn.execute("CREATE INDEX ON history_list (document_id)")
    conn.execute("ANALYZE history_list, history_back")
    _repair(conn)


def _after(until: date | None) -> int:
    """The first millisecond (since 1970 UTC) after a day in Shanghai."""
    if until is None:
        return 2**62
    end = datetime.combine(until + timedelta(days=1), time(), ZONE)
    return int(end.timestamp()) * 1000


def _make_zones(conn: psycopg.Connection) -> None:
    columns = ("areaCode", "customsCode", "agentCode")
    named = ", ".join(f"""coalesce(h."{name}", '') AS "{name}" """ for name in columns)
    sql = f"SELECT DISTINCT {named} FROM inventory_head h"
    found = store.fetch(conn, sql)
    zones = [codes.zone_of(*(value or None for value in row)) for row in found.iter_rows()]
    store.keys(conn, "history_zone", found.with_columns(zone=pl.Series(zones, dtype=pl.String)))


_LISTS = """CREATE TEMPORARY TABLE history_list ON COMMIT DROP AS
    SELECT t.document_id, t.buyer, extract(year FROM t.day)::int AS year,
        to_char(t.day, 'YYYY-MM') AS month, z.zone,
        ('x' || substr(t.buyer, 1, 4))::bit(16)::bigint AS bucket,
        t.batch_id AS batch, p.place, t.used_before_fen, t.counted_fen
    FROM decision t JOIN batch b ON b.id = t.batch_id
    JOIN inventory_head h ON h.document_id = t.document_id
    JOIN history_zone z ON z."areaCode" = coalesce(h."areaCode", '')
        AND z."customsCode" = coalesce(h."customsCode", '')
        AND z."agentCode" = coalesce(h."agentCode", '')
    JOIN (
        SELECT t.document_id, max(CASE WHEN m.batch_id = t.batch_id THEN d.id ELSE -1 END) AS place
        FROM decision t CROSS JOIN LATERAL unnest(
            ARRAY[t.order_id, t.payment_id, t.waybill_id, t.document_id]) AS k(id)
        JOIN document d ON d.id = k.id JOIN message m ON m.id = d.message_id
        GROUP BY t.document_id
    ) p ON p.document_id = t.document_id
    WHERE t.day >= %(first)s AND b.at < %(before)s"""
"""A list is decided when the last of its documents comes: that document's place in its batch."""

_BACK = """CREATE TEMPORARY TABLE history_back ON COMMIT DROP AS
    SELECT x.document, x.list, o.zone, o.month, o.bucket, o.buyer, o.year, x.kind,
        x.batch, x.document AS place, b.at AS at_ms, coalesce(e.fen, 0) AS restored_fen
    FROM (
        SELECT DISTINCT document_id AS document, list_id AS list, 'return' AS kind,
            batch_id AS batch FROM return_amount
        UNION ALL SELECT cancellation_id, list_id, 'cancellation', batch_id FROM cancelled
    ) x JOIN history_list o ON o.document_id = x.list JOIN batch b ON b.id = x.batch
    LEFT JOIN allowance_entry e ON e.document_id = x.list AND e.by_id = x.document
        AND e.buyer = o.buyer AND e.year = o.year
    WHERE b.at < %(before)s"""

_ENTRIES = """SELECT buyer, year, batch, place, document_id AS id, used_before_fen AS before_fen,
        counted_fen AS fen FROM history_list
    UNION ALL SELECT buyer, year, batch, place, document, NULL, -restored_fen FROM history_back
        WHERE restored_fen > 0"""


def _repair(conn: psycopg.Connection) -> None:
    """Put right the order of years in which two workers met.

    Batches are numbered when they begin; of two that met at a buyer the later one may have come
    first. What each found of the year tells the order.
    """
    sql = f"""SELECT e.* FROM ({_ENTRIES}) e JOIN (
            SELECT DISTINCT buyer, year FROM (
                SELECT buyer, year, before_fen, coalesce(sum(fen) OVER (
                    PARTITION BY buyer, year ORDER BY batch, place, id
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS held
                FROM ({_ENTRIES}) y
            ) w WHERE before_fen <> held
        ) broken USING (buyer, year)"""
    found = store.fetch(conn, sql)
    moved = sequence.repaired(found)
    if moved.is_empty():
        return
    source, values = store.unnest("k", moved)
    for table, id_ in (("history_list", "document_id"), ("history_back", "document")):
        update = f"""UPDATE {table} o SET batch = k.batch, place = k.place FROM {source}
            WHERE o.{id_} = k.id"""
        conn.execute(update.encode(), values)


# ── what is written of each ──────────────────────────────────────────────────────────────────

QUERIES = {
    "parcels": """SELECT o.zone, o.month, o.document_id AS list, o.bucket, o.buyer, o.batch,
            o.place, t.day, a.at AS accepted_ms, b.at AS decided_ms, r."appTime" AS ordered,
            h."ieDate" AS entered, t.policy, h."orderNo" AS order_no, d.invt_no,
            h."ebpCode" AS platform, h."ebcCode" AS seller, h."ebcName" AS seller_name,
            h."logisticsCode" AS carrier, h."agentCode" AS agent, h."assureCode" AS guarantor,
            h."customsCode" AS customs, h."portCode" AS port, h."tradeMode" AS mode, h.freight,
            h."insuredFee" AS insured, t.eligible, t.refused, t.regime, t.value_fen, t.duty_fen,
            t.consumption_fen, t.vat_fen, t.total_fen, t.counted_fen, t.used_before_fen,
            t.used_after_fen, d.status, e.at AS released_ms, c.list_id IS NOT NULL AS cancelled
        FROM history_list o JOIN decision t USING (document_id)
        JOIN document d ON d.id = o.document_id
        JOIN inventory_head h ON h.document_id = o.document_id
        JOIN order_head r ON r.document_id = t.order_id
        JOIN batch b ON b.id = t.batch_id
        JOIN event a ON a.document_id = o.document_id AND a.seq = 1
        LEFT JOIN event e ON e.document_id = o.document_id AND e.after = 800
        LEFT JOIN cancelled c ON c.list_id = o.document_id""",
    "lines": """SELECT o.zone, o.month, o.document_id AS list, o.bucket, l.gnum, l.gcode, l.qty,
            l.unit, l.qty1, l.unit1, l.qty2, l.unit2, l.price, l."totalPrice", t.goods_fen,
            t.charges_fen, t.basis_fen, t.duty_fen, t.consumption_fen, t.vat_fen, t.parcel_tax_fen
        FROM history_list o JOIN inventory_line l USING (document_id)
        JOIN tax_line t ON t.document_id = l.document_id AND t.gnum = l.gnum""",
    "findings": f"""SELECT o.zone, o.month, o.document_id AS list, o.bucket, f.rule, f.severity,
            f.document, f.field, f.gnum,
            CASE WHEN f.rule ~ '{LAW_RULES}' THEN f.expected END AS expected,
            CASE WHEN f.rule ~ '{LAW_RULES}' THEN f.actual END AS actual, f.law
        FROM history_list o JOIN finding f USING (document_id)
        WHERE f.rule ~ '{DECIDED_BY}' AND f.rule !~ '-missing$'
            OR f.rule = 'message.field' AND f.severity = 'error'""",
    "returns": """SELECT o.zone, o.month, o.list, o.bucket, o.document, o.kind, o.batch, o.place,
            o.at_ms, a.gnum, a.qty,
            (SELECT coalesce(sum(p.qty), 0) FROM return_amount p WHERE p.list_id = a.list_id
                AND p.gnum = a.gnum AND (p.batch_id, p.document_id) < (a.batch_id, a.document_id)
            )::numeric(19,5) AS before,
            l.qty AS whole, coalesce(a.basis_fen, t.counted_fen) AS basis_fen,
            coalesce(a.duty_fen, 0) AS duty_fen, coalesce(a.consumption_fen, 0) AS consumption_fen,
            coalesce(a.vat_fen, 0) AS vat_fen, coalesce(a.parcel_tax_fen, 0) AS parcel_tax_fen,
            o.restored_fen
        FROM history_back o JOIN decision t ON t.document_id = o.list
        LEFT JOIN return_amount a ON o.kind = 'return' AND a.document_id = o.document
        LEFT JOIN inventory_line l ON l.document_id = a.list_id AND l.gnum = a.gnum""",
    "events": """SELECT o.zone, o.month, o.document_id AS list, o.bucket, e.seq, e.before, e.after,
            e.at AS at_ms
        FROM history_list o JOIN event e USING (document_id)""",
}
