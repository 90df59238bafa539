"""The greedy allotment, against a simple loop."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from tongguan import finance
from tongguan.finance import guarantees

SCHEMA = {"case": pl.UInt32, "guarantor": pl.String, "tax_fen": pl.Int64, "eligible": pl.Boolean}
CODES = ["A", "B", "C", None]


def _states(rows: list[tuple[str, bool, bool, int, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=guarantees.STATES, orient="row")


def _cases(rows: list[tuple[str | None, int, bool]]) -> pl.DataFrame:
    return pl.DataFrame([(n, *row) for n, row in enumerate(rows)], schema=SCHEMA, orient="row")


def _loop(rows, free, frozen, opened):
    """The rule as one says it, one case after the other: (holds, refused) of each."""
    left, told = dict(free), []
    for guarantor, tax, eligible in rows:
        if guarantor in frozen:
            told.append((False, True))
        elif guarantor not in left:
            told.append((False, not opened))
        elif tax > left[guarantor]:
            told.append((False, True))
        else:
            held = eligible and tax > 0
            left[guarantor] -= tax if held else 0
            told.append((held, False))
    return told


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(CODES), st.integers(0, 60), st.booleans()), max_size=40
    ),
    free=st.dictionaries(st.sampled_from(["A", "B"]), st.integers(0, 300)),
    frozen=st.sets(st.sampled_from(["A"])),
    opened=st.booleans(),
)
def test_it_is_the_simple_loop(rows, free, frozen, opened):
    frozen &= free.keys()
    states = _states([(c, True, c in frozen, f, f) for c, f in free.items()])
    made = finance.allot(_cases(rows), states, opened)
    refused = set(made.findings.filter(pl.col("severity") == "error")["case"])
    assert [(held, case in refused) for case, held in made.heads.iter_rows()] == _loop(
        rows, free, frozen, opened
    )
    assert made.findings["case"].is_sorted()


def test_a_smaller_one_behind_a_refused_one_still_fits():
    states = _states([("A", True, False, 10_000, 10_000)])
    rows = [("A", 6000, True), ("A", 4001, True), ("A", 4000, True), ("A", 1, True)]
    made = finance.allot(_cases(rows), states, opened_registry=False)
    assert made.heads["holds"].to_list() == [True, False, True, False]
    told = made.findings.select("case", "rule", "severity", "field", "expected", "actual").rows()
    assert told == [
        (1, "guarantee.insufficient", "error", "assureCode", "40.00", "40.01"),
        (3, "guarantee.insufficient", "error", "assureCode", "0.00", "0.01"),
    ]


def test_one_that_is_not_eligible_is_judged_and_takes_nothing():
    states = _states([("A", True, False, 100, 100)])
    rows = [("A", 101, False), ("A", 100, False), ("A", 100, True)]
    made = finance.allot(_cases(rows), states, opened_registry=False)
    assert made.heads["holds"].to_list() == [False, False, True]
    assert made.findings["case"].to_list() == [0]


def test_a_frozen_guarantee_says_so_and_refuses_even_a_tax_of_nothing():
    states = _states([("A", True, True, 100, 100)])
    made = finance.allot(_cases([("A", 0, True), ("A", 5, True)]), states, opened_registry=True)
    assert made.findings["actual"].to_list() == ["frozen", "frozen"]
    assert made.findings["severity"].unique().to_list() == ["error"]
    assert made.heads["holds"].to_list() == [False, False]


def test_an_open_registry_warns_once_of_a_guarantor_without_guarantee():
    rows = [("X", 0, True), ("X", 5, False), ("X", 5, True), ("Y", 1, True), ("X", 9, True)]
    unknown = _states([("X", False, False, 0, 0), ("Y", False, False, 0, 0)])
    made = finance.allot(_cases(rows), unknown, opened_registry=True)
    assert made.findings.select("case", "rule", "severity", "actual").rows() == [
        (2, "guarantee.unlimited", "warning", "X"),
        (3, "guarantee.unlimited", "warning", "Y"),
    ]
    assert not made.heads["holds"].any()


def test_a_closed_registry_refuses_a_guarantor_without_guarantee():
    unknown = _states([("X", False, False, 0, 0)])
    made = finance.allot(_cases([("X", 5, True)]), unknown, opened_registry=False)
    assert made.findings.select("rule", "severity", "expected", "actual").rows() == [
        ("guarantee.insufficient", "error", "a guarantee", "X")
    ]


def test_no_cases_make_nothing():
    made = finance.allot(_cases([]), _states([]), opened_registry=True)
    assert made.heads.schema == pl.Schema(finance.rules.HEADS)
    assert made.findings.schema == pl.Schema(finance.rules.FINDINGS)
