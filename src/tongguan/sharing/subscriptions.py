"""Who else is told: what BaseSubscribe of messages says, and who may really be told.

The sender of a message names up to five addresses at the exchange platform that shall be told of
its documents (CEB specification, BaseSubscribe). An address belongs to the company that filed it.
Told are receipts only, and only to real counterparties: companies that the document names, that
hold a mandate of the sender or gave it one, or, where a document names its sender alone (a
waybill), that another document named together with it. The sender's word can be ended.
"""

from datetime import date
from typing import Any

import polars as pl
import psycopg

from tongguan import store
from tongguan.sharing import companies
from tongguan.sharing.companies import instant
from tongguan.sharing.rules import Problem, Refused

STEPS = [
    """
    CREATE TABLE subscription (
        message_id bigint NOT NULL,
        publisher text NOT NULL,
        address text NOT NULL,
        content text NOT NULL CHECK (content IN ('ALL', 'DATA', 'RET')),
        said_at bigint NOT NULL,
        ended_at bigint,
        PRIMARY KEY (message_id, address)
    );
    CREATE INDEX subscription_publisher ON subscription (publisher);
    CREATE INDEX subscription_address ON subscription (address);
    CREATE TABLE counterparty (
        one text NOT NULL,
        other text NOT NULL,
        since bigint NOT NULL,
        PRIMARY KEY (one, other),
        CHECK (one < other)
    );
    """
]
"""Steps of room "subscriptions"; they stand on those of the registry."""

SAID: dict[str, Any] = dict.fromkeys(("publisher", "address", "content"), pl.String)
SAID = {"message_id": pl.Int64} | SAID
"""What messages say: publisher is the company that sent, content ALL, DATA or RET."""

PAIR = ("one", "other")


def keep(conn: psycopg.Connection, said: pl.DataFrame, at_ms: int) -> None:
    """Keep what messages say. said: SAID; an address said twice in a message counts once."""
    if said.is_empty():
        return
    once = said.group_by("message_id", "publisher", "address", maintain_order=True).agg(
        content=pl.when(pl.col("content").n_unique() > 1)
        .then(pl.lit("ALL"))
        .otherwise(pl.col("content").first())
    )
    store.copy(conn, "subscription", once.with_columns(said_at=pl.lit(at_ms)))


def meet(conn: psycopg.Connection, pairs: pl.DataFrame, at_ms: int) -> None:
    """Remember companies that a document named together. pairs: one, other."""
    low, high = pl.min_horizontal(PAIR), pl.max_horizontal(PAIR)
    sorted_ = pairs.select(one=low, other=high).filter(pl.col("one") != pl.col("other"))
    rows = sorted_.unique().sort(PAIR)
    if rows.is_empty():
        return
    source, values = store.unnest("k", rows)
    sql = f"""INSERT INTO counterparty (one, other, since) SELECT k.one, k.other, {int(at_ms)}
        FROM {source} WHERE NOT EXISTS (
            SELECT FROM counterparty c WHERE c.one = k.one AND c.other = k.other)
        ORDER BY k.one, k.other ON CONFLICT DO NOTHING"""
    conn.execute(sql.encode(), values)


TOLD: dict[str, Any] = {
    "message_id": pl.Int64,
    "publisher": pl.String,
    "receiver": pl.String,
    "company": pl.String,
}
"""Who is to be told of a message's documents: the address, and the company that filed it."""


def subscribers(conn: psycopg.Connection, message_ids: pl.Series) -> pl.DataFrame:
    """Who is to be told of receipts of these messages, if they are counterparties: TOLD."""
    if message_ids.is_empty():
        return pl.DataFrame(schema=TOLD)
    source, values = store.unnest("k", message_ids.alias("message_id").to_frame())
    sql = f"""SELECT s.message_id, s.publisher, s.address AS receiver, c.code AS company
        FROM {source} JOIN subscription s USING (message_id) JOIN company c ON c.dxp_id = s.address
        WHERE s.ended_at IS NULL AND s.content <> 'DATA'
            AND s.publisher NOT IN (c.code, coalesce(c.credit_code, ''))"""
    return store.fetch(conn, sql, values, TOLD)


def addressed(conn: psycopg.Connection, addresses: pl.Series) -> dict[str, str]:
    """The companies that filed these addresses."""
    sql = "SELECT dxp_id, code FROM company WHERE dxp_id = ANY(%s)"
    return dict(conn.execute(sql, (addresses.unique().to_list(),)).fetchall())


