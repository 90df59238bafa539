"""Tariff tables: the forms of consumption tax, the loader, and the starter's facts."""

import csv
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongguan import policy
from tongguan.policy import (
    TableErrors,
    TariffEdition,
    format_consumption_tax,
    parse_consumption_tax,
    read_tariff,
    tariff,
)

HEAD = "code,name_zh,unit1,unit2,mfn_pct,general_pct,interim_pct,vat_pct,consumption_tax,as_of"


def table(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "tariff.csv"
    path.write_text("\n".join((head, *rows)) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 0, None)),
        ("0", (0, 0, None)),
        ("0%", (0, 0, None)),
        ("15%", (150_000, 0, None)),
        ("0.5 %", (5_000, 0, None)),
        ("15％", (150_000, 0, None)),
        ("0.2495 CNY/L", (0, 249_500, "095")),
        ("0.2495 cny/l", (0, 249_500, "095")),
        ("1.52元/升", (0, 1_520_000, "095")),
        ("20% + 1 CNY/kg", (200_000, 1_000_000, "035")),
        ("20%+1元/公斤", (200_000, 1_000_000, "035")),
        ("1元/千克＋20%", (200_000, 1_000_000, "035")),
        ("240元/吨", (0, 240_000, "035")),
    ],
)
def test_consumption_tax_forms(text: str, expected: tuple[int, int, str | None]) -> None:
    assert parse_consumption_tax(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "15",
        "0.15",
        "100%",
        "20%+5%",
        "1元/升+2元/升",
        "1元/支",
        "-5%",
        "5%, 10%",
        "从量",
        "15% CNY/kg",
        "0.0000001元/升",
        "250元/吨(完税价格≥370美元/吨);220元/吨(完税价格<370美元/吨)",
    ],
)
def test_a_form_not_understood_is_never_a_number(text: str) -> None:
    assert parse_consumption_tax(text) is None


@given(
    st.integers(0, 9_999).map(lambda n: n * 100),
    st.integers(0, 10**9),
    st.sampled_from(["035", "095"]),
)
def test_the_canonical_form_reads_back(ppm: int, micro: int, unit: str) -> None:
    text = format_consumption_tax(ppm, micro, unit if micro else None)
    assert parse_consumption_tax(text) == (ppm, micro, unit if micro else None)


def test_a_form_not_understood_is_reported_and_its_code_is_unknown(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "2203000000,啤酒,095,035,0,,,13,250元/吨或220元/吨,",
        "2204210000,葡萄酒,095,035,14,180,,13,10%,",
    )
    edition = read_tariff(path, date(2022, 1, 1))
    (finding,) = edition.findings
    assert (finding.line, finding.column, finding.actual) == (
        2,
        "consumption_tax",
        "250元/吨或220元/吨",
    )
    assert edition.frame.height == 2, "the edition keeps the row"
    law = policy.load(tariffs=[edition]).on(date(2022, 6, 1))
    assert law.tariff["code"].to_list() == ["2204210000"]
    assert any("consumption tax not understood" in note for note in law.notes)


def test_an_empty_consumption_tax_means_none_unless_the_table_writes_zero(tmp_path: Path) -> None:
    blank = read_tariff(table(tmp_path, "2402200000,卷烟,035,,25,,,13,,"), date(2022, 1, 1))
    assert not blank.findings
    assert blank.frame["ct_fixed_ppm"].to_list() == [0]
    rows = ("2402200000,卷烟,035,,25,,,13,,", "9503006000,玩具,006,,0,,,13,0,")
    mixed = read_tariff(table(tmp_path, *rows), date(2022, 1, 1))
    assert [f.line for f in mixed.findings] == [2]
    assert mixed.frame.filter("ct_known")["code"].to_list() == ["9503006000"]


def test_every_bad_cell_of_a_tariff_is_reported_and_nothing_loaded(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "190110109,奶粉,035,,15,40,5,13,0,",
        "1901101090,,035,,15,40,5,13,0,",
        "1901109000,辅食,999,,x,40,5,130,0,",
        "9619001100,纸尿裤,035,,4,80,0,,0,2026-13",
        "9503006000,玩具,006,,0,,,0.13,0,",
        "9503006000,玩具,006,,0,,,13,0,",
    )
    with pytest.raises(TableErrors) as caught:
        read_tariff(path, date(2026, 1, 1))
    assert {(e.line, e.column) for e in caught.value.errors} == {
        (2, "code"),
        (3, "name_zh"),
        (4, "unit1"),
        (4, "mfn_pct"),
        (4, "vat_pct"),
        (5, "as_of"),
        (6, "vat_pct"),
        (7, "code"),
    }


