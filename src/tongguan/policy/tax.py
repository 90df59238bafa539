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

from typing import Any

import polars as pl

from tongguan.policy.amounts import UNIT, Number, half_up

MILLION = 1_000_000
"""Rates are integers of parts per million."""

LARGEST_CASE_FEN = 10**14
"""A case worth more than 10**12 yuan is not reckoned with: 10**4 lines of it still fit Int64."""

_INT128: int = 2**127 - 1

_P = pl.col("basis_fen").cast(pl.Int128)
_CT = pl.col("ct_ppm").cast(pl.Int128)


# The formulas. Operands are columns, or the exact integers of one line.


def duty_fen(basis_fen: Number, duty_ppm: Number) -> Number:
    """D, rounded."""
    return half_up(basis_fen * duty_ppm, MILLION)


def terms(
    basis_fen: Number, duty_ppm: Number, ct_ppm: Number, levy: Number, levy_den: int
) -> tuple[Number, Number]:
    """X · l, and the denominator 1 - c, of a line without a specific part; both as integers."""
    return basis_fen * (duty_ppm + MILLION) * levy, (MILLION - ct_ppm) * (MILLION * levy_den)


def compound_terms(
    basis_fen: Number,
    duty_ppm: Number,
    ct_ppm: Number,
    levy: Number,
    levy_den: int,
    quantity: Number,
    specific_num: Number,
    specific_den: Number,
) -> tuple[Number, Number, Number]:
    """The same with a specific part, and S · l · (1 - c) over the same denominator.

    The specific part is `quantity` (fifth decimal of a base unit) times its rate in fen per base
    unit, `specific_num` / `specific_den`.
    """
    specific, k, net = quantity * specific_num * MILLION, specific_den * UNIT, MILLION - ct_ppm
    x = (basis_fen * (duty_ppm + MILLION) * k + specific) * levy
    return x, k * net * (MILLION * levy_den), specific * net * levy


def consumption_fen(x: Number, ct_ppm: Number, den: Number, specific: Number) -> Number:
    """CT, rounded."""
    return half_up(x * ct_ppm + specific, den)


def vat_fen(x: Number, vat_ppm: Number, den: Number) -> Number:
    """VAT, rounded."""
    return half_up(x * vat_ppm, den)


def parcel_tax_fen(basis_fen: Number, parcel_ppm: Number) -> Number:
    """Parcel tax of a line: P times the rate of its tier (公告2010年第43号)."""
    return half_up(basis_fen * parcel_ppm, MILLION)


def waived(case_tax_fen: Any, waiver_fen: int) -> Any:
    """Whether a case's parcel tax is too small to be levied; the waiver itself is."""
    return case_tax_fen <= waiver_fen


PARCEL_TAX = parcel_tax_fen(_P, pl.col("parcel_ppm")).cast(pl.Int64)


def taxes(lines: pl.DataFrame, levy_den: int) -> pl.DataFrame:
    """duty_fen, consumption_fen, vat_fen (Int64) of lines without a specific part.

    `lines`: `basis_fen`, `duty_ppm`, `ct_ppm`, `vat_ppm`, `levy` (numerator of the fraction
    levied, over `levy_den`), all Int64; a null rate gives a null tax.
    """
    x, den = terms(_P, pl.col("duty_ppm"), _CT, pl.col("levy"), levy_den)
    return _levied(lines, x, den, pl.lit(0, pl.Int128))


def compound_taxes(lines: pl.DataFrame, levy_den: int) -> pl.DataFrame:
    """The same for lines with a specific part.

    `lines` has also `ct_quantity` (Int64, fifth decimal of a base unit) and the rate in fen per
    base unit, `ct_specific_num` / `ct_specific_den`.
    """
    quantity, den = (pl.col(c).cast(pl.Int128) for c in ("ct_quantity", "ct_specific_den"))
    x, den, specific = compound_terms(
        *(_P, pl.col("duty_ppm"), _CT, pl.col("levy"), levy_den),
        *(quantity, pl.col("ct_specific_num"), den),
    )
    return _levied(lines, x, den, specific)


def _levied(lines: pl.DataFrame, x: pl.Expr, den: pl.Expr, specific: pl.Expr) -> pl.DataFrame:
    """Each tax of each line, rounded once."""
    x_, den_, specific_ = (pl.col(name) for name in ("x", "den", "specific"))
    return lines.select(
        "ct_ppm",
        "vat_ppm",
        duty_fen=duty_fen(_P, pl.col("duty_ppm")).cast(pl.Int64),
        x=x,
        den=den,
        specific=specific,
    ).select(
        "duty_fen",
        consumption_fen=consumption_fen(x_, pl.col("ct_ppm"), den_, specific_).cast(pl.Int64),
        vat_fen=vat_fen(x_, pl.col("vat_ppm"), den_).cast(pl.Int64),
    )


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
