"""The code tables: complete against their sources, dated, and clear about what is missing."""

import csv
from datetime import date
from pathlib import Path

import pytest

from tongguan import codes

#: table -> (file of the reference material, column of the code there)
SOURCES = {
    "country": ("policy/data/gacc_countries.csv", "old_customs_code"),
    "currency": ("policy/data/gacc_currencies.csv", "old_customs_code"),
    "unit": ("policy/data/gacc_units.csv", "code"),
    "transport_mode": ("policy/data/gacc_transport_modes.csv", "code"),
    "package": ("policy/data/gacc_packages.csv", "old_customs_code"),
    "region": ("policy/data/gacc_domestic_regions.csv", "code5"),
    "licence": ("policy/data/gacc_licence_codes.csv", "code"),
    "id_document": ("policy/data/id_document_types.csv", "code"),
    "zone_batch": ("policy/data/cbec_zone_batches.csv", "batch"),
    "customs_district": ("tariff/customs_districts.csv", "code"),
}


def _source(shared: Path, name: str) -> list[dict[str, str]]:
    with (shared / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_table_has_exactly_the_codes_of_its_source(name: str, shared: Path) -> None:
    file, column = SOURCES[name]
    assert codes.table(name).codes == {row[column] for row in _source(shared, file)}


def test_trade_modes_are_those_of_both_sources(shared: Path) -> None:
    rows = _source(shared, "policy/data/gacc_trade_modes.csv")
    rows += _source(shared, "policy/data/trade_modes_cbec.csv")
    assert codes.table("trade_mode").codes == {row["code"] for row in rows}


def test_zones_are_those_of_the_replies(shared: Path) -> None:
    rows = _source(shared, "policy/data/cbec_zones.csv")
    expected = {(r["seq"].zfill(3), r["area_zh"], r["batch"], r["gbt2260"]) for r in rows}
    zones = codes.table("zone")
    assert {(z.code, z.name_zh, z.more["batch"], z.more["region6"]) for z in zones} == expected
    unconfirmed = {r["seq"].zfill(3) for r in rows if "UNCONFIRMED" in r["row_status"]}
    assert {z.code for z in zones if z.more["named_confirmed"] == "no"} == unconfirmed


@pytest.mark.parametrize("name", codes.tables())
def test_every_table_is_whole(name: str) -> None:
    table = codes.table(name)
    assert len(table.codes) == len(table.rows) > 0
    provenance = Path(codes.__file__).parent.joinpath("data", "PROVENANCE.md").read_text("utf-8")
    for entry in table:
        assert entry.code == entry.code.strip() != ""
        assert entry.name_zh == entry.name_zh.strip() != ""
        assert f"| `{entry.source}` |" in provenance
        assert entry.since is None or entry.until is None or entry.since <= entry.until


def test_units_countries_and_currencies_of_the_messages() -> None:
    assert codes.table("country").get("142").name_zh == "中国"
    assert codes.table("currency").get("142").more["alpha3"] == "CNY"
    assert codes.table("country").get("326").name_en == "Norway"
    assert codes.table("unit").get("035").name_en == "kilogram"
    assert codes.table("package").get("2").name_zh == "纸箱"


def test_hangzhou_came_first() -> None:
    hangzhou = codes.table("zone").rows[0]
    assert (hangzhou.name_zh, hangzhou.since, hangzhou.confirmed) == (
        "杭州",
        date(2015, 3, 7),
        True,
    )
    assert codes.table("zone_batch").get("8").more["approved_confirmed"] == "no"


def test_a_code_counts_from_the_day_it_begins() -> None:
    modes = codes.table("trade_mode")
    assert modes.get("9710", date(2020, 7, 1)).since == date(2020, 7, 1)
    with pytest.raises(codes.UnknownCode, match="on 2020-06-30"):
        modes.get("9710", date(2020, 6, 30))


def test_unknown_code_names_table_code_and_near_codes() -> None:
    with pytest.raises(codes.UnknownCode) as caught:
        codes.table("trade_mode").get("9611")
    assert caught.value.table == "trade_mode"
    assert caught.value.code == "9611"
    assert "9610" in caught.value.near
    assert "trade_mode" in str(caught.value)
    assert "9611" in str(caught.value)
    assert "9610" in str(caught.value)


def test_unknown_table_names_those_there_are() -> None:
    with pytest.raises(codes.UnknownTable, match="currency"):
        codes.table("moon")


def test_statuses_say_what_is_next_and_who_acts() -> None:
    statuses = codes.table("status")
    assert {"1", "2", "3", "4", "100", "120", "300", "399", "400", "500", "800", "899"} <= (
        statuses.codes
    )
    for status in statuses:
        assert status.name_en
        assert status.more["next_zh"]
        assert status.more["next_en"]
        assert status.more["who"] in codes.table("role").codes | {""}
