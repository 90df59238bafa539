"""What a worker takes from the queue: whole senders, in the order in which they handed in.

A worker claims senders (an advisory lock that lasts as long as its transaction) and takes the
oldest messages of each, as many as make a batch. So a batch mixes senders, and no two workers have
messages of one sender at once. Even if a claim is lost (its connection broke) nothing goes wrong:
whoever takes a sender takes its oldest waiting messages, and a message is recorded in the same
transaction in which it stops waiting; of two workers with the same messages one fails.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import psycopg

MOST_MESSAGES, MOST_BYTES = 500, 8 << 20
"""A batch: some thousand parcels. Greater ones save nothing more, and would wait for each other:
the gateway takes in the next while one is recorded."""
SENDERS = 0x746F6773  # "togs": class of the locks of senders
WORKERS = 0x746F6777  # "togw": class of the locks that living workers hold
SUSPECT, HOPELESS = 3, 6
"""Workers that ended with a message in hand before it is tried alone, and before it is given up."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that waits. findings: why it is refused as a whole, or None. deaths: of workers
    that had it in hand."""

    n: int
    id: str
    company: str
    digest: str
    findings: Any
    trace: str | None
    size: int
    sealed: bytes
    deaths: int


def enlist(conn: psycopg.Connection, number: int) -> None:
    """Be counted as a worker as long as this connection lives. number: of the process."""
    conn.execute("SELECT pg_advisory_lock_shared(%s, %s)", (WORKERS, number % (1 << 31)))


def workers(conn: psycopg.Connection) -> int:
    """How many workers live."""
    sql = """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    row = conn.execute(sql, (WORKERS,)).fetchone()
    return int(row[0]) if row else 0


def take(conn: psycopg.Connection) -> list[Taken]:
    """Claim senders and take a batch of their messages, oldest first; [] if there are none.

    The claims last until the transaction that is open on ``conn`` ends. A worker leaves as many
    senders as there are others to take them.
    """
    sql = """SELECT company, count(*) FROM submission WHERE state = 'waiting'
        GROUP BY company ORDER BY min(n)"""
    waiting = conn.execute(sql).fetchall()
    if not waiting:
        return []
    share = ceil(len(waiting) / max(1, workers(conn)))
    claimed: list[str] = []
    count = 0
    for company, messages in waiting:
        if len(claimed) == share or count >= MOST_MESSAGES:
            break
        if _claim(conn, company):
            claimed.append(company)
            count += messages
    return _oldest(conn, claimed) if claimed else []


def _claim(conn: psycopg.Connection, company: str) -> bool:
    sql = "SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))"
    row = conn.execute(sql, (SENDERS, company)).fetchone()
    return bool(row and row[0])


def _oldest(conn: psycopg.Connection, companies: Sequence[str]) -> list[Taken]:
    sql = """SELECT n, id, company, digest, findings, trace, bytes, sealed,
            (SELECT count(*) FROM taking WHERE submissions @> ARRAY[b.n])
        FROM (
            SELECT s.*, sum(s.bytes) OVER (ORDER BY s.n) - s.bytes AS before
            FROM unnest(%(companies)s::text[]) AS c (company) CROSS JOIN LATERAL (
                SELECT * FROM submission WHERE company = c.company AND state = 'waiting'
                ORDER BY n LIMIT %(most)s) AS s
        ) AS b WHERE before < %(bytes)s ORDER BY n LIMIT %(most)s"""
    asked = {"companies": list(companies), "most": MOST_MESSAGES, "bytes": MOST_BYTES}
    return [Taken(*row) for row in conn.execute(sql, asked, binary=True)]


# --- what is in hand ------------------------------------------------------------------------------


def note(conn: psycopg.Connection, worker: int, taken: Sequence[Taken]) -> int:
    """Note, before it is tried, what a worker has in hand; the number of the note."""
    sql = "INSERT INTO taking (worker, submissions) VALUES (%s, %s) RETURNING id"
    row = conn.execute(sql, (worker, [each.n for each in taken])).fetchone()
    assert row is not None
    return int(row[0])


def forget(conn: psycopg.Connection, notes: Sequence[int]) -> None:
    """Take notes back: the worker lives."""
    conn.execute("DELETE FROM taking WHERE id = ANY(%s)", (list(notes),))


def tidy(conn: psycopg.Connection) -> None:
    """Forget notes about messages none of which waits any more."""
    conn.execute(
        """DELETE FROM taking t WHERE NOT EXISTS (
            SELECT FROM submission WHERE n = ANY(t.submissions) AND state = 'waiting')"""
    )


class Overtaken(Exception):  # noqa: N818 - nothing is wrong
    """Another worker has recorded some of these messages."""


def finish(
    conn: psycopg.Connection, taken: Sequence[Taken], note_id: int, why: str | None = None
) -> None:
    """Say in the transaction that records them that messages are done. why: they were set aside.

    The bytes of what is set aside stay. Raises Overtaken.
    """
    sql = """UPDATE submission SET
            state = CASE WHEN %(why)s::text IS NOT NULL THEN 'set-aside'
                WHEN findings IS NULL THEN 'done' ELSE 'refused' END,
            why = %(why)s, sealed = CASE WHEN %(why)s::text IS NULL THEN NULL ELSE sealed END
        WHERE n = ANY(%(ns)s) AND state = 'waiting'"""
    ns = [each.n for each in taken]
    if conn.execute(sql, {"ns": ns, "why": why}).rowcount != len(ns):
        raise Overtaken(f"{len(ns)} messages")
    conn.execute("DELETE FROM taking WHERE id = %s OR submissions <@ %s::bigint[]", (note_id, ns))
