"""Tables that come as files: CSV (UTF-8 or GB 18030) or XLSX, with English or Chinese headings.

A reader names its columns once (``Column``); every cell that does not fit is collected with its
line and column, and nothing is handed on while one is left.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook

Cell = Any


@dataclass(frozen=True, slots=True)
class TableError:
    """One cell that does not fit: where it stands, what was expected, what stood there."""

    line: int
    column: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.column}: expected {self.expected}, found {self.actual!r}"


class TableErrors(ValueError):  # noqa: N818 - it holds several
    """Every fault of one table file, in ``errors``; nothing of the file was taken."""

    def __init__(self, file: str, errors: list[TableError]) -> None:
        shown = "\n".join(str(e) for e in errors[:20])
        more = f"\n… and {len(errors) - 20} more" if len(errors) > 20 else ""
        super().__init__(f"{file}: {len(errors)} faults\n{shown}{more}")
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, the headings it is known by, and how a cell becomes a value.

    ``read`` gets the cell's text ("" if empty) and raises ValueError(expected) if it does not
    fit. ``width``: a spreadsheet that keeps a code as a number drops its leading zeros; they are
    put back up to this width.
    """

    name: str
    headings: tuple[str, ...]
    read: Callable[[str], Any]
    required: bool = True
    width: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One good row: the line it stands on, its values by column name, absent columns left out."""

    line: int
    values: Mapping[str, Any]


def cell_text(cell: Cell, width: int = 0) -> str:
    """A cell as the text a person sees in it.

    A spreadsheet stores numbers as binary; the shortest text that means the same number is what
    was typed (6.5, 1901101090), and only that text goes further.
    """
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int | float):
        text = repr(cell)
        return text.removesuffix(".0").zfill(width)
    return str(cell).strip().strip("﻿")


def lines(path: Path) -> Iterable[tuple[int, list[Cell]]]:
    """The rows of a CSV file or of the first sheet of an XLSX file with their line numbers.

    Raises TableErrors if the file is neither.
    """
    data = path.read_bytes()
    if data[:4] == b"PK\x03\x04":
        try:
            sheet = CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_index(0)
        except (CalamineError, IndexError) as error:
            fault = TableError(1, "file", "a readable XLSX workbook", str(error))
            raise TableErrors(path.name, [fault]) from None
        yield from enumerate(sheet.to_python(skip_empty_area=False), start=1)
        return
    reader = csv.reader(io.StringIO(_decoded(data, path.name), newline=""))
    start = 1
    try:
        for row in reader:
            yield start, list(row)
            start = reader.line_num + 1
    except csv.Error as error:
        fault = TableError(start, "file", "CSV", str(error))
        raise TableErrors(path.name, [fault]) from None


def _decoded(data: bytes, file: str) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    fault = TableError(1, "file", "text in UTF-8 or GB 18030", "bytes that are neither")
    raise TableErrors(file, [fault])


def read(path: Path, columns: tuple[Column, ...], key: tuple[str, ...]) -> list[Row]:
    """The rows of a table file; raises TableErrors with every fault of the file at once.

    ``key`` names the columns that together must be unique. Blank lines and columns nobody asked
    for are passed over. The heading is the first line that names the key's last column; what
    stands above it (a title) is passed over too.
    """
    errors: list[TableError] = []
    rows: list[Row] = []
    first_seen: dict[Any, int] = {}
    places: dict[str, int] | None = None
    width = 0
    heading = next(c for c in columns if c.name == key[-1])
    first: tuple[int, list[Cell]] | None = None
    for line, cells in lines(path):
        if not any(cell_text(c) for c in cells):
            continue
        if places is None:
            first = first or (line, cells)
            if not _names(heading, cells):
                continue
            places, width = _places(cells, columns, line, errors), len(cells)
            if errors:
                break
            continue
        values = _values(cells, columns, places, width, line, errors)
        identity = tuple(values.get(name) for name in key)
        if values.get(key[-1]) is None:
            pass  # the key itself is faulty, which is reported already
        elif identity in first_seen:
            where = f"each code once (it stands on line {first_seen[identity]})"
            errors.append(TableError(line, key[-1], where, str(values[key[-1]])))
        else:
            first_seen[identity] = line
        rows.append(Row(line, values))
    if first is None:
        errors.append(TableError(1, "file", "a heading line", ""))
    elif places is None:
        _places(first[1], columns, first[0], errors)
    elif not rows and not errors:
        errors.append(TableError(1, "file", "at least one row under the heading", ""))
    if errors:
        raise TableErrors(path.name, errors)
    return rows


def _headings(cells: list[Cell]) -> list[str]:
    return [cell_text(c).replace("\n", "").replace(" ", "") for c in cells]


def _names(column: Column, cells: list[Cell]) -> bool:
    return not {column.name, *column.headings}.isdisjoint(_headings(cells))


def _places(
    cells: list[Cell], columns: tuple[Column, ...], line: int, errors: list[TableError]
) -> dict[str, int]:
    headings = _headings(cells)
    places: dict[str, int] = {}
    for column in columns:
        at = [i for i, heading in enumerate(headings) if heading in (column.name, *column.headings)]
        if len(at) > 1:
            errors.append(TableError(line, column.name, "one such column", f"{len(at)} of them"))
        elif at:
            places[column.name] = at[0]
        elif column.required:
            wanted = " or ".join((column.name, *column.headings))
            errors.append(TableError(line, column.name, f"a column {wanted}", "no such column"))
    return places


def _values(
    cells: list[Cell],
    columns: tuple[Column, ...],
    places: Mapping[str, int],
    width: int,
    line: int,
    errors: list[TableError],
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if any(cell_text(c) for c in cells[width:]):
        errors.append(TableError(line, "row", f"{width} cells", f"{len(cells)} cells"))
    for column in columns:
        at = places.get(column.name)
        if at is None:
            continue
        text = cell_text(cells[at] if at < len(cells) else None, column.width)
        try:
            values[column.name] = column.read(text)
        except ValueError as error:
            errors.append(TableError(line, column.name, str(error), text))
    return values
