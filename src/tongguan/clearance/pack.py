"""The evidence pack of a parcel: its documents, receipts, decisions, and the proofs of them.

A pack is one JSON file in one form only (names sorted, no space between, UTF-8), sealed with the
evidence key: so it can be read by a person, every byte counts, and making it again under the same
head gives the same bytes. Of a message it shows the parcel's documents and what stands around them;
of all others in it only their blinded digests. A payment or a waybill that names another order is
withheld: it may be another person's.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
import pyarrow as pa

from tongguan import messages, store
from tongguan.clearance.explain import explain, lists_of, others_of
from tongguan.clearance.kinds import BY_NUMBER, KINDS
from tongguan.clearance.recorded import PAPERS, recorded
from tongguan.clearance.report import KEY_COLUMNS, document_lines
from tongguan.clearance.service import leaf_secret
from tongguan.clearance.settings import ZONE
from tongguan.sharing import evidence, leaves
from tongguan.sharing.heads import Signer

FORM = "tongguan evidence pack 1"
BILLS = ("CEB816", "CEB818")
LIMITS = messages.Limits(bytes=1 << 28, tags=1 << 24, equals=1 << 24)
"""What was accepted once is read again, whatever the limits were."""


class Row(NamedTuple):
    """A document of the parcel."""

    id: int
    kind: int
    message_id: int
    position: int
    key_a: str | None
    key_b: str | None
    ref_a: str | None
    ref_b: str | None
    way_a: str | None
    way_b: str | None
    cop_b: str | None
    pre_no: str | None
    invt_no: str | None


@dataclass(slots=True)
class Shown:
    """A message or a receipt, cut into pieces, and which of its documents are shown."""

    place: int
    batch_id: int
    facts: dict[str, Any]
    pieces: Sequence[bytes]
    documents: dict[int, dict[str, Any]] = field(default_factory=dict)


def canonical(value: Any) -> bytes:
    """The one way in which a pack is written."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def sealed(body: dict[str, Any], signer: Signer) -> bytes:
    """A pack as a file."""
    signature = signer.sign(seal_text(body)).hex()
    seal = {"public": signer.public.hex(), "signature": signature}
    return canonical({"pack": body, "seal": seal}) + b"\n"


def seal_text(body: dict[str, Any]) -> bytes:
    """What the seal of a pack signs."""
    return FORM.encode() + b"\n" + canonical(body)


def part_text(part: bytes) -> str | dict[str, str]:
    """Bytes as they stand in a pack: the text itself, or in hex what is no UTF-8."""
    try:
        return part.decode()
    except UnicodeDecodeError:
        return {"hex": part.hex()}


def pack(conn: psycopg.Connection, vault: store.Vault, key: str) -> dict[str, Any]:
    """Everything about the parcels that carry a number, with the proofs under the last head.

    key: as for ``explain``. It begins the transaction of ``conn``. Raises explain.UnknownKey,
    explain.Differs, lawbook.UnknownPolicy, and evidence.UnknownPosition for what is not logged.
    """
    conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    explanations = explain(conn, key)
    lists = lists_of(conn, key)
    rows = _documents(conn, lists, [] if lists else others_of(conn, key))
    shelf = _Shelf(conn, vault)
    orders = {row.key_b for row in rows if row.kind == KINDS["inventory"].number}
    for row in rows:
        shelf.document(row, orders)
    shelf.receipts(rows)
    head = evidence.head(conn)
    if head is None:
        raise evidence.UnknownPosition("the evidence log has no leaves yet")
    about: list[int | None] = [*lists] or [None]
    parcels = [
        _parcel(conn, list_id, each.facts(), shelf.names)
        for list_id, each in zip(about, explanations, strict=True)
    ]
    explained = {*lists, *(id_ for each in lists for id_ in _papers(conn, each))}
    explained |= set() if lists else {row.id for row in rows}
    return {
        "form": FORM,
        "key": key,
        "head": head.facts(),
        "messages": shelf.proved(evidence.MESSAGE, head.size),
        "receipts": shelf.proved(evidence.RECEIPT, head.size),
        "parcels": parcels,
        "others": document_lines(conn, [row.id for row in rows if row.id not in explained]),
    }


