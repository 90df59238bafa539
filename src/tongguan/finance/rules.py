"""Which lists a guarantee can carry: a pure function over columns.

Source: GACC notice 2018-194 (tax is secured before release); receipt code 1311 as observed. That
the lists of one guarantor are served in the order of their arrival, and that a list which does not
fit leaves what is free to those after it, is this project's rule: the notice gives none.
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

INSUFFICIENT, UNLIMITED = "guarantee.insufficient", "guarantee.unlimited"
FIELD = "assureCode"

HEADS: dict[str, Any] = {"case": pl.Int64, "holds": pl.Boolean}
FINDINGS: dict[str, Any] = {
    "case": pl.Int64,
    "rule": pl.String,
    "severity": pl.String,
    "field": pl.String,
    "expected": pl.String,
    "actual": pl.String,
    "law": pl.String,
}


@dataclass(frozen=True, slots=True)
class Allotment:
    """What guarantees carry. heads: HEADS, one row per case; findings: FINDINGS.

    ``law`` is null in the findings: it is that of the rule.
    """

    heads: pl.DataFrame
    findings: pl.DataFrame


def allot(cases: pl.DataFrame, states: pl.DataFrame, opened_registry: bool) -> Allotment:
    """Hold the tax of each case on its guarantee, in the order of arrival, as far as it reaches.

    cases: case (ascending: the order of arrival), guarantor (null: names none), tax_fen,
    eligible. states: ``guarantees.STATES``; a guarantor that is not there is not known.

    A case whose tax is more than what is free then is refused (expected: free, actual: tax) and
    takes nothing, so a smaller one after it may still fit. One that is not eligible is judged the
    same way and takes nothing. A tax of 0 holds nothing. A frozen guarantee refuses every case.
    A guarantor without a guarantee: with an opened registry its cases hold nothing, and the first
    eligible one with tax carries the warning guarantee.unlimited; else they are refused.
    """
    known = states.select("code", "known", "frozen", "free_fen")
    judged = cases.select(
        "guarantor",
        "tax_fen",
        case=pl.col("case").cast(pl.Int64),
        eligible=pl.col("eligible").fill_null(value=False),
    ).join(known, left_on="guarantor", right_on="code", how="left", maintain_order="left")
    judged = judged.with_columns(pl.col("known", "frozen").fill_null(value=False))
    judged = judged.with_columns(asks=pl.col("known") & ~pl.col("frozen"))
    judged = judged.hstack(_serve(judged))
    insufficient = pl.col("asks") & ~pl.col("fits")
    lacking = ~pl.col("known")
    holds = pl.col("asks") & pl.col("fits") & pl.col("eligible") & (pl.col("tax_fen") > 0)
    faults = [
        _found(judged.filter(insufficient), _yuan("before_fen"), _yuan("tax_fen")),
        _found(judged.filter("frozen"), pl.lit("a guarantee in force"), pl.lit("frozen")),
        _unlimited(judged.filter(lacking))
        if opened_registry
        else _found(judged.filter(lacking), pl.lit("a guarantee"), pl.col("guarantor")),
    ]
    findings = pl.concat(faults).sort("case", maintain_order=True)
    return Allotment(judged.select("case", holds=holds), findings)


def _serve(cases: pl.DataFrame) -> pl.DataFrame:
    """before_fen (free when the case's turn comes) and fits, for each case in order.

    Where all that a guarantee is asked for fits, the order cannot matter; the other guarantees
    are served one case after the other.
    """
    takes = pl.col("asks") & pl.col("eligible")
    wanted = pl.when(takes).then("tax_fen").otherwise(0)
    before = pl.col("free_fen") - (wanted.cum_sum() - wanted).over("guarantor")
    served = cases.select("asks", "guarantor", before_fen=before, fits=pl.col("tax_fen") <= before)
    short = served.select((pl.col("asks") & ~pl.col("fits")).any().over("guarantor")).to_series()
    served = served.select("before_fen", fits=pl.col("fits").fill_null(value=True))
    return _one_by_one(cases, served, short) if short.any() else served


def _one_by_one(cases: pl.DataFrame, served: pl.DataFrame, short: pl.Series) -> pl.DataFrame:
    positions = short.arg_true()
    free: dict[str, int] = {}
    before: list[int] = []
    fits: list[bool] = []
    rows = cases[positions].select("guarantor", "free_fen", "tax_fen", "eligible")
    for guarantor, at_first, tax, eligible in rows.iter_rows():
        left = free.get(guarantor, at_first)
        before.append(left)
        fits.append(tax <= left)
        free[guarantor] = left - tax if eligible and tax <= left else left
    return served.with_columns(
        served["before_fen"].scatter(positions, before), served["fits"].scatter(positions, fits)
    )


def _unlimited(cases: pl.DataFrame) -> pl.DataFrame:
    """One warning for each guarantor, on the first of its cases that would have held."""
    first = cases.filter(pl.col("eligible") & (pl.col("tax_fen") > 0)).unique(
        "guarantor", keep="first", maintain_order=True
    )
    found = _found(first, pl.lit("a guarantee"), pl.col("guarantor"))
    return found.with_columns(rule=pl.lit(UNLIMITED), severity=pl.lit("warning"))


def _found(cases: pl.DataFrame, expected: pl.Expr, actual: pl.Expr) -> pl.DataFrame:
    return cases.select(
        "case",
        rule=pl.lit(INSUFFICIENT),
        severity=pl.lit("error"),
        field=pl.lit(FIELD),
        expected=expected,
        actual=actual,
        law=pl.lit(None, pl.String),
    )


def _yuan(column: str) -> pl.Expr:
    """Fen as yuan with two decimals."""
    fen = pl.col(column).cast(pl.Int64)
    return pl.format("{}.{}", fen // 100, (fen % 100).cast(pl.String).str.zfill(2))
