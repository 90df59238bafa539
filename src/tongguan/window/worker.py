"""A worker: takes what waits, records it, tells that receipts are there. Any number may work.

One batch is one transaction, in which its messages also stop waiting: what was answered for is
recorded exactly once, whatever dies when. A message that cannot be recorded does not hold up the
others: the batch is tried again message by message, and the one that fails alone is refused with
a CEB900 and kept for the operator. So is one with which workers have died again and again.

While a large batch is recorded the next one is taken and prepared, on a thread or, if it is large
too, by a second process. Batches are recorded one after the other; if one is not, what was prepared
behind it is dropped and taken again.
"""

import os
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec
import psycopg

from tongguan import clearance, codes, messages, store
from tongguan.sharing import evidence
from tongguan.sharing.heads import Signer
from tongguan.window import clock, queue, rules, stream, tracing
from tongguan.window.journal import journal
from tongguan.window.queue import HOPELESS, SUSPECT, Taken
from tongguan.window.submissions import CHANNEL

IDLE_SECONDS = 0.5
"""How long a worker without work waits for news before it looks by itself."""
TRIES_SECONDS = 1.0
"""How long it waits for a database that is away."""
CATCH_UP_SECONDS = 1.0
"""How often it looks for lists whose documents came with two batches at once."""
SETTLE_MS = 600_000
"""How far the clock goes on before what falls due is settled again."""
NOTIFY_BYTES = 7000
AHEAD_BYTES = 1 << 20
"""A batch of so many bytes says that more wait: the next one is prepared while it is recorded. Of
fewer the next one is taken later, when more have come."""
BESIDE_BYTES = 4 << 20
"""A batch of so many bytes, of which another one is recorded, is prepared by a second process."""
TURNS = 20
"""Batches that are recorded in turn with other workers after one of them has met such a batch:
whoever meets another (one buyer's parcels with two workers) has recorded for nothing and begins
anew."""
BESIDE_SECONDS = 60.0
"""How long the second process stays while there is nothing to do."""


@dataclass(frozen=True, slots=True)
class InHand:
    """Messages that a worker has taken. note: that it did. batch: all of them, prepared in so many
    milliseconds; None if each is to be tried alone."""

    taken: Sequence[Taken]
    under: clearance.Settings
    note: int | None = None
    batch: clearance.Batch | None = None
    ms: float = 0.0


