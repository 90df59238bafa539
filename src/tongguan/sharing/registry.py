"""The registry: which company is filed in which role, and who may send for whom.

An *open* registry files a company it has not seen provisionally and warns; a *closed* one refuses
it. Source: GACC notices 2018-194 and 2018-219 (platforms, payment and logistics firms and the
domestic agents of sellers register with customs before they transmit data).
"""

from datetime import date
from typing import Any

import polars as pl
import psycopg

from tongguan import store

STEPS = [
    """
    CREATE TABLE company (
        code text NOT NULL,
        role text NOT NULL,
        name text,
        provisional boolean NOT NULL,
        filed_at bigint NOT NULL,
        PRIMARY KEY (code, role)
    );
    CREATE TABLE mandate (
        principal text NOT NULL,
        agent text NOT NULL,
        since date NOT NULL,
        until date,
        PRIMARY KEY (principal, agent, since)
    );
    """
]

PARTIES: dict[str, Any] = {
    "doc": pl.Int64,
    "document": pl.String,
    "field": pl.String,
    "role": pl.String,
    "code": pl.String,
    "name": pl.String,
}
"""A company as a document names it: in which document and element, in what role."""


PAIRS: dict[str, Any] = {"code": pl.String, "role": pl.String}


def unfiled(conn: psycopg.Connection, pairs: pl.DataFrame) -> pl.DataFrame:
    """Those of the (code, role) pairs that the registry does not know."""
    if pairs.is_empty():
        return pairs
    source, values = store.unnest("k", pairs.select("code", "role"))
    sql = f"SELECT code, role FROM {source} JOIN company USING (code, role)"
    return pairs.join(store.fetch(conn, sql, values, PAIRS), on=["code", "role"], how="anti")


def file_provisionally(conn: psycopg.Connection, parties: pl.DataFrame, at_ms: int) -> None:
    """File companies without an examination, by their first mention. parties: PARTIES."""
    rows = parties.unique(["code", "role"], keep="first", maintain_order=True)
    rows = rows.sort("code", "role").select("code", "role", "name")
    if rows.is_empty():
        return
    columns = {name: rows[name].to_list() for name in rows.columns}
    conn.execute(
        """INSERT INTO company (code, role, name, provisional, filed_at)
        SELECT k.code, k.role, k.name, true, %(at)s
        FROM unnest(%(code)s::text[], %(role)s::text[], %(name)s::text[]) AS k(code, role, name)
        ON CONFLICT DO NOTHING""",
        columns | {"at": at_ms},
    )


def file_company(
    conn: psycopg.Connection, code: str, name: str, roles: list[str], at_ms: int
) -> None:
    """File a company in its roles; a provisional filing becomes a full one."""
    conn.execute(
        """INSERT INTO company (code, role, name, provisional, filed_at)
        SELECT %s, role, %s, false, %s FROM unnest(%s::text[]) AS role
        ON CONFLICT (code, role) DO UPDATE SET name = excluded.name, provisional = false""",
        (code, name, at_ms, roles),
    )


def grant_mandate(
    conn: psycopg.Connection, principal: str, agent: str, since: date, until: date | None
) -> None:
    """Record that ``agent`` may send for ``principal`` from ``since`` to ``until`` (inclusive)."""
    conn.execute(
        "INSERT INTO mandate (principal, agent, since, until) VALUES (%s, %s, %s, %s)",
        (principal, agent, since, until),
    )


def without_mandate(conn: psycopg.Connection, pairs: pl.DataFrame, day: date) -> pl.DataFrame:
    """Of (principal, agent) pairs those in which the agent is another company without mandate."""
    foreign = pairs.filter(pl.col("principal") != pl.col("agent")).unique(maintain_order=True)
    sql = """SELECT DISTINCT m.principal, m.agent
        FROM unnest(%(principal)s::text[], %(agent)s::text[]) AS k(principal, agent)
        JOIN mandate m ON m.principal = k.principal AND m.agent = k.agent
        WHERE m.since <= %(day)s AND (m.until IS NULL OR m.until >= %(day)s)"""
    params = {name: foreign[name].to_list() for name in ("principal", "agent")} | {"day": day}
    schema = {"principal": pl.String, "agent": pl.String}
    held = store.fetch(conn, sql, params, schema)
    return foreign.join(held, on=["principal", "agent"], how="anti")
