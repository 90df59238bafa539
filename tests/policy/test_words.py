"""The law in words and numbers, both languages."""

from datetime import date
from fractions import Fraction

import pytest

from tongguan import policy
from tongguan.policy import samples, words

KNOWN = policy.load()


def told(before: str, after: str) -> dict[str, tuple[str, str]]:
    differences = KNOWN.diff(date.fromisoformat(before), date.fromisoformat(after))
    facts = [words.facts(each, KNOWN.parameters) for each in differences]
    return {fact["parameter"]: (fact["zh"], fact["en"]) for fact in facts}


@pytest.mark.parametrize(
    ("exact", "text"),
    [
        (Fraction(26000), "26,000"),
        (Fraction(1, 2), "0.5"),
        (Fraction(5, 100), "0.05"),
        (Fraction(-12345, 10), "-1,234.5"),
        (Fraction(2, 3), "2/3"),
        (Fraction(0), "0"),
    ],
)
def test_numbers_are_exact(exact: Fraction, text: str) -> None:
    assert words.number(exact) == text


def test_the_change_of_april_2016_in_words() -> None:
    said = told("2016-04-07", "2016-04-08")
    assert said["import.regime"] == (
        "零售进口征税制度：行邮税 → 跨境电商零售进口税，改变",
        "how retail imports are taxed: parcel tax → taxes of retail import, changed",
    )
    assert said["retail-import.limit-single"][1].endswith("none → 2,000 yuan, new")
    assert said["retail-import.levy-fraction"][0].endswith("无 → 70%，新设")
    assert "1,142 个税目" in said["positive-list"][0]
    assert said["parcel-tax.rate-tier-3"][1].endswith("30% → 60%, 30 points more")


def test_later_changes_in_words() -> None:
    said = told("2018-12-31", "2019-01-01")
    assert said["retail-import.limit-annual"] == (
        "个人年度交易限值：20,000 元 → 26,000 元，提高 6,000 元",
        "value limit of one buyer in a calendar year: 20,000 yuan → 26,000 yuan, 6,000 yuan more",
    )
    assert said["retail-import.transition-until"][1].endswith("none, no longer applies")
    assert told("2019-03-31", "2019-04-01")["vat.standard"][1].endswith("3 points less")
    assert told("2017-12-31", "2018-01-01")["retail-import.transition-cities"][1].endswith(
        "added: 合肥 成都 大连 青岛 苏州"
    )
    assert told("2017-05-11", "2017-05-12")["retail-import.transition-until"][0].endswith(
        "延后 234 日"
    )


def test_every_value_and_change_of_the_law_has_words() -> None:
    for turn in words.turns(KNOWN.timeline()):
        for value in (turn.before, turn.value):
            text = words.said(value, KNOWN.parameters)
            assert text.zh, value
            assert text.en, value
        name = words.name(turn.value.parameter, KNOWN.parameters)
        assert name.zh != name.en
        change = words.told(
            policy.Difference(turn.value.parameter, turn.before, turn.value), KNOWN.parameters
        )
        assert change.zh, turn
        assert change.en, turn


def test_choices_are_told_in_both_languages() -> None:
    for parameter in KNOWN.parameters.values():
        assert all(zh and en and zh != en for zh, en in parameter.choices.values()), parameter.id


def test_everyday_baskets_feel_the_change() -> None:
    """2 tins of 200 yuan: 40 yuan of parcel tax, waived; then 400 × 17 % × 70 % = 47.60."""
    days = date(2016, 4, 7), date(2016, 4, 8)
    found = {e.basket.en: e for e in samples.effects((KNOWN, days[0]), (KNOWN, days[1]))}
    milk = found["2 tins of infant formula of 200 yuan"]
    assert (milk.before.total_fen, milk.after.total_fen) == (0, 4760)
    same = samples.effects((KNOWN, date(2021, 1, 1)), (KNOWN, date(2021, 1, 2)))
    assert list(same) == []


def test_lines_of_lists_that_differ() -> None:
    changes, whole = words.list_changes(KNOWN, date(2016, 4, 7), date(2016, 4, 8))
    assert not whole
    assert all(change.before is None for change in changes)
    assert len(changes) == KNOWN.on(date(2016, 4, 8)).positive_list.height
    assert words.list_changes(KNOWN, date(2021, 1, 1), date(2021, 1, 2)) == ([], False)
