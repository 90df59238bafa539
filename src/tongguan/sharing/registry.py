"""The registry as clearing asks it: who is filed in which role, and who may send for whom.

An *open* registry files a company it has not seen provisionally and warns; a *closed* one refuses
it, and takes a provisional filing for none. A company may be named by either of its two codes,
the customs code or the social credit code. Source: GACC notices 2018-194 and 2018-219 (platforms,
payment and logistics firms and the domestic agents of sellers register with customs before they
transmit data).
"""

from collections.abc import Sequence
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
    """,
    """
    ALTER TABLE company RENAME TO company_role;
    ALTER TABLE company_role RENAME CONSTRAINT company_pkey TO company_role_pkey;
    CREATE TABLE company (
        code text PRIMARY KEY,
        name text,
        credit_code text UNIQUE,
        zone text
    );
    INSERT INTO company (code, name) SELECT DISTINCT ON (code) code, name FROM company_role
        ORDER BY code, provisional, filed_at;
    ALTER TABLE company_role DROP COLUMN name,
        ADD FOREIGN KEY (code) REFERENCES company (code);
    ALTER TABLE mandate
        ADD CONSTRAINT mandate_ends_no_earlier_than_before_it_begins CHECK (until >= since - 1);

    CREATE TABLE filing (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        company text NOT NULL,
        what text NOT NULL,
        facts jsonb NOT NULL,
        said_by text NOT NULL,
        at bigint NOT NULL
    );
    CREATE INDEX filing_company ON filing (company, id);
    CREATE FUNCTION filing_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'table filing only grows' USING ERRCODE = 'check_violation';
    END $$;
    CREATE TRIGGER filing_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON filing
        FOR EACH STATEMENT EXECUTE FUNCTION filing_only_grows();
    """,
    """
    ALTER TABLE company ADD COLUMN dxp_id text UNIQUE;
    """,
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


def unfiled(
    conn: psycopg.Connection, pairs: pl.DataFrame, *, provisional: bool = True
) -> pl.DataFrame:
    """Those of the (code, role) pairs that the registry does not know.

    provisional: whether a provisional filing counts.
    """
    if pairs.is_empty():
        return pairs
    source, values = store.unnest("k", pairs.select("code", "role"))
    counts = "" if provisional else "WHERE NOT r.provisional"
    sql = f"""SELECT k.code, k.role FROM {source} LEFT JOIN company c ON c.credit_code = k.code
        JOIN company_role r ON r.code = coalesce(c.code, k.code) AND r.role = k.role {counts}"""
    return pairs.join(store.fetch(conn, sql, values, PAIRS), on=["code", "role"], how="anti")


def file_provisionally(conn: psycopg.Connection, parties: pl.DataFrame, at_ms: int) -> None:
    """File companies without an examination, by their first mention. parties: PARTIES."""
    rows = parties.unique(["code", "role"], keep="first", maintain_order=True)
    rows = rows.sort("code", "role").select("code", "role", "name")
    if rows.is_empty():
        return
    columns = {name: rows[name].to_list() for name in rows.columns}
    conn.execute(
        """WITH named AS (
            SELECT k.place, coalesce(c.code, k.code) AS code, k.role, k.name
            FROM unnest(%(code)s::text[], %(role)s::text[], %(name)s::text[])
                WITH ORDINALITY AS k(code, role, name, place)
            LEFT JOIN company c ON c.credit_code = k.code
        ), new AS (
            INSERT INTO company (code, name)
            SELECT code, name FROM (SELECT DISTINCT ON (code) code, name, place FROM named
                ORDER BY code, place) AS firsts ORDER BY code
            ON CONFLICT DO NOTHING
        ), filed AS (
            INSERT INTO company_role (code, role, provisional, filed_at)
            SELECT DISTINCT code, role, true, %(at)s::bigint FROM named ORDER BY code, role
            ON CONFLICT DO NOTHING RETURNING code, role
        )
        INSERT INTO filing (company, what, facts, said_by, at)
        SELECT code, 'filed provisionally', jsonb_build_object('role', role), 'open registry',
            %(at)s::bigint
        FROM filed ORDER BY code, role""",
        columns | {"at": at_ms},
    )


def file_company(
    conn: psycopg.Connection,
    code: str,
    name: str,
    roles: Sequence[str],
    at_ms: int,
    credit_code: str | None = None,
    zone: str | None = None,
    dxp_id: str | None = None,
) -> None:
    """File a company in its roles, beside those it has; a provisional filing becomes a full one.

    What is left out (credit_code, zone, dxp_id) stays as it was. ``companies.file`` examines what
    is said before it comes here, and records who said it.
    """
    conn.execute(
        """INSERT INTO company AS c (code, name, credit_code, zone, dxp_id)
        VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (code) DO UPDATE SET name = excluded.name,
            credit_code = coalesce(excluded.credit_code, c.credit_code),
            zone = coalesce(excluded.zone, c.zone),
            dxp_id = coalesce(excluded.dxp_id, c.dxp_id)""",
        (code, name, credit_code, zone, dxp_id),
    )
    conn.execute(
        """INSERT INTO company_role (code, role, provisional, filed_at)
        SELECT %s, role, false, %s FROM unnest(%s::text[]) AS role
        ON CONFLICT (code, role) DO UPDATE SET provisional = false""",
        (code, at_ms, list(roles)),
    )


def main_codes(conn: psycopg.Connection, given: pl.Series) -> dict[str, str]:
    """The code each company is filed under, for those that were named by their credit code."""
    sql = "SELECT credit_code, code FROM company WHERE credit_code = ANY(%s)"
    return dict(conn.execute(sql, (given.drop_nulls().unique().to_list(),)).fetchall())


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
    sql = """SELECT DISTINCT k.principal, k.agent
        FROM unnest(%(principal)s::text[], %(agent)s::text[]) AS k(principal, agent)
        LEFT JOIN company p ON p.credit_code = k.principal
        LEFT JOIN company a ON a.credit_code = k.agent
        LEFT JOIN mandate m ON m.principal = coalesce(p.code, k.principal)
            AND m.agent = coalesce(a.code, k.agent)
            AND m.since <= %(day)s AND (m.until IS NULL OR m.until >= %(day)s)
        WHERE m.principal IS NOT NULL
            OR coalesce(p.code, k.principal) = coalesce(a.code, k.agent)"""
    params = {name: foreign[name].to_list() for name in ("principal", "agent")} | {"day": day}
    schema = {"principal": pl.String, "agent": pl.String}
    held = store.fetch(conn, sql, params, schema)
    return foreign.join(held, on=["principal", "agent"], how="anti")
