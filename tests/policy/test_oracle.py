"""A second, slow reading of the law, in fractions and case by case; the kernel must agree with it.

Nothing of the kernel is imported but `assess` and `assess_one`, the things under test. The figures
of the law stand here a second time, typed from the notices, so that a slip in a parameter file
shows too.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import floor

import polars as pl
import pytest

from tongguan import policy
from tongguan.policy.assess import assess
from tongguan.policy.single import assess_one

BASKETS_PER_ERA = 11_200
BATCH = 1_400

# -- the law, typed again --------------------------------------------------------------------------


def in_force(history: list[tuple[str, object]], day: date):
    return [value for since, value in history if date.fromisoformat(since) <= day][-1]


STANDARD_VAT = [("1994-01-01", 17), ("2018-05-01", 16), ("2019-04-01", 13)]
REDUCED_VAT = [("1994-01-01", 13), ("2017-07-01", 11), ("2018-05-01", 10), ("2019-04-01", 9)]
COSMETICS = [("1994-01-01", 30), ("2016-10-01", 15)]
PARCEL_TIERS = {1: 10, 2: 20, 3: 30, 4: 50}
SINGLE = [("2016-04-08", 2_000), ("2019-01-01", 5_000)]
ANNUAL = [("2016-04-08", 20_000), ("2019-01-01", 26_000)]

GRAMS = {"035": 1000, "036": 1, "070": 1_000_000, "075": 500, "080": 50}
MILLILITRES = {"095": 1000, "096": 1, "063": 1_000_000}
SHEETS = {"010": 1, "020": 1, "044": 100, "058": 1000, "059": 10_000}
WATCHES = {"007": 1, "008": 1, "011": 1, "017": 1, "054": 1000}


@dataclass(frozen=True)
class Good:
    """A tariff line of the test: percentages as Fractions, None where the table is silent."""

    code: str
    mfn: str = "10"
    interim: str = ""
    vat: str = "13"  # of 2026: 13 is the standard rate, 9 the reduced one, any other fixed
    tax: str = "0"  # consumption tax as the table writes it
    percent: int = 0
    specific: Fraction = Fraction(0)  # yuan per unit of `per`
    per: str = ""
    tier: int | None = 1
    listed: bool = True
    bonded_only: bool = False


GOODS = [
    Good("1901101090", mfn="15", interim="5", vat="13"),
    Good("0402210000", mfn="10", vat="9"),
    Good("9619001100", mfn="4", interim="0", tier=2),
    Good("3304990099", mfn="1", tax="15%", percent=15, tier=4),
    Good("3303000010", mfn="3", tax="15%", percent=15, tier=4, bonded_only=True),
    Good("9102110000", mfn="10", tax="20%", percent=20, tier=3),
    Good("2204210000", mfn="14", tax="10%", percent=10, tier=4),
    Good(
        "2208300000",
        mfn="10",
        tax="20%+1元/公斤",
        percent=20,
        specific=Fraction(1),
        per="mass",
        tier=4,
    ),
    Good("2206001000", mfn="40", tax="240元/吨", specific=Fraction(240, 1000), per="mass", tier=4),
    Good(
        "2203000000",
        mfn="0",
        tax="0.2495 CNY/L",
        specific=Fraction(2495, 10_000),
        per="volume",
        tier=4,
    ),
    Good("9999000000", mfn="3", vat="3", tier=None),  # made up, so that no table knows its tier
    Good("0207120000", mfn="", vat="9"),  # a specific duty that a percentage cannot say
    Good("4901990000", mfn="0", vat="9", listed=False),
    Good("6109100000", mfn="6.5", interim="3.25", tier=2),
    Good("4202210090", mfn="6", tier=3, bonded_only=True),
]
BY_CODE = {good.code: good for good in GOODS}
UNKNOWN = "9999999999"


def half_up(exact: Fraction) -> int:
    return floor(exact + Fraction(1, 2))


def vat_of(good: Good, day: date) -> Fraction:
    history = {"13": STANDARD_VAT, "9": REDUCED_VAT}.get(good.vat)
    return Fraction(in_force(history, day) if history else int(good.vat), 100)


def amount_in(line: dict, units: dict[str, int]) -> Fraction | None:
    """The first legal quantity that is given in one of these units."""
    for quantity, unit in (("qty1", "unit1"), ("qty2", "unit2")):
        if line[quantity] is not None and line[quantity] > 0 and line[unit] in units:
            return Fraction(line[quantity]) * units[line[unit]]
    return None


def consumption_tax(good: Good, line: dict, day: date) -> tuple[Fraction, Fraction] | None:
    """Rate and specific yuan of one line; None where the quantities cannot decide."""
    rate = Fraction(good.percent, 100)
    price = Fraction(line["totalPrice"])
    heading = good.code[:4]
    if heading in ("3303", "3304"):
        rate = Fraction(in_force(COSMETICS, day), 100)
        if day >= date(2016, 10, 1):
            tests = [
                (amount_in(line, GRAMS), 10),
                (amount_in(line, MILLILITRES), 10),
                (amount_in(line, SHEETS), 15),
            ]
            given = [(amount, least) for amount, least in tests if amount is not None]
            if not given:
                return None
            if not any(price >= amount * least for amount, least in given):
                rate = Fraction(0)
    elif heading in ("9101", "9102"):
        amount = amount_in(line, WATCHES)
        if amount is None:
            return None
        if price < amount * 10_000:
            rate = Fraction(0)
    if not good.specific:
        return rate, Fraction(0)
    amount = amount_in(line, GRAMS if good.per == "mass" else MILLILITRES)
    if amount is None:
        return None
    return rate, amount / 1000 * good.specific


def shares(pot: int, lines: list[dict]) -> list[int]:
    """Whole fen in proportion to the lines; the rest to the largest remainders, then by gnum."""
    weights = [line["goods_fen"] for line in lines]
    if sum(weights) == 0:
        weights = [1] * len(lines)
    exact = [Fraction(pot * weight, sum(weights)) for weight in weights]
    parts = [floor(part) for part in exact]
    order = sorted(range(len(lines)), key=lambda i: (parts[i] - exact[i], lines[i]["gnum"]))
    for i in order[: pot - sum(parts)]:
        parts[i] += 1
    return parts


def line_taxes(good: Good, line: dict, day: date, full: bool) -> tuple[int, int, int]:
    basis = Fraction(line["basis_fen"])
    levy = Fraction(1) if full else Fraction(7, 10)
    duty = basis * Fraction(good.interim or good.mfn) / 100 if full else Fraction(0)
    rate, specific_yuan = consumption_tax(good, line, day)
    specific = specific_yuan * 100
    consumption = (basis + duty + specific) / (1 - rate) * rate + specific
    vat = (basis + duty + consumption) * vat_of(good, day)
    return half_up(duty), half_up(consumption * levy), half_up(vat * levy)


def goods_rules(case: dict, day: date) -> set[tuple[str, int | None]]:
    found = set()
    parcels = day < date(2016, 4, 8)
    for line in case["lines"]:
        good, gnum = BY_CODE.get(line["gcode"]), line["gnum"]
        if good is None or (parcels and good.tier is None):
            found.add(("goods.unknown-code", gnum))
        if parcels:
            continue
        if good is None or not good.listed:
            found.add(("goods.not-listed", gnum))
        if good is not None:
            if good.bonded_only and good.listed and case["tradeMode"] not in ("1210", "1239"):
                found.add(("goods.bonded-only", gnum))
            if consumption_tax(good, line, day) is None:
                found.add(("goods.tax-quantity", gnum))
    return found


def duty_unknown(case: dict) -> set[tuple[str, int | None]]:
    return {
        ("goods.unknown-code", line["gnum"])
        for line in case["lines"]
        if (good := BY_CODE.get(line["gcode"])) and not good.interim and not good.mfn
    }


def decide(case: dict, day: date, before: int) -> dict:
    """Regime, findings, and what the buyer's year takes, of one case after `before` fen."""
    for line in case["lines"]:
        line["goods_fen"] = half_up(Fraction(line["totalPrice"]) * 100)
    pot = half_up(Fraction(case["freight"]) * 100) + half_up(Fraction(case["insuredFee"]) * 100)
    for line, part in zip(case["lines"], shares(pot, case["lines"]), strict=True):
        line["charges_fen"] = part
        line["basis_fen"] = line["goods_fen"] + part
    value = sum(line["basis_fen"] for line in case["lines"])
    found = goods_rules(case, day)
    if day < date(2016, 4, 8):
        regime, counts = "parcel-tax", False
    else:
        over_single = value > in_force(SINGLE, day) * 100
        over_annual = before + value > in_force(ANNUAL, day) * 100
        one = len(case["lines"]) == 1 and case["lines"][0]["qty"] == 1
        if day < date(2019, 1, 1):
            regime = "general-trade" if over_single or over_annual else "retail-import"
            counts = regime == "retail-import"
        else:
            if over_single and not one:
                found.add(("limit.single", None))
            if over_annual:
                found.add(("limit.annual", None))
            regime, counts = ("general-trade" if over_single else "retail-import"), True
    if regime == "general-trade" and not found:
        found |= duty_unknown(case)
    if found:
        regime, counts = "refused", False
    counted = value if counts and case["eligible"] else 0
    return {"regime": regime, "found": found, "value_fen": value, "counted_fen": counted}


