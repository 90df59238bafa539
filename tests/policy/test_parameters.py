"""Parameter files: what they may say, and that every fault is named with its line."""

from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from tongguan.policy import parameter
from tongguan.policy.parameter import ParameterErrors, builtin, overlay, parse

GOOD = """\
id: levy
zh: 比例
en: share
unit: fraction
values:
  - since: 2016-04-08
    value: 0.70
    law: 财关税〔2016〕18号 第三条
    confirmed: true
    source: reprint
  - since: 2019-01-01
    value:
    law: 财关税〔2018〕49号
    confirmed: false
    source: memory
"""


def faults(text: str, file: str = "levy.yaml") -> list[tuple[int, str]]:
    found, errors = parse(text.encode(), file)
    assert found is None
    return [(e.line, e.message) for e in errors]


def test_a_value_is_exactly_what_the_file_writes() -> None:
    found, errors = parse(GOOD.encode(), "levy.yaml")
    assert not errors
    assert found is not None
    value = found.on(date(2016, 4, 8))
    assert value is not None
    assert value.value == Fraction(7, 10)
    assert (value.text, value.ppm, value.law) == ("0.70", 700_000, "财关税〔2016〕18号 第三条")
    assert found.on(date(2016, 4, 7)) is None, "before its first day there is no value"
    assert found.on(date(2018, 12, 31)) == value
    assert found.on(date(2019, 1, 1)) is None, "an empty value ends the parameter"


def test_all_faults_of_a_file_are_reported_with_their_lines() -> None:
    text = (
        GOOD.replace("zh: 比例", "zhong: 比例")
        .replace("since: 2016-04-08", "since: 2016-4-8")
        .replace("value: 0.70", "value: seven")
        .replace("    law: 财关税〔2018〕49号\n", "")
        .replace("confirmed: false", "confirmed: perhaps")
    )
    found = faults(text)
    assert {line for line, _ in found} == {1, 2, 6, 7, 11, 13}
    messages = dict(found)
    assert "missing 'zh'" in messages[1]
    assert "unknown key 'zhong'" in messages[2]
    assert "2016-4-8" in messages[6]
    assert "seven" in messages[7]
    assert "missing 'law'" in messages[11]
    assert "perhaps" in messages[13]


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("2019-01-01", "2016-04-08"), 11, "must come after"),
        (("2019-01-01", "2015-01-01"), 11, "must come after"),
        (("id: levy", "id: other"), 1, "in a file named levy.yaml"),
        (("unit: fraction", "unit: pounds"), 4, "unknown unit"),
        (("value: 0.70", "value: -1"), 7, "-1"),
        (("value: 0.70", "value: [1]"), 7, "plain text"),
        (("    law: 财关税〔2016〕18号 第三条", "    law:"), 8, "'law' is empty"),
        (("en: share", "en: share\nen: part"), 4, "stands twice"),
        (("values:", "values: none\nrest:"), 5, "list"),
        (("zh: 比例", "zh: [比例"), 3, "not YAML"),
    ],
)
def test_a_fault_is_named(change: tuple[str, str], line: int, message: str) -> None:
    found = faults(GOOD.replace(*change))
    assert any(at == line and message in said for at, said in found), found


def test_an_empty_file_is_a_fault() -> None:
    assert faults("") == [(1, "the file is empty")]


def test_a_folder_reports_the_faults_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "levy.yaml").write_text(GOOD.replace("unit: fraction", "unit: pounds"), "utf-8")
    (tmp_path / "more.yaml").write_text(GOOD, "utf-8")
    with pytest.raises(ParameterErrors) as caught:
        parameter.read(tmp_path)
    assert {e.file for e in caught.value.errors} == {"levy.yaml", "more.yaml"}
    assert "levy.yaml:4:" in str(caught.value)


def test_every_builtin_value_names_its_law_and_source() -> None:
    assert len(builtin()) >= 30
    for identity, known in builtin().items():
        assert known.zh, identity
        assert known.en, identity
        for value in known.values:
            assert value.law, (identity, value.since)
            assert value.source, (identity, value.since)
            assert not isinstance(value.value, float), identity


