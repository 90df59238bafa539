"""Clearing: from files to durable decisions and receipts, batch by batch."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import Path

import polars as pl
import psycopg

from tongguan import finance, messages, store
from tongguan.clearance import ahead, beside, lawbook, models, receipts, writing
from tongguan.clearance.intake import Desk, Source
from tongguan.clearance.record import record, sweep
from tongguan.clearance.settings import Arrivals, Registry, Settings, Signatures
from tongguan.sharing import certificates, evidence, keys, registry, subscriptions
from tongguan.sharing.heads import Signer
from tongguan.sharing.payment_data import asking


@dataclass(slots=True)
class Run:
    """What one ``clear`` did. digests: of all messages it was given, in order of arrival."""

    files: int = 0
    messages: int = 0
    documents: int = 0
    receipts: int = 0
    repeated: int = 0
    digests: list[tuple[str, str]] = field(default_factory=list)


ATTEMPTS = 30
"""How often a batch is decided anew because another worker met it."""

Progress = Callable[[int, Run], None]


def prepare_database(database: store.Database) -> None:
    """Bring the tables of the rooms this job stands on up to date."""
    with database.borrow() as conn:
        store.migrate(conn, "sharing", registry.STEPS)
        store.migrate(conn, "keys", keys.STEPS)
        store.migrate(conn, "evidence", evidence.STEPS)
        store.migrate(conn, certificates.ROOM, certificates.STEPS)
        store.migrate(conn, "subscriptions", subscriptions.STEPS)
        store.migrate(conn, "payment-data", asking.STEPS)
        store.migrate(conn, "finance", finance.STEPS)
        store.migrate(conn, "clearance", models.steps())
        conn.commit()


def settings(
    database: store.Database,
    at: datetime,
    signatures: Signatures = "checked",
    registry: Registry = "open",
    arrivals: Arrivals = "assumed",
) -> Settings:
    """The law as this database has it, at a time. Raises policy.OutsideKnown for its day."""
    built = store.transact(database, lawbook.current)
    under = Settings(at, built, signatures, registry, arrivals)
    built.on(under.day)
    return under


def leaf_secret(vault: store.Vault, digest: str) -> bytes:
    """What blinds the parts of a message in its leaf, from the message's digest."""
    return vault.secret("evidence", digest)


def desk(conn: psycopg.Connection, vault: store.Vault, under: Settings) -> Desk:
    """What intake asks: of this database, with this vault's key, on the day of a run.

    Numbers it draws are drawn for good, also if the batch is never recorded.
    """
    return _desk(conn, vault, under.day)


def _desk(conn: psycopg.Connection, vault: store.Vault, on: date) -> Desk:
    day = on.strftime("%Y%m%d")

    def known(digests: list[str]) -> set[str]:
        sql = "SELECT digest FROM message WHERE digest = ANY(%s)"
        return {row[0] for row in conn.execute(sql, (digests,))}

    def digest(column: pl.Series) -> pl.Series:
        return pl.Series(vault.digest(column.to_list()), dtype=pl.String)

    def pre_numbers(count: int) -> list[str]:
        """B, the day, nine digits (CEB specification, preNo)."""
        return [f"B{day}{n:09d}" for n in store.numbers(conn, "pre_serial", count)]

    def ids(count: int) -> list[int]:
        return store.numbers(conn, "document_id", count)

    def certificate(company: str, serial: str) -> bytes | None:
        return certificates.named(conn, company, serial)

    return Desk(
        known, vault.seal, digest, partial(leaf_secret, vault), ids, pre_numbers, certificate
    )


