"""The law of a day: both sides of each date, the horizon, what is unconfirmed, and the speed."""

import time
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from tongguan import policy
from tongguan.policy import Law, OutsideKnown, Policy, UnknownParameter, parameter, tariff


@pytest.fixture(scope="module")
def built() -> Policy:
    return policy.load()


def row(law: Law, code: str) -> dict[str, object]:
    return law.tariff.row(by_predicate=pl.col("code") == code, named=True)


def test_regime_changes_on_2016_04_08(built: Policy) -> None:
    before, after = built.on(date(2016, 4, 7)), built.on(date(2016, 4, 8))
    assert (before.regime, after.regime) == ("parcel-tax", "retail-import")
    assert row(before, "1901101090")["parcel_ppm"] == 100_000
    assert row(before, "3304990099")["parcel_ppm"] == 500_000
    assert row(before, "9102110000")["parcel_parameter"] == "parcel-tax.rate-tier-2"
    assert row(after, "1901101090")["parcel_ppm"] is None
    assert before.positive_list_version is None
    assert before.positive_list.is_empty()
    assert after.positive_list_version == "2016-1"


@pytest.mark.parametrize(
    ("day", "standard", "reduced"),
    [
        ("2016-04-08", 170_000, 130_000),
        ("2017-07-01", 170_000, 110_000),
        ("2018-04-30", 170_000, 110_000),
        ("2018-05-01", 160_000, 100_000),
        ("2019-03-31", 160_000, 100_000),
        ("2019-04-01", 130_000, 90_000),
    ],
)
def test_vat_follows_its_history(built: Policy, day: str, standard: int, reduced: int) -> None:
    law = built.on(date.fromisoformat(day))
    milk_powder, book, condom = (row(law, c) for c in ("1901101090", "4901990000", "4014100000"))
    assert (milk_powder["vat_ppm"], milk_powder["vat_parameter"]) == (standard, "vat.standard")
    assert (book["vat_ppm"], book["vat_parameter"]) == (reduced, "vat.reduced")
    assert (condom["vat_ppm"], condom["vat_parameter"]) == (0, None)


def test_cosmetics_tax_becomes_conditional_on_2016_10_01(built: Policy) -> None:
    before = row(built.on(date(2016, 9, 30)), "3304990099")
    after = row(built.on(date(2016, 10, 1)), "3304990099")
    assert (before["ct_ppm"], before["ct_condition"]) == (300_000, None)
    assert (after["ct_ppm"], after["ct_condition"]) == (150_000, "cosmetics")
    assert after["ct_parameter"] == "consumption-tax.cosmetics"
    law = built.on(date(2016, 10, 1))
    assert law.value("consumption-tax.cosmetics-price-per-gram").fen == 1_000
    assert law.value("consumption-tax.cosmetics-price-per-sheet").fen == 1_500


def test_watches_and_drinks_carry_their_consumption_tax(built: Policy) -> None:
    law = built.on(date(2022, 6, 1))
    watch, whisky, rice_wine, wine = (
        row(law, c) for c in ("9102210090", "2208300000", "2206001000", "2204210000")
    )
    assert (watch["ct_ppm"], watch["ct_condition"]) == (200_000, "watches")
    assert (whisky["ct_ppm"], whisky["ct_specific_micro"], whisky["ct_unit"]) == (
        200_000,
        1_000_000,
        "035",
    )
    assert (rice_wine["ct_ppm"], rice_wine["ct_specific_micro"], rice_wine["ct_unit"]) == (
        0,
        240_000,
        "035",
    )
    assert (wine["ct_ppm"], wine["ct_condition"], wine["ct_parameter"]) == (100_000, None, None)


def test_days_outside_the_horizon_are_an_error_that_says_what_is_known(built: Policy) -> None:
    for day in (date(2012, 4, 14), date(2027, 1, 1)):
        with pytest.raises(OutsideKnown) as caught:
            built.on(day)
        told = str(caught.value)
        assert str(day) in told
        assert "2012-04-15 to 2026-12-31" in told
        assert "policy.known-until" in told
    assert built.on(date(2012, 4, 15)).regime == "parcel-tax"
    assert built.on(date(2026, 12, 31)).regime == "retail-import"