def _parcel(
    conn: psycopg.Connection,
    list_id: int | None,
    explanation: dict[str, Any],
    names: dict[int, str],
) -> dict[str, Any]:
    record = None if list_id is None else recorded(conn, list_id)
    papers = {}
    if record is not None and list_id is not None:
        papers = dict(zip(PAPERS, (names[id_] for id_ in record.papers), strict=True))
    return {
        "list": None if list_id is None else names[list_id],
        "papers": papers,
        "decision": None if record is None else record.facts(),
        "explanation": explanation,
    }


# --- which documents ------------------------------------------------------------------------------


def _documents(conn: psycopg.Connection, lists: Sequence[int], others: Sequence[int]) -> list[Row]:
    """The lists, what they were or would be decided with, and what was applied for after."""
    found = {row.id: row for row in _rows(conn, "d.id = ANY(%s)", [*lists, *others])}
    for list_id in lists:
        row = found[list_id]
        ids = _papers(conn, list_id)
        decided = bool(ids)
        sql = """SELECT cancellation_id FROM cancelled WHERE list_id = %(list)s
            UNION SELECT document_id FROM return_case WHERE list_id = %(list)s"""
        ids += [each[0] for each in conn.execute(sql, {"list": list_id})]
        more = [*_rows(conn, "d.id = ANY(%s)", ids), *_by_key(conn, "order", row.ref_a, row.ref_b)]
        ways = ("waybill-status",) if decided else ("waybill", "waybill-status")
        for kind in ways:
            more += _by_key(conn, kind, row.way_a, row.way_b, past=False)
        if not decided:
            for order in [each for each in more if each.kind == KINDS["order"].number]:
                more += _by_key(conn, "payment", order.ref_a, order.ref_b, past=False)
        found |= {each.id: each for each in more}
    return [found[id_] for id_ in sorted(found)]


def _papers(conn: psycopg.Connection, list_id: int) -> list[int]:
    """What a list was decided with; nothing, if it was not."""
    record = recorded(conn, list_id)
    return list(record.papers) if record else []


def _by_key(
    conn: psycopg.Connection, kind: str, a: str | None, b: str | None, *, past: bool = True
) -> list[Row]:
    """Documents of a kind by their key; past: also those that gave it up."""
    number = KINDS[kind].number
    rows = _rows(conn, "d.kind = %s AND d.key_b = %s AND d.key_a = %s AND d.current", number, b, a)
    if past:
        now = "d.kind = %s AND d.key_b = %s AND d.key_a = %s AND NOT d.current"
        rows += _rows(conn, now, number, b, a)
    return rows


def _rows(conn: psycopg.Connection, condition: str, *params: Any) -> list[Row]:
    columns = ", ".join(f"d.{name}" for name in Row._fields)
    sql = f"SELECT {columns} FROM document d WHERE {condition} ORDER BY d.id"
    return [Row(*each) for each in conn.execute(sql.encode(), params)]


# --- what is shown of messages and receipts -------------------------------------------------------


