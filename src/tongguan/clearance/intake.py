"""From files to checked columns: everything that can be done before the database is asked.

Files come in the order of their names; a *batch* is as many of them as make one transaction
worth while. ``ahead`` has batches prepared while the one before is being recorded.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from tongguan import codes, messages, store
from tongguan.clearance import findings as f
from tongguan.clearance.kinds import BY_MESSAGE, Kind
from tongguan.clearance.rules import list_line_total, order_total
from tongguan.clearance.settings import Signatures
from tongguan.sharing import leaves

BATCH_BYTES = 32 << 20
BATCH_FILES = 500
KEY_MOST = 100
"""Characters of a key that are kept: more than any lawful key has, less than an index can hold."""
POSITIONS = 1000
"""``case`` of a document before it has an id: message × POSITIONS + position, ≤ 100 documents."""

NOT_MESSAGES = frozenset({".jsonl", ".json", ".csv", ".xlsx", ".md", ".txt", ".parquet"})
"""Files that lie beside messages in a folder (reports, tables, notes) and are passed over."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file, not yet read. name: what a person would call it."""

    path: Path
    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message as it came, and its parse.

    original: the bytes, kept only where a CEB900 must quote them. sealed: the bytes, compressed
    (zstd) and encrypted. leaf: its leaf hash in the evidence log. signature: what became of it;
    None where there is none, or it is ignored. sender: who handed in a message that was refused,
    where that is known.
    """

    name: str
    digest: str
    parsed: messages.Parsed
    original: bytes | None
    sealed: bytes
    leaf: bytes
    signature: messages.Verified | None = None
    sender: str | None = None

    @property
    def company(self) -> str | None:
        """Whose message it is: who handed it in, else the transmitting company it names."""
        return self.sender or self.parsed.transfer.get("copCode")


@dataclass(frozen=True, slots=True)
class Body:
    """The typed documents of one kind: heads and lines with ``case`` and ``doc``.

    rows: what is stored of the valid ones, heads and lines, ready to be written; None where the
    body was put together otherwise.
    """

    kind: Kind
    heads: pl.DataFrame
    lines: pl.DataFrame | None
    rows: tuple[store.Rows, store.Rows | None] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch, ready to be recorded.

    incoming: new messages, in order of arrival. repeated: digests of files that came before.
    documents: doc, case, message, position, kind, keys, appType …, valid; in order of arrival.
    bodies: by kind name. findings: what form rules found; case as in documents.
    """

    incoming: list[Incoming]
    repeated: list[tuple[str, str]]
    documents: pl.DataFrame
    bodies: dict[str, Body]
    findings: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Desk:
    """What intake asks of the outside.

    known: which of these message digests came before. seal: bytes encrypted. digest: the keyed
    hashes of a column. secret: of a message digest, what blinds the parts of that message. ids: so
    many new document ids. pre_numbers: so many new preNo. certificate: the one (DER) that a company
    has filed under a serial number.
    """

    known: Callable[[list[str]], set[str]]
    seal: Callable[[bytes], bytes]
    digest: Callable[[pl.Series], pl.Series]
    secret: Callable[[str], bytes]
    ids: Callable[[int], list[int]]
    pre_numbers: Callable[[int], list[str]]
    certificate: Callable[[str, str], bytes | None] = lambda company, serial: None


DOCUMENTS: dict[str, Any] = {
    "case": pl.Int64,
    "message": pl.Int64,
    "position": pl.Int64,
    "kind": pl.Int64,
    "key_a": pl.String,
    "key_b": pl.String,
    "ref_a": pl.String,
    "ref_b": pl.String,
    "way_a": pl.String,
    "way_b": pl.String,
    "cop_a": pl.String,
    "cop_b": pl.String,
    "order_no": pl.String,
    "guid": pl.String,
    "app_type": pl.Int64,
    "app_status": pl.Int64,
    "app_time": pl.String,
    "pre_no": pl.String,
    "valid": pl.Boolean,
}


