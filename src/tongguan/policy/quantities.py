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

from tongguan.policy.amounts import fifths

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
def _by_unit() -> pl.DataFrame:
    """quantity_units ready to join: `unit`, `factor`, `kind` (its position in KINDS), `most`."""
    position = pl.col("kind").replace_strict(
        KINDS, range(len(KINDS)), default=None, return_dtype=pl.UInt32
    )
    most = _MOST // pl.col("factor")
    return quantity_units().select("unit", "factor", kind=position, most=most)


def decide(lines: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """The consumption tax rate that applies to each line, and the quantity of its specific part.

    `lines`: `rate` (row of the tariff), `ct_ppm`, `price` (Int128, line total without freight,
    fifth decimal), `qty1`, `qty2` (Decimal), `unit1`, `unit2`, `conditional` (Boolean) and
    `ct_quantity_most` (Int64, the largest quantity a specific rate can be reckoned with; null
    without such a rate). `asked`: for the tariff row r and the kind at position k of KINDS, in
    row 4·r + k, `minimum_fen` (least taxed price per base unit, null if the condition does not
    look at this kind) and `specific` (Boolean: the specific rate is per this kind). Of two
    quantities of one kind the first counts.

    Returns `ct_ppm` (0 below the condition's price), `ct_quantity` (Int64, fifth decimal of the
    base unit; null without specific part) and `undecidable` (Boolean: a quantity the law asks for
    is not among the legal quantities).
    """
    tested = _tested(lines, asked)
    first, second = tested[: lines.height], tested[lines.height :]
    again = (first["kind"] == second["kind"]).fill_null(value=False)
    counts = ~(again & first["dear"].is_not_null())
    dear = _true(first["dear"]) | (_true(second["dear"]) & counts)
    decided = first["dear"].is_not_null() | second["dear"].is_not_null()
    quantity = first["specific"].zip_with(first["specific"].is_not_null(), second["specific"])
    conditional, most = lines["conditional"], lines["ct_quantity_most"]
    within = _true(quantity <= most)
    undecidable = (conditional & ~decided) | (most.is_not_null() & ~within)
    taxed = (dear | ~conditional) & ~undecidable
    return pl.select(
        ct_ppm=pl.when(taxed).then(lines["ct_ppm"]).otherwise(0),
        ct_quantity=pl.when(taxed).then(quantity.cast(pl.Int64)),
        undecidable=undecidable,
    )


def _true(flag: pl.Series) -> pl.Series:
    return flag.fill_null(value=False)


def _tested(lines: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """The legal quantities against what the tariff row asks for: all first ones, then all second.

    `kind`; `dear` (Boolean: the price reaches the minimum; null where the condition does not look
    at it); `specific` (Int128, fifth decimal of the base unit; null where not asked for).
    """
    given = [
        lines[["rate", "price", f"qty{number}", f"unit{number}"]].rename(
            {f"qty{number}": "qty", f"unit{number}": "unit"}
        )
        for number in ("1", "2")
    ]
    known = pl.concat(given).join(_by_unit(), on="unit", how="left", maintain_order="left")
    asks = asked[known["rate"] * len(KINDS) + known["kind"]]
    amount = fifths(known, "qty")
    usable = (amount > 0) & (amount <= pl.col("most"))
    return (
        known.hstack(asks)
        .with_columns(amount=pl.when(usable).then(amount * pl.col("factor")))
        .select(
            "kind",
            dear=pl.col("price") * 100 >= pl.col("amount") * pl.col("minimum_fen"),
            specific=pl.when("specific").then("amount"),
        )
    )
