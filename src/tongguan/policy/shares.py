"""Freight and insurance of a case shared over its lines, so that the parts add up exactly.

Source: 财关税〔2016〕18号 and 〔2018〕49号 make freight and insurance part of the dutiable value;
how they fall on the lines is this project's rule (largest remainder; ties: smaller gnum first),
because the notices tax each line at its own rate and say nothing about leftover fen.
"""

from __future__ import annotations

import polars as pl


def share(lines: pl.DataFrame, pot_fen: pl.Series, goods_total_fen: pl.Series) -> pl.Series:
    """Each line's part of its case's pot, in fen (Int64, in the order of `lines`).

    `lines`: `row` (UInt32, position of the case), `gnum`, `goods_fen` (Int64, ≥ 0).
    `pot_fen`, `goods_total_fen`: one Int64 per case, at the position `row` names.
    A case whose lines are all worth 0 shares its pot equally. The product of a pot and a line
    must stay below 2**127 (the kernel's reach sees to that).
    """
    row = lines["row"]
    pot = pot_fen.gather(row)
    if not (pot != 0).any():
        return pl.zeros(lines.height, pl.Int64, eager=True).alias("charges_fen")
    parts = lines.select(
        "row",
        "gnum",
        pot.alias("pot"),
        pl.col("goods_fen").alias("weight"),
        goods_total_fen.gather(row).alias("total"),
    )
    if (parts["total"] == 0).any():
        worthless = pl.col("total") == 0
        parts = parts.with_columns(
            pl.when(worthless).then(1).otherwise("weight").alias("weight"),
            pl.when(worthless).then(pl.len().over("row")).otherwise("total").alias("total"),
        )
    product = pl.col("pot").cast(pl.Int128) * pl.col("weight")
    parts = parts.with_columns(
        (product // pl.col("total")).cast(pl.Int64).alias("whole"),
        (product % pl.col("total")).cast(pl.Int64).alias("remainder"),
    )
    whole = parts["whole"].alias("charges_fen")
    if not (parts["remainder"] != 0).any():
        return whole
    return whole + _leftover(parts)


def _leftover(parts: pl.DataFrame) -> pl.Series:
    """One fen more for the lines with the largest remainders, 0 for the others."""
    ranked = (
        parts.with_row_index("line")
        .filter((pl.col("remainder").max() > 0).over("row"))
        .with_columns(missing=pl.col("pot") - pl.col("whole").sum().over("row"))
        .sort(
            ["row", "remainder", "gnum"],
            descending=[False, True, False],
            nulls_last=True,
            maintain_order=True,
        )
        .filter(pl.int_range(pl.len()).over("row") < pl.col("missing"))
    )
    extra = pl.zeros(parts.height, pl.Int64, eager=True)
    return extra.scatter(ranked["line"], 1)
