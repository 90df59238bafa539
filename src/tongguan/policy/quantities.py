"""Legal quantities that decide a tax: per gram or millilitre, per sheet, per piece.

Source: 财关税〔2016〕48号 (cosmetics count as high-end from 10 yuan per ml or g, or 15 yuan per
sheet), consumption tax schedule (watches from 10,000 yuan each; specific rates per litre, kg).
Which unit means what is data: quantity_units.csv. A weight is never turned into a volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

import polars as pl

from tongguan.policy.amounts import UNIT, fifths

KINDS = ("mass", "volume", "sheet", "piece")

_MOST = 2**63 - 1
"""A quantity beyond Int64 (92 million tonnes) is taken as missing: it decides nothing."""


@cache
def quantity_units() -> pl.DataFrame:
    """`unit` (customs code), `kind` (mass in g | volume in ml | sheet | piece), `factor` Int64."""
    text = resources.files("tongguan.policy").joinpath("quantity_units.csv").read_bytes()
    return pl.read_csv(text, schema_overrides={"unit": pl.String, "factor": pl.Int64})


@cache
def units_by_code() -> Mapping[str, tuple[str, int]]:
    """Customs unit code -> (kind, factor), as quantity_units.csv has them."""
    rows = quantity_units().select("unit", "kind", "factor").iter_rows()
    return MappingProxyType({unit: (kind, factor) for unit, kind, factor in rows})


@cache
def _by_unit(unit: str) -> pl.DataFrame:
    """quantity_units with one column per kind, its factor or null, ready to join on `unit`."""
    return quantity_units().select(
        pl.col("unit").alias(unit),
        *(pl.when(pl.col("kind") == kind).then("factor").alias(f"{unit}_{kind}") for kind in KINDS),
    )


def _measure(kind: str) -> pl.Expr:
    """The first quantity given in a unit of this kind, in UNITths of its base unit (Int128)."""
    given = []
    for quantity, unit in (("qty1", "unit1"), ("qty2", "unit2")):
        amount, factor = pl.col(f"{quantity}_fifths"), pl.col(f"{unit}_{kind}")
        usable = (amount > 0) & (amount <= _MOST // factor)
        given.append(pl.when(usable).then(amount * factor))
    return pl.coalesce(given).alias(kind)


def _dear(minimum: str, kind: str) -> pl.Expr:
    """Is the price at least `minimum` fen per base unit? Null where no such quantity is given."""
    return pl.col("price") * 100 >= pl.col(kind) * pl.col(minimum)


_MEASURES = [_measure(kind) for kind in KINDS]
_TESTS = [
    _dear("ct_min_measure_fen", "mass"),
    _dear("ct_min_measure_fen", "volume"),
    _dear("ct_min_sheet_fen", "sheet"),
    _dear("ct_min_piece_fen", "piece"),
]
_DEAR = pl.any_horizontal(_TESTS)
_CONDITIONAL = pl.any_horizontal(
    pl.col("ct_min_measure_fen", "ct_min_sheet_fen", "ct_min_piece_fen").is_not_null()
)
_SPECIFIC = pl.coalesce(
    pl.when(pl.col("ct_specific_kind") == kind).then(pl.col(kind)) for kind in KINDS
)


def decide(lines: pl.DataFrame, reach_fen: int) -> pl.DataFrame:
    """The consumption tax rate that applies to each line, and the quantity of its specific part.

    `lines`: `ct_ppm`, `price` (Int128, line total without freight, fifth decimal), `qty1`, `qty2`
    (Decimal), `unit1`, `unit2`, and of the rate `ct_min_measure_fen`,
    `ct_min_sheet_fen`, `ct_min_piece_fen`, `ct_specific_kind`, `ct_specific_num`,
    `ct_specific_den`. A specific part above `reach_fen` counts as undecidable.
    Returns `ct_ppm` (0 below the condition's price), `ct_quantity` (Int64, fifth decimal of the
    base unit; null without specific part) and `undecidable` (Boolean: a quantity the law asks for
    is not among the legal quantities).
    """
    beyond = pl.col("quantity") * pl.col("ct_specific_num") > (
        pl.lit(reach_fen * UNIT, pl.Int128) * pl.col("ct_specific_den")
    )
    taxed = (pl.col("dear") | ~pl.col("conditional")) & ~pl.col("undecidable")
    return (
        lines.join(_by_unit("unit1"), on="unit1", how="left", maintain_order="left")
        .join(_by_unit("unit2"), on="unit2", how="left", maintain_order="left")
        .with_columns(
            qty1_fifths=fifths(lines, "qty1"),
            qty2_fifths=fifths(lines, "qty2"),
        )
        .with_columns(_MEASURES)
        .with_columns(
            dear=_DEAR.fill_null(value=False),
            decided=pl.any_horizontal(test.is_not_null() for test in _TESTS),
            conditional=_CONDITIONAL,
            quantity=_SPECIFIC,
        )
        .with_columns(
            undecidable=(pl.col("conditional") & ~pl.col("decided"))
            | (pl.col("ct_specific_kind").is_not_null() & pl.col("quantity").is_null())
            | beyond.fill_null(value=False)
        )
        .select(
            pl.when(taxed).then("ct_ppm").otherwise(0).alias("ct_ppm"),
            pl.when(taxed).then("quantity").cast(pl.Int64).alias("ct_quantity"),
            "undecidable",
        )
    )