RELATED: dict[str, Any] = {"publisher": pl.String, "company": pl.String}
"""Two companies: who sends, by the code its message names, and who is told, by its filed code."""


def met(conn: psycopg.Connection, pairs: pl.DataFrame) -> pl.DataFrame:
    """Of pairs (RELATED) those that some document named together."""
    if pairs.is_empty():
        return pairs.select(*RELATED)
    source, values = store.unnest("k", pairs.select(*RELATED).unique())
    sql = f"""SELECT k.publisher, k.company
        FROM {source} JOIN company c ON c.code = k.company
        LEFT JOIN company p ON k.publisher IN (p.code, p.credit_code)
        WHERE EXISTS (
            SELECT FROM unnest(ARRAY[k.publisher, p.code, p.credit_code]) AS o(code)
            CROSS JOIN unnest(ARRAY[c.code, c.credit_code]) AS t(code)
            JOIN counterparty m
            ON m.one = least(o.code, t.code) AND m.other = greatest(o.code, t.code)
            WHERE o.code IS NOT NULL AND t.code IS NOT NULL)"""
    return store.fetch(conn, sql, values, RELATED)


def mandated(conn: psycopg.Connection, pairs: pl.DataFrame, day: date) -> pl.DataFrame:
    """Of pairs (RELATED) those with a mandate, of either direction, that holds on the day."""
    if pairs.is_empty():
        return pairs.select(*RELATED)
    source, values = store.unnest("k", pairs.select(*RELATED).unique())
    sql = f"""SELECT DISTINCT k.publisher, k.company
        FROM {source} LEFT JOIN company p ON p.credit_code = k.publisher
        JOIN mandate m ON (m.principal, m.agent) IN (
            (coalesce(p.code, k.publisher), k.company), (k.company, coalesce(p.code, k.publisher)))
        WHERE m.since <= %s::date AND (m.until IS NULL OR m.until >= %s::date)"""
    return store.fetch(conn, sql, [*values, day, day], RELATED)


def end(conn: psycopg.Connection, publisher: str, subscriber: str, by: str, at_ms: int) -> int:
    """End what the messages of ``publisher`` said for ``subscriber``: how many messages.

    What a later message says counts again. Raises UnknownCompany, and Refused if nothing was said.
    """
    publisher, subscriber = companies.find(conn, publisher), companies.find(conn, subscriber)
    done = conn.execute(
        """UPDATE subscription s SET ended_at = %(at)s FROM company p, company c
        WHERE p.code = %(publisher)s AND c.code = %(subscriber)s AND s.ended_at IS NULL
            AND s.publisher IN (p.code, p.credit_code) AND s.address = c.dxp_id""",
        {"publisher": publisher, "subscriber": subscriber, "at": at_ms},
    ).rowcount
    if not done:
        cure = f"`tongguan company subscriptions {publisher}` shows who is told"
        expected = f"a company that messages of {publisher} name"
        raise Refused([Problem("subscriber", expected, subscriber, cure)])
    facts = {"subscriber": subscriber, "messages": done}
    companies.record(conn, publisher, "subscription ended", facts, by, at_ms)
    return done


def listed(conn: psycopg.Connection, company: str) -> list[dict[str, Any]]:
    """What was said by and for a company, one row a publisher, address and content.

    subscriber is None where nobody filed the address; messages is how many said so, ended how many
    of them no longer count; first and last are ISO 8601. Raises UnknownCompany.
    """
    main = companies.find(conn, company)
    sql = """SELECT coalesce(p.code, s.publisher), c.code, s.address, s.content, count(*),
            min(s.said_at), max(s.said_at), count(s.ended_at)
        FROM company me
        JOIN subscription s ON s.publisher IN (me.code, me.credit_code) OR s.address = me.dxp_id
        LEFT JOIN company p ON s.publisher IN (p.code, p.credit_code)
        LEFT JOIN company c ON c.dxp_id = s.address
        WHERE me.code = %s GROUP BY 1, 2, 3, 4 ORDER BY 1, 3, 4"""
    return [
        {
            "publisher": publisher,
            "subscriber": subscriber,
            "address": address,
            "content": content,
            "messages": count,
            "first": instant(first),
            "last": instant(last),
            "ended": ended,
        }
        for publisher, subscriber, address, content, count, first, last, ended in conn.execute(
            sql, (main,)
        )
    ]