def sources(paths: Iterable[Path]) -> list[Source]:
    """The files below the paths, each folder's in the order of their names.

    A file that is named is always taken; in a folder hidden files and NOT_MESSAGES are left.
    """
    found = []
    for path in paths:
        if not path.is_dir():
            found.append(Source(path, _text(path.name), path.stat().st_size))
            continue
        for file in sorted(path.rglob("*")):
            if (
                file.is_file()
                and not file.name.startswith(".")
                and (file.suffix.lower() not in NOT_MESSAGES)
            ):
                name = file.relative_to(path).as_posix()
                found.append(Source(file, _text(name), file.stat().st_size))
    return found


def _text(name: str) -> str:
    r"""The name as text; bytes of it that are not UTF-8 are shown as \xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def batches(found: Sequence[Source]) -> Iterator[list[Source]]:
    """Cut files into batches of about BATCH_BYTES, at most BATCH_FILES each."""
    batch: list[Source] = []
    size = 0
    for source in found:
        if batch and (size + source.bytes > BATCH_BYTES or len(batch) == BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append(source)
        size += source.bytes
    if batch:
        yield batch


def read(cut: Iterable[Source], limits: messages.Limits) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file; of one beyond the size limit only enough to be refused."""
    for source in cut:
        with source.path.open("rb") as file:
            yield source.name, file.read(limits.bytes + 1)


def prepare(
    files: Iterable[tuple[str, bytes]],
    desk: Desk,
    limits: messages.Limits,
    signatures: Signatures = "checked",
    sealed: Mapping[str, bytes] | None = None,
) -> Batch:
    """Parse, verify, check and seal one batch of messages; those met before are set aside by
    digest. sealed: those that are sealed already, by name.
    """
    named = [(name, hashlib.sha256(data).hexdigest(), data) for name, data in files]
    seen = desk.known([digest for _, digest, _ in named])
    incoming: list[Incoming] = []
    repeated: list[tuple[str, str]] = []
    for name, digest, data in named:
        if digest in seen:
            repeated.append((name, digest))
            continue
        seen.add(digest)
        parsed = read_message(data, limits, signed_form=signatures != "ignored")
        incoming.append(received(name, data, digest, parsed, desk, (sealed or {}).get(name)))
    return _checked(incoming, repeated, desk)


def received(
    name: str,
    data: bytes,
    digest: str,
    parsed: messages.Parsed,
    desk: Desk,
    sealed: bytes | None = None,
) -> Incoming:
    """A message that was read, ready to be recorded; its signature is verified.

    sealed: its bytes, packed and sealed, where that has been done before.
    """
    signature = _verified(parsed, desk)
    sealed = sealed or desk.seal(pa.compress(data, codec="zstd", asbytes=True))
    original = data if parsed.refused else None
    leaf = _leaf(data, digest, parsed, desk)
    return Incoming(name, digest, parsed, original, sealed, leaf, signature)


def _leaf(data: bytes, digest: str, parsed: messages.Parsed, desk: Desk) -> bytes:
    """The leaf hash of a message; the message inside its envelope is not kept any longer."""
    parts = leaves.message_parts(data, bytes.fromhex(digest), parsed)
    parsed.inner = None
    return leaves.message_leaf(leaves.blinded(parts, desk.secret(digest)))


def _verified(parsed: messages.Parsed, desk: Desk) -> messages.Verified | None:
    """Verify the signature of a message, and let go of its canonical form."""
    form, parsed.form = parsed.form, None
    if form is None:
        return None
    company = parsed.transfer.get("copCode") or ""
    return messages.verify(form, parsed.kind, lambda serial: desk.certificate(company, serial))


def read_message(
    data: bytes, limits: messages.Limits, *, signed_form: bool = False, columns: bool = True
) -> messages.Parsed:
    """Read one message; one that no company sends is refused as a whole.

    signed_form: whether its canonical form is kept, to verify its signature. columns: whether its
    documents are read.
    """
    parsed = messages.parse(data, limits, signed_form=signed_form, columns=columns)
    if not parsed.refused and parsed.type not in BY_MESSAGE:
        _refuse_type(parsed)
    return parsed


def _refuse_type(parsed: messages.Parsed) -> None:
    """Refuse a message that only customs sends (a receipt, a tax bill) or that is an answer."""
    parsed.refused = True
    parsed.findings.append(
        codes.Finding(
            rule="message.format",
            severity="error",
            document=f.MESSAGE,
            expected=f"a message that a company sends: {', '.join(sorted(BY_MESSAGE))}",
            actual=f"{parsed.root}, which customs or the exchange platform sends",
            law=_SPEC,
        )
    )


