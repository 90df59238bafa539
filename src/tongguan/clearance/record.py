"""One batch, one transaction: messages, documents, decisions and receipts land together.

Nothing here waits for another worker. What was read is checked again by what is written: a
document changed meanwhile, a year moved meanwhile or a key taken meanwhile make the transaction
fail (``writing.Conflict`` or a unique violation), and ``store.transact`` runs it anew.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg

from tongguan import store
from tongguan.clearance import (
    arrivals,
    parties,
    receipts,
    returns,
    signatures,
    steps,
    subscribed,
    taxing,
    texts,
    writing,
)
from tongguan.clearance import findings as f
from tongguan.clearance.dossier import LIFE, ready_lists
from tongguan.clearance.intake import DOCUMENTS, POSITIONS, Batch, Body
from tongguan.clearance.round import Round
from tongguan.clearance.rounds import decide_lists, expired, reuse_ms, rounds, run
from tongguan.clearance.settings import Settings
from tongguan.clearance.steps import DECLARED, DRAFT, SAVED
from tongguan.sharing import evidence, registry, subscriptions

Seal = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a transaction left behind: its batch and the receipts, to be sent once it is durable."""

    batch_id: int
    messages: int
    documents: int
    receipts: list[receipts.Receipt]

    @property
    def companies(self) -> list[str | None]:
        """Whose receipts they are."""
        return list(dict.fromkeys(receipt.company for receipt in self.receipts))


def record(conn: psycopg.Connection, batch: Batch, settings: Settings, seal: Seal) -> Recorded:
    """Record a prepared batch in the transaction that is open on ``conn``."""
    batch = without_known(conn, batch)
    message_ids = store.numbers(conn, "message_id", len(batch.incoming))
    bodies = batch.bodies
    signed = signatures.judge(conn, batch.incoming, settings)
    unsigned = signatures.refusals(batch.documents, signed)
    documents = signatures.standing(_of_messages(batch.documents, message_ids), unsigned)
    with _Scribe(conn, batch, message_ids, documents, settings) as scribe:
        writing.write_messages(conn, batch.incoming, message_ids, scribe.batch_id)
        leaves = [message.leaf for message in batch.incoming]
        evidence.append(conn, scribe.batch_id, evidence.MESSAGE, message_ids, leaves)
        writing.write_message_findings(
            conn, batch.incoming, message_ids, signatures.remarks(signed)
        )
        words = subscribed.said(batch.incoming, message_ids)
        subscriptions.keep(conn, words, settings.at_ms)
        form = f.together([unsigned, _form_findings(conn, batch, documents, bodies, settings)])
        faulty = f.faulty(form)
        good = documents.filter("valid").join(
            faulty, left_on="doc", right_on="case", how="anti", maintain_order="left"
        )
        bad = documents.join(good.select("doc"), on="doc", how="anti", maintain_order="left")
        writing.write_bodies(conn, bodies, good)
        subscriptions.meet(conn, subscribed.named_together(bodies, good), settings.at_ms)
        unheard = subscribed.receipt_subscriber(conn, words, documents, bodies, settings.day)
        form = f.together([form, unheard])
        scribe.write(_turned_away(bad, form, settings))
        scribe.write(_kept(good, settings))
        for fresh, met in rounds(conn, good.filter(pl.col("app_status") == DECLARED), settings):
            scribe.write(run(conn, fresh, met, bodies, settings, scribe.batch_id))
        refused = [
            (message.company, receipts.format_refusal(message, settings.at_ms))
            for message in batch.incoming
            if message.parsed.refused
        ]
        told = scribe.tell(form, [(company, xml, seal(xml)) for company, xml in refused])
    return Recorded(scribe.batch_id, len(batch.incoming), documents.height, told)


