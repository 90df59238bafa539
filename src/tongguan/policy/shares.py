"""Freight and insurance of a case shared over its lines, so that the parts add up exactly.

Source: 财关税〔2016〕18号 and 〔2018〕49号 make freight and insurance part of the dutiable value;
how they fall on the lines is this project's rule (largest remainder; ties: smaller gnum first),
because the notices tax each line at its own rate and say nothing about leftover fen.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from tongguan.policy.amounts import Number


def share(lines: pl.DataFrame, pot_fen: pl.Series, goods_total_fen: pl.Series) -> pl.Series:
    """Each line's part of its case's pot, in fen (Int64, in the order of `lines`).

    `lines`: `row` (UInt32, position of the case), `gnum`, `goods_fen` (Int64, ≥ 0).
    `pot_fen`, `goods_total_fen`: one Int64 per case, at the position `row` names.
    A case whose lines are all worth 0 shares its pot equally. The product of a pot and a line
    must stay below 2**127 (the kernel's reach sees to that).
    """
    charges = pl.Series("charges_fen", [0]).new_from_index(0, lines.height)
    charged = (pot_fen != 0)[lines["row"]].arg_true()
    if not charged.len():
        return charges
    few = lines[charged, ["row", "gnum", "goods_fen"]]
    return charges.scatter(charged, _shared(few, pot_fen, goods_total_fen))


def share_of_one(pot_fen: int, goods_fen: list[int], gnums: list[int]) -> list[int]:
    """The same for the lines of one case, in exact integers."""
    total = sum(goods_fen)
    if not total:
        goods_fen, total = [1] * len(goods_fen), len(goods_fen)
    parts = [part(pot_fen, goods, total) for goods in goods_fen]
    missing = sum(remainder for _, remainder in parts)
    order = sorted(range(len(parts)), key=lambda i: (-parts[i][1], gnums[i]))
    extra = {i: int(takes_more(rank, total, missing)) for rank, i in enumerate(order)}
    return [whole + extra[i] for i, (whole, _) in enumerate(parts)]


def part(pot_fen: Number, goods_fen: Number, total_fen: Number) -> tuple[Number, Number]:
    """A line's part of the pot in whole fen, and the remainder, counted in 1/total of a fen."""
    product = pot_fen * goods_fen
    return product // total_fen, product % total_fen


def takes_more(rank: Any, total_fen: Any, remainders: Any) -> Any:
    """Whether a line, `rank`th by remainder (0 first; ties: smaller gnum), takes a fen more.

    `remainders`: the sum of those of its case; that sum over the total is what is missing.
    """
    return rank * total_fen < remainders


def _shared(lines: pl.DataFrame, pot_fen: pl.Series, goods_total_fen: pl.Series) -> pl.Series:
    row = lines["row"]
    parts = lines.hstack([pot_fen[row].alias("pot"), goods_total_fen[row].alias("total")])
    if (parts["total"] == 0).any():
        worthless = pl.col("total") == 0
        parts = parts.with_columns(
            goods_fen=pl.when(worthless).then(1).otherwise("goods_fen"),
            total=pl.when(worthless).then(pl.len().over("row")).otherwise("total"),
        )
    whole, over = part(pl.col("pot").cast(pl.Int128), pl.col("goods_fen"), pl.col("total"))
    parts = parts.with_columns(whole=whole.cast(pl.Int64), remainder=over.cast(pl.Int64))
    rest = parts["remainder"] != 0
    return parts["whole"] + _leftover(parts, rest) if rest.any() else parts["whole"]


def _leftover(parts: pl.DataFrame, rest: pl.Series) -> pl.Series:
    """One fen more for the lines with the largest remainders, 0 for the others.

    The remainders of a case are fractions of one total, so their sum over it is what is missing,
    and only lines with a remainder can be among the largest.
    """
    ranked = (
        parts.select("row", "gnum", "remainder", "total", line=pl.int_range(pl.len()))
        .filter(rest)
        .sort(
            ["row", "remainder", "gnum"],
            descending=[False, True, False],
            nulls_last=True,
            maintain_order=True,
        )
        .with_columns(
            rank=pl.int_range(pl.len()),
            first=pl.col("row") != pl.col("row").shift(),
        )
        .with_columns(
            rank=pl.col("rank")
            - pl.when(pl.col("first").fill_null(value=True)).then("rank").forward_fill()
        )
    )
    sums = ranked.select(
        "line",
        taken=takes_more(
            pl.col("rank"),
            pl.col("total").cast(pl.Int128),
            pl.col("remainder").cast(pl.Int128).sum().over("row"),
        ),
    )
    extra = pl.Series([0]).new_from_index(0, parts.height)
    return extra.scatter(sums.filter("taken")["line"], 1)
