"""Positive lists of retail import: which eight-digit lines may take the channel, since when.

``positive_lists/versions.csv`` dates the official versions; ``positive_lists/rows.csv`` holds the
rows that could be read in a public reprint. The full lists are loaded by their user; until then a
version is marked incomplete and a code it lacks proves nothing.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import polars as pl

from tongguan.policy.tables import Column, TableError, TableErrors, read

FOLDER = Path(__file__).parent / "positive_lists"

SCHEMA: dict[str, Any] = {
    "code8": pl.String,
    "name": pl.String,
    "remark": pl.String,
    "bonded_only": pl.Boolean,
    "version": pl.String,
    "confirmed": pl.Boolean,
    "source": pl.String,
}

_BONDED_ONLY = re.compile(r"仅限(?:于)?网购保税")


def bonded_only(remark: str) -> bool:
    """Whether a remark restricts a line to bonded retail import (modes 1210, 1239)."""
    return _BONDED_ONLY.search(remark.replace(" ", "")) is not None


@dataclass(frozen=True, slots=True)
class Version:
    """One official version: its window (``until`` inclusive, None = open), its paragraph, and the
    version whose rows stay in force beside it (``adds_to``), if any."""

    name: str
    law: str
    effective: date
    until: date | None
    items: int
    adds_to: str | None
    confirmed: bool
    source: str


@cache
def versions() -> dict[str, Version]:
    """The official versions by name, in order of their days."""
    with (FOLDER / "versions.csv").open(encoding="utf-8", newline="") as file:
        found = [
            Version(
                row["version"],
                row["law"],
                date.fromisoformat(row["effective"]),
                date.fromisoformat(row["until"]) if row["until"] else None,
                int(row["items"]),
                row["adds_to"] or None,
                row["confirmed"] == "true",
                row["source"],
            )
            for row in csv.DictReader(file)
        ]
    return {v.name: v for v in sorted(found, key=lambda v: v.effective)}


@dataclass(frozen=True)
class PositiveListEdition:
    """The rows of one version from ``effective``; ``frame`` has the columns of ``SCHEMA``.

    ``complete`` is False where rows are known to be missing, as in the project's own partial
    lists (``starter``). A version of an official name ends when the official one does and adds to
    what the official one adds to.
    """

    name: str
    effective: date
    frame: pl.DataFrame
    complete: bool = True
    starter: bool = False

    @property
    def official(self) -> Version | None:
        return versions().get(self.name)

    @property
    def until(self) -> date | None:
        return self.official.until if self.official else None

    @cached_property
    def hash(self) -> str:
        """sha256 over name, day, completeness and content."""
        text = f"{self.name}\n{self.effective}\n{self.complete}\n{self.frame.write_csv()}"
        return hashlib.sha256(text.encode()).hexdigest()

    def to_bytes(self) -> bytes:
        """The list as one Parquet file."""
        about = {
            "name": self.name,
            "effective": self.effective.isoformat(),
            "complete": json.dumps(self.complete),
            "starter": json.dumps(self.starter),
        }
        out = io.BytesIO()
        self.frame.write_parquet(out, metadata=about)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "PositiveListEdition":
        """The list that ``to_bytes`` wrote."""
        about = pl.read_parquet_metadata(io.BytesIO(data))
        frame = pl.read_parquet(io.BytesIO(data))
        day = date.fromisoformat(about["effective"])
        complete, starter = json.loads(about["complete"]), json.loads(about["starter"])
        return cls(about["name"], day, frame, complete, starter)


@dataclass(frozen=True, slots=True)
class Amendment:
    """One line put on the list in force (``listed``), or taken off it, from a day on."""

    code8: str
    since: date
    listed: bool
    name: str
    remark: str
    law: str
    source: str


def amended(
    rows: pl.DataFrame, amendments: Iterable[Amendment], version: str
) -> tuple[pl.DataFrame, frozenset[str]]:
    """List rows as amendments in order of their days leave them, and the codes taken off."""
    last = {change.code8: change for change in sorted(amendments, key=lambda a: a.since)}
    if not last:
        return rows, frozenset()
    added = [
        {"code8": a.code8, "name": a.name, "remark": a.remark, "source": a.source}
        for a in last.values()
        if a.listed
    ]
    kept = rows.filter(~pl.col("code8").is_in(list(last)))
    withdrawn = frozenset(a.code8 for a in last.values() if not a.listed)
    return pl.concat([kept, frame(version, added, confirmed=False)]).sort("code8"), withdrawn


def code8(text: str) -> str:
    """A tariff line of eight digits, points left out. Raises ValueError."""
    code = text.replace(".", "")
    if not re.fullmatch(r"[0-9]{8}", code):
        raise ValueError("a code of eight digits")
    return code


def _text(text: str) -> str:
    return text


COLUMNS = (
    Column("version", (), _text, required=False),
    Column("code8", ("税则号列", "税号", "商品编码"), code8, width=8),
    Column("name", ("货品名称", "商品名称", "品名"), _text),
    Column("remark", ("备注",), _text, required=False),
    Column("source", ("来源",), _text, required=False),
)


def read_positive_list(
    path: Path | str, version: str, effective: date, complete: bool = True
) -> PositiveListEdition:
    """A positive list from a CSV or XLSX file; ``complete`` False if rows are known to be missing.

    A table that holds several versions gives the rows of ``version`` only. Raises TableErrors
    with every bad cell of the file at once, a version the table lacks among them.
    """
    path = Path(path)
    rows = read(path, COLUMNS, key=("version", "code8"))
    wanted = [r.values for r in rows if (r.values.get("version") or version) == version]
    if not wanted:
        fault = TableError(rows[0].line, "version", version, str(rows[0].values.get("version")))
        raise TableErrors(path.name, [fault])
    return PositiveListEdition(version, effective, frame(version, wanted), complete)


def frame(
    version: str, rows: Iterable[dict[str, Any] | Any], confirmed: bool = True
) -> pl.DataFrame:
    """Rows with code8, name, remark, source as the list frame of one version, sorted by code."""
    records = [
        (
            row["code8"],
            row["name"],
            row.get("remark") or "",
            bonded_only(row.get("remark") or ""),
            version,
            confirmed,
            row.get("source") or "",
        )
        for row in rows
    ]
    return pl.DataFrame(records, schema=SCHEMA, orient="row").sort("code8")


def starter(tariff: pl.DataFrame) -> list[PositiveListEdition]:
    """What the project itself knows of each official version, all marked incomplete.

    Rows read in a reprint, and for the rest the eight-digit heads of the starter tariff's goods,
    which retail import does trade: those are unconfirmed, and are taken to stand on the first list
    where one adds to another.
    """
    with (FOLDER / "rows.csv").open(encoding="utf-8", newline="") as file:
        known = list(csv.DictReader(file))
    heads = tariff.select(
        code8=pl.col("code").str.head(8), name="name_zh", remark=pl.lit("")
    ).unique("code8", keep="first", maintain_order=True)
    lists = []
    for version in versions().values():
        rows = [row for row in known if row["version"] == version.name]
        named = pl.concat(
            frame(version.name, [r for r in rows if (r["confirmed"] == "true") is sure], sure)
            for sure in (True, False)
        )
        guessed = [] if version.adds_to else heads.join(named, on="code8", how="anti").to_dicts()
        both = pl.concat([named, frame(version.name, guessed, confirmed=False)]).sort("code8")
        lists.append(
            PositiveListEdition(version.name, version.effective, both, complete=False, starter=True)
        )
    return lists


def in_force(lists: Sequence[PositiveListEdition], day: date) -> list[PositiveListEdition]:
    """The lists that hold on a day: the latest version and those it adds to; [] where none does.

    A loaded list stands for the built-in one of its name, and a loaded list in force goes before
    a built-in one that is later.
    """
    current = [x for x in lists if x.effective <= day and (x.until is None or day <= x.until)]
    if not current:
        return []
    latest = max(current, key=lambda x: (not x.starter, x.effective))
    related = _related(latest.name)
    return [latest, *(x for x in current if x.name in related and x.name != latest.name)]


def _related(name: str) -> set[str]:
    """The names of the versions that are one list with this one (2016-1 and 2016-2)."""
    pairs = [(v.name, v.adds_to) for v in versions().values() if v.adds_to]
    return {other for pair in pairs if name in pair for other in pair if other}