def tax(case: dict, regime: str, day: date) -> list[tuple[int, int, int, int, int]]:
    """Per line: duty, consumption tax, VAT, parcel tax due, parcel tax waived; fen."""
    if regime == "refused":
        return [(0, 0, 0, 0, 0)] * len(case["lines"])
    if regime == "parcel-tax":
        dues = [
            half_up(line["basis_fen"] * Fraction(PARCEL_TIERS[BY_CODE[line["gcode"]].tier], 100))
            for line in case["lines"]
        ]
        if sum(dues) <= 5_000:
            return [(0, 0, 0, 0, due) for due in dues]
        return [(0, 0, 0, due, 0) for due in dues]
    full = regime == "general-trade"
    return [(*line_taxes(BY_CODE[line["gcode"]], line, day, full), 0, 0) for line in case["lines"]]


# -- random baskets --------------------------------------------------------------------------------

ERAS = [
    "2015-06-01",
    "2016-04-07",
    "2016-04-20",
    "2016-09-30",
    "2016-10-01",
    "2018-04-30",
    "2018-12-31",
    "2019-01-01",
    "2020-02-29",
    "2025-11-11",
]
FIVE = pl.Decimal(19, 5)
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
UNITS = ["035", "036", "095", "096", "011", "008", "020", "010", "075", "142", None]


