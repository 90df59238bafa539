"""Receipts for others than the sender: whom a message names, and who of them is a counterparty.

A subscriber gets a receipt message of its own, with the returns of just those documents it may
know of; so it is read, sealed into evidence and repeated like any other.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any

import polars as pl
import psycopg

from tongguan import messages
from tongguan.clearance import dossier
from tongguan.clearance import findings as f
from tongguan.clearance.intake import Body, Incoming
from tongguan.clearance.kinds import BY_NUMBER, Kind
from tongguan.sharing import registry, subscriptions

CODES = frozenset(
    {
        *("ebpCode", "ebcCode", "payCode", "logisticsCode", "agentCode", "assureCode"),
        *("operatorCode", "areaCode"),
    }
)
"""Elements by which documents name companies."""
CARRIER = "logisticsCode"

ALSO: dict[str, Any] = {"document_id": pl.Int64, "receiver": pl.String, "company": pl.String}
"""Who gets the receipts of a document beside its sender."""


@cache
def naming(kind: Kind) -> tuple[str, ...]:
    """The elements of a kind's head that name a company."""
    fields = messages.message_type(kind.message).head_fields
    return tuple(field.name for field in fields if field.name in CODES)


def named_together(bodies: Mapping[str, Body], good: pl.DataFrame) -> pl.DataFrame:
    """The carrier and each other company that good lists (doc) name: one, other.

    Only a carrier's documents name their sender alone, and only lists name it with others.
    """
    schema = {"one": pl.String, "other": pl.String}
    body = bodies.get("inventory")
    if body is None:
        return pl.DataFrame(schema=schema)
    heads = body.heads.join(good.select("doc"), on="doc", how="semi")
    named = heads.select(naming(body.kind)).unique()
    others = (element for element in named.columns if element != CARRIER)
    return pl.concat(named.select(one=CARRIER, other=o) for o in others).drop_nulls().unique()


def said(incoming: Sequence[Incoming], ids: Sequence[int]) -> pl.DataFrame:
    """What messages say in BaseSubscribe: subscriptions.SAID."""
    rows = [
        (message_id, message.company, block["dxpAddress"], block["status"])
        for message, message_id in zip(incoming, ids, strict=True)
        if not message.parsed.refused and message.company
        for block in message.parsed.subscribes
        if block.get("dxpAddress")
    ]
    return pl.DataFrame(rows, schema=subscriptions.SAID, orient="row")


def also(
    conn: psycopg.Connection, events: pl.DataFrame, bodies: Mapping[str, Body], day: date
) -> pl.DataFrame:
    """Who is told of these events beside the senders: ALSO."""
    asked = subscriptions.subscribers(conn, events["message_id"].unique())
    if asked.is_empty():
        return pl.DataFrame(schema=ALSO)
    about = events.select("document_id", "message_id", "kind").unique()
    return _entitled(conn, about.join(asked, on="message_id"), bodies, day).select(*ALSO)


def receipt_subscriber(
    conn: psycopg.Connection,
    words: pl.DataFrame,
    documents: pl.DataFrame,
    bodies: Mapping[str, Body],
    day: date,
) -> pl.DataFrame:
    """receipt.subscriber: an address that is to be told, but nobody's or no counterparty's.

    words: subscriptions.SAID. documents: doc, kind, message_id. A warning (case = doc).
    """
    wanted = words.filter(pl.col("content") != "DATA").unique(["message_id", "address"])
    if wanted.is_empty():
        return f.none()
    filed = subscriptions.addressed(conn, wanted["address"])
    company = pl.col("address").replace_strict(filed, default=None, return_dtype=pl.String)
    asked = documents.select("message_id", "kind", document_id="doc").join(
        wanted.select("message_id", "publisher", receiver="address", company=company),
        on="message_id",
    )
    known = asked.filter(pl.col("company").is_not_null())
    told = _entitled(conn, known, bodies, day)
    missed = asked.join(told, on=["document_id", "receiver"], how="anti", maintain_order="left")
    names = {number: kind.name for number, kind in BY_NUMBER.items()}
    nobody = pl.col("company").is_null()
    return f.shaped(
        missed.sort("document_id", "receiver").select(
            case="document_id",
            document=pl.col("kind").replace_strict(names, return_dtype=pl.String),
            field=pl.lit("dxpAddress"),
            expected=pl.when(nobody)
            .then(pl.lit("the address of a filed company"))
            .otherwise(pl.lit("a company that the document names, or with a mandate")),
            actual=pl.when(nobody)
            .then(pl.format("{}, which nobody has filed", "receiver"))
            .otherwise(pl.format("{} of {}", "receiver", "company")),
        ),
        rule="receipt.subscriber",
        severity=f.WARNING,
    )


def _entitled(
    conn: psycopg.Connection, asked: pl.DataFrame, bodies: Mapping[str, Body], day: date
) -> pl.DataFrame:
    """Those rows whose company is a counterparty. asked: document_id, kind, publisher, company."""
    pair = list(subscriptions.RELATED)
    alone = pl.col("kind").is_in([n for n, kind in BY_NUMBER.items() if len(naming(kind)) == 1])
    mandated = subscriptions.mandated(conn, asked, day)
    met = asked.filter(alone).join(
        subscriptions.met(conn, asked.filter(alone)), on=pair, how="semi"
    )
    kept = [asked.join(mandated, on=pair, how="semi"), met]
    rest = asked.join(mandated, on=pair, how="anti").filter(~alone)
    for number in rest["kind"].unique().sort():
        mine = rest.filter(pl.col("kind") == number)
        kind = BY_NUMBER[number]
        ids = mine.select(id="document_id").unique().with_row_index("case")
        heads = dossier.body_heads(conn, kind.name, ids, naming(kind), bodies).drop("case")
        named = heads.unpivot(index="id", value_name="company").select("id", "company").drop_nulls()
        main = registry.main_codes(conn, named["company"])
        named = named.with_columns(pl.col("company").replace(main)).unique()
        on = ["document_id", "company"]
        kept.append(mine.join(named.rename({"id": "document_id"}), on=on, how="semi"))
    return pl.concat(kept).unique(["document_id", "receiver"])
