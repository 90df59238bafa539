"""One parcel by itself is the same as a batch of one, in every column; quotes take either road."""

import inspect
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
]
DAYS = [
    *("2014-06-01", "2016-04-07", "2016-04-08", "2016-09-30", "2016-10-01", "2018-05-01"),
    *("2018-12-31", "2019-01-01", "2022-03-01", "2026-06-01"),
]
FIVE = st.one_of(
    st.integers(0, 10**9).map(lambda n: Decimal(n).scaleb(-5)),
    st.integers(0, 10**6).map(lambda n: Decimal(n).scaleb(-2)),
    st.sampled_from([Decimal(x) for x in ("0", "0.01", "2000", "5000", "26000", "1000000000000")]),
)
AMOUNT = st.one_of(st.none(), FIVE, st.sampled_from([Decimal("0.1"), Decimal(1), Decimal(50)]))
UNIT = st.sampled_from([None, "035", "036", "095", "096", "007", "008", "011", "020", "999"])
LINE = st.fixed_dictionaries(
    {
        "gcode": st.sampled_from(CODES),
        "qty": st.sampled_from([Decimal(1), Decimal(2), Decimal("1.5")]),
        "totalPrice": FIVE,
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
    pots=st.tuples(FIVE, FIVE),
    used=st.sampled_from([0, 1_900_000, 2_000_000, 2_500_000, 2_600_000]),
    mode=st.sampled_from(["1210", "9610"]),
)
def test_one_parcel_is_a_batch_of_one(
    day: date, lines: list[dict], pots: tuple[Decimal, Decimal], used: int, mode: str
) -> None:
    law = KNOWN.on(day)
    head = dict(zip(_HEAD_SCHEMA, (0, "buyer", mode, *pots, True), strict=True))
    rows = [
        {"case": 0, "gnum": n, "price": line["totalPrice"], **line}
        for n, line in enumerate(lines, 1)
    ]
    columns = assess(
        pl.DataFrame([head], schema=_HEAD_SCHEMA),
        pl.DataFrame(rows, schema=_LINE_SCHEMA),
        law,
        pl.DataFrame({"buyer": ["buyer"], "used_fen": [used]}),
    )
    alone = assess_one(head, rows, law, used)
    rules = set(columns.findings["rule"])
    assert (alone is None) == bool(rules - {"limit.single", "limit.annual"})
    if alone is not None:
        assert list(alone.findings) == columns.findings.to_dicts()
        assert alone.head == columns.heads.row(0, named=True)
        assert list(alone.lines) == columns.lines.to_dicts()


def test_a_quote_is_the_same_by_either_road(monkeypatch: pytest.MonkeyPatch) -> None:
    basket = [
        Goods("1901101090", Decimal("199.99"), 3),
        Goods("2208300000", Decimal(500), 1, qty1="0.7", unit1="095", qty2="0.7", unit2="035"),
        Goods("3304990029", Decimal(1000), 1, qty1="0.05"),
    ]
    days = (date(2015, 6, 1), date(2017, 6, 1), date(2022, 6, 1))
    quick = [quoting(KNOWN, day, basket, "10.01", "3").facts() for day in days]
    module = inspect.getmodule(quoting)
    monkeypatch.setattr(module, "assess_one", lambda *_: None)
    assert [quoting(KNOWN, day, basket, "10.01", "3").facts() for day in days] == quick


def test_what_is_remarked_on_the_goods_is_left_to_the_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refusal is written in one place."""
    module = inspect.getmodule(quoting)
    asked: list[object] = []
    monkeypatch.setattr(module, "assess", lambda *given: asked.append(given) or assess(*given))
    day = date(2022, 6, 1)
    assert quoting(KNOWN, day, [Goods("1901101090", 100)]).findings == ()
    assert not asked
    assert quoting(KNOWN, day, [Goods("1901101090", 3000, 2)]).regime == "refused"
    assert not asked, "a limit is a formula too"
    assert quoting(KNOWN, day, [Goods("9999999999", 100)]).regime == "refused"
    assert len(asked) == 1


def test_the_formulas_stand_once() -> None:
    """The road of one parcel has no rate, product or limit of its own."""
    source = inspect.getsource(single)
    for word in ("half_up", "MILLION -", "* 7", "annual_within_fen +", "single_within_fen"):
        assert word not in source
    for formula in (tax.terms, tax.compound_terms, treatment.alone, treatment.settled):
        assert f".{formula.__name__}(" in source
