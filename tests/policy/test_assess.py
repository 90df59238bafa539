"""The kernel on hand-made cases: limits, sequence, sharing, refusals, and amounts beyond reason."""

import ast
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongguan import policy
from tongguan.policy.amounts import fen, fifths, half_up, yuan_text
from tongguan.policy.assess import assess
from tongguan.policy.explanation import explain
from tongguan.policy.shares import share

FIVE = pl.Decimal(19, 5)
FORMULA, CREAM, WHISKY = "1901101090", "3304990029", "2208300000"
HEADS = {
    "case": pl.UInt32,
    "buyer": pl.String,
    "tradeMode": pl.String,
    "freight": FIVE,
    "insuredFee": FIVE,
    "eligible": pl.Boolean,
}
LINES = {
    "case": pl.UInt32,
    "gnum": pl.Int64,
    "gcode": pl.String,
    "qty": FIVE,
    "unit": pl.String,
    "qty1": FIVE,
    "unit1": pl.String,
    "qty2": FIVE,
    "unit2": pl.String,
    "price": FIVE,
    "totalPrice": FIVE,
}


KNOWN = policy.load()


def law(day: str, **parameters):
    draft = {i.replace("__", ".").replace("_", "-"): {day: v} for i, v in parameters.items()}
    return policy.load(parameters=draft).on(date.fromisoformat(day))


def heads(*cases: dict) -> pl.DataFrame:
    usual = {"buyer": "b", "tradeMode": "1210", "freight": 0, "insuredFee": 0, "eligible": True}
    rows = [{"case": n, **usual, **case} for n, case in enumerate(cases)]
    return frame(rows, HEADS)


def lines(*items: dict) -> pl.DataFrame:
    usual = {"case": 0, "gcode": FORMULA, "qty": 1, "unit": "011", "totalPrice": 100}
    legal = {"qty1": 1, "unit1": "035", "qty2": None, "unit2": None, "price": 1}
    rows: list[dict] = []
    for item in items:
        row = {**usual, **legal, **item}
        row.setdefault("gnum", 1 + sum(r["case"] == row["case"] for r in rows))
        rows.append(row)
    return frame(rows, LINES)


def frame(rows: list[dict], schema: dict) -> pl.DataFrame:
    exact = [
        {
            k: Decimal(str(row[k])) if schema[k] == FIVE and row[k] is not None else row[k]
            for k in schema
        }
        for row in rows
    ]
    return pl.DataFrame(exact, schema=schema)


def used(**amounts: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"buyer": list(amounts), "used_fen": list(amounts.values())},
        schema={"buyer": pl.String, "used_fen": pl.Int64},
    )


def rules(result, case: int | None = None) -> list[tuple[str, str]]:
    found = result.findings
    if case is not None:
        found = found.filter(pl.col("case") == case)
    return found.select("rule", "severity").rows()


# -- the year, in order of arrival -----------------------------------------------------------------


def test_a_buyers_cases_take_the_year_one_after_the_other():
    cases = heads(*[{"buyer": "b"}] * 4, {"buyer": "other"})
    goods = lines(*({"case": n, "totalPrice": p} for n, p in enumerate([900, 200, 100, 1, 900])))
    result = assess(cases, goods, law("2022-06-01"), used(b=2_500_000))
    assert result.heads.select("used_before_fen", "counted_fen", "refused").rows() == [
        (2_500_000, 90_000, False),
        (2_590_000, 0, True),  # 200 yuan more do not fit
        (2_590_000, 10_000, False),  # but 100 do: what was refused took nothing
        (2_600_000, 0, True),
        (0, 90_000, False),
    ]
    assert result.findings.select("case", "rule", "expected", "actual").rows() == [
        (1, "limit.annual", "26000.00", "26100.00"),
        (3, "limit.annual", "26000.00", "26001.00"),
    ]


