"""Cases a lawyer can read: the quote must give each the amounts and the paragraph it names."""

import csv
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from tongguan import policy
from tongguan.policy.quote import Goods, Quote, quote

MONEY = ("duty", "consumption", "vat", "total")
KEYS = {
    *("id", "zh", "en", "day", "law", "source", "working"),
    *("goods", "freight", "insurance", "used", "mode", "expect"),
}

CASES = [
    pytest.param(case, id=f"{path.stem}: {case['en']}")
    for path in sorted(Path(__file__).parent.glob("*.yaml"))
    for case in yaml.safe_load(path.read_text("utf-8"))
]


@pytest.fixture(scope="session")
def known():
    return policy.load()


def quoted(known, case) -> Quote:
    return quote(
        known,
        case["day"],
        [Goods(**goods) for goods in case["goods"]],
        freight=case.get("freight", 0),
        insurance=case.get("insurance", 0),
        used=case.get("used", 0),
        trade_mode=case.get("mode", "1210"),
    )


@pytest.mark.parametrize("case", CASES)
def test_the_law_makes_of_the_basket_what_the_case_says(case, known):
    expect = case["expect"]
    facts = quoted(known, case).facts()
    assert facts["regime"] == expect["regime"]
    assert {m: facts[m] for m in MONEY} == {m: expect.get(m, "0.00") for m in MONEY}
    refusing = sorted(f["rule"] for f in facts["findings"] if f["severity"] == "error")
    assert refusing == sorted(expect.get("findings", []))
    if "charges" in expect:
        assert [line["charges"] for line in facts["lines"]] == expect["charges"]
    assert case["law"] in {x["law"] for x in (*facts["basis"], *facts["findings"])}


def test_the_cases_are_well_formed_and_many():
    cases = [param.values[0] for param in CASES]
    assert len(cases) >= 160
    for case in cases:
        assert case.keys() <= KEYS, case
        assert isinstance(case["day"], date), case
        assert case["zh"], case
    assert len({case["en"] for case in cases}) == len(cases)


def test_the_lines_of_a_quote_add_up_to_its_totals(known):
    for case in (param.values[0] for param in CASES):
        facts = quoted(known, case).facts()
        for money in MONEY:
            parts = sum(Decimal(line[money]) for line in facts["lines"])
            assert parts == Decimal(facts[money]), case["en"]
        paid = sum(Decimal(facts[m]) for m in ("duty", "consumption", "vat"))
        parcel = sum(Decimal(line["parcel_tax"]) for line in facts["lines"])
        assert paid + parcel == Decimal(facts["total"])


def test_the_published_vectors_are_among_the_cases(shared):
    ours = {p.values[0]["id"]: p.values[0] for p in CASES if "id" in p.values[0]}
    with (shared / "policy/data/test_vectors_tax.csv").open(encoding="utf-8") as file:
        vectors = list(csv.DictReader(file))
    assert {v["id"] for v in vectors} == ours.keys()
    for vector in vectors:
        case = ours[vector["id"]]
        worth = sum(Decimal(g["price"]) * g.get("qty", 1) for g in case["goods"])
        assert worth == Decimal(vector["dutiable_price"])
        assert case["day"] == date.fromisoformat(vector["date"])
        published = [vector[f] for f in ("duty", "ct_payable", "vat_payable", "total")]
        assert [case["expect"].get(m, "0.00") for m in MONEY] == published