def test_a_row_without_vat_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(TableErrors) as caught:
        read_tariff(table(tmp_path, "9619001100,纸尿裤,035,,4,80,0,,0,"), date(2026, 1, 1))
    assert [(e.line, e.column) for e in caught.value.errors] == [(2, "vat_pct")]


def test_official_chinese_headings_and_unit_names(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "1901.1010.90,奶粉,千克,,15,40,5,13,0,A",
        "9101.2100.90,手表,只,无,8,80,,13,20%,",
        head="商品编码,商品名称,法定第一单位,法定第二单位,最惠国税率,普通税率,暂定税率,增值税率,消费税率,监管条件",
    )
    frame = read_tariff(path, date(2026, 1, 1)).frame
    assert frame["code"].to_list() == ["1901101090", "9101210090"]
    assert frame["unit1"].to_list() == ["035", "008"]
    assert frame["unit2"].to_list() == [None, None]
    assert frame["ct_class"].to_list() == [None, "watches"]


def test_vat_classes_follow_the_day_the_row_was_true(tmp_path: Path) -> None:
    rows = (
        "0000000001,甲,035,,1,,,13,,2026-01",
        "0000000002,乙,035,,1,,,9,,2026",
        "0000000003,丙,035,,1,,,3,,2026-01-01",
        "0000000004,丁,035,,1,,,17,,",
        "0000000005,戊,035,,1,,,13,,",
    )
    frame = read_tariff(table(tmp_path, *rows), date(2017, 1, 1)).frame
    told = frame.select("vat_class", "vat_fixed_ppm").rows()
    assert told == [
        ("standard", None),
        ("reduced", None),
        (None, 30_000),
        ("standard", None),
        ("reduced", None),
    ], "13 was the reduced rate in January 2017, the standard rate in 2026"


def test_conditions_attach_by_heading_and_follow_the_dated_rate(tmp_path: Path) -> None:
    rows = (
        "3304990099,护肤品,035,011,1,150,,13,15%,",
        "3303000010,香水,035,011,3,150,,13,12%,",
        "9101910000,怀表,008,,8,100,,13,0,",
    )
    edition = read_tariff(table(tmp_path, *rows), date(2022, 1, 1))
    told = {r["code"]: (r["ct_class"], r["ct_fixed_ppm"]) for r in edition.frame.to_dicts()}
    assert told == {
        "3304990099": ("cosmetics", None),
        "3303000010": ("cosmetics", 120_000),
        "9101910000": (None, 0),
    }
    law = policy.load(tariffs=[edition]).on(date(2022, 6, 1))
    conditions = dict(law.tariff.select("code", "ct_condition").rows())
    assert conditions == {
        "3303000010": "cosmetics",
        "3304990099": "cosmetics",
        "9101910000": None,
    }


def test_an_edition_survives_its_bytes(tmp_path: Path) -> None:
    rows = ("2203000000,啤酒,095,035,0,,,13,看情况,", "2204210000,葡萄酒,095,035,14,180,,13,10%,")
    edition = read_tariff(table(tmp_path, *rows), date(2022, 1, 1), name="甲")
    again = TariffEdition.from_bytes(edition.to_bytes())
    assert (again.name, again.effective, again.starter) == ("甲", date(2022, 1, 1), False)
    assert again.frame.equals(edition.frame)
    assert again.findings == edition.findings
    assert again.hash == edition.hash


def test_hash_is_of_day_and_content_not_of_the_file(tmp_path: Path) -> None:
    row = "2204210000,葡萄酒,095,035,14,180,,13,10%,2022-01-01"
    one = read_tariff(table(tmp_path, row), date(2022, 1, 1), name="one")
    two = read_tariff(table(tmp_path, row), date(2022, 1, 1), name="two")
    other = read_tariff(table(tmp_path, row.replace("14", "15")), date(2022, 1, 1))
    later = read_tariff(table(tmp_path, row), date(2023, 1, 1))
    assert one.hash == two.hash
    assert len({one.hash, other.hash, later.hash}) == 3


# --- the starter table ------------------------------------------------------------------------


def test_the_starter_covers_what_retail_import_trades_most() -> None:
    frame = tariff.starter().frame
    assert 300 <= frame.height <= 600
    codes = set(frame["code"])
    wanted = (
        "1901101090 9619001100 3304990099 3304990049 3303000020 2204210000 3401110090 8517130000 "
        "4202210090 6109100000 6403990090 9101210090 9102110000 2208300000 2206001000 2203000000 "
        "2106909090 2309109000 9503006000 8509803000"
    )
    assert codes >= set(wanted.split())
    assert "8541401000" not in codes
    chapters = frame["code"].str.head(2).unique()
    assert len(chapters) >= 45
    assert not tariff.starter().findings, "every consumption tax of the starter is understood"


