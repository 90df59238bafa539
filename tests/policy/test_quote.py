"""What a basket costs: the shape of the answer, its derivation, and clear errors."""

import json
from datetime import date
from decimal import Decimal

import pytest

from tongguan import policy
from tongguan.policy.quote import Goods, QuoteErrors, quote, rows_to_print

DAY = date(2022, 6, 1)
CREAM, FORMULA, WATCH = "3304990099", "1901101090", "9102110000"


@pytest.fixture(scope="module")
def known():
    return policy.load()


def test_the_example_of_the_design_page(known):
    result = quote(known, date(2016, 5, 1), [Goods(FORMULA, "200", 2)], used="19000")
    facts = json.loads(result.to_json())
    assert list(facts) == [
        "regime",
        "duty",
        "consumption",
        "vat",
        "total",
        "lines",
        "findings",
        "basis",
    ]
    assert facts["regime"] == "retail-import"
    assert (facts["duty"], facts["consumption"]) == ("0.00", "0.00")
    assert (facts["vat"], facts["total"]) == ("47.60", "47.60")
    assert facts["findings"] == []
    (line,) = facts["lines"]
    assert (line["gnum"], line["code"], line["qty"]) == (1, FORMULA, "2")
    assert (line["goods"], line["basis"], line["vat"]) == ("400.00", "400.00", "47.60")
    assert line["rates"] == {"duty": "0%", "ct": "0%", "vat": "17%", "levy": "70%"}


def test_the_basis_names_parameter_value_day_paragraph_and_confidence(known):
    facts = quote(known, date(2016, 5, 1), [Goods(FORMULA, "200", 2)]).facts()
    by_parameter = {basis["parameter"]: basis for basis in facts["basis"]}
    assert len(by_parameter) == len(facts["basis"])
    assert by_parameter["retail-import.levy-fraction"] == {
        "parameter": "retail-import.levy-fraction",
        "value": "0.70",
        "since": "2016-04-08",
        "law": "财关税〔2016〕18号 第三条",
        "confirmed": True,
    }
    assert by_parameter["vat.standard"]["since"] == "1994-01-01"
    assert by_parameter["import.rounding"]["confirmed"] is False


def test_full_tax_rests_on_the_row_of_the_tariff(known):
    facts = quote(known, date(2026, 6, 1), [Goods(FORMULA, 6000)]).facts()
    (duty,) = [b for b in facts["basis"] if b["parameter"].startswith("tariff.")]
    assert duty["parameter"] == f"tariff.{FORMULA}.interim"
    assert (duty["value"], duty["since"], duty["confirmed"]) == ("5%", None, True)


def test_a_refusal_is_an_answer_with_its_findings(known):
    facts = quote(known, DAY, [Goods(FORMULA, 3000, 2)], used=25_000).facts()
    assert (facts["regime"], facts["total"]) == ("refused", "0.00")
    assert facts["findings"] == [
        {
            "rule": "limit.single",
            "code": "-621005",
            "severity": "error",
            "document": "inventory",
            "gnum": None,
            "field": None,
            "expected": "5000.00",
            "actual": "6000.00",
            "law": "财关税〔2018〕49号 第一条",
        },
        {
            "rule": "limit.annual",
            "code": "1313",
            "severity": "error",
            "document": "inventory",
            "gnum": None,
            "field": None,
            "expected": "26000.00",
            "actual": "31000.00",
            "law": "财关税〔2018〕49号 第一条",
        },
    ]


def test_legal_quantities_left_out_are_taken_from_pieces_only(known):
    watch = quote(known, DAY, [Goods(WATCH, 100, 2)]).facts()
    assert watch["findings"] == []  # the tariff counts watches in pieces
    cream = quote(known, DAY, [Goods(CREAM, 100, 2)]).facts()
    assert [f["rule"] for f in cream["findings"]] == ["goods.tax-quantity"]
    weighed = quote(known, DAY, [Goods(CREAM, 100, 2, qty1="0.1")]).facts()
    assert weighed["findings"] == []  # a unit left out is the tariff's


def test_the_rows_to_print_are_in_both_languages_and_mark_what_is_unconfirmed(known):
    result = quote(known, DAY, [Goods(FORMULA, "200", 2)], freight="10")
    zh, en = (list(rows_to_print(result, language)) for language in ("zh", "en"))
    assert len(zh) == len(en) == len(result.steps)
    assert ("1", "完税价格", "400.00 + 10.00", "410.00", "") in zh
    assert ("1", "price basis", "400.00 + 10.00", "410.00", "") in en
    assert ("限值以内", "within") in {(a[3], b[3]) for a, b in zip(zh, en, strict=True)}
    assert "（未证实）" in zh[-1][4]
    assert "(unconfirmed)" in en[-1][4]
    assert any("财关税〔2016〕18号 第三条" in row[4] for row in zh)


def test_exact_amounts_only_and_all_faults_at_once(known):
    basket = [
        Goods("33", "1.234567", 0),
        Goods(FORMULA, 1.5, 1),  # type: ignore[arg-type]
        Goods(FORMULA, "nan", "x", qty1=-1, unit1="kg"),
        Goods(FORMULA, "99999999999999", 2),
    ]
    with pytest.raises(QuoteErrors) as caught:
        quote(known, DAY, basket, freight="-1", insurance=None, used="0.001", trade_mode="0110")  # type: ignore[arg-type]
    assert [(e.line, e.field) for e in caught.value.errors] == [
        (None, "mode"),
        (None, "freight"),
        (None, "insurance"),
        (None, "used"),
        (1, "code"),
        (1, "price"),
        (1, "qty"),
        (2, "price"),
        (3, "price"),
        (3, "qty"),
        (3, "unit1"),
        (3, "qty1"),
        (4, "price"),
    ]
    assert "line 2, price: expected a number" in str(caught.value)


def test_an_empty_basket_is_an_error(known):
    with pytest.raises(QuoteErrors, match="at least one line"):
        quote(known, DAY, [])


def test_a_day_outside_what_is_known_is_an_error_not_a_guess(known):
    with pytest.raises(policy.OutsideKnown):
        quote(known, date(2011, 1, 1), [Goods(FORMULA, 1)])


def test_price_times_quantity_is_rounded_once_to_five_decimals(known):
    facts = quote(known, DAY, [Goods(FORMULA, "0.33333", "1.5")]).facts()
    assert facts["lines"][0]["goods"] == "0.50"  # 0.499995
    huge = quote(known, DAY, [Goods(FORMULA, Decimal("33333333.33333"), "3")])
    assert huge.lines[0]["goods"] == "100000000.00"
