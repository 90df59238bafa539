"""The life of a zone: the same seed gives the same bytes, and nothing is left out."""

import calendar as stdlib
import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongguan import messages, twin
from tongguan.twin import calendar
from tongguan.twin.treasury import Treasury


def files(folder: Path) -> dict[str, bytes]:
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    about = {"parcels": 60, "days": 20, "step": 4}
    made = [twin.write_life(tmp_path / str(n), seed=5, **about) for n in range(2)]
    assert made[0] == made[1]
    first, again = (files(tmp_path / str(n)) for n in range(2))
    assert first == again
    twin.write_life(tmp_path / "other", seed=6, **about)
    assert files(tmp_path / "other") != first
    for name, data in first.items():
        if name.endswith(".xml"):
            parsed = messages.parse(data)
            assert not parsed.findings, name


def test_the_plan_is_in_the_order_of_time_and_names_every_folder(tmp_path: Path) -> None:
    made = twin.write_life(tmp_path, seed=7, parcels=60, days=20, step=4)
    plan = [json.loads(line) for line in (tmp_path / "plan.jsonl").read_text().splitlines()]
    times = [line["at"] for line in plan]
    assert times == sorted(times)
    assert len(plan) == made.steps
    folders = [line["folder"] for line in plan if line["do"] == "clear"]
    assert folders == sorted(path.name for path in (tmp_path / "messages").iterdir())
    assert made.parcels == 60
    assert made.folders == len(folders)


def test_a_folder_with_messages_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "messages").mkdir()
    (tmp_path / "messages" / "one.xml").write_text("<x/>")
    with pytest.raises(FileExistsError):
        twin.write_life(tmp_path, seed=1, parcels=1)
    with pytest.raises(ValueError, match="every 0th"):
        twin.write_life(tmp_path / "new", seed=1, parcels=1, step=0)


@given(st.dates(date(2019, 1, 1), date(2031, 1, 1)), st.integers(0, 800))
def test_days_are_counted_as_the_calendar_does(day: date, days: int) -> None:
    last = calendar.after(day, days)
    assert last == day + timedelta(days=days)
    assert calendar.between(day, last) == days
    assert calendar.month_length(day.year, day.month) == stdlib.monthrange(day.year, day.month)[1]


def test_a_guarantee_carries_what_fits_in_the_order_of_arrival() -> None:
    books = Treasury()
    books.raise_guarantee("G", "letter", 100)
    assert [books.hold("G", tax) for tax in (60, 50, 40, 1)] == [60, None, 40, None]
    books.let_go("G", 60)
    assert books.hold("G", 60) == 60
    assert books.hold("nobody", 10**9) == 0
