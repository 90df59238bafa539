"""Table files: CSV and XLSX, headings in two languages, and every bad cell named at once."""

import zipfile
from pathlib import Path

import pytest

from tongguan.policy.tables import Column, TableErrors, cell_text, read


def _number(text: str) -> int:
    if not text.isdigit():
        raise ValueError("digits")
    return int(text)


def _any(text: str) -> str:
    return text


COLUMNS = (
    Column("code", ("编码",), _any, width=4),
    Column("count", ("数量", "件数"), _number),
    Column("note", ("备注",), _any, required=False),
)


def write_xlsx(path: Path, rows: list[list[object]]) -> Path:
    """The smallest workbook a reader accepts: one sheet, numbers as numbers, text inline."""
    lines = []
    for number, cells in enumerate(rows, start=1):
        told = []
        for at, cell in enumerate(cells):
            place = f"{chr(65 + at)}{number}"
            if isinstance(cell, str):
                told.append(f'<c r="{place}" t="inlineStr"><is><t>{cell}</t></is></c>')
            elif cell is not None:
                told.append(f'<c r="{place}"><v>{cell}</v></c>')
        lines.append(f'<row r="{number}">{"".join(told)}</row>')
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType='
            '"application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/></Types>',
        )
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type='
            f'"{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
            '<sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type='
            f'"{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        )
        book.writestr(
            "xl/worksheets/sheet1.xml",
            f'<worksheet xmlns="{main}"><sheetData>{"".join(lines)}</sheetData></worksheet>',
        )
    return path


def faults(path: Path) -> list[tuple[int, str, str]]:
    with pytest.raises(TableErrors) as caught:
        read(path, COLUMNS, key=("code",))
    return [(e.line, e.column, e.actual) for e in caught.value.errors]


def csv_file(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "t.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("head", ["code,count,note", "编码,件数,备注", " 编码 ,数 量,备注"])
def test_headings_and_encodings(tmp_path: Path, encoding: str, head: str) -> None:
    rows = read(csv_file(tmp_path, f"{head}\n0001,2,甲\n\n0002,3,\n", encoding), COLUMNS, ("code",))
    assert [(r.line, dict(r.values)) for r in rows] == [
        (2, {"code": "0001", "count": 2, "note": "甲"}),
        (4, {"code": "0002", "count": 3, "note": ""}),
    ]


def test_a_workbook_reads_like_the_same_csv(tmp_path: Path) -> None:
    book = write_xlsx(
        tmp_path / "t.xlsx",
        [["编码", "数量", "备注"], ["0001", 2, "甲"], [None, None, None], [7, "3", None]],
    )
    rows = read(book, COLUMNS, ("code",))
    assert [(r.line, dict(r.values)) for r in rows] == [
        (2, {"code": "0001", "count": 2, "note": "甲"}),
        (4, {"code": "0007", "count": 3, "note": ""}),
    ], "a code kept as a number gets its lost zeros back"


def test_numbers_of_a_workbook_keep_the_digits_a_person_sees() -> None:
    seen = [cell_text(c) for c in (6.5, 13.0, 1901101090.0, 0.1, 7.5, None, " a ")]
    assert seen == ["6.5", "13", "1901101090", "0.1", "7.5", "", "a"]


def test_every_bad_cell_is_reported_at_once(tmp_path: Path) -> None:
    text = "code,count\n0001,x\n0002,2\n0002,\n0003,3,surplus\n"
    assert faults(csv_file(tmp_path, text)) == [
        (2, "count", "x"),
        (4, "count", ""),
        (4, "code", "0002"),
        (5, "row", "3 cells"),
    ]


def test_a_missing_or_doubled_column_is_reported(tmp_path: Path) -> None:
    assert faults(csv_file(tmp_path, "编码,备注\n1,x\n")) == [(1, "count", "no such column")]
    assert faults(csv_file(tmp_path, "code,编码,count\n1,1,2\n")) == [(1, "code", "2 of them")]


def test_a_title_above_the_heading_is_passed_over(tmp_path: Path) -> None:
    text = "某某清单（2022年版）,\n\n编码,数量\n0001,2\n0002,x\n"
    assert faults(csv_file(tmp_path, text)) == [(5, "count", "x")]


def test_a_table_without_its_heading_is_reported_once(tmp_path: Path) -> None:
    assert faults(csv_file(tmp_path, "0001,2\n0002,3\n")) == [
        (1, "code", "no such column"),
        (1, "count", "no such column"),
    ]


@pytest.mark.parametrize(
    ("data", "column"),
    [
        (b"", "file"),
        (b"code,count\n", "file"),
        (b"PK\x03\x04 not a workbook", "file"),
        (b"\xff\xfe\x00\x81\x30\x00code", "file"),
    ],
)
def test_a_file_that_is_no_table_is_reported(tmp_path: Path, data: bytes, column: str) -> None:
    path = tmp_path / "t"
    path.write_bytes(data)
    assert [c for _, c, _ in faults(path)] == [column]


def test_lines_are_those_of_the_file_even_after_a_cell_of_two_lines(tmp_path: Path) -> None:
    text = 'code,count,note\n0001,1,"two\nlines"\n0002,x,\n'
    assert faults(csv_file(tmp_path, text)) == [(4, "count", "x")]


def test_many_faults_are_told_briefly_and_kept_in_full(tmp_path: Path) -> None:
    text = "code,count\n" + "".join(f"{n:04},x\n" for n in range(50))
    with pytest.raises(TableErrors) as caught:
        read(csv_file(tmp_path, text), COLUMNS, ("code",))
    assert len(caught.value.errors) == 50
    assert "… and 30 more" in str(caught.value)
