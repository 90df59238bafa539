"""Preparing batches while the one before is recorded: on a thread, and in a second process.

Python runs on one core. A run that is long enough to be worth it therefore has its messages
prepared by a process of their own: it reads, parses, checks and seals, and hands each batch over
through a socket. It ends with the socket, so with the process that started it, however that ends;
nothing but numbers drawn from sequences is lost with it.
"""

import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime

import psycopg

from tongguan import messages, store
from tongguan.clearance.intake import Batch, Desk, Source, batches, prepare, read
from tongguan.clearance.second_process import Gone, collect_seldom, portable, receive, send, start
from tongguan.clearance.settings import Signatures

BATCHES_AHEAD = 1
PROCESS_FROM_BYTES = 64 << 20
"""From so many bytes of messages on a second process is worth its start (0.6 s of CPU)."""


@dataclass(frozen=True, slots=True)
class Order:
    """How messages are prepared: all that a second process must know.

    url: of the database. at, signatures: as in ``Settings``.
    """

    url: str
    vault: store.Vault
    at: datetime
    signatures: Signatures
    limits: messages.Limits

    def prepare(self, cut: list[Source], desk: Desk) -> Batch:
        """Read and prepare the files of one batch."""
        return prepare(read(cut, self.limits), desk, self.limits, self.signatures)


def prepared(found: Sequence[Source], desk: Desk, order: Order) -> Iterator[Batch]:
    """Prepare batches ahead of the one being recorded, in order, at most BATCHES_AHEAD.

    The first batch is prepared here, at ``desk``, while a second process starts.
    """
    cuts = list(batches(found))
    with ExitStack() as opened:
        other: Preparer | None = None
        if sum(source.bytes for cut in cuts[1:] for source in cut) >= PROCESS_FROM_BYTES:
            other = opened.enter_context(Preparer(order, cuts[1:]))
        pool = opened.enter_context(ThreadPoolExecutor(1, thread_name_prefix="intake"))
        ahead: queue.SimpleQueue[Future[Batch]] = queue.SimpleQueue()
        room = threading.Semaphore(BATCHES_AHEAD)
        stopped = threading.Event()

        def work(number: int, cut: list[Source]) -> Batch:
            room.acquire()
            if stopped.is_set():
                raise RuntimeError("intake was stopped")
            if number and other is not None:
                return other.next()
            return order.prepare(cut, desk)

        for number, cut in enumerate(cuts):
            ahead.put(pool.submit(work, number, cut))
        try:
            for _ in cuts:
                batch = ahead.get().result()
                room.release()
                yield batch
        finally:
            stopped.set()
            if other is not None:
                other.stop()
            for _ in cuts:
                room.release()


class Preparer:
    """The second process, as the first one sees it."""

    def __init__(self, order: Order, cuts: list[list[Source]]) -> None:
        self._process, self._socket = start("prepare_elsewhere")
        with suppress(Gone):  # ``next`` tells of it
            send(self._socket, (order, cuts))

    def next(self) -> Batch:
        """The next batch. Raises what preparing it raised, and store.Unavailable."""
        try:
            kind, what = receive(self._socket)
        except Gone:
            status = self._process.wait()
            raise store.Unavailable(
                f"the process that reads the messages ended too early (status {status}): was it "
                "killed, or is the memory full? Run it again, what is recorded is recognised"
            ) from None
        if kind == "error":
            raise what
        batch: Batch = what
        return batch

    def stop(self) -> None:
        """End the process now; it holds nothing that would be lost."""
        self._process.kill()

    def __enter__(self) -> "Preparer":
        return self

    def __exit__(self, *ended: object) -> None:
        self.stop()
        self._process.wait()
        self._socket.close()


def serve(descriptor: int, desk: Callable[[psycopg.Connection, Order], Desk]) -> None:
    """Prepare what is ordered, batch by batch, until all is done or nobody listens any more.

    descriptor: of the socket. desk: the desk of the run, on a connection of this process.
    """
    # Ctrl-C goes to both processes; the first one decides what becomes of this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_seldom()
    with suppress(Gone), socket.socket(fileno=descriptor) as channel:
        order, cuts = receive(channel)
        try:
            with store.Database(order.url).connect(autocommit=True) as conn:
                at_desk = desk(conn, order)
                for cut in cuts:
                    send(channel, ("batch", order.prepare(cut, at_desk)))
        except Gone:
            raise
        except Exception as error:
            send(channel, ("error", portable(error)))