def clear(
    database: store.Database,
    vault: store.Vault,
    found: Sequence[Source],
    decided_under: Settings,
    receipts_folder: Path | None = None,
    progress: Progress = lambda files, run: None,
    limits: messages.Limits | None = None,
    signer: Signer | None = None,
) -> Run:
    """Clear messages from files: parse, match, decide, release, answer.

    Each batch is one transaction; a receipt is written to a file only after it. A message that
    came before (same bytes) is answered by what was decided then. Stopped at any point, a second
    call with the same files finishes the work. Each batch is followed by a signed head of the
    evidence log; without a signer its leaves wait for the next one. Raises store.Unavailable when
    the database or the disk fails; what was committed stays.
    """
    run = Run()
    with database.connect(autocommit=True) as reader, Post(receipts_folder) as post:
        _check_key(reader, vault)
        if signer is not None:
            evidence.check_key(reader, signer)
        owed = [row[0] for row in reader.execute("SELECT id FROM batch WHERE owed")]
        if receipts_folder is not None and owed:
            post.send(_receipts(reader, vault, "= ANY(%s)", owed), again=True)
        at_desk = desk(reader, vault, decided_under)
        limits, mode = limits or messages.Limits(), decided_under.signatures
        order = ahead.Order(database.url, vault, decided_under.at, mode, limits)
        for batch in ahead.prepared(found, at_desk, order):
            work = partial(record, batch=batch, settings=decided_under, seal=vault.seal)
            done = store.transact(database, work, attempts=ATTEMPTS)
            sign_head(database, signer, decided_under)
            run.messages += done.messages
            run.documents += done.documents
            run.repeated += len(batch.repeated)
            run.digests += [(m.name, m.digest) for m in batch.incoming] + batch.repeated
            run.files += len(batch.incoming) + len(batch.repeated)
            run.receipts += len(done.receipts)
            post.send(done.receipts)
            if receipts_folder is not None and batch.repeated:
                before = [digest for _, digest in batch.repeated]
                post.send(_receipts(reader, vault, _OF_MESSAGES, before), again=True)
            progress(run.files, run)
        wanted = receipts_folder is not None
        last = store.transact(database, lambda conn: sweep(conn, decided_under, owed=wanted))
        sign_head(database, signer, decided_under)
        run.receipts += len(last.receipts)
        post.send(last.receipts)
    if wanted and (owed or last.receipts):
        sent = [*owed, last.batch_id]
        store.transact(database, lambda conn: writing.write_sent(conn, sent))
    return run


def sign_head(database: store.Database, signer: Signer | None, under: Settings) -> None:
    """Give what has just been committed its place in the evidence log."""
    if signer is not None:
        evidence.sequence(database, signer, under.at_ms)


def prepare_elsewhere(descriptor: int) -> None:
    """What the second process of a run does; see ``ahead.serve``."""

    def at_desk(conn: psycopg.Connection, order: ahead.Order) -> Desk:
        under = Settings(order.at, lawbook.current(conn), order.signatures)
        return desk(conn, order.vault, under)

    ahead.serve(descriptor, at_desk)


def prepare_beside(descriptor: int) -> None:
    """What the second process of a worker does; see ``beside.serve``."""
    beside.serve(descriptor, _desk)


def _check_key(conn: psycopg.Connection, vault: store.Vault) -> None:
    """Whether this vault opens what the database holds. Raises store.Unavailable."""
    row = conn.execute("SELECT sealed FROM message LIMIT 1").fetchone()
    try:
        if row is not None:
            vault.unseal(row[0])
    except store.SealBroken:
        raise store.Unavailable(
            "the data key is not the one this database was written with: put the right one into "
            "TONGGUAN_DATA_KEY, or data.key of the right folder into $TONGGUAN_HOME"
        ) from None


class Post:
    """Writes receipts to files on a thread of its own, while the next batch is decided.

    One batch at a time: what failed is raised when the next one is sent, or at the end.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="post")
        self._under_way: Future[None] | None = None

    def send(self, told: Sequence[receipts.Receipt], *, again: bool = False) -> None:
        """Hand over the receipts of a committed batch. again: some may be there already."""
        self._arrived()
        if self._folder is not None:
            self._under_way = self._pool.submit(receipts.to_files, told, self._folder, again=again)

    def _arrived(self) -> None:
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            with store.environment():
                under_way.result()

    def __enter__(self) -> "Post":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._arrived()
        finally:
            self._pool.shutdown()


_OF_MESSAGES = """IN (WITH again AS (SELECT id, batch_id FROM message WHERE digest = ANY(%s))
    SELECT batch_id FROM again UNION SELECT e.batch_id FROM event e
    JOIN document d ON d.id = e.document_id JOIN again ON again.id = d.message_id)"""
"""Batches that took these messages in, or in which a document of theirs moved on."""


def _receipts(
    conn: psycopg.Connection, vault: store.Vault, batches: str, params: Sequence[object]
) -> list[receipts.Receipt]:
    """The stored receipts of some batches: ``batches`` is the condition on their ids."""
    sql = f"""SELECT r.id, r.type, r.receiver, r.company, r.documents, r.xml, r.sealed
        FROM receipt r
        WHERE r.batch_id {batches} ORDER BY r.id"""
    return [
        receipts.Receipt(
            id_,
            type_,
            receiver,
            company,
            count,
            xml.encode() if sealed is None else vault.unseal(sealed),
        )
        for id_, type_, receiver, company, count, xml, sealed in conn.execute(
            sql.encode(), (list(params),)
        )
    ]
