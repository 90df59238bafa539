"""Listening to the database: workers say for whom receipts have come."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec
import psycopg

from tongguan import store
from tongguan.sharing import evidence
from tongguan.window import figures, stream
from tongguan.window.journal import journal
from tongguan.window.submissions import Committer

LOOK_SECONDS = 1.0
"""How often it looks by itself: what commands do beside the gateway tells nobody."""


class Listener:
    """Wakes those who wait for receipts, and counts the queue, on a thread of its own."""

    def __init__(
        self,
        database: store.Database,
        wake: Callable[[Iterable[str] | None], None],
        committer: Committer,
    ) -> None:
        self._database, self._wake, self._committer = database, wake, committer
        self._stop = threading.Event()
        self._size = 0
        self._thread = threading.Thread(target=self._run, name="listener")
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with store.environment(), self._database.connect(autocommit=True) as conn:
                    conn.execute(f"LISTEN {stream.CHANNEL}")
                    self._wake(None)
                    self._listen(conn)
            except store.Unavailable as failed:
                journal.warning("unavailable", why=str(failed))
                self._stop.wait(LOOK_SECONDS)

    def _listen(self, conn: psycopg.Connection) -> None:
        looked = 0.0
        while not self._stop.is_set():
            for told in conn.notifies(timeout=LOOK_SECONDS / 2, stop_after=1):
                names: list[str] = []
                with suppress(msgspec.DecodeError):
                    names = msgspec.json.decode(told.payload, type=list[str])
                self._wake(names or None)
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                self._look(conn)

    def _look(self, conn: psycopg.Connection) -> None:
        self._committer.waiting(figures.waiting(conn))
        head = evidence.head(conn)
        size = head.size if head is not None else 0
        if size != self._size:
            self._size = size
            self._wake(None)
