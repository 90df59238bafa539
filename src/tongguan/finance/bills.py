"""Tax bills: made when a list is released, corrected or void when goods come back.

Sources: CEB specification 202205 (816 the bill, 818 its state); GACC notice 2018-194 (without
return within 30 days of release the collecting agent pays on days 31 to 45); 2020-45 (tax of
returned goods is not levied). Who owes is the buyer, who pays the collector, who secures it the
guarantor; a bill names all three.
"""

from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg

from tongguan import policy, store
from tongguan.finance import ledger
from tongguan.finance.books import LINE_AMOUNTS, MADE, SUMMARISED, TAXES, VOID

ZONE = "Asia/Shanghai"

RELEASED: dict[str, Any] = {
    "document_id": pl.Int64,
    "invt_no": pl.String,
    "guarantor": pl.String,
    "collector": pl.String,
    "buyer": pl.String,
    "secured": pl.Boolean,
    **dict.fromkeys((*TAXES, "total_fen"), pl.Int64),
    "released_at": pl.Int64,
}
"""A released list: buyer by keyed hash; secured: its tax is posted on the guarantor's guarantee."""

LINES: dict[str, Any] = {
    "document_id": pl.Int64,
    "gnum": pl.Int64,
    "gcode": pl.String,
    **dict.fromkeys(LINE_AMOUNTS, pl.Int64),
}

CORRECTION: dict[str, Any] = {
    "bill_id": pl.Int64,
    "gnum": pl.Int64,
    "document_id": pl.Int64,
    **dict.fromkeys(LINE_AMOUNTS, pl.Int64),
}
"""What is taken back of one line of a bill; document_id: the return it is taken back for."""


@dataclass(frozen=True, slots=True)
class Bills:
    """Bills as they stand, what was taken back subtracted.

    heads: bill_id, tax_no, document_id, invt_no, guarantor, collector, buyer, secured, status,
    released_at, cycle, due_from, due_to, number (of the payment, or null), duty_fen,
    consumption_fen, vat_fen, total_fen. lines: bill_id, gnum, gcode, tax_price_fen, duty_fen,
    consumption_fen, vat_fen.
    """

    heads: pl.DataFrame
    lines: pl.DataFrame


class UnknownBill(LookupError):  # noqa: N818 - a look-up that found nothing
    """There is no such bill."""


def local_day(at: str) -> pl.Expr:
    """The day in Asia/Shanghai of a time in ms since 1970 UTC."""
    utc = pl.from_epoch(pl.col(at), time_unit="ms").dt.replace_time_zone("UTC")
    return utc.dt.convert_time_zone(ZONE).dt.date()


def _cycle(kind: str) -> tuple[pl.Expr, pl.Expr]:
    """Of the day ``released``: the name of its payment cycle, and the cycle's last day."""
    day = pl.col("released")
    if kind == "release-day":
        return day.dt.strftime("%Y-%m-%d"), day
    if kind == "month":
        return day.dt.strftime("%Y-%m"), day.dt.month_end()
    first = day.dt.day() <= 15
    middle = day.dt.month_start().dt.offset_by("14d")
    name = pl.format(
        "{}/{}",
        pl.when(first).then(day.dt.month_start()).otherwise(middle.dt.offset_by("1d")),
        pl.when(first).then(middle).otherwise(day.dt.month_end()),
    )
    return name, pl.when(first).then(middle).otherwise(day.dt.month_end())