def sweep(conn: psycopg.Connection, settings: Settings, *, owed: bool = False) -> Recorded:
    """Decide waiting lists that are complete; refuse those whose match window has ended.

    What was told of parcels before their lists were that far has its effect; approved returns
    whose goods never came have none. owed: the receipts are to become files; until
    ``writing.write_sent`` the batch remembers it.
    """
    none_new = pl.DataFrame(schema=_DOCUMENTS)
    nobody = pl.DataFrame(schema=LIFE)
    with _Scribe(conn, NOTHING, [], none_new, settings) as scribe:
        ready = Round(none_new)
        lists = ready_lists(conn)
        decide_lists(conn, ready, lists, nobody, {}, settings, scribe.batch_id)
        told = arrivals.kept(conn, reuse_ms(settings))
        arrivals.apply(conn, ready, lists, told, settings)
        scribe.write(ready)
        store.settle(conn)
        late = expired(conn, settings)
        late.documents = none_new
        returns.overdue(conn, late, settings)
        scribe.write(late)
        answers = scribe.tell(f.none(), [])
    if owed and answers:
        writing.write_owed(conn, scribe.batch_id)
    return Recorded(scribe.batch_id, 0, 0, answers)


def arrive(conn: psycopg.Connection, key: str, settings: Settings) -> tuple[Recorded, list[int]]:
    """The goods of a return, or of a direct-purchase list, are on site; and the documents of it.

    key: see ``returns.known`` and ``arrivals.arrive``. Said again, it changes nothing. Raises
    UnknownArrival when no approved return and no reviewed list has that number.
    """
    none_new = pl.DataFrame(schema=_DOCUMENTS)
    with _Scribe(conn, NOTHING, [], none_new, settings) as scribe:
        part = Round(none_new)
        about = returns.arrive(conn, part, key, settings, scribe.batch_id)
        about = about or arrivals.arrive(conn, part, key, settings)
        if not about:
            raise UnknownArrival(
                f"nothing is on its way under the number {key!r}: give the copNo of an approved "
                "return, or the orderNo, copNo, invtNo or logisticsNo of a list"
            )
        scribe.write(part)
        answers = scribe.tell(f.none(), [])
    return Recorded(scribe.batch_id, 0, 0, answers), about


class UnknownArrival(LookupError):  # noqa: N818 - a look-up that found nothing
    """No approved return and no list that passed review has that number."""


NOTHING = Batch([], [], pl.DataFrame(schema=DOCUMENTS), {}, f.none())


