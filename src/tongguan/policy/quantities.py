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
from typing import Any, NamedTuple

import polars as pl

from tongguan.policy.amounts import choose, fifths, negated

KINDS = ("mass", "volume", "sheet", "piece")

LARGEST = 2**63 - 1
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
    most = LARGEST // pl.col("factor")
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
    both = _tested(lines, asked)
    sides = [
        both[: lines.height].select(pl.all().name.suffix("1")),
        both[lines.height :].select(pl.all().name.suffix("2")),
    ]
    facts = lines.select("ct_ppm", "conditional", most="ct_quantity_most").hstack(
        [column for side in sides for column in side.get_columns()]
    )
    first, second = (Tested(*(pl.col(f"{name}{n}") for name in Tested._fields)) for n in ("1", "2"))
    most = pl.col("most")
    decided = decision(first, second, pl.col("conditional"), most.is_not_null(), most.fill_null(0))
    return facts.select(
        ct_ppm=pl.when(decided.taxed).then("ct_ppm").otherwise(0),
        ct_quantity=pl.when(decided.taxed & decided.measured).then(decided.quantity.cast(pl.Int64)),
        undecidable=decided.undecidable,
    )


class Tested(NamedTuple):
    """One legal quantity against what the tariff row asks for: columns, or the facts of one line.

    `kind`: position in KINDS, -1 without one; `looked_at`: the condition has a least price for
    this kind; `dear`: the price reaches it; `asked`: the specific rate is per this kind;
    `amount`: in the fifth decimal of the base unit, 0 where the quantity is not usable.
    """

    kind: Any
    looked_at: Any
    dear: Any
    asked: Any
    amount: Any


class Decision(NamedTuple):
    """`measured`: there is a `quantity` for the specific part."""

    taxed: Any
    undecidable: Any
    measured: Any
    quantity: Any


def tested(kind: Any, amount: Any, price: Any, minimum_fen: Any, least: Any, asked: Any) -> Tested:
    """One legal quantity tested.

    `price` in the fifth decimal of a yuan, `minimum_fen` the least taxed price per base unit (0
    where `least`, that the condition has one for this kind, does not hold).
    """
    usable = amount > 0
    looked_at = usable & least
    dear = looked_at & (price * 100 >= amount * minimum_fen)
    return Tested(kind, looked_at, dear, usable & asked, amount)


def decision(first: Tested, second: Tested, conditional: Any, specific: Any, most: Any) -> Decision:
    """Whether the consumption tax applies, from both legal quantities.

    `conditional`: the tax has a least price; `specific`: it has a specific part, which can be
    reckoned with up to the quantity `most`. Of two quantities of one kind the first counts.
    """
    again = (first.kind == second.kind) & first.looked_at
    dear = first.dear | (second.dear & negated(again))
    decided = first.looked_at | second.looked_at
    measured = first.asked | second.asked
    quantity = choose(first.asked, first.amount, second.amount)
    within = measured & (quantity <= most)
    undecidable = (conditional & negated(decided)) | (specific & negated(within))
    taxed = (dear | negated(conditional)) & negated(undecidable)
    return Decision(taxed, undecidable, measured, quantity)


def _tested(lines: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """The legal quantities against what the tariff row asks for: all first ones, then all second.

    Columns of `Tested`.
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
    usable = ((amount > 0) & (amount <= pl.col("most"))).fill_null(value=False)
    facts = tested(
        *(pl.col("kind"), pl.col("amount"), pl.col("price"), pl.col("minimum_fen")),
        *(pl.col("least"), pl.col("specific")),
    )
    return (
        known.hstack(asks)
        .with_columns(
            pl.col("kind").cast(pl.Int8).fill_null(-1),
            pl.col("specific").fill_null(value=False),
            pl.col("minimum_fen").fill_null(0),
            least=pl.col("minimum_fen").is_not_null(),
            amount=pl.when(usable).then(amount * pl.col("factor")).otherwise(pl.lit(0, pl.Int128)),
        )
        .select(**facts._asdict())
    )