def make_bills(
    conn: psycopg.Connection,
    released: pl.DataFrame,
    lines: pl.DataFrame,
    law: policy.Law,
    batch_id: int,
) -> Bills:
    """Make the bills of lists released under the law of one day; a tax of 0 makes none.

    released: RELEASED; further columns come back in ``heads`` (the CEB816 wants ebcCode,
    logisticsCode, agentCode, customsCode). lines: LINES, those of lists without bill are left.
    The caller posts the secured ones, and settles (``store.settle``) before it reads the bills from
    the database. Tax falls due from day 31 to day 45 after release, or after the last day of the
    cycle where the parameter sums more than a day. Raises psycopg.errors.CheckViolation where a
    bill is not the sum of its lines, there or when the connection is used next.
    """
    name, last = _cycle(law.value("settlement.cycle").text)
    first_day, last_day = (
        int(law.value(f"settlement.due-{side}-day").number) for side in ("from", "to")
    )
    owing = released.filter(pl.col("total_fen") > 0)
    ids = pl.Series(store.numbers(conn, "bill_id", owing.height), dtype=pl.Int64)
    heads = (
        owing.with_columns(bill_id=ids, released=local_day("released_at"))
        .with_columns(
            tax_no=pl.format(
                "{}{}T{}",
                pl.col("invt_no").str.head(4),
                pl.col("released").dt.year(),
                pl.col("bill_id").cast(pl.String).str.zfill(9),
            ),
            status=pl.lit(MADE, pl.Int64),
            number=pl.lit(None, pl.String),
            cycle=name,
            due_from=last.dt.offset_by(f"{first_day}d"),
            due_to=last.dt.offset_by(f"{last_day}d"),
        )
        .drop("released")
    )
    of_them = lines.select(pl.col(n).cast(t) for n, t in LINES.items()).join(
        heads.select("document_id", "bill_id"), on="document_id", maintain_order="left"
    )
    of_them = of_them.select("bill_id", "gnum", "gcode", *LINE_AMOUNTS)
    if owing.height:
        store.copy_behind(conn, "bill_line", of_them)
        rows = heads.rename({"bill_id": "id"}).with_columns(batch_id=pl.lit(batch_id))
        store.copy_behind(conn, "bill", rows.select("id", *_WRITTEN, *RELEASED, "batch_id"))
    return Bills(heads, of_them)


_WRITTEN = ("tax_no", "status", "cycle", "due_from", "due_to")

_HEADS = f"""SELECT b.id AS bill_id, b.tax_no, b.document_id, b.invt_no, b.guarantor, b.collector,
        b.buyer, b.secured, b.status::bigint, b.released_at, b.cycle, b.due_from, b.due_to,
        s.number, {", ".join(f"(b.{n} - coalesce(c.{n}, 0))::bigint AS {n}" for n in TAXES)}
    FROM {{source}} JOIN bill b ON b.{{key}} = k.id LEFT JOIN summary s ON s.id = b.summary_id
    LEFT JOIN LATERAL (SELECT {", ".join(f"sum(x.{n}) AS {n}" for n in TAXES)}
        FROM bill_correction x WHERE x.bill_id = b.id) c ON true ORDER BY b.id"""
_LINES = f"""SELECT l.bill_id, l.gnum::bigint, l.gcode,
        {", ".join(f"(l.{n} - coalesce(c.{n}, 0))::bigint AS {n}" for n in LINE_AMOUNTS)}
    FROM {{source}} JOIN bill_line l ON l.bill_id = k.id
    LEFT JOIN LATERAL (SELECT {", ".join(f"sum(x.{n}) AS {n}" for n in LINE_AMOUNTS)}
        FROM bill_correction x WHERE x.bill_id = l.bill_id AND x.gnum = l.gnum) c ON true
    ORDER BY l.bill_id, l.gnum"""


def stored(conn: psycopg.Connection, bill_ids: pl.Series) -> Bills:
    """Bills by their ids; ids without a bill are left out."""
    return _stored(conn, bill_ids, "id")


def of_documents(conn: psycopg.Connection, document_ids: pl.Series) -> Bills:
    """The bills of lists; a list without one is left out."""
    return _stored(conn, document_ids, "document_id")


def _stored(conn: psycopg.Connection, ids: pl.Series, key: str) -> Bills:
    asked = pl.DataFrame({"id": ids.unique()}, {"id": pl.Int64})
    source, values = store.unnest("k", asked)
    heads = store.fetch(conn, _HEADS.format(source=source, key=key), values)
    source, values = store.unnest("k", heads.select(id="bill_id"))
    lines = store.fetch(conn, _LINES.format(source=source), values)
    return Bills(heads.with_columns(total_fen=pl.sum_horizontal(TAXES)), lines)


def void(conn: psycopg.Connection, bills: pl.DataFrame, at_ms: int, batch_id: int) -> Bills:
    """Take back all that is left of bills. bills: bill_id, document_id (the return).

    What is secured is free again; what was paid or claimed goes back. A bill that is void already
    stays as it is. Returns the bills as they are now. Raises UnknownBill.
    """
    _lock(conn, bills["bill_id"])
    left = stored(conn, bills["bill_id"])
    open_ = left.heads.filter(pl.col("status") != VOID).select("bill_id")
    rest = left.lines.join(open_, on="bill_id", how="semi", maintain_order="left")
    rest = rest.drop("gcode").join(bills, on="bill_id", maintain_order="left")
    _take_back(conn, rest, at_ms, batch_id)
    return stored(conn, bills["bill_id"])


