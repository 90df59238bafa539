"""Receipts: every event told to the sender of its document, as the standard prescribes.

A receipt message holds up to 100 returns of one kind and one time for one receiver; the messages
of a batch are numbered in causal order. They are stored in the transaction that makes the events
true, and leave for files or the wire only after it is committed.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import polars as pl
import psycopg

from tongguan import codes, messages, store
from tongguan.clearance import dossier, steps
from tongguan.clearance.intake import Body, Incoming
from tongguan.clearance.kinds import BY_NUMBER, KINDS, Kind
from tongguan.clearance.settings import ZONE
from tongguan.sharing import evidence, leaves

RETURNS_MOST = 100
OWN = frozenset({"guid", "preNo", "invtNo", "returnStatus", "returnTime", "returnInfo"})
"""Elements of a receipt that the window fills; the others echo the document.

A cancellation and a return name a list: their receipts repeat its invtNo as they gave it."""
ORIGINAL_MOST = 200_000
"""Characters of a refused message that its CEB900 quotes."""
FORMAT = "message.format"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt message. id: its place among all receipts. company: whose it is."""

    id: int
    type: str
    receiver: str | None
    company: str | None
    documents: int
    xml: bytes

    @property
    def file_name(self) -> str:
        return f"{self.id:012d}-{self.type}.xml"


@cache
def receipt_type(kind: Kind) -> messages.MessageType:
    """The message type that answers documents of a kind."""
    answer = messages.message_type(kind.message).receipt
    assert answer is not None
    return messages.message_type(answer)


@cache
def echoed(kind: Kind) -> tuple[str, ...]:
    """Elements of the document that its receipt repeats."""
    own = {field.name for field in messages.message_type(kind.message).head_fields}
    filled = OWN if kind == KINDS["inventory"] else OWN - {"invtNo"}
    return tuple(
        field.name
        for field in receipt_type(kind).head_fields
        if field.name not in filled and field.name in own
    )


def carries(kind: Kind, element: str) -> bool:
    """Whether receipts of a kind have an element."""
    return any(field.name == element for field in receipt_type(kind).head_fields)


def guids(count: int) -> list[str]:
    """New random identifiers (RFC 9562 version 4), lower case as real receipts write them."""
    raw = secrets.token_hex(15 * count)
    return [
        f"{raw[i : i + 8]}-{raw[i + 8 : i + 12]}-4{raw[i + 12 : i + 15]}"
        f"-a{raw[i + 15 : i + 18]}-{raw[i + 18 : i + 30]}"
        for i in range(0, 30 * count, 30)
    ]


Made = tuple[str, str | None, str | None, int, bytes]
"""A receipt message without its number: type, receiver, company, returns, bytes."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the receipts of some events need, by kind; nothing of it is in the database only.

    returns: event columns, receiver, company, pre_no, invt_no and the elements the receipt repeats.
    """

    returns: dict[str, pl.DataFrame]


def gather(
    conn: psycopg.Connection,
    events: pl.DataFrame,
    numbers_of: pl.DataFrame,
    receivers: pl.DataFrame,
    bodies: Mapping[str, Body],
    also: pl.DataFrame,
) -> Told:
    """Bring together what receipts tell. numbers_of: id, pre_no, invt_no. receivers: message_id,
    receiver, company. bodies: of documents of this batch; those of stored ones are read. also:
    subscribed.ALSO.
    """
    told = events.join(receivers, on="message_id", how="left", maintain_order="left")
    if also.height:
        more = events.join(also, on="document_id", maintain_order="left")
        told = pl.concat([told, more.select(told.columns)])
    told = told.join(
        numbers_of, left_on="document_id", right_on="id", how="left", maintain_order="left"
    )
    returns = {}
    for number in told["kind"].unique().sort():
        kind = BY_NUMBER[number]
        mine = told.filter(pl.col("kind") == number)
        ids = mine.select(id="document_id").unique(maintain_order=True).with_row_index("case")
        echo = dossier.body_heads(conn, kind.name, ids, echoed(kind), bodies).drop("case")
        returns[kind.name] = mine.join(
            echo, left_on="document_id", right_on="id", how="left", maintain_order="left"
        )
    return Told(returns)


