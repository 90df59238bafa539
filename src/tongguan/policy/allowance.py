"""The buyer's yearly allowance, taken case after case in the order of arrival.

Source: 财关税〔2016〕18号 art. 3, 〔2018〕49号 art. 1: a natural person's purchases of a calendar
year add up. Whether a case still fits depends on what the cases before it took, so the order
matters; where a buyer's cases cannot exceed the limit together, the order cannot matter.
"""

from __future__ import annotations

import polars as pl

from tongguan.policy import treatment


def take(cases: pl.DataFrame, limit_fen: int) -> pl.DataFrame:
    """What each case finds used, and whether it still fits into the year.

    `cases`, in order of arrival: `buyer` (String or an integer), `used_fen` (Int64, before the
    batch), `value_fen` (Int64), `takes_inside` (Boolean: counted if it fits), `takes_outside`
    (Boolean: counted though it does not fit). Returns `used_before_fen` (Int64), `inside`
    (Boolean) and `counted_fen` (Int64) in the same order. The limit itself is still inside.
    """
    if cases["buyer"].n_unique() == cases.height:
        before = cases.select("value_fen", used_before_fen="used_fen")
        return _settle(before, cases, limit_fen)
    buyers = _numbered(cases["buyer"])
    if buyers.is_sorted():
        return _by_buyer(cases.with_columns(buyers), limit_fen)
    # Keys that are all different need no stable sort, which takes three times as long.
    place = pl.int_range(cases.height, eager=True)
    order = (buyers.cast(pl.Int64) * cases.height + place).sort() % cases.height
    found = _by_buyer(cases.with_columns(buyers)[order], limit_fen)
    return _placed(found, order)


_NUMBERS = pl.UInt32()


def _numbered(buyer: pl.Series) -> pl.Series:
    """A number of 32 bits for each buyer: numbers sort ten times as fast as texts."""
    if buyer.dtype.is_integer() and not buyer.null_count():
        numbers = buyer.cast(_NUMBERS, strict=False)
        if not numbers.null_count():
            return numbers
    each = buyer.unique().to_frame().with_columns(number=pl.int_range(pl.len(), dtype=_NUMBERS))
    named = buyer.to_frame().join(
        each, on="buyer", how="left", maintain_order="left", nulls_equal=True
    )
    return named["number"].alias("buyer")


def _placed(rows: pl.DataFrame, order: pl.Series) -> pl.DataFrame:
    """The rows at the places they came from."""
    return pl.DataFrame([column.clone().scatter(order, column) for column in rows.get_columns()])


def _by_buyer(cases: pl.DataFrame, limit_fen: int) -> pl.DataFrame:
    """The same for cases that stand together by buyer: sums while they fit, else one by one."""
    wanted = pl.when("takes_inside").then("value_fen").otherwise(0)
    running = cases.select(running=wanted.cum_sum() - wanted).to_series()
    runs = cases["buyer"].rle().struct.field("len")
    ends = runs.cum_sum().cast(pl.Int64)
    group = cases["buyer"].rle_id()
    sums = cases.select(
        "value_fen",
        used_before_fen=pl.col("used_fen") + running - running[ends - runs][group],
        takes=pl.col("takes_inside") | pl.col("takes_outside"),
    )
    outside = ~treatment.fits(pl.col("used_before_fen"), pl.col("value_fen"), limit_fen)
    beyond = sums.select((outside & pl.col("takes")).cast(pl.UInt32).cum_sum()).to_series()
    settled = _settle(sums, cases, limit_fen)
    if not beyond.len() or not beyond[-1]:
        return settled
    of_group = beyond[ends - 1]
    doubtful = (of_group > of_group.shift(1, fill_value=0))[group]
    return _in_sequence(cases, settled, doubtful, limit_fen)


def _settle(before: pl.DataFrame, cases: pl.DataFrame, limit_fen: int) -> pl.DataFrame:
    value = pl.col("value_fen")
    inside = treatment.fits(pl.col("used_before_fen"), value, limit_fen)
    counted = treatment.counted_fen(inside, value, cases["takes_inside"], cases["takes_outside"])
    return before.select("used_before_fen", inside=inside, counted_fen=counted)


def _in_sequence(
    cases: pl.DataFrame, settled: pl.DataFrame, doubtful: pl.Series, limit_fen: int
) -> pl.DataFrame:
    """The same for the buyers whose cases may not all fit: one case after the other."""
    positions = doubtful.arg_true()
    running: dict[str | None, int] = {}
    before: list[int] = []
    fits: list[bool] = []
    counted: list[int] = []
    for buyer, used, value, takes_inside, takes_outside in (
        cases.select("buyer", "used_fen", "value_fen", "takes_inside", "takes_outside")
        .filter(doubtful)
        .iter_rows()
    ):
        year = running.get(buyer, used)
        inside = treatment.fits(year, value, limit_fen)
        taken = treatment.counted_fen(inside, value, takes_inside, takes_outside)
        running[buyer] = year + taken
        before.append(year)
        fits.append(inside)
        counted.append(taken)
    return settled.with_columns(
        settled["used_before_fen"].scatter(positions, before),
        settled["inside"].scatter(positions, fits),
        settled["counted_fen"].scatter(positions, counted),
    )
