"""What goods are on a day, as a lawyer would say it: the status must be the one of the case."""

from datetime import date
from pathlib import Path

import pytest
import yaml

from tongguan import policy

KEYS = {
    *("zh", "en", "code", "day", "ordered", "entered", "mode", "city"),
    *("status", "law", "until", "reliefs"),
}
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['en']}")
    for path in sorted((Path(__file__).parent / "goods").glob("*.yaml"))
    for case in yaml.safe_load(path.read_text("utf-8"))
]


@pytest.fixture(scope="session")
def known() -> policy.Policy:
    return policy.load()


@pytest.mark.parametrize("case", CASES)
def test_the_goods_are_on_that_day_what_the_case_says(case: dict, known: policy.Policy) -> None:
    declared = policy.Declared(
        case["day"],
        case.get("ordered"),
        case.get("entered"),
        case.get("mode", "1210"),
        case.get("city"),
    )
    found = policy.goods_status(known, case["code"], declared)
    assert (found.status, found.law) == (case["status"], case["law"])
    assert found.until == case.get("until")
    assert list(found.reliefs) == case.get("reliefs", [])


def test_the_cases_are_well_formed_and_show_every_window() -> None:
    cases = [param.values[0] for param in CASES]
    for case in cases:
        assert case.keys() <= KEYS, case
        assert isinstance(case["day"], date), case
        assert case["zh"], case
    assert len({case["en"] for case in cases}) == len(cases) >= 30
    until = policy.load().parameters["retail-import.transition-until"]
    windows = {value.law for value in until.values if value.value is not None}
    assert len(windows) == 3
    assert windows <= {case["law"] for case in cases}
