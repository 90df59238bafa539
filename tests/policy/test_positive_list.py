"""Positive lists: their windows, remarks, the loader, and what is known to be missing."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from tongguan import policy
from tongguan.policy import PositiveListEdition, TableErrors, read_positive_list
from tongguan.policy.positive_list import bonded_only, versions


def table(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("day", "version"),
    [
        ("2016-04-07", None),
        ("2016-04-08", "2016-1"),
        ("2016-04-15", "2016-1"),
        ("2016-04-16", "2016-1 + 2016-2"),
        ("2018-12-31", "2016-1 + 2016-2"),
        ("2019-01-01", "2018"),
        ("2019-12-31", "2018"),
        ("2020-01-01", "2019"),
        ("2022-02-28", "2019"),
        ("2022-03-01", "2022"),
        ("2026-12-31", "2022"),
    ],
)
def test_versions_hold_in_their_windows(day: str, version: str | None) -> None:
    law = policy.load().on(date.fromisoformat(day))
    assert law.positive_list_version == version
    assert law.positive_list_complete is (version is None)


def test_the_windows_leave_no_day_without_a_list() -> None:
    built = policy.load()
    day = date(2016, 4, 8)
    while day <= built.last:
        assert built.on(day).positive_list_version, day
        day += timedelta(days=1)


def test_official_versions_state_their_paragraph_and_count() -> None:
    counts = {v.name: v.items for v in versions().values()}
    assert counts == {"2016-1": 1142, "2016-2": 151, "2018": 1321, "2019": 1413, "2022": 1476}
    assert versions()["2022"].law == "财政部等8部门公告2022年第7号"
    assert [v.name for v in versions().values() if v.confirmed] == ["2016-1", "2022"]


@pytest.mark.parametrize(
    ("remark", "expected"),
    [
        ("仅限网购保税商品", True),
        ("列入濒危目录的除外；仅限网购保税商品", True),
        ("仅限 网购保税 商品", True),
        ("仅限于网购保税商品", True),
        ("", False),
        ("每人每年不超过2公斤", False),
        ("网购保税商品除外", False),
    ],
)
def test_remark_bonded_only(remark: str, expected: bool) -> None:
    assert bonded_only(remark) is expected


def test_the_starter_lists_know_their_rows_and_admit_the_rest() -> None:
    law = policy.load().on(date(2016, 5, 1))
    rows = {row["code8"]: row for row in law.positive_list.to_dicts()}
    assert rows["04090000"]["confirmed"] is True, "read in a reprint of 2016"
    assert rows["04100041"]["remark"], "its remark is kept"
    assert rows["96190011"]["confirmed"] is False, "only a head of the starter tariff"
    assert law.positive_list["code8"].is_unique().all()
    assert any("incomplete" in note for note in law.notes)
    now = policy.load().on(date(2022, 6, 1))
    bonded = now.positive_list.filter("bonded_only")
    assert "04109010" in bonded["code8"].to_list()
    assert not bonded["confirmed"].any()


def test_every_starter_code_is_on_every_list() -> None:
    law = policy.load().on(date(2022, 6, 1))
    heads = law.tariff.select(code8=pl.col("code").str.head(8))
    assert heads.join(law.positive_list, on="code8", how="anti").is_empty()


def test_a_loaded_list_is_complete_and_replaces_that_version(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "序号,税则号列,货品名称,备注\n1,19011010,婴儿奶粉,\n2,0409.0000,蜂蜜,仅限网购保税商品\n",
    )
    loaded = policy.load(positive_lists=[read_positive_list(path, "2022", date(2022, 3, 1))])
    law = loaded.on(date(2022, 3, 1))
    assert law.positive_list_complete is True
    assert law.positive_list.select("code8", "name", "remark", "bonded_only", "version").rows() == [
        ("04090000", "蜂蜜", "仅限网购保税商品", True, "2022"),
        ("19011010", "婴儿奶粉", "", False, "2022"),
    ]
    before = loaded.on(date(2022, 2, 28))
    assert (before.positive_list_version, before.positive_list_complete) == ("2019", False)


def test_a_list_known_to_be_partial_stays_marked(tmp_path: Path) -> None:
    path = table(tmp_path, "code8,name\n19011010,奶粉\n")
    partial = read_positive_list(path, "mine", date(2022, 6, 1), complete=False)
    law = policy.load(positive_lists=[partial]).on(date(2022, 6, 1))
    assert (law.positive_list_version, law.positive_list_complete) == ("mine", False)


def test_both_batches_of_2016_make_one_list(tmp_path: Path) -> None:
    one = read_positive_list(
        table(tmp_path, "code8,name\n19011010,奶粉\n"), "2016-1", date(2016, 4, 8)
    )
    two = read_positive_list(
        table(tmp_path, "code8,name\n04012000,奶\n"), "2016-2", date(2016, 4, 16)
    )
    loaded = policy.load(positive_lists=[one, two])
    assert loaded.on(date(2016, 4, 15)).positive_list["code8"].to_list() == ["19011010"]
    both = loaded.on(date(2016, 4, 16))
    assert sorted(both.positive_list["code8"]) == ["04012000", "19011010"]
    assert both.positive_list_complete is True
    half = policy.load(positive_lists=[one]).on(date(2016, 4, 16))
    assert half.positive_list_complete is False, "the second batch is still the starter's"
    assert loaded.on(date(2019, 1, 1)).positive_list_version == "2018", "both ended in 2018"


def test_a_table_of_several_versions_gives_the_one_asked_for(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "version,code8,name,remark,source\n"
        "2019,19011010,奶粉,,a\n2022,19011010,奶粉,,b\n2022,04090000,蜜,,b\n",
    )
    found = read_positive_list(path, "2022", date(2022, 3, 1))
    assert found.frame["code8"].to_list() == ["04090000", "19011010"]
    with pytest.raises(TableErrors, match="2018"):
        read_positive_list(path, "2018", date(2019, 1, 1))


def test_every_bad_row_of_a_list_is_reported(tmp_path: Path) -> None:
    path = table(tmp_path, "code8,name\n1901101,奶粉\n19011010,甲\n19011010,乙\nx,丙\n")
    with pytest.raises(TableErrors) as caught:
        read_positive_list(path, "2022", date(2022, 3, 1))
    assert [(e.line, e.column, e.actual) for e in caught.value.errors] == [
        (2, "code8", "1901101"),
        (4, "code8", "19011010"),
        (5, "code8", "x"),
    ]


def test_a_list_survives_its_bytes(tmp_path: Path) -> None:
    path = table(tmp_path, "code8,name,remark\n04090000,蜜,仅限网购保税商品\n")
    listed = read_positive_list(path, "2022", date(2022, 3, 1))
    again = PositiveListEdition.from_bytes(listed.to_bytes())
    assert again.frame.equals(listed.frame)
    assert (again.name, again.effective, again.complete, again.starter) == (
        "2022",
        date(2022, 3, 1),
        True,
        False,
    )
    assert again.hash == listed.hash


def test_known_rows_equal_the_reprints(shared: Path) -> None:
    """The codes of both batches, and which carry a remark, against the collected excerpts."""
    for version, file in (("2016-1", "1"), ("2016-2", "2")):
        excerpt = pl.read_csv(
            shared / "policy" / "data" / f"positive_list_2016_batch{file}_partial.csv",
            infer_schema=False,
        )
        (listed,) = [x for x in policy.load().positive_lists if x.name == version]
        known = listed.frame.filter("confirmed")
        assert sorted(known["code8"]) == sorted(excerpt["hs8"])
        if version == "2016-1":
            remarked = excerpt.filter(pl.col("notes").fill_null("") != "")["hs8"]
            assert sorted(known.filter(pl.col("remark") != "")["code8"]) == sorted(remarked)
