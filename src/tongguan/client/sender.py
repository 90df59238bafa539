"""Building messages: rows in, whole messages out, signed if there is a key."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from tongguan import messages

DOCUMENTS_MOST = 100
"""Documents in a message, unless the standard says fewer."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A company that sends: its code, name and address, and with what it signs.

    signer: ``messages.Signer.load(folder)``; scheme: a name of ``messages.SCHEMES``, else the
    default of the key. Without a signer messages are not signed.
    """

    code: str
    name: str
    dxp_id: str
    signer: messages.Signer | None = None
    scheme: str | None = None

    def build(
        self,
        type: str,
        documents: Sequence[Mapping[str, Any]],
        subscribes: Iterable[str] = (),
        edition: str = "202205",
    ) -> list[bytes]:
        """Messages of documents, up to 100 in each, checked against the standard, and signed.

        type: CEB311, CEB411 …; each document is a mapping of the standard's elements to text,
        decimals and integers; its lines are a list of mappings under ``lines``. ``guid`` is made
        where it is absent. subscribes: addresses that are to be told (BaseSubscribe).

        Raises ValueError with every finding, naming document, line and element.
        """
        kind = messages.message_type(type, edition)
        most = min(kind.documents_most or DOCUMENTS_MOST, DOCUMENTS_MOST)
        blocks = [{"status": "RET", "dxpMode": "DXP", "dxpAddress": to} for to in subscribes]
        made = [
            self._message(kind, documents[start : start + most], blocks, edition)
            for start in range(0, len(documents), most)
        ]
        if self.signer is None:
            return made
        return [messages.sign(data, self.signer, self.scheme).message for data in made]

    def _message(
        self,
        kind: messages.MessageType,
        documents: Sequence[Mapping[str, Any]],
        blocks: list[dict[str, str]],
        edition: str,
    ) -> bytes:
        transfer = {"copCode": self.code, "copName": self.name, "dxpMode": "DXP"}
        heads = _frame([{"guid": guid()} | dict(one) for one in documents], kind.head_fields)
        lines = None
        if kind.line is not None:
            rows = [
                {"document": n} | dict(line)
                for n, one in enumerate(documents)
                for line in one.get("lines", ())
            ]
            lines = _frame(rows, kind.line_fields, {"document": pl.Int64()})
        fragments = messages.render(kind.type, heads, lines, edition).to_list()
        data = messages.message(
            kind.type,
            fragments,
            guid(),
            transfer=transfer | {"dxpId": self.dxp_id},
            subscribes=blocks,
            edition=edition,
        )
        _must_fit(data)
        return data


def guid() -> str:
    """A new id of a message or document, in capitals as the standard has it."""
    return str(uuid.uuid4()).upper()


def _frame(
    rows: list[dict[str, Any]],
    fields: tuple[messages.Field, ...],
    more: Mapping[str, pl.DataType] | None = None,
) -> pl.DataFrame:
    """Rows as text columns of the elements; an unknown element is a mistake, not to be lost."""
    names = [field.name for field in fields]
    known = {*names, *(more or {}), "lines"}
    if unknown := sorted({name for row in rows for name in row} - known):
        raise ValueError(f"the standard has no element {', '.join(unknown)}; it has {names}")
    schema: dict[str, Any] = dict.fromkeys(names, pl.String()) | dict(more or {})
    text = [
        {name: _text(row.get(name)) if name in names else row[name] for name in schema}
        for row in rows
    ]
    return pl.DataFrame(text, schema=schema)


def _text(value: Any) -> str | None:
    """A value as the message writes it. A binary float is refused: it is not what was meant."""
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a binary float; give text or a Decimal")
    return None if value is None else f"{value:f}" if hasattr(value, "as_tuple") else str(value)


def _must_fit(data: bytes) -> None:
    """Raises ValueError with every finding of a message that was just built."""
    parsed = messages.parse(data)
    found = [
        f"{finding.field}: expected {finding.expected}, found {finding.actual}"
        for finding in parsed.findings
    ]
    for batch in messages.collect([parsed]).values():
        checked = messages.check(batch)
        for row in checked.findings.filter(pl.col("severity") == "error").iter_rows(named=True):
            line = "" if row.get("gnum") is None else f", line {row['gnum']}"
            found.append(
                f"document {row['position'] + 1}{line}, {row['field']}: expected "
                f"{row['expected']}, found {row['actual']}"
            )
    if found:
        raise ValueError("\n".join(found))