class _Scribe:
    """Writes the rounds of a batch, and its receipts.

    Receipts are put into words on a thread of its own while the database writes the round.
    """

    def __init__(
        self,
        conn: psycopg.Connection,
        batch: Batch,
        message_ids: list[int],
        documents: pl.DataFrame,
        settings: Settings,
    ) -> None:
        self._conn, self._batch, self._message_ids = conn, batch, message_ids
        self._documents, self._settings = documents, settings
        self._events: list[pl.DataFrame] = []
        self._findings: list[pl.DataFrame] = []
        self._made: list[Future[list[receipts.Made]]] = []
        self._notices: list[receipts.Made] = []
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scribe")
        writing.prefer_keys(conn)
        [self.batch_id] = store.numbers(conn, "batch_id", 1)
        writing.write_batch(conn, self.batch_id, settings)

    def __enter__(self) -> "_Scribe":
        return self

    def __exit__(self, *ended: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def write(self, part: Round) -> None:
        """Write a round's state; the next round settles (``store.settle``) and reads it."""
        events = pl.concat([steps.none(), *part.events])
        self._findings += part.findings
        if events.is_empty():
            return
        invt = pl.concat([pl.DataFrame(schema=_INVT), *part.invt])
        conn = self._conn
        receivers = writing.receivers(
            conn, events["message_id"].unique(), self._batch.incoming, self._message_ids
        )
        ids = events["document_id"].unique()
        numbered = writing.numbers_of(conn, ids, self._documents, invt)
        bodies = self._batch.bodies
        also = subscribed.also(conn, events, bodies, self._settings.day)
        told = receipts.gather(conn, events, numbered, receivers, bodies, also)
        self._made.append(self._pool.submit(receipts.make, told))
        self._events.append(events.select(doc="document_id", message_id="message_id"))
        writing.write_documents(conn, part.documents, events, invt, self.batch_id)
        self._notices += taxing.follow(conn, part, receivers, bodies, self._settings, self.batch_id)

    def tell(self, form: pl.DataFrame, refused: list[receipts.Refused]) -> list[receipts.Receipt]:
        """Write all findings and receipts."""
        findings = f.together([form, *self._findings])
        if findings.height:
            message_of = pl.concat(self._events).unique("doc")
            writing.write_findings(self._conn, findings, message_of)
        made = [receipt for future in self._made for receipt in future.result()]
        return receipts.write(self._conn, self.batch_id, [*made, *self._notices], refused)


_INVT: dict[str, Any] = {"id": pl.Int64, "invt_no": pl.String}


# ── what arrives ────────────────────────────────────────────────────────────────────────────


def without_known(conn: psycopg.Connection, batch: Batch) -> Batch:
    """Drop messages that another batch recorded while this one was being prepared."""
    digests = [message.digest for message in batch.incoming]
    sql = "SELECT digest FROM message WHERE digest = ANY(%s)"
    known = {row[0] for row in conn.execute(sql, (digests,))}
    if not known:
        return batch
    kept = [place for place, m in enumerate(batch.incoming) if m.digest not in known]
    places = pl.DataFrame({"message": kept}, schema={"message": pl.Int64}).with_row_index("now")

    def renumber(frame: pl.DataFrame) -> pl.DataFrame:
        numbered = frame.with_columns(message=pl.col("case") // POSITIONS)
        now = pl.col("now").cast(pl.Int64)
        return (
            numbered.join(places, on="message", maintain_order="left")
            .with_columns(case=now * POSITIONS + pl.col("case") % POSITIONS, message=now)
            .drop("now")
        )

    def body(old: Body) -> Body:
        lines = None if old.lines is None else renumber(old.lines)
        return Body(old.kind, renumber(old.heads), lines, None)

    again = [(m.name, m.digest) for m in batch.incoming if m.digest in known]
    return Batch(
        [batch.incoming[place] for place in kept],
        [*batch.repeated, *again],
        renumber(batch.documents),
        {name: body(old) for name, old in batch.bodies.items()},
        renumber(batch.findings).drop("message"),
    )


_DOCUMENTS: dict[str, Any] = {**DOCUMENTS, "doc": pl.Int64, "message_id": pl.Int64}
"""The documents of a batch once their messages have ids."""


def _of_messages(documents: pl.DataFrame, message_ids: list[int]) -> pl.DataFrame:
    ids = pl.Series(message_ids, dtype=pl.Int64)
    return documents.with_columns(message_id=ids.gather(documents["message"]))


def _form_findings(
    conn: psycopg.Connection,
    batch: Batch,
    documents: pl.DataFrame,
    bodies: dict[str, Body],
    settings: Settings,
) -> pl.DataFrame:
    """What is wrong with the form of documents and with who is named in them (case = doc)."""
    ids = documents.select("case", "doc")
    found = batch.findings.join(ids, on="case", maintain_order="left")
    opened = settings.registry == "open"
    about = [f.shaped(found.drop("case").rename({"doc": "case"}))]
    unfiled = registry.unfiled(conn, parties.pairs(bodies), provisional=opened)
    if unfiled.height:
        named = parties.mentions(documents, bodies, unfiled)
        about.append(parties.party_unknown(named, opened=opened))
        if opened:
            registry.file_provisionally(conn, named, settings.at_ms)
    if not opened:
        senders = [message.parsed.transfer.get("copCode") for message in batch.incoming]
        sent = pl.DataFrame({"sender": senders}, schema={"sender": pl.String}).with_row_index(
            "message"
        )
        sent = sent.with_columns(pl.col("message").cast(pl.Int64))
        about.append(parties.party_mandate(conn, documents, bodies, sent, settings.day))
    return f.together(about)


def _turned_away(bad: pl.DataFrame, form: pl.DataFrame, settings: Settings) -> Round:
    """Documents refused for their form: one event to the negative code of the first finding."""
    said = texts.refusals(form)
    events = bad.join(said, left_on="doc", right_on="case", maintain_order="left")
    never = bad.with_columns(current=pl.lit(value=False))
    first = steps.first(events, pl.col("status"), settings.at_ms)
    return Round(never, events=[first])


def _kept(good: pl.DataFrame, settings: Settings) -> Round:
    """Drafts: kept at 1, they hold no key and take part in nothing."""
    drafts = good.filter(pl.col("app_status") == DRAFT).with_columns(
        current=pl.lit(value=False), info=texts.acceptance(SAVED)
    )
    first = steps.first(drafts, pl.lit(SAVED, dtype=pl.Int64), settings.at_ms)
    return Round(drafts, events=[first])
