"""The twin's reckoning against sums done by hand."""

from datetime import date
from fractions import Fraction

import polars as pl
import pytest

from tongguan import policy
from tongguan.twin.expectation import (
    Rates,
    Tax,
    consumption_applies,
    half_up,
    limits,
    line_tax,
    measures,
    shares,
)

LEVY = Fraction(7, 10)
COSMETICS = (("mass", 1000), ("volume", 1000), ("sheet", 1500))


def rates(duty="0", consumption="0", vat="0.13", kind=None, specific="0", minimum=()):
    return Rates(
        Fraction(duty), Fraction(consumption), Fraction(vat), kind, Fraction(specific), minimum
    )


@pytest.mark.parametrize(
    ("rate", "basis_fen", "levy", "expected"),
    [
        # 400 yuan of milk powder at 13 %: 400 x 0.13 x 0.7 = 36.40
        (rates(), 40_000, LEVY, Tax(0, 0, 3640)),
        # 1000 yuan at 15 % consumption tax: 1000 x 15/85 x 0.7 = 123.529…;
        # (1000 + 176.470…) x 0.13 x 0.7 = 107.058…
        (rates(consumption="0.15"), 100_000, LEVY, Tax(0, 12353, 10706)),
        # 33.33 yuan of the same: 4.1172… and 3.5681…
        (rates(consumption="0.15"), 3333, LEVY, Tax(0, 412, 357)),
        # 10 yuan at 13 %: 0.91, for there is no waiver of small tax
        (rates(), 1000, LEVY, Tax(0, 0, 91)),
        # 100 yuan at 9 %: 6.30
        (rates(vat="0.09"), 10_000, LEVY, Tax(0, 0, 630)),
        # a single item of 6000 yuan, duty 1 %: 60; 6060 x 15/85 = 1069.411…;
        # (6060 + 1069.411…) x 0.13 = 926.823…
        (rates("0.01", "0.15"), 600_000, None, Tax(6000, 106_941, 92_682)),
        # duty is not due within the limits, whatever the rate
        (rates("0.10"), 100_000, LEVY, Tax(0, 0, 9100)),
        # 0.55 yuan at 13 % x 0.7 is 0.05005: 0.05; 5 fen exactly on the half: 0.5 fen is 1 fen
        (rates(), 55, LEVY, Tax(0, 0, 5)),
        (rates(vat="0.10"), 5, None, Tax(0, 0, 1)),
    ],
)
def test_tax_of_a_line_by_hand(rate, basis_fen, levy, expected):
    assert line_tax(rate, basis_fen, basis_fen, {}, levy) == expected


def test_whisky_pays_by_value_and_by_weight():
    # 500 yuan, 1.3 kg at 20 % + 1 yuan/kg: X = 500 + 1.30; consumption (501.30 x 0.25 + 1.30)
    # x 0.7 = 88.6375; VAT 501.30 / 0.8 x 0.13 x 0.7 = 57.0228…
    whisky = rates("0.10", "0.20", kind="mass", specific="1/10")
    measured = measures([(Fraction("0.7"), "095"), (Fraction("1.3"), "035")])
    assert line_tax(whisky, 50_000, 50_000, measured, LEVY) == Tax(0, 8864, 5702)
    # at full tax: D 50; X = 551.30; consumption 139.125; VAT 551.30 / 0.8 x 0.13 = 89.58625
    assert line_tax(whisky, 50_000, 50_000, measured, None) == Tax(5000, 13913, 8959)
    with pytest.raises(LookupError):
        line_tax(whisky, 50_000, 50_000, {"volume": Fraction(700)}, LEVY)


@pytest.mark.parametrize(
    ("goods_fen", "quantities", "applies"),
    [
        (30_000, [("0.03", "035")], True),  # 300 yuan for 30 g: exactly 10 yuan a gram
        (29_999, [("0.03", "035")], False),
        (30_000, [("0.03", "095")], True),
        (1500, [("1", "020"), ("0.03", "035")], True),  # 15 yuan a sheet, though 0.50 a gram
        (1499, [("1", "020"), ("0.03", "035")], False),
    ],
)
def test_cosmetics_are_high_end_from_ten_yuan_a_gram_or_fifteen_a_sheet(
    goods_fen, quantities, applies
):
    measured = measures([(Fraction(quantity), unit) for quantity, unit in quantities])
    dear = rates(consumption="0.15", minimum=COSMETICS)
    assert consumption_applies(dear, goods_fen, measured) is applies
    tax = line_tax(dear, goods_fen, goods_fen, measured, LEVY)
    assert (tax.consumption > 0) is applies


def test_a_count_of_boxes_cannot_tell_what_a_gram_costs():
    with pytest.raises(LookupError, match="mass"):
        consumption_applies(rates(minimum=COSMETICS), 30_000, measures([(Fraction(2), "140")]))


def test_a_watch_is_taxed_from_ten_thousand_yuan_each():
    watch = rates(consumption="0.20", minimum=(("piece", 1_000_000),))
    assert consumption_applies(watch, 1_000_000, measures([(Fraction(1), "008")]))
    assert not consumption_applies(watch, 999_999, measures([(Fraction(1), "008")]))
    assert not consumption_applies(watch, 1_999_999, measures([(Fraction(2), "008")]))


@pytest.mark.parametrize(
    ("pot", "goods", "parts"),
    [
        (10, [100, 100, 100], [4, 3, 3]),  # ties: the smaller gnum first
        (100, [33_300, 33_300, 33_400], [33, 33, 34]),
        (1000, [2000, 1000], [667, 333]),  # 666.67 and 333.33
        (0, [5, 7], [0, 0]),
        (1, [1, 999], [0, 1]),
    ],
)
def test_freight_is_shared_by_value_to_the_last_fen(pot, goods, parts):
    assert shares(pot, goods) == parts


def test_half_a_fen_is_a_fen():
    assert [half_up(Fraction(n, 10)) for n in (4, 5, 14, 15, 25)] == [0, 1, 1, 2, 3]


def test_rates_and_limits_are_those_of_the_day():
    law = policy.load().on(date(2022, 6, 1))
    assert limits(law).single_fen == 500_000
    assert limits(law).annual_fen == 2_600_000
    assert limits(law).levy == LEVY
    row = law.tariff.row(by_predicate=pl.col("code") == "1901101090", named=True)
    assert Rates.of(row, law).duty == Fraction(5, 100)  # the interim rate, not the 15 % of MFN
    assert Rates.of(row, law).vat == Fraction(13, 100)
    before = policy.load().on(date(2019, 3, 31))
    row = before.tariff.row(by_predicate=pl.col("code") == "1901101090", named=True)
    assert Rates.of(row, before).vat == Fraction(16, 100)