def correct(conn: psycopg.Connection, taken: pl.DataFrame, at_ms: int, batch_id: int) -> Bills:
    """Take back a part of bills (CORRECTION: for each line what it is lowered by).

    A bill of which no tax is left is void. Returns the bills as they are now. Raises UnknownBill,
    and psycopg.errors.CheckViolation for more than a line still holds.
    """
    _lock(conn, taken["bill_id"])
    _take_back(conn, taken, at_ms, batch_id)
    return stored(conn, taken["bill_id"])


def _lock(conn: psycopg.Connection, ids: pl.Series) -> None:
    """Take bills, then the payments they belong to, until the transaction ends."""
    wanted = ids.unique().to_list()
    sql = "SELECT summary_id FROM bill WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
    found = [row[0] for row in conn.execute(sql, (wanted,))]
    if len(found) < len(wanted):
        raise UnknownBill(f"{len(wanted) - len(found)} of {len(wanted)} bills are not there")
    summaries = list({one for one in found if one is not None})
    conn.execute("SELECT 1 FROM summary WHERE id = ANY(%s) ORDER BY id FOR UPDATE", (summaries,))


def _take_back(conn: psycopg.Connection, taken: pl.DataFrame, at_ms: int, batch_id: int) -> None:
    if taken.is_empty():
        return
    moment = {"at": pl.lit(at_ms), "batch_id": pl.lit(batch_id)}
    store.copy(conn, "bill_correction", taken.select(*CORRECTION).with_columns(**moment))
    fen = taken.group_by("bill_id").agg(amount_fen=pl.sum_horizontal(TAXES).sum())
    found = fen.filter(pl.col("amount_fen") > 0).join(_owners(conn, fen["bill_id"]), on="bill_id")
    found = found.with_columns(moment["at"].alias("at")).sort("bill_id")
    settled = (pl.col("paid") == "paid") | ((pl.col("paid") == "claimed") & pl.col("secured"))
    found = found.with_columns(settled=settled.fill_null(value=False))
    freed = found.filter(~pl.col("settled") & pl.col("secured"))
    ledger.within(conn, "reverse", freed.rename({"guarantor": "code"}), batch_id)
    back = found.filter("settled").with_columns(
        batch_id=pl.lit(batch_id),
        what=pl.lit("refund"),
        debit=pl.lit(ledger.CUSTOMS),
        credit=pl.lit(ledger.OUTSIDE),
    )
    ledger.move(conn, back)
    _lower_summaries(conn, found)
    _close_empty(conn, fen["bill_id"])


def _owners(conn: psycopg.Connection, ids: pl.Series) -> pl.DataFrame:
    source, values = store.unnest("k", pl.DataFrame({"id": ids}))
    sql = f"""SELECT b.id AS bill_id, b.document_id, b.guarantor, b.secured, b.summary_id,
            s.number AS reference, s.status AS paid
        FROM {source} JOIN bill b USING (id) LEFT JOIN summary s ON s.id = b.summary_id"""
    return store.fetch(conn, sql, values)


def _lower_summaries(conn: psycopg.Connection, found: pl.DataFrame) -> None:
    """What is taken back of bills in a payment: before it is paid it lowers it, then it is owed."""
    fen = pl.col("amount_fen")
    sums = (
        found.filter(pl.col("summary_id").is_not_null())
        .group_by("summary_id")
        .agg(returned=fen.filter(~pl.col("settled")).sum(), refunded=fen.filter("settled").sum())
    )
    sql = """UPDATE summary s SET returned_fen = s.returned_fen + k.returned,
            refunded_fen = s.refunded_fen + k.refunded,
            status = CASE WHEN s.status IN ('due', 'overdue')
                AND s.returned_fen + k.returned = s.total_fen THEN 'void' ELSE s.status END,
            fee_fen = CASE WHEN s.status IN ('due', 'overdue')
                AND s.returned_fen + k.returned = s.total_fen THEN 0 ELSE s.fee_fen END
        FROM unnest(%(summary_id)s::bigint[], %(returned)s::bigint[], %(refunded)s::bigint[])
            AS k(id, returned, refunded)
        WHERE s.id = k.id"""
    if sums.height:
        conn.execute(sql, sums.to_dict(as_series=False))


def _close_empty(conn: psycopg.Connection, ids: pl.Series) -> None:
    sql = f"""UPDATE bill b SET status = {VOID}
        WHERE b.id = ANY(%s) AND b.status IN ({MADE}, {SUMMARISED}) AND b.total_fen = (
            SELECT sum(c.duty_fen + c.consumption_fen + c.vat_fen)
            FROM bill_correction c WHERE c.bill_id = b.id)"""
    conn.execute(sql, (ids.to_list(),))