def test_a_parameter_has_no_value_outside_its_own_days(built: Policy) -> None:
    early = r"limit-single is not known on 2016-04-07: known from 2016-04-08 to 2026-12-31"
    with pytest.raises(OutsideKnown, match=early):
        built.on(date(2016, 4, 7)).value("retail-import.limit-single")
    late = r"known from 2012-04-15 to 2016-04-07\. It ended on 2016-04-08"
    with pytest.raises(OutsideKnown, match=late):
        built.on(date(2016, 4, 8)).value("parcel-tax.rate-tier-4")
    with pytest.raises(UnknownParameter, match="limit-weekly"):
        built.on(date(2016, 4, 8)).value("retail-import.limit-weekly")


def test_rates_of_2026_are_not_confirmed_for_earlier_days(built: Policy) -> None:
    before, after = built.on(date(2025, 12, 31)), built.on(date(2026, 1, 1))
    assert not before.tariff["confirmed"].any()
    assert any("not confirmed" in note for note in before.notes)
    assert row(after, "1901101090")["confirmed"] is True
    assert not any("not confirmed" in note for note in after.notes)
    assert row(after, "2203000000")["confirmed"] is False, "one bracket of two is an assumption"


def test_the_law_of_a_day_is_the_same_whenever_asked(built: Policy) -> None:
    fresh = policy.load()
    for day in (date(2015, 1, 1), date(2016, 4, 8), date(2019, 1, 1), date(2026, 6, 1)):
        one, two = built.on(day), fresh.on(day)
        assert one.day == day
        assert one.tariff.equals(two.tariff)
        assert dict(one.values) == dict(two.values)
        assert one.hash == two.hash


def test_days_of_one_period_share_their_tables(built: Policy) -> None:
    one, two = built.on(date(2022, 6, 1)), built.on(date(2022, 6, 2))
    assert one.tariff is two.tariff
    assert (one.day, two.day) == (date(2022, 6, 1), date(2022, 6, 2))


def test_every_day_resolves_as_if_it_were_asked_first(built: Policy) -> None:
    """Sharing a period must not leak a neighbour's values: compare with each parameter's own."""
    day = built.first
    while day <= built.last:
        law = built.on(day)
        for identity in ("vat.standard", "vat.reduced", "retail-import.limit-annual"):
            value = built.parameters[identity].on(day)
            assert law.values.get(identity) == value, day
        day += timedelta(days=1)


def test_hash_follows_content(built: Policy) -> None:
    assert policy.load().hash == built.hash
    draft = {"retail-import.limit-annual": {"2022-01-01": 20_000}}
    assert policy.load(parameters=draft).hash != built.hash
    same = {"retail-import.limit-annual": {"2022-01-01": 30_000}}
    assert policy.load(parameters=same).hash != policy.load(parameters=draft).hash


def test_a_draft_changes_the_law_from_its_day(built: Policy) -> None:
    drafted = policy.load(
        parameters={
            "retail-import.limit-annual": {"2022-01-01": 20_000},
            "vat.standard": {date(2022, 1, 1): "12.5"},
        }
    )
    assert drafted.on(date(2021, 12, 31)).value("retail-import.limit-annual").value == 26_000
    law = drafted.on(date(2022, 1, 1))
    limit = law.value("retail-import.limit-annual")
    assert (limit.value, limit.law, limit.confirmed) == (20_000, "draft", False)
    assert row(law, "1901101090")["vat_ppm"] == 125_000
    assert row(built.on(date(2022, 1, 1)), "1901101090")["vat_ppm"] == 130_000


def test_timeline_is_in_order_and_holds_every_value(built: Policy) -> None:
    rows = built.timeline()
    assert [v.since for v in rows] == sorted(v.since for v in rows)
    told = {(v.parameter, str(v.since)): v for v in rows}
    assert told["retail-import.limit-single", "2019-01-01"].value == 5000
    assert told["positive-list", "2022-03-01"].value == "2022"
    assert told["tariff", "2026-01-01"].confirmed is False
    assert len(rows) >= sum(len(p.values) for p in built.parameters.values())