def make(told: Told) -> list[Made]:
    """The receipt messages in causal order. Touches no database, so it may run beside one."""
    if not told.returns:
        return []
    returns = pl.concat(_returns(KINDS[kind], mine) for kind, mine in told.returns.items())
    group = ["at", "kind", "receiver", "company"]
    ordered = returns.sort(*group, "document_id", nulls_last=True).with_columns(
        chunk=pl.int_range(pl.len()).over(group) // RETURNS_MOST
    )
    parts = ordered.group_by([*group, "chunk"], maintain_order=True).agg(
        count=pl.len(), body=pl.col("fragment").str.join("")
    )
    made = []
    # Bytes: text would be decoded and encoded again, ten times what a parcel's values are.
    for (_, number, receiver, company, _, count, body), guid in zip(
        parts.cast({"body": pl.Binary}).iter_rows(), guids(parts.height), strict=True
    ):
        type_ = receipt_type(BY_NUMBER[number]).type
        made.append((type_, receiver, company, count, messages.joined(type_, body, count, guid)))
    return made


def _returns(kind: Kind, mine: pl.DataFrame) -> pl.DataFrame:
    """The returns of one kind: at, kind, receiver, company, document_id, fragment."""
    type_ = receipt_type(kind)
    own: dict[str, pl.Expr | pl.Series] = {
        "guid": pl.Series(guids(mine.height), dtype=pl.String),
        "preNo": pl.col("pre_no"),
        "returnStatus": pl.col("after").cast(pl.String),
        "returnTime": return_time(),
        "returnInfo": pl.coalesce("info", _standard()),
    }
    if kind == KINDS["inventory"]:
        numbered = pl.max_horizontal("before", "after") >= RECEIVED_BY_CUSTOMS
        own["invtNo"] = pl.when(numbered).then("invt_no")
    known = set(mine.columns)
    values = {
        field.name: own.get(field.name, pl.col(field.name) if field.name in known else pl.lit(None))
        for field in type_.head_fields
    }
    filled = _fitted(mine.select(**values).cast(pl.String), type_)
    fragments = messages.render(type_.type, filled)
    return mine.select("at", "kind", "receiver", "company", "document_id").with_columns(
        fragment=fragments.alias("fragment")
    )


RECEIVED_BY_CUSTOMS = 120
"""From this status on a list has its number."""


def _fitted(values: pl.DataFrame, type_: messages.MessageType) -> pl.DataFrame:
    """Values cut to what the receipt's elements may hold (those of a refused one may be too long).

    Characters are counted only where there are more bytes than the element holds characters.
    """
    longest = values.select(pl.all().str.len_bytes().max()).row(0, named=True)
    return values.with_columns(
        pl.col(field.name).str.head(field.most)
        for field in type_.head_fields
        if field.most is not None and (longest[field.name] or 0) > field.most
    )


def _standard() -> pl.Expr:
    """The text of a status that needs no words of its own."""
    texts = {
        status: codes.receipt(status).info() for status in (100, 120, 300, 399, 400, 500, 800, 899)
    }
    return pl.col("after").replace_strict(texts, default=None, return_dtype=pl.String)


def return_time() -> pl.Expr:
    """returnTime: the event's time in Asia/Shanghai as YYYYMMDDhhmmssSSS."""
    return steps.local("at").dt.strftime("%Y%m%d%H%M%S%3f")