def test_buyers_may_be_numbers_and_lines_come_in_any_order():
    names = ["z", "a", "z", "b", "a", "z"]
    prices = {0: [900, 1], 1: [300, 20], 2: [100, 5, 700], 4: [2_000], 5: [50]}  # case 3 has none
    goods = [
        {"case": case, "gnum": n, "totalPrice": price}
        for case, each in prices.items()
        for n, price in enumerate(each, 1)
    ]
    spent = used(z=2_450_000, a=2_400_000)
    one = assess(heads(*({"buyer": b} for b in names)), lines(*goods), law("2022-06-01"), spent)
    assert one.heads["used_before_fen"].to_list() == [
        *(2_450_000, 2_400_000, 2_540_100, 0, 2_432_000, 2_540_100)
    ]
    assert one.heads["value_fen"].to_list() == [90_100, 32_000, 80_500, 0, 200_000, 5_000]
    number = pl.col("buyer").replace_strict({"z": 9, "a": -3, "b": 4}, return_dtype=pl.Int64)
    cases = heads(*({"buyer": b} for b in names)).with_columns(number)
    mixed = [goods[at] for at in (8, 3, 0, 6, 5, 1, 7, 2, 4)]
    other = assess(cases, lines(*mixed), law("2022-06-01"), spent.with_columns(number))
    assert other.heads.equals(one.heads)
    assert other.findings.equals(one.findings)
    assert other.lines.sort("case", "gnum").equals(one.lines)