def yuan(dice: random.Random, units: int) -> Decimal:
    """An amount below `units` hundred-thousandths of a yuan, often a round one."""
    amount = dice.randrange(units)
    if dice.random() < 0.7:
        amount -= amount % 1000
    return Decimal(amount).scaleb(-5)


def price(dice: random.Random) -> Decimal:
    kind = dice.random()
    if kind < 0.03:
        return Decimal(0)
    if kind < 0.10:  # at a limit or at a condition's price, and one step either side of it
        edge = dice.choice([2_000, 5_000, 20_000, 26_000, 10, 100, 1_000, 15, 150, 10_000])
        return max(Decimal(0), edge + Decimal(dice.randint(-2, 2)).scaleb(-dice.choice([2, 5])))
    if kind < 0.12:
        return yuan(dice, 10**15)
    return yuan(dice, 10 ** dice.choice([6, 7, 7, 8, 8, 9]))


def random_line(dice: random.Random, case: int, gnum: int) -> dict:
    good = dice.choice(GOODS) if dice.random() < 0.99 else None
    quantities = {}
    for n in ("1", "2"):
        given = dice.random() < (0.95 if n == "1" else 0.4)
        amount = dice.choice(
            [1, 2, 10, 100, Decimal("0.1"), Decimal("0.75"), Decimal("0.00001"), 0]
        )
        if dice.random() < 0.3:
            amount = yuan(dice, 10**8)
        quantities[f"qty{n}"] = Decimal(amount) if given else None
        quantities[f"unit{n}"] = dice.choice(UNITS) if given else None
    if good and dice.random() < 0.7:
        quantities["qty1"] = quantities["qty1"] or Decimal(1)
        quantities["unit1"] = dice.choice(
            ["008"] if good.code.startswith("91") else ["095"] if good.per == "volume" else ["035"]
        )
    qty = Decimal(dice.choice([1, 1, 1, 2, 3, Decimal("1.5")]))
    return {
        "case": case,
        "gnum": gnum,
        "gcode": good.code if good else UNKNOWN,
        "qty": qty,
        "unit": "011",
        "price": Decimal(1),
        "totalPrice": price(dice),
        **quantities,
    }


