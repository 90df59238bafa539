"""Pages: whatever the catalogue says of a message stands on its page."""

from pathlib import Path

import pytest

from tongguan import messages

DOCS = Path(__file__).parents[2] / "docs" / "messages"


@pytest.mark.parametrize("name", messages.types())
def test_the_committed_page_is_the_generated_one(name: str) -> None:
    page = (DOCS / f"{name}.md").read_text("utf-8")
    assert page == messages.documentation(name), "run make docs and commit the pages"


@pytest.mark.parametrize("name", [n for n in messages.types() if not n.startswith("Dxp")])
def test_a_page_tells_of_every_element(name: str) -> None:
    kind = messages.message_type(name)
    rows = [row for row in messages.documentation(name).splitlines() if row.startswith("| `")]
    told = [row.split("`")[1] for row in rows]
    wanted = [one.name for one in (*kind.head_fields, *kind.line_fields, *kind.attributes)]
    assert told[: len(wanted)] == wanted
    for row, one in zip(rows, (*kind.head_fields, *kind.line_fields), strict=False):
        assert one.zh in row
        assert one.en in row
        assert f"| {one.notation} |" in row
        assert one.required == (" | 1 | " in row)


def test_a_page_tells_what_differs_between_editions_and_what_is_demanded() -> None:
    page = messages.documentation("CEB621")
    assert "edition 2018: C..30" in page
    assert "When `tradeMode` is 1210 or 1239: head: `emsNo`, `areaCode`, `areaName`" in page
    assert "all or none of `qty2`, `unit2`" in page
    assert "[CEB622](CEB622.md)" in page
    assert "personal, shown masked" in page
