"""Code tables: what a code means, since when, and who says so."""

import csv
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from importlib.resources import files
from types import MappingProxyType

_COMMON = frozenset({"code", "name_zh", "name_en", "since", "until", "confirmed", "source"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One code.

    ``since`` and ``until`` (inclusive) are None where the source does not date the code: it holds
    on every day. ``confirmed`` is False where the fact could not be read in a source. ``source`` is
    a key of ``data/PROVENANCE.md``. ``more`` holds the table's own columns.
    """

    code: str
    name_zh: str
    name_en: str
    since: date | None
    until: date | None
    confirmed: bool
    source: str
    more: Mapping[str, str]

    def holds(self, on: date) -> bool:
        """Whether the code is in force on that day."""
        return (self.since is None or self.since <= on) and (self.until is None or on <= self.until)


class UnknownCode(LookupError):  # noqa: N818 - a look-up that found nothing
    """A table has no such code, or not on that day. ``near`` are codes that look alike."""

    def __init__(self, table: str, code: str, near: tuple[str, ...], on: date | None = None):
        self.table, self.code, self.near, self.on = table, code, near, on
        day = f" on {on.isoformat()}" if on else ""
        hint = f"; near: {', '.join(near)}" if near else ""
        super().__init__(f"code table {table!r} has no code {code!r}{day}{hint}")


class UnknownTable(LookupError):  # noqa: N818
    """There is no code table of that name."""


@dataclass(frozen=True)
class Table:
    """A code table: ``rows`` in the order of the file, ``codes`` for membership tests."""

    name: str
    rows: tuple[Entry, ...]

    @cached_property
    def codes(self) -> frozenset[str]:
        """All codes, whatever their dates."""
        return frozenset(self._by_code)

    @cached_property
    def _by_code(self) -> dict[str, Entry]:
        return {row.code: row for row in self.rows}

    def get(self, code: str, on: date | None = None) -> Entry:
        """The entry for ``code``; with ``on``, only if it is in force that day.

        Raises UnknownCode naming the table, the code and codes that look alike.
        """
        entry = self._by_code.get(code)
        if entry is None or (on is not None and not entry.holds(on)):
            raise UnknownCode(self.name, code, self._near(code), on)
        return entry

    def _near(self, code: str) -> tuple[str, ...]:
        others = [known for known in self._by_code if known != code]
        return tuple(difflib.get_close_matches(code, others, n=3, cutoff=0.5))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.rows)

    def __contains__(self, code: object) -> bool:
        return code in self._by_code


def _entry(row: dict[str, str]) -> Entry:
    return Entry(
        code=row["code"],
        name_zh=row["name_zh"],
        name_en=row["name_en"],
        since=date.fromisoformat(row["since"]) if row["since"] else None,
        until=date.fromisoformat(row["until"]) if row["until"] else None,
        confirmed=row["confirmed"] == "yes",
        source=row["source"],
        more=MappingProxyType({k: v for k, v in row.items() if k not in _COMMON}),
    )


@cache
def tables() -> tuple[str, ...]:
    """The names of all code tables, in alphabetical order."""
    data = files(__package__) / "data"
    return tuple(sorted(p.name[:-4] for p in data.iterdir() if p.name.endswith(".csv")))


@cache
def table(name: str) -> Table:
    """The code table of that name, read once. Raises UnknownTable, naming those there are.

    Sources of every table: ``data/PROVENANCE.md``. ``country`` and ``currency`` are keyed by the
    old three-digit customs codes that CEB messages use (142 is China, and the yuan).
    """
    if name not in tables():
        raise UnknownTable(f"no code table {name!r}; there are: {', '.join(tables())}")
    text = (files(__package__) / "data" / f"{name}.csv").read_text(encoding="utf-8")
    return Table(name, tuple(_entry(row) for row in csv.DictReader(text.splitlines())))
