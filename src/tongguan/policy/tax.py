"""Duty, consumption tax, VAT and parcel tax of each line, exact to the end.

Sources: 财关税〔2016〕18号 art. 2 and 3 (within the limits: no duty, 70 % of consumption tax and
VAT; over them: the taxes of general trade); consumption tax regulations art. 7-8 (the composite
price of imports contains the tax itself, and the specific part of compound rates). With price
basis P, duty rate d, consumption tax c with specific part S, VAT v and the fraction l levied:

    D   = P·d                               X = P + D + S
    CT  = (X·c / (1-c) + S) · l             VAT = X / (1-c) · v · l

because P + D + CT at l = 1 is X / (1-c). Every tax of every line is rounded half-up to fen once,
from the exact rational (rounding place: unconfirmed, see the parameters).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from tongguan.policy.amounts import UNIT, half_up

MILLION = 1_000_000
"""Rates are integers of parts per million."""

LARGEST_CASE_FEN = 10**14
"""A case worth more than 10**12 yuan is not reckoned with: 10**4 lines of it still fit Int64."""

_INT128: int = 2**127 - 1

_P = pl.col("basis_fen").cast(pl.Int128)
_D = pl.col("duty_ppm")
_C = pl.col("ct_ppm")
_V = pl.col("vat_ppm")
_L = pl.col("levy")
_NET = MILLION - _C.cast(pl.Int128)
# The specific part is _S / _K fen: quantity (fifth decimal of a base unit) times its rate.
_S = pl.col("ct_quantity").cast(pl.Int128) * pl.col("ct_specific_num")
_K = pl.col("ct_specific_den").cast(pl.Int128) * UNIT


@dataclass(frozen=True, slots=True)
class TaxExpressions:
    """Polars expressions over lines with `basis_fen`, `duty_ppm`, `ct_ppm`, `vat_ppm`, `levy`
    (numerator of the fraction levied over `levy_den`) and, for `compound`, also `ct_quantity`,
    `ct_specific_num`, `ct_specific_den`: three Int64 columns duty_fen, consumption_fen, vat_fen.
    """

    ad_valorem: tuple[pl.Expr, ...]
    compound: tuple[pl.Expr, ...]


def tax_expressions(levy_den: int) -> TaxExpressions:
    """The expressions for levy fractions with this common denominator."""
    duty = half_up(_P * _D, MILLION)
    gross = _P * (_D + MILLION)  # P + D in parts per million of a fen
    plain = (
        duty,
        half_up(gross * _C * _L, _NET * (MILLION * levy_den)),
        half_up(gross * _V * _L, _NET * (MILLION * levy_den)),
    )
    x = gross * _K + _S * MILLION
    compound = (
        duty,
        half_up((x * _C + _S * MILLION * _NET) * _L, _K * _NET * (MILLION * levy_den)),
        half_up(x * _V * _L, _K * _NET * (MILLION * levy_den)),
    )
    return TaxExpressions(_named(plain), _named(compound))


def _named(taxes: tuple[pl.Expr, ...]) -> tuple[pl.Expr, ...]:
    names = ("duty_fen", "consumption_fen", "vat_fen")
    return tuple(tax.cast(pl.Int64).alias(n) for tax, n in zip(taxes, names, strict=True))


PARCEL_TAX = half_up(_P * pl.col("parcel_ppm"), MILLION).cast(pl.Int64)
"""Parcel tax of a line: P times the rate of its tier (公告2010年第43号)."""


def reach_fen(largest_duty_ppm: int, largest_specific_den: int, levy_den: int) -> int:
    """The largest case value, in fen, for which no intermediate value can leave Int128.

    `largest_specific_den`: largest denominator of a specific rate in fen per g or ml (1 if none).
    The bound takes every factor at its largest: x ≤ P·(2M + d)·K, times a rate or 1 - c (≤ M),
    times the fraction, times 2 for the half-up, plus the denominator.
    """
    per_fen = (
        (2 * MILLION + largest_duty_ppm) * UNIT * largest_specific_den * MILLION * levy_den * 5
    )
    return min(LARGEST_CASE_FEN, _INT128 // per_fen)
