"""One parcel by itself is the same as a batch of one, in every column and every finding."""

import inspect
from dataclasses import replace
from datetime import date
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongguan import policy
from tongguan.policy import quote as quoting
from tongguan.policy import single, tax, treatment
from tongguan.policy.assess import assess
from tongguan.policy.quote import _HEAD_SCHEMA, _LINE_SCHEMA, Goods
from tongguan.policy.single import assess_one

KNOWN = policy.load()
CODES = [
    *("1901101090", "0402210000", "0409000000", "3304990029", "3304990049", "3303000020"),
    *("2204210000", "2208300000", "2206001000", "2203000000", "9102110000", "4202210090"),
    *("0410901000", "4014100000", "9999999999", "9619001100"),
    *("0401990000", "8517120010", "3304990000"),
]
"""Some are taxed by value, some by quantity, some are for bonded import only, and some no tariff
has, of which the positive lists know the first eight digits or not."""
DAYS = [
    *("2014-06-01", "2016-04-07", "2016-04-08", "2016-09-30", "2016-10-01", "2018-05-01"),
    *("2018-12-31", "2019-01-01", "2022-03-01", "2026-06-01"),
]
FIVE = st.one_of(
    st.integers(0, 10**9).map(lambda n: Decimal(n).scaleb(-5)),
    st.integers(0, 10**6).map(lambda n: Decimal(n).scaleb(-2)),
    st.sampled_from([Decimal(x) for x in ("0", "0.01", "2000", "5000", "26000", "1000000000000")]),
)
MONEY = st.one_of(
    FIVE, FIVE, st.sampled_from([None, Decimal("-0.01"), Decimal("1000000000000.00001")])
)
"""Also amounts that cannot be reckoned with."""
AMOUNT = st.one_of(st.none(), FIVE, st.sampled_from([Decimal("0.1"), Decimal(1), Decimal(50)]))
UNIT = st.sampled_from([None, "035", "036", "095", "096", "007", "008", "011", "020", "999"])
LINE = st.fixed_dictionaries(
    {
        "gcode": st.sampled_from(CODES),
        "qty": st.sampled_from([None, Decimal(1), Decimal(2), Decimal("1.5")]),
        "totalPrice": MONEY,
        "qty1": AMOUNT,
        "unit1": UNIT,
        "qty2": AMOUNT,
        "unit2": UNIT,
    }
)


@settings(max_examples=250, deadline=None)
@given(
    day=st.sampled_from(DAYS).map(date.fromisoformat),
    lines=st.lists(LINE, min_size=1, max_size=5),
    pots=st.tuples(MONEY, MONEY),
    used=st.sampled_from([0, 1_900_000, 2_000_000, 2_500_000, 2_600_000]),
    mode=st.sampled_from(["1210", "9610", None]),
    eligible=st.sampled_from([True, True, False]),
    whole=st.booleans(),
    gone=st.sets(st.sampled_from([code[:8] for code in CODES])),
)
def test_one_parcel_is_a_batch_of_one(
    day: date,
    lines: list[dict],
    pots: tuple,
    used: int,
    mode: str | None,
    eligible: bool,
    whole: bool,
    gone: set[str],
) -> None:
    law = KNOWN.on(day)
    if law.positive_list_version is not None:
        kept = law.positive_list.filter(~pl.col("code8").is_in(list(gone)))
        law = replace(
            law, positive_list=kept, positive_list_complete=whole, withdrawn=frozenset(gone)
        )
    head = dict(zip(_HEAD_SCHEMA, (0, "buyer", mode, *pots, eligible), strict=True))
    rows = [
        {"case": 0, "gnum": n, "price": line["totalPrice"], **line}
        for n, line in enumerate(lines, 1)
    ]
    columns, alone = by_columns(head, rows, law, used), assess_one(head, rows, law, used)
    assert alone.findings == columns.findings
    assert alone.head == columns.head
    assert alone.lines == columns.lines


def by_columns(head: dict, rows: list[dict], law: policy.Law, used_fen: int) -> single.Outcome:
    heads, lines = pl.DataFrame([head], _HEAD_SCHEMA), pl.DataFrame(rows, _LINE_SCHEMA)
    used = pl.DataFrame({"buyer": ["buyer"], "used_fen": [used_fen]})
    found = assess(heads, lines, law, used)
    return single.Outcome(
        found.heads.row(0, named=True), found.lines.to_dicts(), found.findings.to_dicts()
    )


def test_a_quote_is_that_of_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    whisky = Goods("2208300000", Decimal(500), 1, qty1="0.7", unit1="095", qty2="0.7", unit2="035")
    baskets = {
        "taxed": [
            Goods("1901101090", Decimal("199.99"), 3),
            whisky,
            Goods("3304990029", Decimal(1000), 1, qty1="0.05"),
        ],
        "limit.single": [Goods("1901101090", 3000, 2)],
        "goods.unknown-code": [Goods("9999999999", 100), whisky],
        "goods.tax-quantity": [Goods("3304990029", 100, 1, unit1="011", qty2="0.50")],
        "message.field": [Goods("1901101090", 10**12 + 1)],
    }
    for name, basket in baskets.items():
        for day in (date(2015, 6, 1), date(2017, 6, 1), date(2022, 6, 1)):
            quick = quoting(KNOWN, day, basket, "10.01", "3")
            with monkeypatch.context() as patch:
                patch.setattr(inspect.getmodule(quoting), "assess_one", by_columns)
                assert quoting(KNOWN, day, basket, "10.01", "3") == quick
        rules = {finding["rule"] for finding in quick.findings}
        assert name == "taxed" or name in rules, "the case is what it is called"


def test_the_formulas_stand_once() -> None:
    """The road of one parcel has no rate, product, limit or rule of its own."""
    source = inspect.getsource(single)
    words = ("half_up", "MILLION -", "* 7", "annual_within_fen +", "single_within_fen", "goods.")
    for word in words:
        assert word not in source
    for formula in (tax.terms, tax.compound_terms, treatment.alone, treatment.settled):
        assert f".{formula.__name__}(" in source
