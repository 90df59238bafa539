"""A second process that prepares batches for as long as a worker has many of them.

It ends with the worker, however that ends; nothing but numbers drawn from sequences is lost with
it.
"""

import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date

import psycopg

from tongguan import messages, store
from tongguan.clearance.handed import Handed, prepare_handed, unpacked
from tongguan.clearance.intake import Batch, Desk
from tongguan.clearance.second_process import Gone, collect_seldom, portable, receive, send, start
from tongguan.clearance.settings import Settings, Signatures


@dataclass(frozen=True, slots=True)
class Opening:
    """What the second process must know from the beginning. url: of the database."""

    url: str
    vault: store.Vault
    limits: messages.Limits


@dataclass(frozen=True, slots=True)
class Task:
    """Messages to be prepared, sealed, and how many bytes each has; day, signatures: as in
    ``Settings``."""

    handed: Sequence[Handed]
    sizes: Sequence[int]
    day: date
    signatures: Signatures


class Beside:
    """The second process, as the first one sees it. It starts with the first batch; close it."""

    def __init__(
        self, database: store.Database, vault: store.Vault, limits: messages.Limits
    ) -> None:
        self._opening = Opening(database.url, vault, limits)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def prepare(self, handed: Sequence[Handed], sizes: Sequence[int], under: Settings) -> Batch:
        """``prepare_handed`` there. Raises what it raised, and Lost if the process has ended.

        handed: without their data, but sealed; sizes: how many bytes each has.
        """
        try:
            channel = self._socket or self._start()
            send(channel, Task(handed, sizes, under.day, under.signatures))
            kind, what = receive(channel)
        except Gone:
            self.close()
            raise Lost("the process that prepares messages has ended") from None
        if kind == "error":
            raise what
        batch: Batch = what
        return batch

    def _start(self) -> socket.socket:
        # There are workers for the other cores.
        one_thread = {"POLARS_MAX_THREADS": "1"}
        self._process, self._socket = start("prepare_beside", one_thread)
        send(self._socket, self._opening)
        return self._socket

    def close(self) -> None:
        """End the process, if there is one; it holds nothing that would be lost."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Lost(Exception):  # noqa: N818 - nothing is wrong with the messages
    """The second process has ended: killed, or out of memory."""


def serve(descriptor: int, desk: Callable[[psycopg.Connection, store.Vault, date], Desk]) -> None:
    """Prepare what comes through a socket until nobody is at its other end any more."""
    # The first process decides what becomes of this one.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    collect_seldom()
    with suppress(Gone), socket.socket(fileno=descriptor) as channel:
        opening: Opening = receive(channel)
        database = store.Database(opening.url)
        while True:
            task: Task = receive(channel)
            try:
                with store.environment(), database.borrow() as conn:
                    conn.autocommit = True
                    at_desk = desk(conn, opening.vault, task.day)
                    handed = [
                        replace(each, data=unpacked(each.sealed or b"", size, opening.vault))
                        for each, size in zip(task.handed, task.sizes, strict=True)
                    ]
                    batch = prepare_handed(handed, at_desk, opening.limits, task.signatures)
                send(channel, ("batch", batch))
            except Gone:
                raise
            except Exception as error:
                send(channel, ("error", portable(error)))