def test_amounts_of_a_batch_may_be_beyond_64_bits_together():
    most = 10**14
    count = 2**63 // most + 1_000
    numbers = pl.select(case=pl.int_range(count, dtype=pl.UInt32))
    cases = numbers.join(heads({}).drop("case"), how="cross")
    goods = numbers.join(lines({"totalPrice": most // 100}).drop("case"), how="cross")
    result = assess(cases, goods, law("2022-06-01"), used())
    assert (result.heads["value_fen"] == most).all()


def test_a_case_that_other_rules_refuse_is_assessed_but_takes_nothing():
    cases = heads({"eligible": False}, {})
    goods = lines({"case": 0, "totalPrice": 1000}, {"case": 1, "totalPrice": 1000})
    result = assess(cases, goods, law("2022-06-01"), used(b=2_500_000))
    assert result.heads.select("regime", "vat_fen", "counted_fen", "used_after_fen").rows() == [
        ("retail-import", 9_100, 0, 2_500_000),
        ("retail-import", 9_100, 100_000, 2_600_000),
    ]


def test_a_case_refused_for_its_goods_takes_nothing():
    goods = lines({"case": 0, "gcode": "9999999999"}, {"case": 1, "totalPrice": 1000})
    result = assess(heads({}, {}), goods, law("2022-06-01"), used(b=2_500_000))
    assert result.heads["counted_fen"].to_list() == [0, 100_000]


def test_over_the_single_limit_one_item_counts_from_2019_and_not_before():
    for day, counted in (("2018-06-01", 0), ("2019-06-01", 600_000)):
        result = assess(heads({}), lines({"totalPrice": 6000}), law(day), used())
        assert result.heads.select("regime", "counted_fen").row(0) == ("general-trade", counted)


def test_a_draft_may_count_what_exceeds_the_year():
    draft = {"retail_import__over_annual": "general-trade-counted"}
    goods = lines({"case": 0, "totalPrice": 200}, {"case": 1, "totalPrice": 200})
    result = assess(heads({}, {}), goods, law("2022-06-01", **draft), used(b=2_590_000))
    assert result.heads.select("regime", "counted_fen", "used_after_fen").rows() == [
        ("general-trade", 20_000, 2_610_000),
        ("general-trade", 20_000, 2_630_000),
    ]


def test_a_draft_may_put_the_limit_itself_outside():
    goods = lines({"totalPrice": 5000, "qty": 2})
    assert assess(heads({}), goods, law("2022-06-01"), used()).heads["regime"][0] != "refused"
    stricter = law("2022-06-01", retail_import__limit_boundary="over")
    assert rules(assess(heads({}), goods, stricter, used())) == [("limit.single", "error")]


# -- goods -----------------------------------------------------------------------------------------


def listed(day: str, *rows: tuple[str, bool], complete: bool = True):
    """The law of a day with a hand-made positive list."""
    return replace(
        law(day),
        positive_list=pl.DataFrame(
            rows, schema={"code8": pl.String, "bonded_only": pl.Boolean}, orient="row"
        ),
        positive_list_complete=complete,
    )


def test_a_code_off_a_complete_list_refuses_and_off_an_incomplete_one_warns():
    complete = listed("2022-06-01", ("00000000", False))
    result = assess(heads({}), lines({}), complete, used())
    assert rules(result) == [("goods.not-listed", "error")]
    assert result.findings.select("gnum", "field", "actual").row(0) == (1, "gcode", "19011010")
    assert result.findings["law"][0] == "财政部等8部门公告2022年第7号"
    partial = listed("2022-06-01", ("00000000", False), complete=False)
    result = assess(heads({}), lines({}), partial, used())
    assert rules(result) == [("goods.list-incomplete", "warning")]
    assert not result.heads["refused"][0]


def test_a_law_with_another_list_is_another_law():
    known = law("2022-06-01")
    none = replace(known, positive_list=known.positive_list.clear(), positive_list_complete=True)
    assert rules(assess(heads({}), lines({}), known, used())) == []
    assert rules(assess(heads({}), lines({}), none, used())) == [("goods.not-listed", "error")]
    assert rules(assess(heads({}), lines({}), known, used())) == []


def test_bonded_only_goods_are_refused_in_direct_purchase():
    only = listed("2022-06-01", ("19011010", True))
    modes = ("1210", "1239", "9610", None)
    goods = lines(*({"case": n} for n in range(4)))
    result = assess(heads(*({"tradeMode": m} for m in modes)), goods, only, used())
    assert result.findings.select("case", "rule").rows() == [
        (2, "goods.bonded-only"),
        (3, "goods.bonded-only"),
    ]


def test_there_is_no_list_and_no_limit_before_the_regime_of_2016():
    result = assess(heads({}), lines({"totalPrice": 30_000}), law("2016-04-07"), used(b=10**7))
    assert rules(result) == []
    assert result.heads.select("regime", "parcel_tax_fen", "counted_fen").row(0) == (
        "parcel-tax",
        300_000,
        0,
    )


def test_every_rule_speaks_even_if_another_refuses_already():
    goods = lines(
        {"gcode": "9999999999", "totalPrice": 3000},
        {"gcode": CREAM, "totalPrice": 3000, "unit1": "011"},
    )
    only = listed("2022-06-01", ("33049900", True))
    result = assess(heads({"tradeMode": "9610"}), goods, only, used(b=2_500_000))
    assert sorted(rules(result)) == sorted(
        (rule, "error")
        for rule in (
            "limit.single",
            "limit.annual",
            "goods.unknown-code",
            "goods.not-listed",
            "goods.bonded-only",
            "goods.tax-quantity",
        )
    )
    assert result.heads.select("regime", "total_fen", "counted_fen").row(0) == ("refused", 0, 0)


def test_full_tax_on_a_code_whose_duty_is_unknown_is_refused_not_guessed():
    known = law("2022-06-01")
    no_duty = replace(
        known,
        tariff=known.tariff.with_columns(mfn_ppm=None, interim_ppm=None).cast(
            {"mfn_ppm": pl.Int64, "interim_ppm": pl.Int64}
        ),
    )
    within = assess(heads({}), lines({}), no_duty, used())
    assert within.heads["regime"][0] == "retail-import"
    over = assess(heads({}, {}), lines({"totalPrice": 6000}, {"case": 1}), no_duty, used())
    assert rules(over) == [("goods.unknown-code", "error")]
    assert over.heads.select("regime", "counted_fen").rows() == [
        ("refused", 0),
        ("retail-import", 10_000),
    ]


@pytest.mark.parametrize(
    ("quantities", "taxed"),
    [
        ({"qty1": "0.03", "unit1": "035"}, True),  # 300 yuan for 30 g
        ({"qty1": "0.03001", "unit1": "035"}, False),
        ({"qty1": 30, "unit1": "036"}, True),
        ({"qty1": "0.03", "unit1": "095"}, True),
        ({"qty1": 30, "unit1": "096"}, True),
        ({"qty1": 20, "unit1": "020"}, True),  # 15 yuan a sheet
        ({"qty1": 21, "unit1": "010"}, False),
        ({"qty1": 1, "unit1": "011", "qty2": 30, "unit2": "096"}, True),
        ({"qty1": 1, "unit1": "011"}, None),  # a bottle is not a sheet
        ({"qty1": None, "unit1": None}, None),
        ({"qty1": 0, "unit1": "035"}, None),
    ],
)
def test_cosmetics_are_decided_by_weight_volume_or_sheets(quantities, taxed):
    goods = lines({"gcode": CREAM, "totalPrice": 300, **quantities})
    result = assess(heads({}), goods, law("2022-06-01"), used())
    if taxed is None:
        assert rules(result) == [("goods.tax-quantity", "error")]
        assert "035" in result.findings["expected"][0]
        assert result.heads["refused"][0]
    else:
        assert rules(result) == []
        assert (result.lines["consumption_fen"][0] > 0) is taxed


def test_litres_are_not_turned_into_kilograms():
    bottle = {"gcode": WHISKY, "totalPrice": 500, "qty1": "0.7", "unit1": "095"}
    refused = assess(heads({}), lines(bottle), law("2022-06-01"), used())
    assert rules(refused) == [("goods.tax-quantity", "error")]
    weighed = lines({**bottle, "qty2": "0.7", "unit2": "035"})
    result = assess(heads({}), weighed, law("2022-06-01"), used())
    assert result.lines.select("consumption_fen", "vat_fen").row(0) == (8_811, 5_695)


# -- shape and size --------------------------------------------------------------------------------


def test_lines_may_come_in_any_order_and_keep_it():
    goods = lines({"case": 1}, {"case": 0, "totalPrice": 7}, {"case": 1, "totalPrice": 9})
    result = assess(heads({}, {"freight": "0.03"}), goods, law("2022-06-01"), used())
    assert result.lines.select("case", "gnum", "basis_fen").rows() == [
        (1, 1, 10_003),
        (0, 1, 700),
        (1, 2, 900),
    ]
    assert result.heads["value_fen"].to_list() == [700, 10_903]


def test_a_case_without_lines_is_its_freight():
    result = assess(heads({"freight": 5}, {}), lines({"case": 1}), law("2022-06-01"), used())
    assert result.heads.select("value_fen", "total_fen").rows() == [(500, 0), (10_000, 910)]


def test_no_cases_give_no_answers():
    result = assess(heads(), lines(), law("2022-06-01"), used())
    assert (result.heads.height, result.lines.height, result.findings.height) == (0, 0, 0)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"heads": heads({}, {}).reverse()}, "ascending"),
        ({"lines": lines({"case": 5})}, "belong"),
        ({"used": pl.concat([used(b=1), used(b=2)])}, "twice"),
        ({"used": used(b=-1)}, "0 or more"),
        ({"lines": lines({}).cast({"totalPrice": pl.Float64})}, "exact"),
        ({"heads": heads({}).with_columns(freight=pl.lit("5"))}, "exact"),
    ],
)
def test_frames_of_another_shape_are_an_error(bad, message):
    frames = {"heads": heads({}), "lines": lines({}), "used": used(), **bad}
    with pytest.raises(ValueError, match=message):
        assess(frames["heads"], frames["lines"], law("2022-06-01"), frames["used"])


