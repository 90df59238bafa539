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

import polars as pl

from tongguan.policy.amounts import UNIT, half_up

MILLION = 1_000_000
"""Rates are integers of parts per million."""

LARGEST_CASE_FEN = 10**14
"""A case worth more than 10**12 yuan is not reckoned with: 10**4 lines of it still fit Int64."""

_INT128: int = 2**127 - 1

_P = pl.col("basis_fen").cast(pl.Int128)
_D = pl.col("duty_ppm")
_NET = MILLION - pl.col("ct_ppm").cast(pl.Int128)
_GROSS = _P * (_D + MILLION)  # P + D in parts per million of a fen
_DUTY = half_up(_P * _D, MILLION).cast(pl.Int64)

# The specific part is _S / _K fen: quantity (fifth decimal of a base unit) times its rate.
_S = pl.col("ct_quantity").cast(pl.Int128) * pl.col("ct_specific_num")
_K = pl.col("ct_specific_den").cast(pl.Int128) * UNIT

_CONSUMPTION = half_up(pl.col("x") * pl.col("ct_ppm") + pl.col("s"), pl.col("den"))
_VAT = half_up(pl.col("x") * pl.col("vat_ppm"), pl.col("den"))


def taxes(lines: pl.DataFrame, levy_den: int) -> pl.DataFrame:
    """duty_fen, consumption_fen, vat_fen (Int64) of lines without a specific part.

    `lines`: `basis_fen`, `duty_ppm`, `ct_ppm`, `vat_ppm`, `levy` (numerator of the fraction
    levied, over `levy_den`), all Int64; a null rate gives a null tax.
    """
    return _levied(
        lines,
        x=_GROSS * pl.col("levy"),
        s=pl.lit(0, pl.Int128),
        den=_NET * (MILLION * levy_den),
    )


def compound_taxes(lines: pl.DataFrame, levy_den: int) -> pl.DataFrame:
    """The same for lines with a specific part.

    `lines` has also `ct_quantity` (Int64, fifth decimal of a base unit) and the rate in fen per
    base unit, `ct_specific_num` / `ct_specific_den`.
    """
    parts = lines.with_columns(specific=_S * MILLION, k=_K, net=_NET)
    net, k, levy = pl.col("net"), pl.col("k"), pl.col("levy")
    return _levied(
        parts,
        x=(_GROSS * k + pl.col("specific")) * levy,
        s=pl.col("specific") * net * levy,
        den=k * net * (MILLION * levy_den),
    )


def _levied(lines: pl.DataFrame, x: pl.Expr, s: pl.Expr, den: pl.Expr) -> pl.DataFrame:
    """X · l over `den` / (1 - c), and the specific part over `den`; each tax rounded once."""
    return lines.select("ct_ppm", "vat_ppm", duty_fen=_DUTY, x=x, s=s, den=den).select(
        "duty_fen",
        consumption_fen=_CONSUMPTION.cast(pl.Int64),
        vat_fen=_VAT.cast(pl.Int64),
    )


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
