"""The queue: messages become durable, many requests with one commit, and are looked up again.

A request waits until its messages are committed. While one commit is under way the next requests
gather; then all of them go with one statement. So a commit is paid once for all who wait, and
nobody is answered before the disk has it. The same message of the same sender is the same row.
"""

import hashlib
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg

from tongguan import store
from tongguan.window.limits import Limits
from tongguan.window.trouble import over

AT_ONCE_MESSAGES, AT_ONCE_BYTES = 500, 32 << 20
"""What one commit takes at most."""
CHANNEL = "tongguan_submission"
"""Told whenever something was handed in."""


def submission_id(company: str, digest: str) -> str:
    """The id of a message of a sender: always the same, and nobody can guess it without both."""
    return hashlib.sha256(f"{company}\n{digest}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class HandedIn:
    """One message that somebody handed in.

    digest: SHA-256 of its bytes in hex. findings: JSON of why it is refused as a whole, or None.
    sealed: the bytes, packed (zstd) and sealed. trace: where its trace goes on.
    """

    company: str
    key_id: str
    digest: str
    documents: int
    findings: str | None
    at_ms: int
    size: int
    sealed: bytes
    trace: str | None = None

    @property
    def id(self) -> str:
        return submission_id(self.company, self.digest)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the queue holds of a message, now or since it came first."""

    id: str
    digest: str
    documents: int
    findings: Any
    again: bool


class Committer:
    """Makes messages durable on a thread of its own. Close it: what was taken is committed."""

    def __init__(self, database: store.Database, limits: Limits) -> None:
        self._database, self._limits = database, limits
        self._gathered: queue.SimpleQueue[tuple[list[HandedIn], Future[list[Kept]]] | None]
        self._gathered = queue.SimpleQueue()
        self._waiting = 0
        self._connection: psycopg.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="committer")
        self._thread.start()

    def hand_in(self, messages: list[HandedIn]) -> list[Kept]:
        """Wait until messages are durable, in their order; what is kept of each.

        Raises Turned (429) while too many wait to be recorded, store.Unavailable.
        """
        if self._waiting >= self._limits.waiting:
            about = "messages that wait to be recorded"
            raise over(429, "waiting", self._limits.waiting, self._waiting, about)
        done: Future[list[Kept]] = Future()
        self._gathered.put((messages, done))
        return done.result()

    def waiting(self, count: int) -> None:
        """How many messages wait to be recorded, as last counted."""
        self._waiting = count

    def close(self) -> None:
        self._gathered.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            self._settle(batch)
        if self._connection is not None:
            self._connection.close()

    def _next(self) -> list[tuple[list[HandedIn], Future[list[Kept]]]] | None:
        first = self._gathered.get()
        if first is None:
            return None
        batch = [first]
        count, size = len(first[0]), sum(len(m.sealed) for m in first[0])
        while count < AT_ONCE_MESSAGES and size < AT_ONCE_BYTES:
            try:
                more = self._gathered.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._gathered.put(None)
                break
            batch.append(more)
            count += len(more[0])
            size += sum(len(m.sealed) for m in more[0])
        return batch

    def _settle(self, batch: list[tuple[list[HandedIn], Future[list[Kept]]]]) -> None:
        try:
            with store.environment():
                kept = self._keep([message for messages, _ in batch for message in messages])
        except BaseException as failed:
            self._lose()
            for _, done in batch:
                done.set_exception(failed)
            return
        self._waiting += sum(not each.again for each in kept.values())
        for messages, done in batch:
            done.set_result([kept[message.id] for message in messages])

    def _keep(self, messages: Sequence[HandedIn]) -> dict[str, Kept]:
        if self._connection is None or self._connection.closed:
            self._connection = self._database.connect(autocommit=True)
        new = keep(self._connection, messages)
        kept = {
            m.id: Kept(m.id, m.digest, m.documents, _loaded(m.findings), again=False)
            for m in messages
            if m.id in new
        }
        before = [message.id for message in messages if message.id not in new]
        return kept | (found(self._connection, before) if before else {})

    def _lose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _loaded(findings: str | None) -> Any:
    return None if findings is None else msgspec.json.decode(findings)


def keep(conn: psycopg.Connection, messages: Sequence[HandedIn]) -> set[str]:
    """Store messages that are new, in their order, with one statement; the ids of these."""
    rows = conn.execute(
        """WITH kept AS (
            INSERT INTO submission (id, company, key_id, digest, documents, findings, at, bytes,
                trace, state, sealed)
            SELECT g.id, g.company, g.key_id, g.digest, g.documents, g.findings::jsonb, g.at,
                g.bytes, g.trace, 'waiting', g.sealed
            FROM unnest(%(id)s::text[], %(company)s::text[], %(key_id)s::text[],
                %(digest)s::text[], %(documents)s::integer[], %(findings)s::text[],
                %(at)s::bigint[], %(bytes)s::integer[], %(trace)s::text[], %(sealed)b::bytea[])
                WITH ORDINALITY AS g (id, company, key_id, digest, documents, findings, at, bytes,
                    trace, sealed, place)
            ORDER BY g.place ON CONFLICT (id) DO NOTHING RETURNING id
        )
        SELECT id, pg_notify(%(channel)s, '') FROM kept""",
        {
            "id": [m.id for m in messages],
            "company": [m.company for m in messages],
            "key_id": [m.key_id for m in messages],
            "digest": [m.digest for m in messages],
            "documents": [m.documents for m in messages],
            "findings": [m.findings for m in messages],
            "at": [m.at_ms for m in messages],
            "bytes": [m.size for m in messages],
            "trace": [m.trace for m in messages],
            "sealed": [m.sealed for m in messages],
            "channel": CHANNEL,
        },
    )
    return {row[0] for row in rows}


def found(conn: psycopg.Connection, ids: Sequence[str]) -> dict[str, Kept]:
    """What is kept under some ids."""
    sql = "SELECT id, digest, documents, findings FROM submission WHERE id = ANY(%s)"
    rows = conn.execute(sql, (list(ids),))
    return {
        id_: Kept(id_, digest, documents, findings, again=True)
        for id_, digest, documents, findings in rows
    }


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a message of a company is. at_ms: when it was handed in."""

    id: str
    digest: str
    documents: int
    at_ms: int
    state: str
    findings: Any


def standing(conn: psycopg.Connection, company: str, id_: str) -> Standing | None:
    """How far a message of a company is; None if it has none of that id."""
    sql = """SELECT id, digest, documents, at, state, findings FROM submission
        WHERE id = %s AND company = %s"""
    row = conn.execute(sql, (id_, company)).fetchone()
    return None if row is None else Standing(*row)