def test_diff_names_what_changed_and_nothing_else(built: Policy) -> None:
    changed = {d.parameter: d for d in built.diff(date(2018, 12, 31), date(2019, 1, 1))}
    single = changed["retail-import.limit-single"]
    assert single.before is not None
    assert single.after is not None
    assert (single.before.value, single.after.value) == (2000, 5000)
    assert single.after.law == "财关税〔2018〕49号 第一条"
    ended = changed["retail-import.transition-until"]
    assert ended.before is not None
    assert ended.after is None
    assert "positive-list" in changed
    assert "vat.standard" not in changed
    assert built.diff(date(2022, 6, 1), date(2022, 6, 2)) == []


def test_a_loaded_tariff_serves_from_its_day_on(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(
        "code,name_zh,unit1,unit2,mfn_pct,general_pct,interim_pct,vat_pct,consumption_tax,"
        "supervision,as_of,source\n"
        "1234567890,甲,035,,,40,,13,,,,x\n"
        "1901101090,乙,035,,20,40,,9,5%,,,x\n",
        "utf-8",
    )
    edition = policy.read_tariff(file, date(2022, 1, 1), name="mine")
    loaded = policy.load(tariffs=[edition])
    assert loaded.on(date(2021, 12, 31)).tariff_edition.startswith("starter")
    law = loaded.on(date(2022, 1, 1))
    assert law.tariff["code"].to_list() == ["1234567890", "1901101090"]
    assert law.tariff_edition == "mine"
    assert row(law, "1901101090") | {"name_en": ""} == {
        "code": "1901101090",
        "name_zh": "乙",
        "name_en": "",
        "unit1": "035",
        "unit2": None,
        "mfn_ppm": 200_000,
        "interim_ppm": None,
        "general_ppm": 400_000,
        "vat_ppm": 90_000,
        "vat_parameter": "vat.reduced",
        "ct_ppm": 50_000,
        "ct_specific_micro": 0,
        "ct_unit": None,
        "ct_parameter": None,
        "ct_condition": None,
        "parcel_ppm": None,
        "parcel_parameter": None,
        "edition": "mine",
        "confirmed": True,
        "source": "x",
    }
    assert row(law, "1234567890")["mfn_ppm"] is None, "a specific duty is unknown, not zero"
    assert loaded.on(date(2026, 6, 1)).tariff_edition == "mine", "the starter never hides it"
    again = policy.read_tariff(file, date(2022, 1, 1), name="again")
    assert policy.load(tariffs=[edition, again]).on(date(2022, 1, 1)).tariff_edition == "again"


def test_a_loaded_tariff_before_2016_takes_the_known_tiers(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(
        "code,name_zh,unit1,mfn_pct,vat_pct,consumption_tax\n"
        "1901101090,甲,035,15,17,\n"
        "0101290090,乙,035,10,13,\n",
        "utf-8",
    )
    law = policy.load(tariffs=[policy.read_tariff(file, date(2015, 1, 1))]).on(date(2015, 6, 1))
    assert (row(law, "1901101090")["parcel_ppm"], row(law, "1901101090")["confirmed"]) == (
        100_000,
        False,
    )
    assert row(law, "0101290090")["parcel_ppm"] is None, "no tier is known: unknown, not zero"


def test_loading_is_fast() -> None:
    """All files of the package read anew, and the first law resolved: well under 100 ms."""
    best = 1.0
    for _ in range(3):
        for kept in (parameter.builtin, tariff.starter, policy.policy._starter_lists):
            kept.cache_clear()
        start = time.perf_counter()
        policy.load().on(date(2022, 6, 1))
        best = min(best, time.perf_counter() - start)
    assert best < 0.1


def test_nothing_in_the_law_is_a_float(built: Policy) -> None:
    for day in (date(2016, 4, 7), date(2022, 6, 1)):
        law = built.on(day)
        assert not any(t.is_float() for t in law.tariff.schema.values())
        assert not any(isinstance(v.value, float) for v in law.values.values())
