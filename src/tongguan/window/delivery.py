"""Pushing receipts to webhooks: signed, in order, again and again until they are taken.

What is posted is what ``GET /api/receipts`` answers. The header ``Tongguan-Signature`` is
``t=SECONDS,v1=HEX``: HMAC-SHA256 under the secret of the webhook over the seconds since 1970, a
point and the body, so that neither body nor time can be changed and an old delivery can be told
from a new one. A status 2xx takes the delivery; anything else is tried again after a pause that
doubles, up to an hour, for as long as the webhook is there. Nothing is skipped.
"""

import hashlib
import hmac
import http.client
import socket
import ssl
import threading
from dataclasses import dataclass

import msgspec
import psycopg

from tongguan import store
from tongguan.window import addresses, answers, clock, gate, stream
from tongguan.window.journal import journal
from tongguan.window.views.request import cursor

SECONDS = 10
"""For connecting, and for each step of the answer."""
FIRST_MS, LONGEST_MS = 1_000, 3_600_000
LEASE_MS = 60_000
"""How long another worker leaves a webhook alone that one has begun with."""
RECEIPTS = 100
IDLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Due:
    """A webhook that is to be told."""

    id: str
    company: str
    url: str
    secret: bytes
    cursor: str
    failures: int


def signature(secret: bytes, seconds: int, body: bytes) -> str:
    """The header that proves a delivery to be ours.

    >>> signature(b"k", 1, b"{}")[:9]
    't=1,v1=4c'
    """
    digest = hmac.new(secret, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def pause_ms(failures: int) -> int:
    """How long to wait after so many failures in a row."""
    return min(LONGEST_MS, FIRST_MS << min(failures - 1, 20))


class Delivery:
    """Tells webhooks, on a thread of its own; any number of workers may have one."""

    def __init__(self, database: store.Database, vault: store.Vault, *, loopback: bool) -> None:
        self._database, self._vault = database, vault
        self._loopback = loopback
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delivery")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with store.environment(), self._database.connect(autocommit=True) as conn:
                    while not self._stop.is_set():
                        if not self.once(conn):
                            self._stop.wait(IDLE_SECONDS)
            except store.Unavailable as failed:
                journal.warning("unavailable", why=str(failed))
                self._stop.wait(1)

    def once(self, conn: psycopg.Connection) -> bool:
        """Tell one webhook what is new for it; whether there was anything to tell."""
        due = self._next(conn)
        if due is None:
            return False
        behind = cursor(due.cursor)
        companies = gate.codes_of(conn, due.company)
        found = stream.after(conn, self._vault, companies, behind, RECEIPTS)
        if not found:
            self._done(conn, due, due.cursor)
            return False
        told = [entry for message in found for entry in stream.entries(message, behind)]
        following = stream.next_cursor(found, behind)
        body = msgspec.json.encode(answers.Receipts(next=following, receipts=told))
        trouble = self._post(due, body, clock.milliseconds(clock.real()) // 1000)
        if trouble is None:
            self._done(conn, due, following)
        else:
            self._failed(conn, due, trouble)
        return True

    def _next(self, conn: psycopg.Connection) -> Due | None:
        """The webhook that has waited longest; others leave it alone meanwhile."""
        now = clock.milliseconds(clock.real())
        row = conn.execute(
            """UPDATE webhook SET due_at = %(lease)s WHERE id = (
                SELECT id FROM webhook WHERE due_at <= %(now)s ORDER BY due_at
                LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING id, company, url, secret, cursor, failures""",
            {"now": now, "lease": now + LEASE_MS},
        ).fetchone()
        return None if row is None else Due(*row)

    def _done(self, conn: psycopg.Connection, due: Due, following: str) -> None:
        # A replay that was asked for meanwhile has moved the cursor: it stands.
        conn.execute(
            """UPDATE webhook SET due_at = %(at)s,
                cursor = CASE WHEN cursor = %(was)s THEN %(next)s ELSE cursor END,
                failures = 0, trouble = NULL
            WHERE id = %(id)s""",
            {
                "at": clock.milliseconds(clock.real()) + (500 if following == due.cursor else 0),
                "was": due.cursor,
                "next": following,
                "id": due.id,
            },
        )

    def _failed(self, conn: psycopg.Connection, due: Due, trouble: str) -> None:
        failures = due.failures + 1
        next_ms = clock.milliseconds(clock.real()) + pause_ms(failures)
        journal.warning("webhook failed", webhook=due.id, failures=failures, why=trouble)
        conn.execute(
            """UPDATE webhook SET failures = %s, trouble = %s, due_at = %s
            WHERE id = %s AND cursor = %s""",
            (
                failures,
                trouble,
                next_ms,
                due.id,
                due.cursor,
            ),
        )

    def _post(self, due: Due, body: bytes, seconds: int) -> str | None:
        """Post a body; None if it was taken, else what went wrong."""
        try:
            target = addresses.target(due.url, loopback=self._loopback)
            secret = self._vault.unseal(due.secret, due.id.encode())
            connection = _Pinned(target)
            try:
                connection.request(
                    "POST",
                    target.path,
                    body,
                    {
                        "Content-Type": "application/json",
                        "User-Agent": "tongguan",
                        "Tongguan-Webhook": due.id,
                        "Tongguan-Signature": signature(secret, seconds, body),
                    },
                )
                status = connection.getresponse().status
            finally:
                connection.close()
        except addresses.Forbidden as problem:
            return str(problem)
        except (OSError, http.client.HTTPException) as problem:
            return f"{type(problem).__name__}: {problem}"[:200]
        return None if 200 <= status < 300 else f"status {status}"


class _Pinned(http.client.HTTPConnection):
    """A connection to the number that was checked, under the name that the url has."""

    def __init__(self, target: addresses.Target) -> None:
        super().__init__(target.host, target.port, timeout=SECONDS)
        self._target = target

    def connect(self) -> None:
        target = self._target
        plain = socket.create_connection((target.address, target.port), SECONDS)
        self.sock = plain
        if target.secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(plain, server_hostname=target.host)
