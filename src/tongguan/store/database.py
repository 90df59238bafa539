"""Opening a database, connections, and transactions that are tried again."""

import atexit
import os
import random
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from tongguan.store import embedded
from tongguan.store.connection import Connection, settle
from tongguan.store.home import home_folder
from tongguan.store.trouble import DISK_FULL, Unavailable, environment, unavailable, without_secret

T = TypeVar("T")

_OLDEST = 150000
_IDLE_MAX = 8
#: Answers of the server that say: nobody is wrong, the two of you met; do it again.
_TAKEN = "23505"
_AGAIN = frozenset({"40001", "40P01", _TAKEN})
#: Sent with every connection, so that text from the server means the same everywhere.
_OPTIONS = "-c timezone=UTC -c datestyle=ISO -c bytea_output=hex -c intervalstyle=iso_8601"


class Database:
    """One PostgreSQL database. Close it, or use it as a context manager.

    Connections of ``connect`` belong to the caller; those of ``borrow`` come from a small store of
    idle ones. Threads may share a Database; a forked child must open its own.
    """

    def __init__(self, url: str, server: embedded.Server | None = None) -> None:
        self.url = url
        self._server = server
        self._idle: list[psycopg.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._owner = os.getpid()
        if server is not None:
            _to_close.add(self)

    @property
    def address(self) -> str:
        """The url, without its password."""
        return without_secret(self.url)

    def __repr__(self) -> str:
        return f"Database({self.address!r})"

    def connect(self, autocommit: bool = False) -> psycopg.Connection:
        """A new connection. Raises Unavailable if the server cannot be reached."""
        given = str(conninfo_to_dict(self.url).get("options") or "")
        try:
            return Connection.connect(
                self.url,
                autocommit=autocommit,
                connect_timeout=10,
                application_name="tongguan",
                client_encoding="utf8",
                options=f"{_OPTIONS} {given}".strip(),
                keepalives_idle=30,
            )
        except psycopg.OperationalError as error:
            failed = Unavailable(f"{without_secret(self.url)}: {unavailable(error)}")
            raise self.explained(failed) from error

    def explained(self, failed: Unavailable) -> Unavailable:
        """``failed`` with what the embedded server's log says of it: a full disk, a crash."""
        words = self._server.last_words() if self._server else None
        if words is None or words in str(failed):
            return failed
        advice = f"{DISK_FULL}. " if "No space left" in words else ""
        return Unavailable(f"{advice}{failed} (the database server says: {words})")

    @contextmanager
    def borrow(self) -> Iterator[psycopg.Connection]:
        """A connection that is idle, or a new one; given back when the block ends in peace."""
        connection = self._take_idle() or self.connect()
        try:
            yield connection
        finally:
            self._give_back(connection)

    @contextmanager
    def reading(self) -> Iterator[psycopg.Connection]:
        """A borrowed connection for looking: nothing that is done with it stays."""
        with self.borrow() as connection:
            yield connection
            connection.rollback()

    def _take_idle(self) -> psycopg.Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if _silent(connection):
                return connection
            _close_quietly(connection)

    def _give_back(self, connection: psycopg.Connection) -> None:
        peaceful = connection.info.transaction_status == pq.TransactionStatus.IDLE
        with self._lock:
            keep = peaceful and not self._closed and len(self._idle) < _IDLE_MAX
            if keep:
                self._idle.append(connection)
        if not keep:
            _close_quietly(connection)

    def close(self) -> None:
        """Closes idle connections; the last user of the embedded server stops it."""
        if self._owner != os.getpid():
            return
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            _close_quietly(connection)
        _to_close.discard(self)
        if self._server is not None:
            self._server.release()

    def __enter__(self) -> "Database":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _silent(connection: psycopg.Connection) -> bool:
    """Whether nothing waits to be read: an idle connection hears only of its own end."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def _close_quietly(connection: psycopg.Connection) -> None:
    with suppress(psycopg.Error, OSError):
        connection.close()


#: Open until closed or until the process ends, whether or not anybody still refers to it.
_to_close: set[Database] = set()


@atexit.register
def _close_all() -> None:
    for database in list(_to_close):
        with suppress(Unavailable, OSError):
            database.close()


def open(url: str | None = None, home: Path | None = None) -> Database:
    """Opens the database at ``url``, or $DATABASE_URL, or the embedded one under ``home``.

    ``home`` defaults to $TONGGUAN_HOME, else the user's data folder; a ``home`` that is given goes
    before $DATABASE_URL. Raises Unavailable when the server cannot be reached, is too old (before
    PostgreSQL 15), or cannot be started.
    """
    url = url or (None if home else os.environ.get("DATABASE_URL")) or None
    if url is None:
        server = embedded.start((home or home_folder()).absolute())
        return Database(server.url, server)
    _check_url(url)
    database = Database(url)
    with database.borrow() as connection:
        version = connection.info.server_version
    if version < _OLDEST:
        database.close()
        raise Unavailable(f"{database!r} runs PostgreSQL {version // 10000}; 15 or later is needed")
    return database


def exists(url: str | None = None) -> bool:
    """Whether a database is named (``url``, $DATABASE_URL) or the embedded one was ever started."""
    named = url or os.environ.get("DATABASE_URL")
    return bool(named) or (home_folder() / "database.json").exists()


def _check_url(url: str) -> None:
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        reason = without_secret(str(error).strip())
        raise Unavailable(
            f"not a database address: {without_secret(url)} ({reason}); "
            "it should look like postgresql://user@host:5432/name"
        ) from None


def transact(
    database: Database,
    work: Callable[[psycopg.Connection], T],
    attempts: int = 8,
    serializable: bool = False,
) -> T:
    """Runs ``work(connection)`` in one transaction and commits it; returns what it returns.

    Serialization failures, deadlocks and unique violations roll back and run ``work`` again, at
    most ``attempts`` times in all, with growing random pauses; then Unavailable is raised, or the
    unique violation. ``work`` must therefore change nothing but the database. A lost connection, a
    full disk and the like raise Unavailable; the transaction then is not in the database, unless
    the connection broke while the commit was under way, which the text says.
    """
    for attempt in range(1, attempts + 1):
        try:
            return _once(database, work, serializable)
        except Unavailable as failed:
            raise database.explained(failed) from failed.__cause__
        except psycopg.Error as error:
            if error.sqlstate not in _AGAIN:
                raise
            if attempt == attempts:
                raise _busy(error, attempts) from error
            time.sleep(min(0.25, 0.004 * 2**attempt) * random.random())  # noqa: S311 - a pause
    raise ValueError("attempts must be at least 1")


def _busy(error: psycopg.Error, attempts: int) -> Exception:
    """A meeting that never ends tells of the surroundings; a key that is always taken does not."""
    if error.sqlstate == _TAKEN:
        return error
    return Unavailable(
        f"other workers changed the same rows {attempts} times in a row, nothing was recorded: "
        "run it again, with fewer workers at once"
    )


def _once(database: Database, work: Callable[[psycopg.Connection], T], serializable: bool) -> T:
    with environment(), database.borrow() as connection:
        level = psycopg.IsolationLevel.SERIALIZABLE if serializable else None
        if connection.isolation_level != level:
            connection.isolation_level = level
        try:
            result = work(connection)
            settle(connection)
        except BaseException:
            with suppress(psycopg.Error):
                connection.rollback()
            raise
        _commit(connection)
        return result


def _commit(connection: psycopg.Connection) -> None:
    try:
        connection.commit()
    except psycopg.OperationalError as error:
        if error.sqlstate in _AGAIN or not connection.closed:
            raise
        raise Unavailable(
            "the connection was lost while the commit was under way, so it may or may not have "
            "been made: run it again, what is already in the database is recognised"
        ) from error
