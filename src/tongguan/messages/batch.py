"""Many messages of one type as two frames: the documents' heads, and their lines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import polars as pl

from tongguan.messages.catalogue import Field, message_type
from tongguan.messages.parsed import Parsed

#: The columns of a frame of findings. ``gnum`` is null for a finding on the head.
FINDINGS: dict[str, Any] = {
    "message": pl.UInt32,
    "position": pl.UInt32,
    "gnum": pl.Int64,
    "rule": pl.String,
    "code": pl.String,
    "severity": pl.String,
    "field": pl.String,
    "expected": pl.String,
    "actual": pl.String,
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents of one type and edition, as they were written.

    ``heads`` has a row for each document: ``message`` (index in the list given to
    :func:`collect`), ``position`` (0-based in its message), and a String column for each element:
    null where it is absent, "" where it is empty. ``lines`` has the same two columns and the
    elements of a line (no columns of elements for types without lines). ``findings`` are the
    structural faults that parsing found, columns FINDINGS.
    """

    type: str
    edition: str
    heads: pl.DataFrame
    lines: pl.DataFrame
    findings: pl.DataFrame


def collect(messages: Sequence[Parsed]) -> dict[str, Batch]:
    """Bring the documents of all messages together by type; refused messages are left out.

    Raises ValueError if messages of one type were read in different editions.
    """
    by_type: dict[str, list[tuple[int, Parsed]]] = {}
    for index, parsed in enumerate(messages):
        if parsed.type and not parsed.refused and parsed.type != "DxpRep":
            by_type.setdefault(parsed.type, []).append((index, parsed))
    return {name: _batch(name, members) for name, members in by_type.items()}


def _batch(name: str, members: list[tuple[int, Parsed]]) -> Batch:
    editions = {parsed.edition for _, parsed in members}
    if len(editions) > 1:
        raise ValueError(f"{name} was read in several editions: {', '.join(sorted(editions))}")
    kind = message_type(name, editions.pop())
    heads = _frame(
        kind.head_fields,
        [(index, range(parsed.documents), parsed.heads) for index, parsed in members],
    )
    lines = _frame(
        kind.line_fields,
        [(index, parsed.lines.get("#position", ()), parsed.lines) for index, parsed in members],
    )
    return Batch(name, kind.edition, heads, lines, _structural(members))


def _frame(
    fields: tuple[Field, ...], parts: list[tuple[int, Sequence[int], dict[str, list[Any]]]]
) -> pl.DataFrame:
    columns: dict[str, pl.Series] = {
        "message": pl.Series(
            list(chain.from_iterable(repeat(index, len(rows)) for index, rows, _ in parts)),
            dtype=pl.UInt32,
        ),
        "position": pl.Series(
            list(chain.from_iterable(rows for _, rows, _ in parts)), dtype=pl.UInt32
        ),
    }
    for one in fields:
        values = [part[one.name] for _, rows, part in parts if len(rows)]
        flat = values[0] if len(values) == 1 else list(chain.from_iterable(values))
        columns[one.name] = pl.Series(flat, dtype=pl.String, strict=True)
    return pl.DataFrame(columns)


def _structural(members: Iterable[tuple[int, Parsed]]) -> pl.DataFrame:
    rows = [
        (
            index,
            found.position,
            found.gnum,
            found.rule,
            found.code,
            found.severity,
            found.field,
            found.expected,
            found.actual,
        )
        for index, parsed in members
        for found in parsed.findings
    ]
    return pl.DataFrame(rows, schema=FINDINGS, orient="row")