class Worker:
    """One worker. ``run`` works until it is stopped; ``once`` does what waits now."""

    def __init__(
        self,
        database: store.Database,
        vault: store.Vault,
        signer: Signer,
        limits: messages.Limits,
    ) -> None:
        self._database, self._vault, self._signer = database, vault, signer
        self._limits = limits
        self._claims: psycopg.Connection | None = None
        self._reader: psycopg.Connection | None = None
        self._notes: list[int] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._ahead: Future[InHand | None] | None = None
        self._beside = clearance.Beside(database, vault, limits)
        self._worked = 0.0
        self._turns = 0
        self._settled_ms: int | None = None
        self._caught_up = 0.0
        self._busy = False

    # --- the loop ---

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; what is in hand then is finished."""
        while not stop.is_set():
            try:
                if not self.once(ahead=True):
                    self._rest()
            except store.Unavailable as failed:
                journal.warning("unavailable", why=str(failed))
                self._let_go()
                stop.wait(TRIES_SECONDS)
            except queue.Overtaken:
                continue
            except Exception as failed:
                journal.failure("failed", failed)
                self._let_go()
                stop.wait(TRIES_SECONDS)
        self.close()

    def _rest(self) -> None:
        """Wait until something is handed in, or a moment."""
        if time.monotonic() - self._worked > BESIDE_SECONDS:
            self._beside.close()
        with store.environment():
            reader = self._ready()[1]
            for _ in reader.notifies(timeout=IDLE_SECONDS, stop_after=1):
                pass

    def _ready(self) -> tuple[psycopg.Connection, psycopg.Connection]:
        """The connection that holds the claims, and the one that asks and listens."""
        if self._claims is None or self._claims.closed:
            self._claims = self._database.connect(autocommit=True)
        if self._reader is None or self._reader.closed:
            self._reader = self._database.connect(autocommit=True)
            queue.enlist(self._reader, os.getpid())
            self._reader.execute(f"LISTEN {CHANNEL}")
            self._forget(self._reader, *self._notes)
        return self._claims, self._reader

    def close(self) -> None:
        """Let go of the database."""
        self._let_go()
        self._pool.shutdown()
        self._beside.close()

    def _let_go(self) -> None:
        self._drop_ahead()
        for connection in (self._claims, self._reader):
            if connection is not None:
                with suppress(psycopg.Error, OSError):
                    connection.close()
        self._claims = self._reader = None

    def _forget(self, conn: psycopg.Connection | None, *notes: int) -> None:
        """Take back notes of what is in hand no more; if not now, with the next connection."""
        with suppress(psycopg.Error):
            if conn is not None and notes:
                queue.forget(conn, notes)
                for note in notes:
                    self._notes.remove(note)

    def once(self, *, ahead: bool = False) -> int:
        """Record a batch of what waits, and do what is due; how many messages it was.

        ahead: the next batch may be prepared meanwhile. Raises store.Unavailable, queue.Overtaken;
        what was committed stays.
        """
        with store.environment():
            claims, reader = self._ready()
            hand = self._next(claims)
            if hand is not None:
                self._worked = time.monotonic()
                more = sum(each.size for each in hand.taken) >= AHEAD_BYTES
                if ahead and more and hand.batch is not None:
                    self._ahead = self._pool.submit(self._take, claims, hand.taken)
                try:
                    self._record_all(hand)
                except BaseException:
                    self._drop_ahead()
                    raise
                finally:
                    with suppress(psycopg.Error):
                        queue.release(claims, hand.taken)
            if time.monotonic() - self._caught_up > CATCH_UP_SECONDS:
                self._chores(reader, self._under(reader), hand is not None)
            self._busy = self._busy or hand is not None
        return 0 if hand is None else len(hand.taken)

    def _under(self, reader: psycopg.Connection) -> clearance.Settings:
        return clearance.settings(self._database, clock.moment(reader), *rules.in_force(reader))

    # --- taking ---

    def _next(self, claims: psycopg.Connection) -> InHand | None:
        """What was prepared ahead, else what waits now."""
        ahead, self._ahead = self._ahead, None
        return (ahead.result() if ahead is not None else None) or self._take(claims)

    def _drop_ahead(self) -> None:
        """Give back what was prepared ahead: what it follows was not recorded."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return
        with suppress(store.Unavailable, psycopg.Error, OSError):
            hand = ahead.result()
            if hand is not None and self._claims is not None:
                if hand.note is not None:
                    self._forget(self._claims, hand.note)
                queue.release(self._claims, hand.taken)

    def _take(self, claims: psycopg.Connection, in_hand: Sequence[Taken] = ()) -> InHand | None:
        """Take a batch and prepare it; if that fails, or some are suspect, each is tried alone."""
        with store.environment():
            taken = queue.take(claims, in_hand)
            if not taken:
                return None
            under = self._under(claims)
            if max(each.deaths for each in taken) >= SUSPECT:
                return InHand(taken, under)
            try:
                large = sum(each.size for each in taken) >= BESIDE_BYTES
                return self._prepared(claims, taken, under, beside=bool(in_hand) and large)
            except (store.Unavailable, psycopg.OperationalError):
                raise
            except Exception as failed:
                journal.failure("batch failed", failed, messages=len(taken))
                return InHand(taken, under)

    def _prepared(
        self,
        conn: psycopg.Connection,
        taken: Sequence[Taken],
        under: clearance.Settings,
        why: str | None = None,
        *,
        beside: bool = False,
    ) -> InHand:
        """Prepare messages; why: they are set aside; beside: by the second process."""
        began = time.perf_counter()
        note = queue.note(conn, os.getpid(), taken)
        self._notes.append(note)
        try:
            batch = self._prepare(conn, taken, under, why, beside=beside)
        except Exception:
            self._forget(conn, note)
            raise
        return InHand(taken, under, note, batch, (time.perf_counter() - began) * 1000)

    def _prepare(
        self,
        conn: psycopg.Connection,
        taken: Sequence[Taken],
        under: clearance.Settings,
        why: str | None,
        *,
        beside: bool,
    ) -> clearance.Batch:
        handed = [
            clearance.Handed(each.id, b"", each.company, _findings(each, why), each.sealed)
            for each in taken
        ]
        sizes = [each.size for each in taken]
        if beside:
            try:
                return self._beside.prepare(handed, sizes, under)
            except clearance.Lost as lost:
                journal.warning("prepares itself", why=str(lost))
        opened = [
            replace(each, data=clearance.unpacked(of.sealed, of.size, self._vault))
            for each, of in zip(handed, taken, strict=True)
        ]
        desk = clearance.desk(conn, self._vault, under)
        return clearance.prepare_handed(opened, desk, self._limits, under.signatures)

    # --- recording ---

    def _record_all(self, hand: InHand) -> None:
        """Record messages together; if that fails, one by one."""
        if hand.batch is not None:
            try:
                return self._record(hand)
            except (store.Unavailable, queue.Overtaken):
                raise
            except Exception as failed:
                journal.failure("batch failed", failed, messages=len(hand.taken))
        for each in hand.taken:
            self._alone(each, hand.under)
        return None

    def _alone(self, each: Taken, under: clearance.Settings) -> None:
        reader = self._ready()[1]
        if each.deaths < HOPELESS:
            try:
                return self._record(self._prepared(reader, [each], under))
            except (store.Unavailable, queue.Overtaken):
                raise
            except Exception as failed:
                journal.failure("message set aside", failed, message=each.id)
                why = type(failed).__name__
        else:
            journal.error("message set aside", message=each.id, deaths=each.deaths)
            why = f"{each.deaths} workers ended with it"
        return self._record(self._prepared(reader, [each], under, why), why)

    def _record(self, hand: InHand, why: str | None = None) -> None:
        """Record prepared messages in one transaction; why: they are set aside."""
        began = time.perf_counter()
        taken, under, note, batch = hand.taken, hand.under, hand.note, hand.batch
        assert note is not None
        assert batch is not None
        tries = 0
        try:
            parents = dict.fromkeys(each.trace for each in taken if each.trace)
            with tracing.linked("record", parents, messages=len(taken)):

                def work(conn: psycopg.Connection) -> clearance.Recorded:
                    nonlocal tries
                    tries += 1
                    if self._turns or tries > 1:
                        queue.await_turn(conn)
                    done = clearance.record(conn, batch, under, self._vault.seal)
                    queue.finish(conn, taken, note, why)
                    return done

                done = store.transact(self._database, work, attempts=clearance.ATTEMPTS)
        except Exception:
            self._forget(self._reader, note)
            raise
        self._notes.remove(note)
        self._turns = TURNS if tries > 1 else max(0, self._turns - 1)
        self._tell(done.companies, under)
        journal.info(
            "recorded",
            batch=done.batch_id,
            messages=len(taken),
            documents=done.documents,
            receipts=len(done.receipts),
            ms=round(hand.ms + (time.perf_counter() - began) * 1000, 1),
        )

    def _tell(self, companies: Iterable[str | None], under: clearance.Settings) -> None:
        """Give receipts their positions, then wake those who wait for them."""
        evidence.sequence(self._database, self._signer, under.at_ms)
        names = sorted({company for company in companies if company})
        if names:
            payload = msgspec.json.encode(names).decode()
            reader = self._ready()[1]
            wake = payload if len(payload) < NOTIFY_BYTES else "[]"
            reader.execute("SELECT pg_notify(%s, %s)", (stream.CHANNEL, wake))

    # --- chores ---

    def _chores(self, reader: psycopg.Connection, under: clearance.Settings, worked: bool) -> None:
        """What batches that met left open, and what falls due; one worker at a time does it."""
        self._caught_up = time.monotonic()
        told = clearance.catch_up(self._database, under) if self._busy or worked else []
        # Also without news: a worker that died after its commit has told nobody.
        self._tell(told, under)
        if self._busy and not worked:
            queue.tidy(reader)
        self._busy = False
        at_ms = clock.milliseconds(under.at)
        if self._settled_ms is None or not 0 <= at_ms - self._settled_ms < SETTLE_MS:
            self._settled_ms = at_ms
            settled = clearance.settle(self._database, under)
            evidence.sequence(self._database, self._signer, at_ms)
            if settled.receipts:
                reader.execute("SELECT pg_notify(%s, '[]')", (stream.CHANNEL,))
                journal.info("settled", receipts=settled.receipts)


def _findings(each: Taken, why: str | None) -> list[codes.Finding] | None:
    """Why a message is refused as a whole, if it is."""
    if why is not None:
        return [
            codes.Finding(
                rule="message.format",
                severity="error",
                document="message",
                expected="a message that this window can record",
                actual="an error of the window: its operator has the message and looks at it",
            )
        ]
    if each.findings is None:
        return None
    return msgspec.convert(each.findings, list[codes.Finding])
