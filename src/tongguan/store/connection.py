"""A connection on which rows are written behind the work of its thread.

A transaction that computes and writes in turns leaves the server idle while it computes, and
itself while the server writes. What nothing reads before it is done can be handed to ``behind``: a
thread of the connection writes it, in order, while the caller goes on. A statement of the caller
goes before what waits there; ``settle``, ``commit`` and the end of ``transact`` come after it.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg

Work = Callable[[psycopg.Connection], object]


class _Turn:
    """The lock of a connection: reentrant, and the caller goes before what is done behind it."""

    def __init__(self, failed: Callable[[], BaseException | None]) -> None:
        self._changed = threading.Condition()
        self._owner: int | None = None
        self._depth = 0
        self._callers = 0
        self._failed = failed
        self.behind: int | None = None
        """The thread that works behind the caller."""

    def __enter__(self) -> bool:
        me = threading.get_ident()
        caller = me != self.behind
        with self._changed:
            if self._owner != me:
                self._callers += caller
                try:
                    self._changed.wait_for(
                        lambda: self._owner is None and (caller or not self._callers)
                    )
                finally:
                    # Also when the wait is interrupted: what works behind may go on then.
                    self._callers -= caller
                    self._changed.notify_all()
                if caller and (failure := self._failed()) is not None:
                    raise failure
                self._owner = me
            self._depth += 1
        return True

    def __exit__(self, *ended: object) -> None:
        with self._changed:
            self._depth -= 1
            if not self._depth:
                self._owner = None
                self._changed.notify_all()


class Connection(psycopg.Connection[Any]):
    """A connection of psycopg with a thread that writes behind the caller."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.described: dict[tuple[Any, ...], dict[str, Any]] = {}
        """The columns of queries that were asked for: by query and types of its parameters."""
        self._failure: BaseException | None = None
        self._dropping = False
        self._pool: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None
        # Of all that psycopg does on a connection this decides when it may.
        self.lock = _Turn(lambda: self._failure)  # type: ignore[assignment]

    def behind(self, work: Work) -> None:
        """Let ``work`` be done after all that was handed over before it.

        What it raises, the next use of the connection raises; what comes after it is not done.
        """
        if self._failure is not None:
            raise self._failure
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._last = self._pool.submit(self._do, work)

    def _do(self, work: Work) -> None:
        self.lock.behind = threading.get_ident()  # type: ignore[attr-defined]
        if self._failure is None and not self._dropping:
            try:
                work(self)
            except BaseException as failure:
                self._failure = failure

    def settle(self) -> None:
        """Wait until all is done that was handed over. Raises what it raised."""
        if self._last is not None:
            self._last.result()
            self._last = None
        if self._failure is not None:
            raise self._failure

    def commit(self) -> None:
        self.settle()
        super().commit()

    def rollback(self) -> None:
        self._drop()
        super().rollback()

    def close(self) -> None:
        self._drop()
        super().close()
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None

    def _drop(self) -> None:
        """Forget what is not begun, and how it failed.

        If the wait for what has begun is interrupted, nothing more is begun all the same.
        """
        self._dropping = True
        if self._last is not None:
            self._last.result()
        self._dropping, self._failure, self._last = False, None, None


def turn(connection: psycopg.Connection) -> AbstractContextManager[object]:
    """The connection to oneself, for what takes more than one statement of psycopg."""
    return connection.lock if isinstance(connection, Connection) else nullcontext()


def settle(connection: psycopg.Connection) -> None:
    """Wait until all is written that was handed over behind. Raises what that raised."""
    if isinstance(connection, Connection):
        connection.settle()


def behind(connection: psycopg.Connection, work: Work) -> None:
    """Do ``work`` behind the caller; on a connection of psycopg alone, do it now."""
    if isinstance(connection, Connection):
        connection.behind(work)
    else:
        work(connection)