def test_the_starter_names_everything_and_says_where_it_comes_from() -> None:
    frame = tariff.starter().frame
    for column in ("name_zh", "name_en", "source"):
        assert frame[column].str.len_chars().min() > 0, column
    assert frame["parcel_tier"].null_count() == 0
    assert frame["mfn_ppm"].null_count() == 0
    assert frame["name_zh"].is_unique().all(), frame.filter(~pl.col("name_zh").is_unique())
    assert frame["as_of"].unique().to_list() == [date(2026, 1, 1)]
    conditional = frame.filter(pl.col("ct_class").is_not_null())
    assert set(conditional["code"].str.head(4)) == {"3303", "3304", "9101", "9102"}


def test_starter_facts_equal_the_official_edition(shared: Path) -> None:
    """Every rate and unit of every row, against the full table of 2026."""
    with (shared / "tariff" / "hs_tariff.csv").open(encoding="utf-8", newline="") as file:
        official = {row["code"]: row for row in csv.DictReader(file)}
    vat = {"standard": "13", "reduced": "9"}
    for row in tariff.starter().frame.iter_rows(named=True):
        fact = official[row["code"]]
        where = row["code"]
        for column in ("mfn", "general", "interim"):
            wanted = fact[f"{column}_pct"]
            assert row[f"{column}_ppm"] == (ppm(wanted) if wanted else None), (where, column)
        assert row["unit1"] == (fact["unit1"] or None), where
        assert row["unit2"] == (fact["unit2"] or None), where
        assert (
            ppm(vat.get(row["vat_class"], "x")) == ppm(fact["vat_pct"])
            if row["vat_class"]
            else row["vat_fixed_ppm"] == ppm(fact["vat_pct"])
        ), where
        rate = row["ct_fixed_ppm"]
        if rate is None:
            rate = {"cosmetics": 150_000, "watches": 200_000}[row["ct_class"]]
        stated = (rate, row["ct_specific_micro"], row["ct_unit"])
        if where == "2203000000":
            assert "250元/吨" in fact["consumption_tax"]
            assert stated == (0, 250_000, "035")
            assert row["confirmed"] is False
        else:
            assert stated == parse_consumption_tax(fact["consumption_tax"]), where
        if "inferred" in fact["source"]:
            assert row["confirmed"] is False, where
    names = {row["code"]: row["name_zh"] for row in official.values()}
    copied = [
        code
        for code, name in tariff.starter().frame.select("code", "name_zh").iter_rows()
        if name == names[code]
    ]
    assert not copied, "names are our own"


def ppm(percent: str) -> int:
    whole, _, part = percent.partition(".")
    return int(whole) * 10_000 + int((part + "0000")[:4])


def test_the_full_tariff_loads(shared: Path) -> None:
    edition = read_tariff(shared / "tariff" / "hs_tariff.csv", date(2026, 1, 1))
    assert edition.frame.height == 12_030
    assert edition.frame["mfn_ppm"].null_count() == 41
    unknown = {row["code"] for row in edition.frame.filter(~pl.col("ct_known")).to_dicts()}
    assert unknown == {"2203000000", "2402200000", "2402900001"}
    assert len(edition.findings) == 3
    loaded = policy.load(tariffs=[edition])
    for day, standard in ((date(2026, 1, 1), 130_000), (date(2026, 12, 31), 130_000)):
        law = loaded.on(day)
        assert law.tariff.height == 12_027
        assert law.tariff["vat_ppm"].null_count() == 0
        assert law.tariff.filter(vat_parameter="vat.standard")["vat_ppm"].unique().to_list() == [
            standard
        ]
    early = policy.load(
        tariffs=[read_tariff(shared / "tariff" / "hs_tariff.csv", date(2016, 4, 8))]
    ).on(date(2018, 6, 1))
    assert early.tariff.filter(code="1901101090")["vat_ppm"].item() == 160_000
    assert not early.tariff["confirmed"].any()


def test_the_full_tariff_survives_its_bytes(shared: Path) -> None:
    edition = read_tariff(shared / "tariff" / "hs_tariff.csv", date(2026, 1, 1))
    again = TariffEdition.from_bytes(edition.to_bytes())
    assert again.hash == edition.hash
    assert again.findings == edition.findings
