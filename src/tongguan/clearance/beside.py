"""A second process that prepares batches for as long as a worker has many of them.

Python runs on one core, and preparing is half of the work. The process ends with the socket, so
with the worker, however that ends; nothing but numbers drawn from sequences is lost with it.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date

import psycopg
import pyarrow as pa

from tongguan import messages, store
from tongguan.clearance.ahead import Gone, portable, receive, send
from tongguan.clearance.handed import Handed, prepare_handed
from tongguan.clearance.intake import Batch, Desk
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
        self._socket, theirs = socket.socketpair()
        with theirs:
            words = [json.dumps(sys.path), str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: S603 - ourselves, with our own words
                [sys.executable, "-c", _BEGIN, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # There are workers for the other cores.
                env={"POLARS_MAX_THREADS": "1"} | os.environ,
                pass_fds=[theirs.fileno()],
            )
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


_BEGIN = """import json, sys
sys.path[:] = json.loads(sys.argv[1])
import tongguan.memory
from tongguan.clearance import service
service.prepare_beside(int(sys.argv[2]))
"""


def unpacked(sealed: bytes, size: int, vault: store.Vault) -> bytes:
    """The bytes of a message that was packed (zstd) and sealed."""
    data: bytes = pa.decompress(vault.unseal(sealed), size, codec="zstd", asbytes=True)
    return data


def serve(descriptor: int, desk: Callable[[psycopg.Connection, store.Vault, date], Desk]) -> None:
    """Prepare what comes through a socket until nobody is at its other end any more."""
    # The first process decides what becomes of this one.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # What is imported stays, and a batch is a million objects without a cycle.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
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
