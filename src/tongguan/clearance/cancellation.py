"""Cancellation of a list before its release (CEB623, answered by CEB624).

The list goes to 100, the standard's only status for a list that is off: it has none for
"withdrawn", so the receipt says it in words. Its seller may declare the same number anew (100 may
be re-sent), but order, payment and waybill that were matched stay at 120, which the standard does
not let anybody send again: a new list needs a new order. Documents that were still waiting at 2
stay free. The statuses at which a list may be cancelled are in ``transitions.csv``.
"""

from collections.abc import Mapping

import polars as pl
import psycopg

from tongguan import store
from tongguan.clearance import findings as f
from tongguan.clearance import originals, steps, texts, writing
from tongguan.clearance.findings import ERROR
from tongguan.clearance.intake import Body
from tongguan.clearance.returns import deadline
from tongguan.clearance.round import Round
from tongguan.clearance.settings import Settings
from tongguan.clearance.steps import CLOSED, REFUSED, RELEASED
from tongguan.clearance.transitions import cancellable

KIND = "cancellation"


def apply(
    conn: psycopg.Connection,
    part: Round,
    asked: pl.DataFrame,
    bodies: Mapping[str, Body],
    settings: Settings,
    batch_id: int,
) -> pl.DataFrame:
    """Cancel the lists that may be; returns the findings about the cancellations (case = doc).

    asked: doc of accepted, current cancellations. Adds to the round the lists' events and, in
    ``part.cancelled``, the lists whose holds are to be voided. Gives the allowance back.
    """
    pairs = originals.pairs(conn, KIND, asked, bodies)
    until = pl.Series(
        [deadline(day, settings, "returns.apply-days") for day in _released_on(pairs)],
        dtype=pl.Date,
    )
    findings = decide(pairs.with_columns(until=until))
    good = pairs.join(f.faulty(findings), on="case", how="anti", maintain_order="left")
    lists = originals.lists_of(good)
    if lists.is_empty():
        return findings
    said = pl.format(texts.CANCELLED, good["copNo"].fill_null(""))
    off = [
        steps.on(here, 1, before, REFUSED, settings.at_ms)
        for (before,), here in lists.group_by("status", maintain_order=True)
    ]
    words = lists.select("id", said=said)
    part.events.append(
        pl.concat(off)
        .join(words, left_on="document_id", right_on="id", maintain_order="left")
        .with_columns(info="said")
        .select(*steps.EVENTS)
    )
    part.cancelled.append(lists.select(document_id="id"))
    record = lists.select(list_id="id", cancellation_id="case", batch_id=pl.lit(batch_id))
    store.copy(conn, "cancelled", record)
    writing.restore_allowances(conn, _taken(conn, lists), settings.at_ms, batch_id)
    return findings


def _released_on(pairs: pl.DataFrame) -> pl.Series:
    return pairs.select(steps.local("list.released_at").dt.date()).to_series()


def _taken(conn: psycopg.Connection, lists: pl.DataFrame) -> pl.DataFrame:
    """What the lists took of their buyers' years: document_id, by_id, buyer, year, fen."""
    source, values = store.unnest("k", lists.select("id", "case"))
    sql = f"""SELECT t.document_id, k."case" AS by_id, t.buyer,
            extract(year FROM t.day)::int AS year, t.counted_fen AS fen
        FROM {source} JOIN decision t ON t.document_id = k.id WHERE t.counted_fen > 0"""
    schema = {"document_id": pl.Int64, "by_id": pl.Int64, "fen": pl.Int64}
    return store.fetch(conn, sql, values, schema)


# ── rules ───────────────────────────────────────────────────────────────────────────────────


def decide(asked: pl.DataFrame) -> pl.DataFrame:
    """All findings about cancellations: pure.

    asked: as from ``originals.pairs``, with ``until``: the last day to apply for a return.
    """
    rules = (message_duplicate, message_state, cancel_released)
    return f.together([originals.compared(asked, KIND), *(rule(asked) for rule in rules)])


def message_duplicate(asked: pl.DataFrame) -> pl.DataFrame:
    """message.duplicate: the list is cancelled already, or by an earlier one of these."""
    may = asked.filter(_open()).join(
        f.faulty(originals.compared(asked, KIND)), on="case", how="anti"
    )
    later = may.sort("case").filter(~pl.col("list.id").is_first_distinct())["case"]
    again = originals.theirs() & (pl.col("list.cancelled") | pl.col("case").is_in(later.implode()))
    return f.shaped(
        asked.filter(again).select(
            "case", expected=pl.lit("a list that is not cancelled"), actual=_list_name()
        ),
        rule="message.duplicate",
        severity=ERROR,
        document=KIND,
        field="invtNo",
    )


def message_state(asked: pl.DataFrame) -> pl.DataFrame:
    """message.state: the list is refused, a draft, or another has taken its place."""
    gone = ~_open() & ~_left() & ~pl.col("list.cancelled")
    allowed = ", ".join(str(status) for status in sorted(cancellable()))
    return f.shaped(
        asked.filter(originals.theirs() & gone).select(
            "case",
            expected=pl.lit(f"a list at status {allowed}"),
            actual=pl.when("list.current")
            .then(pl.format("status {}", "list.status"))
            .otherwise(pl.lit("replaced by another declaration")),
        ),
        rule="message.state",
        severity=ERROR,
        document=KIND,
        field="invtNo",
    )


def cancel_released(asked: pl.DataFrame) -> pl.DataFrame:
    """cancel.released: the list is released; what remains is a return (CEB625), until a day."""
    return f.shaped(
        asked.filter(originals.theirs() & _left()).select(
            "case",
            expected=pl.lit("a list before its release"),
            actual=pl.format(
                "released on {}; a return (CEB625) can be applied for until {}",
                steps.local("list.released_at").dt.date(),
                "until",
            ),
        ),
        rule="cancel.released",
        severity=ERROR,
        document=KIND,
        field="invtNo",
    )


def _open() -> pl.Expr:
    return pl.col("list.status").is_in(list(cancellable())) & pl.col("list.current")


def _left() -> pl.Expr:
    return pl.col("list.status").is_in([RELEASED, CLOSED])


def _list_name() -> pl.Expr:
    return pl.format("list {}", pl.coalesce("list.invt_no", "list.orderNo"))
