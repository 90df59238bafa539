"""A cancellation (CEB623) or a return (CEB625), and the list it is about.

The list is found by its number, else by the declarant's own number or the seller's order, which
is how a sender names a list that customs has not numbered yet. A list of other companies is as
good as not there. Source: CEB specification, CEB623 and CEB625 (original list, parties, buyer);
GACC notice 2020-45 (the goods go back from the original buyer through the original companies).
"""

from collections.abc import Mapping
from typing import Any

import polars as pl
import psycopg

from tongguan import store
from tongguan.clearance import dossier, steps
from tongguan.clearance import findings as f
from tongguan.clearance.intake import Body
from tongguan.clearance.kinds import KINDS

ELEMENTS = (
    *("invtNo", "copNo", "agentCode", "ebcCode", "ebpCode", "logisticsCode", "logisticsNo"),
    *("orderNo", "buyerIdType", "buyerIdNumber", "buyerIdNumber_digest", "buyerName", "note"),
)
"""The elements of a cancellation or return that are looked at."""

SAME = ("orderNo", "ebpCode", "logisticsCode", "logisticsNo")
"""The elements that must be those of the original list."""

_LISTED = (
    *("agentCode", "ebcCode", "ebpCode", "logisticsCode", "logisticsNo", "orderNo"),
    *("buyerIdType", "buyerIdNumber", "buyerIdNumber_digest", "buyerName"),
)
LIST: dict[str, Any] = {
    **dict.fromkeys(("list.id", "list.message_id", "list.kind", "list.seq", "list.at"), pl.Int64),
    "list.status": pl.Int64,
    "list.current": pl.Boolean,
    "list.invt_no": pl.String,
    "list.released_at": pl.Int64,
    "list.cancelled": pl.Boolean,
    **{f"list.{name}": pl.String for name in _LISTED},
}
"""Of the list: its life (``document``), when it was released (ms, null: never), and what a
cancellation or return repeats of it."""


def pairs(
    conn: psycopg.Connection, kind: str, asked: pl.DataFrame, bodies: Mapping[str, Body]
) -> pl.DataFrame:
    """Documents of a kind with the lists they are about: case (= doc), ELEMENTS, LIST.

    asked: doc. In order of doc; the columns of LIST are null where there is no list.
    """
    ids = asked.select(case="doc", id="doc")
    heads = dossier.body_heads(conn, kind, ids, ELEMENTS, bodies).drop("id").sort("case")
    source, values = store.unnest(
        "k", heads.select("case", "invtNo", "agentCode", "copNo", "ebcCode", "orderNo")
    )
    number = KINDS["inventory"].number
    named = ", ".join(f'h."{name}" AS "list.{name}"' for name in _LISTED)
    sql = f"""SELECT k."case", d.id AS "list.id", d.message_id AS "list.message_id",
            d.kind AS "list.kind", d.seq AS "list.seq", d.at AS "list.at",
            d.status AS "list.status", d.current AS "list.current", d.invt_no AS "list.invt_no",
            (SELECT e.at FROM event e WHERE e.document_id = d.id AND e.after = {steps.RELEASED})
                AS "list.released_at",
            c.list_id IS NOT NULL AS "list.cancelled", {named}
        FROM {source}
        JOIN LATERAL (
            SELECT 1 AS by, id FROM document WHERE invt_no = k."invtNo"
            UNION ALL SELECT 2, id FROM document WHERE kind = {number} AND current
                AND cop_b = k."copNo" AND cop_a = k."agentCode" AND key_b = k."orderNo"
            UNION ALL SELECT 3, id FROM document WHERE kind = {number} AND current
                AND key_b = k."orderNo" AND key_a = k."ebcCode"
            ORDER BY by, id DESC LIMIT 1
        ) found ON true
        JOIN document d ON d.id = found.id
        JOIN inventory_head h ON h.document_id = d.id
        LEFT JOIN cancelled c ON c.list_id = d.id"""
    lists = store.fetch(conn, sql, values, {"case": pl.Int64, **LIST})
    return heads.join(lists, on="case", how="left", maintain_order="left")


def theirs() -> pl.Expr:
    """Whether there is a list, and it is the seller's and its declarant's who ask."""
    agent = pl.col("agentCode").is_in(pl.concat_list("list.agentCode", "list.ebcCode"))
    seller = pl.col("ebcCode") == pl.col("list.ebcCode")
    return (pl.col("list.id").is_not_null() & agent & seller).fill_null(value=False)


def message_absent(asked: pl.DataFrame, kind: str) -> pl.DataFrame:
    """message.absent: no list of that number, or it is another company's."""
    return f.shaped(
        asked.filter(~theirs()).select(
            "case",
            expected=pl.lit("a declared list of this company"),
            actual=pl.format("{}, order {}", pl.col("invtNo").fill_null(""), "orderNo"),
        ),
        rule="message.absent",
        severity=f.ERROR,
        document=kind,
        field="invtNo",
    )


def original_buyer(asked: pl.DataFrame, kind: str) -> pl.DataFrame:
    """original.buyer: the buyer is not that of the original list."""
    other = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"list.{name}"))
        for name in ("buyerIdType", "buyerIdNumber_digest", "buyerName")
    )
    shown = "{} {}"
    return f.shaped(
        asked.filter(theirs() & other).select(
            "case",
            expected=pl.format(shown, "list.buyerName", "list.buyerIdNumber"),
            actual=pl.format(shown, "buyerName", "buyerIdNumber"),
        ),
        rule="original.buyer",
        severity=f.ERROR,
        document=kind,
        field="buyerIdNumber",
    )


def original_differs(asked: pl.DataFrame, kind: str) -> pl.DataFrame:
    """original.differs: order, platform or waybill are not those of the original list."""
    return f.together(
        f.shaped(
            asked.filter(theirs() & pl.col(name).ne_missing(pl.col(f"list.{name}"))).select(
                "case", expected=f"list.{name}", actual=name
            ),
            rule="original.differs",
            severity=f.ERROR,
            document=kind,
            field=name,
        )
        for name in SAME
    )


def original_number(asked: pl.DataFrame, kind: str) -> pl.DataFrame:
    """original.number, a warning: the list has another number; it was found by its order."""
    other = pl.col("invtNo") != pl.col("list.invt_no")
    return f.shaped(
        asked.filter(theirs() & other).select("case", expected="list.invt_no", actual="invtNo"),
        rule="original.number",
        severity=f.WARNING,
        document=kind,
        field="invtNo",
    )


def compared(asked: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Every finding of this module. asked: as from ``pairs``."""
    return f.together(
        rule(asked, kind)
        for rule in (message_absent, original_buyer, original_differs, original_number)
    )


def lists_of(asked: pl.DataFrame) -> pl.DataFrame:
    """The lists, as ``steps.on`` takes them: id, message_id, kind, seq, at, status, case."""
    return asked.select(
        "case",
        *(pl.col(f"list.{name}").alias(name) for name in ("id", "message_id", "kind")),
        *(pl.col(f"list.{name}").alias(name) for name in ("seq", "at", "status")),
    )
