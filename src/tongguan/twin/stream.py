"""From parcels to files: documents into messages, messages into an order of arrival.

Memory holds one chunk of parcels, whatever the number asked for.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import polars as pl

from tongguan import messages
from tongguan.twin import columns, outcome
from tongguan.twin.faults import Outcome
from tongguan.twin.keyring import Keyring, spoil
from tongguan.twin.parcels import KINDS, Document, Parcel
from tongguan.twin.zone import Firm

MOST = 100
"""Documents a message may hold."""

_LATER = 3
"""Chunks after which all documents of a chunk have arrived: a message that is not yet full is
filled by the next one, and its message may be held back for one more."""

Unit = list[Document]
"""Documents that travel in one message, in this order."""


@dataclass(frozen=True, slots=True)
class Message:
    """One finished file."""

    type: str
    data: bytes
    documents: int
    broken: tuple[str, Parcel] | None = None


@dataclass(slots=True)
class Stream:
    """Writes messages and expected lines into a folder.

    `size`: documents in each message (None: 1 to 100, drawn). `shuffle`: documents arrive in any
    order. `lively`: files re-sent, other encodings, prefixes, envelopes and white space. `keyring`:
    with it every message that can be read is signed.
    """

    out: Path
    rng: Random
    day: str
    size: int | None
    shuffle: bool
    lively: bool
    keyring: Keyring | None = None
    files: int = 0
    documents: int = 0
    bytes: int = 0
    lines: int = 0
    _open: dict[tuple[str, str], list[list[str]]] = field(default_factory=dict)
    _senders: dict[str, Firm] = field(default_factory=dict)
    _delayed: list[Message] = field(default_factory=list)
    _late: deque[tuple[int, Unit]] = field(default_factory=deque)
    _chunk: int = 0

    def send(self, parcels: Sequence[tuple[Parcel, Outcome]]) -> Iterator[str]:
        """Send a chunk of parcels; yields the expected lines it makes."""
        units: dict[str, list[Unit]] = {kind: [] for kind in KINDS}
        alone: dict[str, list[tuple[Unit, str]]] = {kind: [] for kind in KINDS}
        spoilt: dict[str, list[tuple[Unit, str]]] = {kind: [] for kind in KINDS}
        self._chunk += 1
        while self.shuffle and self._late and self._late[0][0] <= self._chunk:
            _, unit = self._late.popleft()
            units[unit[0].kind].append(unit)
        for parcel, expected in parcels:
            yield from outcome.lines(parcel, expected)
            for unit in parcel.documents:
                kind = unit[0].kind
                if kind in expected.broken:
                    alone[kind].append((unit, expected.broken[kind]))
                elif kind in expected.spoilt:
                    spoilt[kind].append((unit, expected.spoilt[kind]))
                else:
                    units[kind].append(unit)
            self._late += [(self._chunk + _LATER, [document]) for document in expected.late]
        made: list[Message] = []
        for kind in KINDS:
            made += self._broken(kind, alone[kind])
            made += self._spoilt(kind, spoilt[kind])
            made += self._messages(kind, units[kind])
        yield from self._arrive(made)

    def close(self) -> Iterator[str]:
        """Send all that is still held back."""
        late: dict[str, list[Unit]] = {kind: [] for kind in KINDS}
        for _, unit in self._late:
            late[unit[0].kind].append(unit)
        self._late.clear()
        rest = [m for kind in KINDS for m in self._messages(kind, [])]
        rest += self._flush()
        yield from self._arrive(rest)
        last = [m for kind in KINDS for m in self._messages(kind, late[kind])]
        last += self._flush()
        self._delayed, delayed = [], self._delayed
        for message in [*delayed, *last]:
            yield from self._write(message)

    # -- documents into messages ---------------------------------------------------------------

    def _messages(self, kind: str, units: list[Unit]) -> list[Message]:
        """Render units and fill the open messages of their senders; returns those that are full."""
        if self.shuffle:
            self.rng.shuffle(units)
        for unit, fragments in zip(units, self._render(kind, units), strict=True):
            firm: Firm = getattr(unit[0].parcel, columns.SENDERS[kind])
            self._senders[firm.code] = firm
            self._open.setdefault((kind, firm.code), []).append(fragments)
        made: list[Message] = []
        for (of_kind, code), waiting in self._open.items():
            if of_kind == kind:
                made += self._full(kind, self._senders[code], waiting)
        return made

    def _full(self, kind: str, firm: Firm, waiting: list[list[str]]) -> list[Message]:
        """Messages cut from the front of `waiting`, which keeps what does not fill one."""
        made: list[Message] = []
        start = 0
        while start < len(waiting):
            wanted = self.size or 1 + int(self.rng.random() * MOST)
            taken: list[str] = []
            end = start
            while end < len(waiting) and len(taken) + len(waiting[end]) <= max(
                wanted, len(waiting[start])
            ):
                taken += waiting[end]
                end += 1
            if end == len(waiting) and len(taken) < wanted and self.size:
                break
            made.append(self._styled(kind, firm, taken))
            start = end
        del waiting[:start]
        return made

    def _flush(self) -> list[Message]:
        made = [
            self._styled(kind, self._senders[code], [f for unit in waiting for f in unit])
            for (kind, code), waiting in self._open.items()
            if waiting
        ]
        self._open = {}
        return made

    def _render(self, kind: str, units: Sequence[Unit]) -> list[list[str]]:
        """The XML fragments of each unit."""
        documents = [document for unit in units for document in unit]
        if not documents:
            return []
        raw = self.rng.randbytes(16 * len(documents)).hex().upper()
        guids = [_guid(raw[i : i + 32]) for i in range(0, len(raw), 32)]
        heads = pl.DataFrame(columns.heads(kind, documents, guids, self.day))
        rendered = messages.render(
            columns.TYPES[kind], heads, columns.lines(kind, documents)
        ).to_list()
        for at, document in enumerate(documents):
            for element in document.drop:
                rendered[at] = _cut(rendered[at], element)
        texts = iter(rendered)
        return [[next(texts) for _ in unit] for unit in units]

    def _message(self, kind: str, firm: Firm, fragments: list[str]) -> Message:
        mtype, n = columns.TYPES[kind], len(fragments)
        guid = _guid(self.rng.randbytes(16).hex().upper())
        transfer = {
            "copCode": firm.code,
            "copName": firm.name,
            "dxpMode": "DXP",
            "dxpId": firm.dxp_id,
        }
        return Message(mtype, messages.message(mtype, fragments, guid, transfer=transfer), n)

    def _styled(self, kind: str, firm: Firm, fragments: list[str]) -> Message:
        """A message, written in one of the ways that senders write messages."""
        plain = self._message(kind, firm, fragments)
        style = self.rng.random() if self.lively else 1
        change = next((change for limit, change in _STYLES if style < limit), None)
        if change in _BEFORE_SIGNING:
            plain, change = replace(plain, data=change(plain, firm, self.day)), None
        if self.keyring is not None:
            plain = replace(plain, data=self.keyring.sign(plain.data, firm))
        return replace(plain, data=change(plain, firm, self.day)) if change else plain

    def _broken(self, kind: str, alone: list[tuple[Unit, str]]) -> list[Message]:
        """One unreadable message for each unit, broken as told."""
        rendered = self._render(kind, [unit for unit, _ in alone])
        made: list[Message] = []
        for (unit, how), fragments in zip(alone, rendered, strict=True):
            parcel = unit[0].parcel
            firm: Firm = getattr(parcel, columns.SENDERS[kind])
            whole = self._message(kind, firm, fragments)
            data = _break(whole.data, how, whole.type, fragments[0], self.rng)
            made.append(Message(whole.type, data, 0, (kind, parcel)))
        return made

    def _spoilt(self, kind: str, alone: list[tuple[Unit, str]]) -> list[Message]:
        """One signed message for each unit, of which the named part does not fit."""
        rendered = self._render(kind, [unit for unit, _ in alone])
        made: list[Message] = []
        for (unit, field_name), fragments in zip(alone, rendered, strict=True):
            firm: Firm = getattr(unit[0].parcel, columns.SENDERS[kind])
            whole = self._message(kind, firm, fragments)
            assert self.keyring is not None
            data = spoil(self.keyring.sign(whole.data, firm), field_name)
            made.append(replace(whole, data=data))
        return made

    # -- messages into files -------------------------------------------------------------------

    def _arrive(self, made: list[Message]) -> Iterator[str]:
        if not self.shuffle:
            for message in made:
                yield from self._write(message)
            return
        made += [m for m in made if self.lively and not m.broken and self.rng.random() < 0.02]
        self.rng.shuffle(made)
        # What is held back arrives in the middle of the next chunk, and no later.
        held = len(made) // 10
        arriving = made[held:] + self._delayed
        self._delayed = made[:held]
        self.rng.shuffle(arriving)
        for message in arriving:
            yield from self._write(message)

    def _write(self, message: Message) -> Iterator[str]:
        self.files += 1
        name = f"{self.files:06d}-{message.type}.xml"
        (self.out / name).write_bytes(message.data)
        self.documents += message.documents
        self.bytes += len(message.data)
        if message.broken:
            kind, parcel = message.broken
            yield outcome.broken(kind, name, parcel)


def _guid(hex32: str) -> str:
    return f"{hex32[:8]}-{hex32[8:12]}-{hex32[12:16]}-{hex32[16:20]}-{hex32[20:]}"


def _cut(fragment: str, element: str) -> str:
    """The fragment without the first element of that name."""
    return re.sub(rf"<ceb:{element}(?:/>|>.*?</ceb:{element}>)\s*", "", fragment, count=1)


# -- ways to write the same message ----------------------------------------------------------------

_HEADER = re.compile(rb"^<\?xml[^>]*\?>\s*")


def _gb18030(message: Message, firm: Firm, day: str) -> bytes:
    body = _HEADER.sub(b"", message.data).decode("utf-8")
    return f'<?xml version="1.0" encoding="GB18030"?>\n{body}'.encode("gb18030")


def _envelope(message: Message, firm: Firm, day: str) -> bytes:
    """The message inside a DxpMsg, as firms send it that talk to the exchange themselves."""
    time = f"{day[:4]}-{day[4:6]}-{day[6:]}T12:00:00"
    data, root = message.data, f"{message.type}Message"
    copy = f"{root}-{hashlib.sha256(data).hexdigest()[:24]}"
    return messages.envelope(data, copy, firm.dxp_id, ["DXPEDCCEB0000002"], time, root)


def _prefix(message: Message, firm: Firm, day: str) -> bytes:
    return message.data.replace(b"ceb:", b"n1:").replace(b"xmlns:ceb=", b"xmlns:n1=")


def _spaced(message: Message, firm: Firm, day: str) -> bytes:
    """White space before every element that opens: readers must not mind."""
    return message.data.replace(b"><ceb:", b">\n    <ceb:")


_STYLES = ((0.03, _gb18030), (0.06, _envelope), (0.09, _prefix), (0.12, _spaced))
_BEFORE_SIGNING = (_prefix, _spaced)
"""They touch what is signed; another encoding and an envelope do not."""


def _break(data: bytes, how: str, mtype: str, fragment: str, rng: Random) -> bytes:
    """The message so that nobody can take it."""
    if how == "truncated":
        return data[: len(data) * 2 // 3]
    if how == "root":
        return data.replace(f"{mtype}Message".encode(), b"CEB399Message")
    if how == "namespace":
        return data.replace(b"http://www.chinaport.gov.cn/ceb", b"http://example.org/ceb")
    if how == "bytes":
        return rng.randbytes(400)
    text = fragment.encode()
    assert text in data
    return data.replace(text, text * (MOST + 1), 1)


def expected_file(out: Path, lines: Iterable[str]) -> int:
    """Write expected.jsonl; returns the number of lines."""
    count = 0
    with (out / "expected.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(line + "\n")
            count += 1
    return count