HISTORY = {
    "retail-import.limit-single": {"2016-04-08": 2000, "2018-12-31": 2000, "2019-01-01": 5000},
    "retail-import.limit-annual": {"2016-04-08": 20000, "2018-12-31": 20000, "2019-01-01": 26000},
    "retail-import.levy-fraction": {"2016-04-08": Fraction(7, 10), "2026-12-31": Fraction(7, 10)},
    "retail-import.duty-rate": {"2016-04-08": 0},
    "vat.standard": {
        "2012-04-15": 17,
        "2018-04-30": 17,
        "2018-05-01": 16,
        "2019-03-31": 16,
        "2019-04-01": 13,
    },
    "vat.reduced": {
        "2017-06-30": 13,
        "2017-07-01": 11,
        "2018-05-01": 10,
        "2019-04-01": 9,
    },
    "consumption-tax.cosmetics": {"2016-09-30": 30, "2016-10-01": 15},
    "consumption-tax.cosmetics-applies": {"2016-09-30": "always", "2016-10-01": "conditional"},
    "retail-import.over-single-one-item": {
        "2018-12-31": "general-trade",
        "2019-01-01": "general-trade-counted",
    },
    "retail-import.over-single-many-items": {
        "2018-12-31": "general-trade",
        "2019-01-01": "refused",
    },
    "retail-import.over-annual": {"2018-12-31": "general-trade", "2019-01-01": "refused"},
    "retail-import.transition-until": {
        "2016-05-10": None,
        "2016-05-11": date(2017, 5, 11),
        "2017-05-12": date(2017, 12, 31),
        "2018-01-01": date(2018, 12, 31),
        "2019-01-01": None,
    },
    "returns.arrive-days": {"2020-03-27": 30, "2020-03-28": 45},
    "returns.apply-days": {"2020-03-27": 30, "2020-03-28": 30},
    "settlement.due-from-day": {"2019-01-01": 31},
    "settlement.due-to-day": {"2019-01-01": 45},
    "settlement.late-fee": {"2022-07-14": Fraction(5, 100), "2022-07-15": Fraction(5, 100)},
    "settlement.cycle": {"2018-12-31": "release-day", "2019-01-01": "release-day"},
    "settlement.enforce-after-days": {"2016-04-07": None, "2016-04-08": 90},
    "settlement.guarantee-warning": {"2016-04-07": None, "2016-04-08": 80},
    "parcel-tax.waiver": {"2016-04-07": 50},
    "parcel-tax.rate-tier-1": {"2016-04-07": 10, "2016-04-08": 15, "2019-04-09": 13},
    "parcel-tax.rate-tier-2": {"2016-04-07": 20, "2016-04-08": 30, "2018-11-01": 25},
    "parcel-tax.rate-tier-3": {"2016-04-07": 30, "2016-04-08": 60, "2018-11-01": 50},
    "parcel-tax.rate-tier-4": {"2016-04-07": 50, "2016-04-08": None},
}


@pytest.mark.parametrize(
    ("identity", "day", "expected"),
    [(i, d, v) for i, days in HISTORY.items() for d, v in days.items()],
)
def test_history(identity: str, day: str, expected: object) -> None:
    value = builtin()[identity].on(date.fromisoformat(day))
    assert (value.value if value else None) == expected


def test_a_draft_overlays_from_its_day_and_keeps_later_days() -> None:
    base = builtin()
    drafted = overlay(base, {"retail-import.limit-annual": {"2017-01-01": 10_000}})
    limit = drafted["retail-import.limit-annual"]
    told = [(str(v.since), v.value, v.confirmed) for v in limit.values]
    assert told == [
        ("2016-04-08", 20_000, True),
        ("2017-01-01", 10_000, False),
        ("2019-01-01", 26_000, True),
    ]
    assert len(base["retail-import.limit-annual"].values) == 2, "the built-in stays as it is"


def test_a_draft_names_all_its_faults() -> None:
    with pytest.raises(ParameterErrors) as caught:
        overlay(
            builtin(),
            {
                "retail-import.limit-yearly": {"2022-01-01": 1},
                "retail-import.levy-fraction": {"2022-01-01": 0.7},  # type: ignore[dict-item]
                "retail-import.over-annual": {"2022-01-01": "ignored"},
                "vat.standard": {"tomorrow": 13},
            },
        )
    told = str(caught.value)
    assert len(caught.value.errors) == 4
    for word in ("limit-yearly", "0.7", "ignored", "tomorrow"):
        assert word in told


def test_a_number_finer_than_its_unit_is_refused() -> None:
    drafted = overlay(builtin(), {"retail-import.limit-single": {"2022-01-01": "0.001"}})
    value = drafted["retail-import.limit-single"].on(date(2022, 1, 1))
    assert value is not None
    with pytest.raises(ValueError, match="finer"):
        _ = value.fen
    with pytest.raises(TypeError, match="not a number"):
        _ = builtin()["import.regime"].values[0].number