def format_refusal(message: Incoming, at_ms: int) -> bytes:
    """CEB900: what is wrong with a message as a whole, and the message itself."""
    rule = codes.rule(FORMAT)
    found = [finding for finding in message.parsed.findings if finding.position is None]
    said = "".join(
        f"[Code:{rule.id};Desc:{rule.zh}(应为:{finding.expected},实为:{finding.actual})]"
        for finding in found
    )
    type_ = messages.message_type("CEB900")
    at = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZONE)
    parsed = message.parsed
    values = {
        "guid": guids(1)[0],
        "returnStatus": rule.code("order"),
        "returnInfo": said,
        "returnTime": f"{at:%Y%m%d%H%M%S}{at_ms % 1000:03d}",
        "oriCopMsgId": (parsed.envelope or {}).get("CopMsgId") or parsed.guid or "",
        "oriMessageType": f"{parsed.type}Message" if parsed.type else "Unknown",
        "oriBizMessage": _legible(message.original or b""),
    }
    frame = pl.DataFrame(
        {name: [text] for name, text in values.items()},
        schema=dict.fromkeys(values, pl.String),
    )
    fitted = _fitted(frame.select(f.name for f in type_.head_fields), type_)
    return messages.message("CEB900", messages.render("CEB900", fitted).to_list(), guids(1)[0])


def _legible(data: bytes) -> str:
    """Bytes as text that XML can carry; what it cannot is shown as the replacement character."""
    text = data[: 4 * ORIGINAL_MOST].decode("utf-8", errors="replace")[:ORIGINAL_MOST]
    return "".join(
        c if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff") else "�" for c in text
    )


Refused = tuple[str | None, bytes, bytes]
"""A CEB900: company, in clear, sealed (it quotes personal data)."""


def write(
    conn: psycopg.Connection,
    batch_id: int,
    made: Sequence[Made],
    refused: Sequence[Refused],
) -> list[Receipt]:
    """Store receipts in order."""
    ids = store.numbers(conn, "receipt_id", len(made) + len(refused))
    kept = [
        Receipt(number, type_, receiver, company, count, xml)
        for number, (type_, receiver, company, count, xml) in zip(ids, made, strict=False)
    ]
    turned = [
        Receipt(number, "CEB900", None, company, 1, xml)
        for number, (company, xml, _) in zip(ids[len(made) :], refused, strict=True)
    ]
    everything = kept + turned
    if everything:
        texts: list[tuple[bytes | None, bytes | None]] = [(r.xml, None) for r in kept]
        texts += [(None, sealed) for *_, sealed in refused]
        rows = (
            (r.id, batch_id, r.receiver, r.company, r.type, r.documents, *text)
            for r, text in zip(everything, texts, strict=True)
        )
        store.copy_behind(conn, "receipt", store.encode_binary(_STORED, rows))
        # Their leaves are computed while the server takes the receipts in.
        ids, whose = [r.id for r in everything], [r.company for r in everything]
        evidence.append(conn, batch_id, evidence.RECEIPT, ids, _leaves(everything), whose)
    return everything


_STORED = {
    **dict.fromkeys(("id", "batch_id"), pl.Int64),
    **dict.fromkeys(("receiver", "company", "type"), pl.String),
    "documents": pl.Int32,
    **dict.fromkeys(("xml", "sealed"), pl.Binary),
}
"""Columns of the table of receipts, and their types."""


def _leaves(stored: Sequence[Receipt]) -> list[bytes]:
    """The leaf of each receipt in the evidence log."""
    return [
        leaves.receipt_leaf(r.id, leaves.receipt_digests(r.xml, r.type, r.documents))
        for r in stored
    ]


def to_files(receipts: Sequence[Receipt], folder: Path, *, again: bool = False) -> None:
    """Write receipts as files, each whole or not at all; one that is there already is left."""
    folder.mkdir(parents=True, exist_ok=True)
    there = {entry.name: entry.stat().st_size for entry in os.scandir(folder)} if again else {}
    for receipt in receipts:
        if there.get(receipt.file_name) != len(receipt.xml):
            # Whoever watches the folder, or looks after a crash or on a full disk, sees no half.
            part = folder / f"{receipt.file_name}.part"
            part.write_bytes(receipt.xml)
            part.replace(folder / receipt.file_name)
