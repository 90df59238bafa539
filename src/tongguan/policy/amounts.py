"""Money and quantities as exact integers: fen, and the standard's five decimal places.

The customs messages carry amounts and quantities as N19,5 (at most five decimals). A Polars
Decimal of scale 5 is such an integer already; nothing here passes through a binary float.
"""

from __future__ import annotations

from typing import Any, TypeVar

import polars as pl

PLACES = 5
"""Decimals of an amount or quantity in the standard (N19,5)."""

UNIT: int = 10**PLACES
"""One whole yuan, or one whole unit of quantity, counted in the fifth decimal."""

_PER_FEN = UNIT // 100


def fifths(frame: pl.DataFrame, column: str) -> pl.Expr:
    """The column (Decimal, or any integer) as Int128 counts of its fifth decimal place.

    Raises ValueError if the column is missing, is a float or text, or has more than five decimals.
    """
    dtype = frame.schema.get(column)
    if isinstance(dtype, pl.Decimal):
        if dtype.scale > PLACES:
            raise ValueError(f"column {column}: {dtype} has more than {PLACES} decimals")
        exact = pl.col(column).to_physical().cast(pl.Int128)
        missing: int = PLACES - dtype.scale
        return exact * pl.lit(10**missing, pl.Int128) if missing else exact
    if dtype is not None and dtype.is_integer():
        return pl.col(column).cast(pl.Int128) * UNIT
    raise ValueError(f"column {column}: needs exact decimals, not {dtype}")


Number = TypeVar("Number", pl.Expr, int)
"""A column of integers, or one exact integer: the formulas of the law are the same for both."""


def fen(amount: Number) -> Number:
    """Yuan counted in the fifth decimal (≥ 0), rounded half-up to fen, of the same integer type."""
    rounded: Number = (amount + _PER_FEN // 2) // _PER_FEN
    return rounded


def reckonable(amount: Any, reach_fen: int) -> Any:
    """Whether an amount counted in the fifth decimal can be reckoned with exactly."""
    return (amount >= 0) & (amount <= reach_fen * _PER_FEN)


def reckonable_text(reach_fen: int) -> str:
    """In words, which amounts can be."""
    return f"0.00 to {yuan_text(reach_fen)}"


def half_up(numerator: Number, denominator: Number | int) -> Number:
    """The non-negative rational numerator/denominator rounded half-up to an integer."""
    rounded: Number = (numerator * 2 + denominator) // (denominator * 2)
    return rounded


def choose(condition: Any, yes: Any, no: Any) -> Any:
    """``yes`` where the condition holds, else ``no``: of columns, or of one case."""
    if isinstance(condition, pl.Expr):
        return pl.when(condition).then(yes).otherwise(no)
    return yes if condition else no


def negated(condition: Any) -> Any:
    """Where the condition does not hold: of columns, or of one case."""
    return ~condition if isinstance(condition, pl.Expr) else not condition


def yuan(fen_column: pl.Expr) -> pl.Expr:
    """Non-negative fen as text in yuan with two decimals, as reports and findings print money."""
    return (
        (fen_column // 100).cast(pl.String) + "." + (fen_column % 100).cast(pl.String).str.zfill(2)
    )


def yuan_text(fen_value: int) -> str:
    """Fen as text in yuan with two decimals."""
    sign = "-" if fen_value < 0 else ""
    return f"{sign}{abs(fen_value) // 100}.{abs(fen_value) % 100:02d}"