@pytest.mark.parametrize(
    "bad",
    [
        {"totalPrice": None},
        {"totalPrice": "-0.00001"},
        {"totalPrice": "99999999999999.99999"},
    ],
)
def test_an_amount_that_cannot_be_reckoned_with_refuses_its_own_case_only(bad):
    goods = lines({"case": 0, **bad}, {"case": 1})
    result = assess(heads({}, {}), goods, law("2022-06-01"), used())
    assert rules(result, 0)[0] == ("message.field", "error")
    assert result.heads.select("refused", "total_fen").rows() == [(True, 0), (False, 910)]


def text(amount: str | None) -> str | None:
    return amount and str(Decimal(amount).quantize(Decimal("0.00001")))


@pytest.mark.parametrize("field", ["freight", "insuredFee"])
@pytest.mark.parametrize("amount", [None, "-1", "99999999999999.99999"])
def test_freight_that_cannot_be_reckoned_with_refuses_its_own_case_only(field, amount):
    goods = lines({"case": 0}, {"case": 1})
    result = assess(heads({field: amount}, {}), goods, law("2022-06-01"), used())
    assert rules(result, 0) == [("message.field", "error")]
    assert result.findings.select("field", "actual").row(0) == (field, text(amount))
    assert result.heads["refused"].to_list() == [True, False]


def test_a_quantity_beyond_counting_decides_nothing():
    goods = lines({"gcode": WHISKY, "qty1": "99999999999999.99999", "unit1": "070"})
    result = assess(heads({}), goods, law("2022-06-01"), used())
    assert rules(result) == [("goods.tax-quantity", "error")]