def random_batch(dice: random.Random) -> tuple[list[dict], dict[str, int]]:
    cases = []
    for number in range(BATCH):
        count = dice.choice([1, 1, 1, 1, 2, 2, 3, 7])
        pots = dice.random()
        cases.append(
            {
                "case": number * 3 + 1,
                "buyer": f"buyer-{dice.randrange(BATCH // 2)}",
                "tradeMode": dice.choice(["1210", "1239", "9610"]),
                "freight": Decimal(0) if pots < 0.4 else yuan(dice, 10**7),
                "insuredFee": Decimal(0) if pots < 0.7 else yuan(dice, 10**6),
                "eligible": dice.random() < 0.95,
                "lines": [random_line(dice, number * 3 + 1, n + 1) for n in range(count)],
            }
        )
    used = {
        f"buyer-{n}": dice.choice([0, 1_500_000, 1_950_000, 2_000_000, 2_590_000, 2_600_000])
        for n in range(0, BATCH // 2, 2)
    }
    return cases, used


@pytest.fixture(scope="module")
def law_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    tariff = folder / "tariff.csv"
    rows = [
        f"{g.code},试验,035,011,{g.mfn},,{g.interim},{g.vat},{g.tax},,2026-01,test,{g.tier or ''}"
        for g in GOODS
    ]
    tariff.write_text(
        "code,name_zh,unit1,unit2,mfn_pct,general_pct,interim_pct,vat_pct,consumption_tax,"
        "supervision,as_of,source,parcel_tier\n" + "\n".join(rows) + "\n",
        encoding="utf-8",
    )
    listed = folder / "list.csv"
    rows = [
        f"{g.code[:8]},试验,{'仅限网购保税商品' if g.bonded_only else ''},test"
        for g in GOODS
        if g.listed
    ]
    listed.write_text("code8,name,remark,source\n" + "\n".join(rows) + "\n", encoding="utf-8")
    lists = [
        policy.read_positive_list(listed, version, date.fromisoformat(effective))
        for version, effective in (
            ("2016-1", "2016-04-08"),
            ("2016-2", "2016-04-16"),
            ("2018", "2019-01-01"),
            ("2019", "2020-01-01"),
            ("2022", "2022-03-01"),
        )
    ]
    edition = policy.read_tariff(tariff, date(2012, 4, 15))
    return policy.load(tariffs=[edition], positive_lists=lists).on


def frames(cases: list[dict], used: dict[str, int]):
    heads = pl.DataFrame([{k: c[k] for k in HEADS} for c in cases], schema=HEADS)
    lines = pl.DataFrame(
        [{k: x[k] for k in LINES} for c in cases for x in c["lines"]], schema=LINES
    )
    given = pl.DataFrame(
        {"buyer": list(used), "used_fen": list(used.values())},
        schema={"buyer": pl.String, "used_fen": pl.Int64},
    )
    return heads, lines, given


def findings_by_case(assessment) -> dict[int, set]:
    found = defaultdict(set)
    for case, gnum, rule in (
        assessment.findings.filter(severity="error").select("case", "gnum", "rule").iter_rows()
    ):
        found[case].add((rule, gnum))
    return found


HEAD_FACTS = (
    "regime",
    "value_fen",
    "duty_fen",
    "consumption_fen",
    "vat_fen",
    "parcel_tax_fen",
    "waived_fen",
    "total_fen",
    "counted_fen",
    "used_before_fen",
    "used_after_fen",
    "refused",
)
LINE_FACTS = (
    "goods_fen",
    "charges_fen",
    "basis_fen",
    "duty_fen",
    "consumption_fen",
    "vat_fen",
    "parcel_tax_fen",
    "waived_fen",
)


def agrees_alone(case: dict, law, before: int, want: dict, taxes: list[tuple[int, ...]]) -> None:
    """One parcel by itself has the figures and the findings of the slow reading."""
    alone = assess_one({k: case[k] for k in HEADS}, case["lines"], law, before)
    assert {(f["rule"], f["gnum"]) for f in alone.findings} == want["found"], case
    sums = [sum(column) for column in zip(*taxes, strict=True)]
    facts = (want["regime"], want["value_fen"], *sums, sum(sums[:4]), want["counted_fen"])
    assert tuple(alone.head[k] for k in HEAD_FACTS[:9]) == facts, case
    assert alone.head["used_after_fen"] == before + want["counted_fen"], case
    for line, taxed, row in zip(case["lines"], taxes, alone.lines, strict=True):
        parts = (line["goods_fen"], line["charges_fen"], line["basis_fen"])
        assert tuple(row[k] for k in LINE_FACTS) == (*parts, *taxed), line


@pytest.mark.parametrize("era", ERAS)
def test_the_kernel_agrees_with_the_slow_reading_of_the_law(era, law_of):
    day = date.fromisoformat(era)
    dice = random.Random(f"oracle {era}")
    regimes = set()
    for batch in range(BASKETS_PER_ERA // BATCH):
        cases, used = random_batch(dice)
        result = assess(*frames(cases, used)[:2], law_of(day), frames(cases, used)[2])
        heads = result.heads.select("case", *HEAD_FACTS).rows()
        lines = iter(result.lines.select("case", "gnum", *LINE_FACTS).rows())
        found = findings_by_case(result)
        year = defaultdict(int, used)
        for case, head in zip(cases, heads, strict=True):
            before = year[case["buyer"]]
            want = decide(case, day, before)
            taxes = tax(case, want["regime"], day)
            sums = [sum(column) for column in zip(*taxes, strict=True)]
            year[case["buyer"]] += want["counted_fen"]
            assert found[case["case"]] == want["found"], case
            assert head == (
                case["case"],
                want["regime"],
                want["value_fen"],
                *sums,
                sum(sums[:4]),
                want["counted_fen"],
                before,
                before + want["counted_fen"],
                want["regime"] == "refused",
            ), case
            for line, taxed in zip(case["lines"], taxes, strict=True):
                parts = (line["goods_fen"], line["charges_fen"], line["basis_fen"])
                assert next(lines) == (case["case"], line["gnum"], *parts, *taxed), line
            regimes.add(want["regime"])
            if batch == 0:
                agrees_alone(case, law_of(day), before, want, taxes)
    expected = {"parcel-tax"} if day < date(2016, 4, 8) else {"retail-import", "general-trade"}
    assert regimes == expected | {"refused"}


def test_at_least_a_hundred_thousand_baskets_are_compared():
    assert len(ERAS) * BASKETS_PER_ERA >= 100_000
    assert BASKETS_PER_ERA % BATCH == 0