class _Shelf:
    """The messages and receipts of a pack. names: of a document, as others refer to it."""

    def __init__(self, conn: psycopg.Connection, vault: store.Vault) -> None:
        self._conn, self._vault = conn, vault
        self._shown: dict[int, dict[int, Shown]] = {evidence.MESSAGE: {}, evidence.RECEIPT: {}}
        self._blinds: dict[int, list[bytes]] = {}
        self._parsed: dict[int, messages.Parsed] = {}
        self.names: dict[int, str] = {}

    def document(self, row: Row, orders: set[str | None]) -> None:
        """Show a document in its message, unless it names another order than the lists do."""
        shown = self._message(row.message_id)
        kind = BY_NUMBER[row.kind].name
        self.names[row.id] = f"{shown.place}.{row.position + 1}"
        about: dict[str, Any] = {"kind": kind}
        parsed = self._parsed[row.message_id]
        named = parsed.heads.get("orderNo", [None] * parsed.documents)[row.position]
        if kind in ("payment", "waybill") and orders and named is not None and named not in orders:
            about["withheld"] = "it names another order"
        elif not _separable(shown.pieces, parsed, row.position):
            about["withheld"] = "its message does not come apart"
        else:
            about |= self._piece(shown, row.message_id, leaves.FIRST_DOCUMENT + row.position)
        shown.documents[row.position] = about

    def _message(self, message_id: int) -> Shown:
        known = self._shown[evidence.MESSAGE]
        if message_id not in known:
            known[message_id] = self._opened(message_id, len(known) + 1)
        return known[message_id]

    def _opened(self, message_id: int, place: int) -> Shown:
        sql = "SELECT digest, type, refused, sealed, batch_id FROM message WHERE id = %s"
        row = self._conn.execute(sql, (message_id,)).fetchone()
        assert row is not None
        digest, type_, refused, packed, batch_id = row
        digest = digest.partition(":")[0]
        with pa.CompressedInputStream(pa.BufferReader(self._vault.unseal(packed)), "zstd") as file:
            data = file.read()
        parsed = messages.parse(data, LIMITS)
        parsed.refused = refused
        pieces = leaves.message_parts(data, bytes.fromhex(digest), parsed)
        secret = leaf_secret(self._vault, digest)
        self._blinds[message_id] = leaves.blinds(secret, len(pieces))
        self._parsed[message_id] = parsed
        facts = {
            "type": type_,
            "digests": [each.hex() for each in leaves.blinded(pieces, secret)],
        }
        shown = Shown(place, batch_id, facts, pieces)
        head, tail = leaves.unframed(pieces[leaves.FRAME])
        frame = self._piece(shown, message_id, leaves.FRAME)
        facts["frame"] = frame | {"head": part_text(head), "tail": part_text(tail)}
        del facts["frame"]["text"]
        return shown

    def _piece(self, shown: Shown, message_id: int, place: int) -> dict[str, Any]:
        blind = self._blinds[message_id][place].hex()
        return {"blind": blind, "text": part_text(shown.pieces[place])}

    def receipts(self, rows: Sequence[Row]) -> None:
        """Show what receipts say of documents, and of the bills of lists."""
        ids = [row.id for row in rows]
        sql = """SELECT document_id, after, at, batch_id FROM event
            WHERE document_id = ANY(%s) ORDER BY document_id, seq"""
        events = self._conn.execute(sql, (ids,)).fetchall()
        by_id = {row.id: row for row in rows}
        for document_id, after, at, batch_id in events:
            self._event(by_id[document_id], after, at, batch_id)
        batches = {batch_id for *_, batch_id in events}
        for row in rows:
            if row.kind == KINDS["inventory"].number and row.invt_no:
                self._bills(row, batches)

    def _event(self, row: Row, after: int, at: int, batch_id: int) -> None:
        kind = BY_NUMBER[row.kind]
        type_ = messages.message_type(kind.message).receipt
        assert type_ is not None
        said = {field.name for field in messages.message_type(type_).head_fields}
        values = row._asdict()
        key = {
            name: values[column]
            for name, column in KEY_COLUMNS[kind.name]
            if name in said and values[column] is not None and name != "invtNo"
        }
        told = {"returnStatus": str(after), "returnTime": return_time(at)}
        word = next((text for name, text in key.items() if name in _NUMBERS), "")
        self._tell([batch_id], [type_], word, key | told)

    def _bills(self, row: Row, batches: set[int]) -> None:
        sql = """SELECT b.batch_id FROM bill b WHERE b.document_id = %(id)s
            UNION SELECT c.batch_id FROM bill_correction c JOIN bill b ON b.id = c.bill_id
                WHERE b.document_id = %(id)s
            UNION SELECT s.batch_id FROM summary s JOIN bill b ON b.summary_id = s.id
                WHERE b.document_id = %(id)s"""
        more = {each[0] for each in self._conn.execute(sql, {"id": row.id})}
        assert row.invt_no is not None
        self._tell(sorted(batches | more), list(BILLS), row.invt_no, {"invtNo": row.invt_no})

    def _tell(
        self, batches: list[int], types: list[str], word: str, wanted: dict[str, Any]
    ) -> None:
        """Show the documents of receipts whose elements have these values."""
        for number, type_, documents, xml, batch_id in self._candidates(batches, types, word):
            data = xml.encode()
            parsed = messages.parse(data, LIMITS)
            for place in range(documents):
                if all(parsed.heads[name][place] == text for name, text in wanted.items()):
                    shown = self._receipt(number, type_, documents, data, batch_id)
                    text = part_text(shown.pieces[place])
                    shown.documents[place] = {"text": text}

    def _candidates(
        self, batches: list[int], types: list[str], word: str
    ) -> Iterator[tuple[int, str, int, str, int]]:
        sql = """SELECT id, type, documents, xml, batch_id FROM receipt
            WHERE batch_id = ANY(%s) AND type = ANY(%s) AND position(%s in xml) > 0 ORDER BY id"""
        yield from self._conn.execute(sql, (batches, types, messages.escape(word)))

    def _receipt(self, number: int, type_: str, documents: int, xml: bytes, batch_id: int) -> Shown:
        known = self._shown[evidence.RECEIPT]
        if number not in known:
            whole = messages.cut(xml, type_, documents)
            assert whole is not None
            facts = {
                "receipt": number,
                "type": type_,
                "digests": [e.hex() for e in leaves.receipt_digests(xml, type_, documents)],
                "frame": {
                    "head": part_text(whole.head),
                    "tail": part_text(whole.tail + whole.rest),
                },
            }
            known[number] = Shown(len(known) + 1, batch_id, facts, whole.documents)
        return known[number]

    def proved(self, kind: int, size: int) -> list[dict[str, Any]]:
        """The messages or receipts with the proofs of their leaves."""
        known = self._shown[kind]
        asked = {number: shown.batch_id for number, shown in known.items()}
        positions = evidence.positions(self._conn, kind, asked)
        if lacking := sorted(set(known) - set(positions)):
            what = "message" if kind == evidence.MESSAGE else "receipt"
            raise evidence.UnknownPosition(
                f"the evidence log does not hold {what} {lacking[0]}: it was recorded before the "
                "log began"
            )
        paths = evidence.proofs(self._conn, list(positions.values()), size)
        return [
            known[number].facts
            | {
                "position": positions[number],
                "path": [each.hex() for each in paths[positions[number]]],
                "documents": _placed(known[number].documents.items()),
            }
            for number in known
        ]


def _separable(pieces: Sequence[bytes], parsed: messages.Parsed, position: int) -> bool:
    """Whether the piece of a document, read alone, says what the message said of it."""
    if len(pieces) != leaves.FIRST_DOCUMENT + parsed.documents:
        return False
    alone = messages.parse(leaves.shown_alone(pieces, position), LIMITS)
    return alone.documents == 1 and _values(alone, 0) == _values(parsed, position)


def _values(parsed: messages.Parsed, position: int) -> tuple[list[Any], list[Any]]:
    mine = [n for n, at in enumerate(parsed.lines.get("#position", ())) if at == position]
    lines = [[values[n] for n in mine] for name, values in parsed.lines.items() if name[0] != "#"]
    return [values[position] for values in parsed.heads.values()], lines


def _placed(documents: Iterable[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [{"place": place + 1} | about for place, about in sorted(documents)]


_NUMBERS = frozenset({"orderNo", "copNo", "payTransactionId", "logisticsNo"})
"""Of a key the element by which its receipts are looked for."""


def return_time(at_ms: int) -> str:
    """returnTime of an event: Asia/Shanghai, YYYYMMDDhhmmssSSS."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZONE)
    return f"{at:%Y%m%d%H%M%S}{at_ms % 1000:03d}"