def test_the_largest_case_the_kernel_accepts_is_exact_to_the_fen():
    billion = Decimal("999999999999.98765")  # 10**12 yuan is where the reach ends
    goods = lines({"gcode": WHISKY, "totalPrice": billion, "qty1": "123456.78901", "unit1": "035"})
    result = assess(heads({}), goods, law("2018-06-01"), used())
    line = result.lines.row(0, named=True)
    basis = Fraction(line["basis_fen"])
    assert basis == 99_999_999_999_999
    duty, tax, vat = Fraction(10, 100), Fraction(20, 100), Fraction(16, 100)
    specific = Fraction("123456.78901") * 100
    price = (basis * (1 + duty) + specific) / (1 - tax)
    exact = (basis * duty, price * tax + specific, price * vat)
    rounded = [int(x + Fraction(1, 2)) for x in exact]
    assert [line["duty_fen"], line["consumption_fen"], line["vat_fen"]] == rounded


def test_a_law_with_awkward_fractions_stays_exact_or_refuses():
    awkward = law("2022-06-01", retail_import__levy_fraction="0.653217")
    goods = lines({"gcode": WHISKY, "totalPrice": "4321.98", "qty1": "0.75", "unit1": "035"})
    line = assess(heads({}), goods, awkward, used()).lines.row(0, named=True)
    price = (Fraction(432_198) + 75) / Fraction(80, 100)
    levy = Fraction("0.653217")
    assert line["vat_fen"] == int(price * Fraction(13, 100) * levy + Fraction(1, 2))
    assert line["consumption_fen"] == int((price / 5 + 75) * levy + Fraction(1, 2))


CODES = [FORMULA, CREAM, WHISKY, "9102110000", "9999999999", "", "x", None]
UNITS = ["035", "036", "095", "008", "011", "020", "xx", "", None]
NUMBERS = st.one_of(
    st.none(),
    st.integers(-(10**19) + 1, 10**19 - 1),
    st.integers(0, 10**9),
).map(lambda n: None if n is None else Decimal(n).scaleb(-5))


def anything(n: int) -> st.SearchStrategy[dict]:
    """A line of one of n cases with whatever a message may carry."""
    return st.fixed_dictionaries(
        {
            "case": st.integers(0, n - 1),
            "gnum": st.one_of(st.none(), st.integers(-1, 3)),
            "gcode": st.sampled_from(CODES),
            "unit1": st.sampled_from(UNITS),
            "unit2": st.sampled_from(UNITS),
            **dict.fromkeys(("qty", "qty1", "qty2", "totalPrice"), NUMBERS),
        }
    )


@pytest.mark.parametrize("day", ["2016-04-07", "2017-06-01", "2022-06-01"])
@given(
    st.lists(anything(4), max_size=12),
    st.lists(
        st.tuples(NUMBERS, NUMBERS, st.sampled_from(["b", "c", None])), min_size=4, max_size=4
    ),
)
@settings(max_examples=60, deadline=None)
def test_whatever_stands_in_the_frames_every_case_gets_a_whole_answer(day, items, cases):
    given = heads(*({"freight": f, "insuredFee": i, "buyer": b} for f, i, b in cases))
    result = assess(given, lines(*items), KNOWN.on(date.fromisoformat(day)), used(b=2_599_999))
    assert result.heads.null_count().sum_horizontal().sum() == 0
    money = [c for c in result.lines.columns if c.endswith("_fen")]
    assert result.lines.select(money).null_count().sum_horizontal().sum() == 0
    parts = result.lines.group_by("case").agg(pl.col("basis_fen").sum())
    both = result.heads.join(parts, on="case")
    assert (both["value_fen"] == both["basis_fen"]).all()
    refusing = result.findings.filter(severity="error")["case"].unique().sort()
    assert refusing.to_list() == result.heads.filter("refused")["case"].to_list()


@given(st.lists(st.tuples(st.sampled_from("bcd"), st.integers(1, 700_000)), max_size=15))
@settings(max_examples=60, deadline=None)
def test_a_batch_is_its_cases_one_after_the_other(purchases):
    known, at_once = KNOWN.on(date(2022, 6, 1)), used(b=2_000_000)
    cases = heads(*({"buyer": buyer} for buyer, _ in purchases))
    goods = lines(
        *(
            {"case": n, "totalPrice": Decimal(fen_).scaleb(-2)}
            for n, (_, fen_) in enumerate(purchases)
        )
    )
    batch = assess(cases, goods, known, at_once).heads
    year = {"b": 2_000_000}
    for n, (buyer, _) in enumerate(purchases):
        mine = pl.col("case") == n
        one = assess(cases.filter(mine), goods.filter(mine), known, used(**year)).heads
        assert one.equals(batch.filter(mine))
        year[buyer] = one["used_after_fen"][0]


# -- pieces ----------------------------------------------------------------------------------------

AMOUNTS = st.integers(0, 10**16)