def _checked(incoming: list[Incoming], repeated: list[tuple[str, str]], desk: Desk) -> Batch:
    collected = messages.collect([message.parsed for message in incoming])
    for message in incoming:
        # The frames have it all; of the raw values a batch has a million.
        message.parsed.heads, message.parsed.lines = {}, {}
    bodies: dict[str, Body] = {}
    documents, found = [], []
    for type_, batch in collected.items():
        kind = BY_MESSAGE.get(type_)
        if kind is None:
            continue
        checked = messages.check(batch)
        case = pl.col("message").cast(pl.Int64) * POSITIONS + pl.col("position").cast(pl.Int64)
        heads = checked.heads.with_columns(case=case)
        has_lines = messages.message_type(type_).line is not None
        lines = checked.lines.with_columns(case=case) if has_lines else None
        found.append(
            f.shaped(checked.findings.with_columns(case=case), document=kind.name, law=_SPEC)
        )
        if kind.name == "order":
            found.append(order_total(heads.filter("valid")))
        if kind.name == "inventory" and lines is not None:
            found.append(list_line_total(lines.join(heads.filter("valid"), on="case", how="semi")))
            heads = heads.with_columns(identity_valid=identity_valid())
        documents.append(_document_columns(kind, heads))
        bodies[kind.name] = Body(kind, heads, lines)
    findings = f.together(found)
    frame = pl.concat([pl.DataFrame(schema=DOCUMENTS), *documents]).sort("case")
    bad = f.faulty(findings).with_columns(bad=pl.lit(value=True))
    frame = frame.join(bad, on="case", how="left", maintain_order="left").with_columns(
        valid=pl.col("valid") & pl.col("bad").is_null()
    )
    frame = _numbered(frame.drop("bad"), desk)
    ready = _ready(_private(bodies, desk), frame)
    return Batch(incoming, repeated, frame, ready, findings)


_SPEC = "CEB specification 202205"


def _document_columns(kind: Kind, heads: pl.DataFrame) -> pl.DataFrame:
    """The life columns of a kind's documents, from its own elements."""

    def element(name: str | None) -> pl.Expr:
        known = name is not None and name in heads.columns
        return pl.col(name) if known and name else pl.lit(None, dtype=pl.String)

    pairs = {"key": kind.key, "ref": kind.payment or kind.order, "way": kind.waybill}
    pairs["cop"] = kind.cop
    columns = {
        f"{name}_{side}": element(pair[place] if pair else None)
        for name, pair in pairs.items()
        for place, side in enumerate("ab")
    }
    frame = (
        heads.select(
            pl.col("case", "message", "position"),
            kind=pl.lit(kind.number),
            **columns,
            order_no=element("orderNo"),
            guid=element("guid"),
            app_type=element("appType"),
            app_status=element("appStatus"),
            app_time=element("appTime"),
            pre_no=element("preNo"),
            valid="valid",
        )
        # What no smallint holds is as good as absent: the document is refused for it.
        .with_columns(pl.col("app_type", "app_status").cast(pl.Int16, strict=False))
        .cast(pl.Schema(DOCUMENTS), strict=False)
    )
    longest = frame.select(pl.max_horizontal(pl.col(pl.String).str.len_bytes().max())).item()
    if (longest or 0) > KEY_MOST:
        return frame.with_columns(pl.col(pl.String).str.head(KEY_MOST))
    return frame


def normalised(number: str) -> str:
    """A personal number as it is hashed: a small x is an X."""
    return number.upper()


def _private(bodies: dict[str, Body], desk: Desk) -> dict[str, Body]:
    """Replace each personal element by its mask, and put its keyed hash beside it.

    The hashes of all columns are taken at once: a buyer stands in order, payment and list.
    """
    personal = [
        (name, field.name)
        for name, body in bodies.items()
        for field in messages.message_type(body.kind.message).head_fields
        if field.personal
    ]
    if not personal:
        return bodies
    # As ``normalised`` does for one.
    columns = [bodies[kind].heads[name].str.to_uppercase().alias("") for kind, name in personal]
    hashed = desk.digest(pl.concat(columns))
    frames = {name: body.heads for name, body in bodies.items()}
    start = 0
    for (kind, name), column in zip(personal, columns, strict=True):
        mine = hashed.slice(start, column.len()).alias(f"{name}_digest")
        frames[kind] = frames[kind].with_columns(mine, messages.mask(pl.col(name)).alias(name))
        start += column.len()
    return {name: Body(body.kind, frames[name], body.lines) for name, body in bodies.items()}


