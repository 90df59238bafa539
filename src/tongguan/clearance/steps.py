"""The steps documents take, as columns of events."""

from typing import Any

import polars as pl

from tongguan.clearance.settings import ZONE

EVENTS: dict[str, Any] = {
    "document_id": pl.Int64,
    "message_id": pl.Int64,
    "kind": pl.Int64,
    "seq": pl.Int64,
    "before": pl.Int64,
    "after": pl.Int64,
    "at": pl.Int64,
    "info": pl.String,
}
"""seq: 1, 2, … within a document; at: ms since 1970 UTC, increasing with seq; info: the text of
the receipt, null for the standard text of the status."""

DRAFT, DECLARED = 1, 2
"""appStatus: saved as a draft, declared."""
SAVED, ACCEPTED, REFUSED, RECEIVED, PASSED, RELEASED = 1, 2, 100, 120, 399, 800
"""Statuses: draft kept, declared, refused, received by customs, review passed, released."""
AWAITED, CLOSED = 400, 899
"""Statuses: review passed, the goods have yet to arrive; closed."""


def local(at: str) -> pl.Expr:
    """A time in ms since 1970 UTC as a time in Asia/Shanghai."""
    utc = pl.from_epoch(pl.col(at), time_unit="ms").dt.replace_time_zone("UTC")
    return utc.dt.convert_time_zone(ZONE.key)


def none() -> pl.DataFrame:
    return pl.DataFrame(schema=EVENTS)


def first(documents: pl.DataFrame, after: pl.Expr, at_ms: int) -> pl.DataFrame:
    """The first event of new documents. documents: doc, message_id, kind, info."""
    return documents.select(
        "message_id",
        "kind",
        "info",
        document_id="doc",
        seq=pl.lit(1, dtype=pl.Int64),
        before=pl.lit(0, dtype=pl.Int64),
        after=after,
        at=pl.lit(at_ms, dtype=pl.Int64),
    ).select(*EVENTS)


def on(members: pl.DataFrame, number: int, before: int, after: int, at_ms: int) -> pl.DataFrame:
    """The ``number``-th further event of documents. members: id, message_id, kind, seq, at.

    It happens now, or just after the document's last event if the clock stood still since.
    """
    return members.select(
        "message_id",
        "kind",
        document_id="id",
        seq=pl.col("seq") + number,
        before=pl.lit(before, dtype=pl.Int64),
        after=pl.lit(after, dtype=pl.Int64),
        at=pl.max_horizontal(pl.lit(at_ms, dtype=pl.Int64), pl.col("at")) + number,
        info=pl.lit(None, dtype=pl.String),
    ).select(*EVENTS)


def last(events: pl.DataFrame) -> pl.DataFrame:
    """The last event of each document: id, message_id, kind, seq, status, at."""
    return (
        events.sort("document_id", "seq")
        .unique("document_id", keep="last", maintain_order=True)
        .select("message_id", "kind", "seq", "at", id="document_id", status="after")
    )
