"""What a worker takes from the queue: whole senders, in the order in which they handed in.

A worker claims senders (an advisory lock of its connection) and takes the oldest messages of each,
as many as make a batch. So a batch mixes senders, and no two workers have messages of one sender at
once; one worker may take more of a sender while it records what it took before. Even if a claim is
lost (its connection broke) nothing goes wrong: whoever takes a sender takes its oldest waiting
messages, and a message is recorded in the same transaction in which it stops waiting; of two
workers with the same messages one fails.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import psycopg

MOST_MESSAGES, MOST_BYTES = 500, 16 << 20
"""A batch: some thousand parcels. Greater ones save nothing more, and would wait for each other:
the next one is prepared while one is recorded."""
SENDERS = 0x746F6773  # "togs": class of the locks of senders
WORKERS = 0x746F6777  # "togw": class of the locks that living workers hold
TURN = 0x746F6774  # "togt": the lock of workers that take turns
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


def take(conn: psycopg.Connection, in_hand: Collection[Taken] = ()) -> list[Taken]:
    """Claim senders and take a batch of their messages, oldest first; [] if there are none.

    in_hand: what was taken before on ``conn`` and is not released yet. A worker leaves as many
    senders as there are others to take them. The claims last until ``release``, or until ``conn``
    closes.
    """
    ns = [each.n for each in in_hand]
    sql = """SELECT company, count(*) FROM submission
        WHERE state = 'waiting' AND n <> ALL(%s::bigint[]) GROUP BY company ORDER BY min(n)"""
    waiting: dict[str, int] = dict(conn.execute(sql, (ns,)).fetchall())
    if not waiting:
        return []
    held = {each.company for each in in_hand}
    room = ceil(len(held | waiting.keys()) / max(1, workers(conn))) - len(held)
    claimed: list[str] = []
    count = 0
    left = list(waiting)
    while left and count < MOST_MESSAGES:
        asked = _first(left, waiting, held, room, MOST_MESSAGES - count)
        if not asked:
            break
        got = _claim(conn, asked)
        claimed += got
        count += sum(waiting[company] for company in got)
        room -= len(set(got) - held)
        left = [company for company in left if company not in asked]
    taken = _oldest(conn, claimed, ns) if claimed else []
    _release(conn, set(claimed) - {each.company for each in taken})
    return taken


def _first(
    companies: Iterable[str],
    waiting: Mapping[str, int],
    held: Collection[str],
    room: int,
    messages: int,
) -> list[str]:
    """The first companies that have so many messages together, at most ``room`` not held before."""
    found: list[str] = []
    for company in companies:
        if messages <= 0:
            break
        if company in held or room > 0:
            found.append(company)
            messages -= waiting[company]
            room -= company not in held
    return found


def _claim(conn: psycopg.Connection, companies: Sequence[str]) -> list[str]:
    """Those of some companies that nobody else has."""
    sql = """SELECT c FROM unnest(%s::text[]) AS c
        WHERE pg_try_advisory_lock(%s, hashtext(c))"""
    return [row[0] for row in conn.execute(sql, (list(companies), SENDERS))]


def release(conn: psycopg.Connection, taken: Iterable[Taken]) -> None:
    """Let others have the senders of what was taken on ``conn``."""
    _release(conn, {each.company for each in taken})


def _release(conn: psycopg.Connection, companies: Collection[str]) -> None:
    if companies:
        sql = "SELECT pg_advisory_unlock(%s, hashtext(c)) FROM unnest(%s::text[]) AS c"
        conn.execute(sql, (SENDERS, sorted(companies)))


def _oldest(
    conn: psycopg.Connection, companies: Sequence[str], in_hand: Sequence[int]
) -> list[Taken]:
    sql = """SELECT n, id, company, digest, findings, trace, bytes, sealed,
            (SELECT count(*) FROM taking WHERE submissions @> ARRAY[b.n])
        FROM (
            SELECT s.*, sum(s.bytes) OVER (ORDER BY s.n) - s.bytes AS before
            FROM unnest(%(companies)s::text[]) AS c (company) CROSS JOIN LATERAL (
                SELECT * FROM submission WHERE company = c.company AND state = 'waiting'
                    AND n <> ALL(%(in_hand)s::bigint[])
                ORDER BY n LIMIT %(most)s) AS s
        ) AS b WHERE before < %(bytes)s ORDER BY n LIMIT %(most)s"""
    asked = {"companies": list(companies), "most": MOST_MESSAGES, "bytes": MOST_BYTES}
    asked["in_hand"] = list(in_hand)
    return [Taken(*row) for row in conn.execute(sql, asked, binary=True)]


def await_turn(conn: psycopg.Connection) -> None:
    """Wait until no other worker that takes turns is recording; until the transaction ends."""
    conn.execute("SELECT pg_advisory_xact_lock(%s, 0)", (TURN,))


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