@cache
def _pre_numbered() -> tuple[int, ...]:
    """The kinds whose receipt has a preNo."""
    kinds = ((kind, messages.message_type(kind.message).receipt) for kind in BY_MESSAGE.values())
    return tuple(
        kind.number
        for kind, receipt in kinds
        if receipt
        and any(field.name == "preNo" for field in messages.message_type(receipt).head_fields)
    )


def _numbered(documents: pl.DataFrame, desk: Desk) -> pl.DataFrame:
    """Give each document its id (``doc``) and, where its receipt has one, a preNo of ours.

    A preNo that the sender gave is kept: it is ours of an earlier time.
    """
    frame = documents.with_columns(doc=pl.Series(desk.ids(documents.height), dtype=pl.Int64))
    lacks = pl.col("kind").is_in(_pre_numbered()) & pl.col("pre_no").is_null()
    needs = frame.filter(lacks).select("doc")
    made = pl.Series(desk.pre_numbers(needs.height), dtype=pl.String)
    given = needs.with_columns(made=made)
    joined = frame.join(given, on="doc", how="left", maintain_order="left")
    return joined.with_columns(pre_no=pl.coalesce("pre_no", "made")).drop("made")


_NOT_STORED = ("case", "message", "position", "valid")


def _ready(bodies: dict[str, Body], documents: pl.DataFrame) -> dict[str, Body]:
    """Bodies with ``doc``, and what is stored of the valid documents as rows to be written."""
    ids = documents.select("case", "doc")
    valid = documents.filter("valid").select("doc")

    def made(body: Body) -> Body:
        heads = body.heads.join(ids, on="case", maintain_order="left")
        lines = body.lines
        if lines is not None:
            lines = lines.join(ids, on="case", maintain_order="left")
        kept = (_stored(heads, valid), None if lines is None else _stored(lines, valid))
        return Body(body.kind, heads, lines, kept)

    return {name: made(body) for name, body in bodies.items()}


def _stored(frame: pl.DataFrame, kept: pl.DataFrame) -> store.Rows:
    rows = frame.join(kept, on="doc", how="semi", maintain_order="left")
    return store.encode(rows.rename({"doc": "document_id"}).drop(_NOT_STORED, strict=False))


def stored_rows(body: Body, kept: pl.DataFrame) -> tuple[store.Rows, store.Rows | None]:
    """What is stored of the documents ``kept`` (doc): as prepared, if all valid ones are kept."""
    if body.rows is not None and body.rows[0].height == kept.height:
        return body.rows
    return _stored(body.heads, kept), None if body.lines is None else _stored(body.lines, kept)


IDENTITY_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
IDENTITY_CHECKS = "10X98765432"


def identity_valid() -> pl.Expr:
    """Whether a buyer's identity number of type 1 has a real birth date and its check digit.

    A small x counts as X, as it does where numbers are compared. Numbers of another type are not
    judged. Source: GB 11643 (ISO 7064 MOD 11-2).
    """
    number = pl.col("buyerIdNumber").str.to_uppercase()
    shaped = number.str.contains(r"^\d{17}[\dX]$")
    digits = (number.str.slice(place, 1).cast(pl.Int32, strict=False) for place in range(17))
    weighed = pl.sum_horizontal(
        digit * weight for digit, weight in zip(digits, IDENTITY_WEIGHTS, strict=True)
    )
    check = pl.lit(IDENTITY_CHECKS).str.slice(weighed % 11, 1)
    born = number.str.slice(6, 8).str.to_date("%Y%m%d", strict=False).is_not_null()
    sound = (shaped & (check == number.str.slice(17, 1)) & born).fill_null(value=False)
    return (pl.col("buyerIdType") != "1").fill_null(value=True) | sound
