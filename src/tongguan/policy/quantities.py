"""Legal quantities that decide a tax: per gram or millilitre, per sheet, per piece.

Source: 财关税〔2016〕48号 (cosmetics count as high-end from 10 yuan per ml or g, or 15 yuan per
sheet), consumption tax schedule (watches from 10,000 yuan each; specific rates per litre, kg).
Which unit means what is data: quantity_units.csv. A weight is never turned into a volume.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import polars as pl

from tongguan.policy.amounts import UNIT

KINDS = ("mass", "volume", "sheet", "piece")

_MOST = 2**63 - 1
"""A quantity beyond Int64 (92 million tonnes) is taken as missing: it decides nothing."""


@cache
def quantity_units() -> pl.DataFrame:
    """`unit` (customs code), `kind` (mass in g | volume in ml | sheet | piece), `factor` Int64."""
    text = resources.files("tongguan.policy").joinpath("quantity_units.csv").read_bytes()
    return pl.read_csv(text, schema_overrides={"unit": pl.String, "factor": pl.Int64})


@cache
def _measures() -> dict[str, pl.Expr]:
    """Per kind, the line's quantity counted in UNITths of its base unit (Int128, null if none)."""
    measures = {}
    for kind in KINDS:
        rows = quantity_units().filter(pl.col("kind") == kind)
        units, factors = rows["unit"].to_list(), rows["factor"].to_list()
        given = []
        for quantity, unit in (("qty1", "unit1"), ("qty2", "unit2")):
            factor = pl.col(unit).replace_strict(
                units, factors, default=None, return_dtype=pl.Int64
            )
            given.append(
                pl.when((pl.col(quantity) > 0) & (pl.col(quantity) <= _MOST // factor)).then(
                    pl.col(quantity) * factor
                )
            )
        measures[kind] = pl.coalesce(given)
    return measures


def _dear(minimum: str, *kinds: str) -> list[pl.Expr]:
    """Is the price at least `minimum` fen per base unit? Null where no such quantity is given."""
    measures = _measures()
    return [
        pl.col("price") * 100 >= measures[kind] * pl.col(minimum).cast(pl.Int128) for kind in kinds
    ]


@cache
def _decisions() -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    tests = [
        *_dear("ct_min_measure_fen", "mass", "volume"),
        *_dear("ct_min_sheet_fen", "sheet"),
        *_dear("ct_min_piece_fen", "piece"),
    ]
    conditional = pl.any_horizontal(
        pl.col("ct_min_measure_fen", "ct_min_sheet_fen", "ct_min_piece_fen").is_not_null()
    )
    measures = _measures()
    specific = pl.coalesce(
        pl.when(pl.col("ct_specific_kind") == kind).then(measures[kind]) for kind in KINDS
    )
    undecided = pl.all_horizontal(test.is_null() for test in tests)
    applies = ~conditional | pl.any_horizontal(test.fill_null(value=False) for test in tests)
    missing = (conditional & undecided) | (
        pl.col("ct_specific_kind").is_not_null() & specific.is_null()
    )
    return applies, specific, missing


def decide(lines: pl.DataFrame, reach_fen: int) -> pl.DataFrame:
    """The consumption tax rate that applies to each line, and the quantity of its specific part.

    `lines`: `ct_ppm`, `price` (Int128, line total without freight, fifth decimal), `qty1`, `qty2`
    (Int128, fifth decimal), `unit1`, `unit2`, and of the rate `ct_min_measure_fen`,
    `ct_min_sheet_fen`, `ct_min_piece_fen`, `ct_specific_kind`, `ct_specific_num`,
    `ct_specific_den`. A specific part above `reach_fen` counts as undecidable.
    Returns `ct_ppm` (0 below the condition's price), `ct_quantity` (Int64, fifth decimal of the
    base unit; null without specific part) and `undecidable` (Boolean: a quantity the law asks for
    is not among the legal quantities).
    """
    applies, quantity, missing = _decisions()
    beyond = quantity * pl.col("ct_specific_num") > (
        pl.lit(reach_fen * UNIT, pl.Int128) * pl.col("ct_specific_den")
    )
    undecidable = missing | beyond.fill_null(value=False)
    taxed = applies & ~undecidable
    return lines.select(
        ct_ppm=pl.when(taxed).then("ct_ppm").otherwise(0),
        ct_quantity=pl.when(taxed).then(quantity).cast(pl.Int64),
        undecidable=undecidable,
    )