@given(st.lists(st.integers(0, 10**14), min_size=1, max_size=12), st.integers(0, 10**14))
@settings(max_examples=200, deadline=None)
def test_the_parts_of_the_pot_add_up_and_are_within_a_fen_of_their_due(goods, pot):
    frame = pl.DataFrame(
        {"row": [0] * len(goods), "gnum": range(1, len(goods) + 1), "goods_fen": goods},
        schema={"row": pl.UInt32, "gnum": pl.Int64, "goods_fen": pl.Int64},
    )
    total = sum(goods)
    parts = share(frame, pl.Series([pot]), pl.Series([total])).to_list()
    assert sum(parts) == pot
    weights = goods if total else [1] * len(goods)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(pot * weight, sum(weights))) < 1


@given(AMOUNTS)
@settings(max_examples=100, deadline=None)
def test_fen_are_rounded_half_up(amount):
    frame = pl.DataFrame({"x": [amount]}, schema={"x": pl.Int128})
    assert frame.select(fen(pl.col("x"))).item() == int(Fraction(amount, 1000) + Fraction(1, 2))


@given(st.integers(0, 10**30), st.integers(1, 10**6))
@settings(max_examples=100, deadline=None)
def test_half_up_is_exact_in_128_bits(numerator, denominator):
    frame = pl.DataFrame({"n": [numerator]}, schema={"n": pl.Int128})
    got = frame.select(half_up(pl.col("n"), denominator)).item()
    assert got == int(Fraction(numerator, denominator) + Fraction(1, 2))


def test_amounts_of_fewer_decimals_are_brought_to_five_and_of_more_refused():
    two = pl.DataFrame({"x": [Decimal("1.25")]}, schema={"x": pl.Decimal(10, 2)})
    assert two.select(fifths(two, "x")).item() == 125_000
    six = pl.DataFrame({"x": [Decimal("1.25")]}, schema={"x": pl.Decimal(19, 6)})
    with pytest.raises(ValueError, match="more than 5"):
        fifths(six, "x")


def test_money_is_printed_in_yuan_with_two_decimals():
    assert [yuan_text(x) for x in (0, 5, 100, 123_456, -7)] == [
        "0.00",
        "0.05",
        "1.00",
        "1234.56",
        "-0.07",
    ]


# -- derivation ------------------------------------------------------------------------------------


def figures(formula: str) -> Fraction:
    """The value of a formula of a derivation, computed from its text with exact fractions."""
    text = re.sub(r"(\d+(?:\.\d+)?)%", r"(\1/100)", formula)
    text = text.replace("×", "*").replace("÷", "/").replace("−", "-")

    def value(node):
        if isinstance(node, ast.BinOp):
            left, right = value(node.left), value(node.right)
            return {
                ast.Add: lambda: left + right,
                ast.Sub: lambda: left - right,
                ast.Mult: lambda: left * right,
                ast.Div: lambda: left / right,
            }[type(node.op)]()
        return Fraction(ast.get_source_segment(text, node))

    return value(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize("day", ["2015-06-01", "2016-09-30", "2018-06-01", "2022-06-01"])
@pytest.mark.parametrize("price", [120, 6000])
def test_every_formula_of_a_derivation_gives_the_amount_beside_it(day, price):
    goods = lines(
        {
            "totalPrice": price,
            "gcode": WHISKY,
            "qty1": "0.7",
            "unit1": "095",
            "qty2": "0.75",
            "unit2": "035",
        },
        {"case": 1, "totalPrice": price, "gcode": CREAM, "qty1": "0.01"},
        {"case": 2, "totalPrice": price},
    )
    known = law(day)
    cases = heads({"freight": "10.01"}, {"buyer": "c"}, {"buyer": "d"})
    result = assess(cases, goods, known, used())
    checked = 0
    for case in range(3):
        for step in explain(result, case, known):
            if step.what in ("basis", "duty", "consumption", "vat", "parcel-tax", "value", "total"):
                exact = figures(step.formula)
                assert Fraction(step.value) == Fraction(int(exact * 100 + Fraction(1, 2)), 100)
                checked += 1
            for basis in step.basis:
                assert basis.law
    assert checked >= 12


def test_a_derivation_of_no_case_is_a_key_error():
    result = assess(heads({}), lines({}), law("2022-06-01"), used())
    with pytest.raises(KeyError, match="case 7"):
        explain(result, 7, law("2022-06-01"))
