"""Connections of threads that answer requests: one each, kept, and replaced when it is lost."""

import select
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psycopg

from tongguan import store

T = TypeVar("T")


class Connections:
    """An autocommit connection for each thread that asks. Close it when no thread asks any more."""

    def __init__(self, database: store.Database) -> None:
        self._database = database
        self._here = threading.local()
        self._lock = threading.Lock()
        self._all: set[psycopg.Connection] = set()

    def ask(self, question: Callable[[psycopg.Connection], T]) -> T:
        """What a question that changes nothing half answers; a lost connection is tried once more.

        Raises store.Unavailable.
        """
        with store.environment():
            fresh = getattr(self._here, "connection", None) is None
            try:
                return question(self.mine())
            except psycopg.OperationalError:
                lost = self._here.connection.closed
                if lost:
                    self._forget()
                if fresh or not lost:
                    raise
            return question(self.mine())

    def mine(self) -> psycopg.Connection:
        """This thread's connection."""
        connection: psycopg.Connection | None = getattr(self._here, "connection", None)
        if connection is not None and (connection.closed or _hung_up(connection)):
            self._forget()
            connection = None
        if connection is None:
            connection = self._database.connect(autocommit=True)
            self._here.connection = connection
            with self._lock:
                self._all.add(connection)
        return connection

    def _forget(self) -> None:
        connection, self._here.connection = self._here.connection, None
        with self._lock:
            self._all.discard(connection)
        with suppress(psycopg.Error, OSError):
            connection.close()

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            connections, self._all = self._all, set()
        for connection in connections:
            with suppress(psycopg.Error, OSError):
                connection.close()


def _hung_up(connection: psycopg.Connection) -> bool:
    """Whether something waits to be read: an idle connection hears only of its own end."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
