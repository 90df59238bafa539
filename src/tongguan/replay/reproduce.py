"""Whether deciding anew under the law that was in force gives what was recorded, to the fen."""

from typing import Any

import polars as pl

from tongguan.replay.walk import LINE_AMOUNTS, Decided

HEAD_FACTS = (
    *("regime", "refused", "value_fen", "duty_fen", "consumption_fen", "vat_fen", "total_fen"),
    *("counted_fen", "used_before_fen", "used_after_fen"),
)
DIFFERENCE: dict[str, Any] = {
    **dict.fromkeys(("batch", "place", "list"), pl.Int64),
    **dict.fromkeys(("order_no", "what", "recorded", "recomputed"), pl.String),
}
ORDER = ["batch", "place", "list", "what"]
LAW_RULES = r"^(goods|limit)\.|^message\.field$"
"""Rules that ``policy.assess`` finds."""


def first_difference(
    parcels: pl.DataFrame,
    lines: pl.DataFrame,
    findings: pl.DataFrame,
    back: pl.DataFrame,
    base: Decided,
) -> pl.DataFrame:
    """The first parcel, in order of decision, that is not as recorded: DIFFERENCE, 0 or 1 row.

    The frames of ``walk`` with what was recorded beside it; findings: row and history findings.
    """
    found = pl.concat(
        [
            pl.DataFrame(schema={"row": pl.Int64, **_SAID}),
            _heads(parcels, base),
            _lines(lines, base),
            _findings(findings, base),
            _restored(back, base),
        ]
    )
    if found.is_empty():
        return pl.DataFrame(schema=DIFFERENCE)
    placed = found.join(parcels.select("row", "batch", "place", "list", "order_no"), on="row")
    return placed.sort(ORDER).head(1).select(*DIFFERENCE)


_SAID: dict[str, Any] = dict.fromkeys(("what", "recorded", "recomputed"), pl.String)


def _differing(frame: pl.DataFrame, names: tuple[str, ...], what: str) -> pl.DataFrame:
    """Row, what, recorded, recomputed of values that are not equal. frame: row, r.…, c.…."""
    differs = pl.any_horizontal(pl.col(f"r.{n}").ne_missing(pl.col(f"c.{n}")) for n in names)
    few = frame.filter(differs)
    return pl.concat(
        [pl.DataFrame(schema={"row": pl.Int64, **_SAID})]
        + [
            few.filter(pl.col(f"r.{name}").ne_missing(pl.col(f"c.{name}"))).select(
                pl.col("row").cast(pl.Int64),
                what=pl.lit(f"{what}{name}"),
                recorded=pl.col(f"r.{name}").cast(pl.String),
                recomputed=pl.col(f"c.{name}").cast(pl.String),
            )
            for name in names
        ]
    )


def _pairs(recorded: pl.DataFrame, computed: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    return recorded.select(**{f"r.{name}": name for name in names}).hstack(
        computed.select(**{f"c.{name}": name for name in names})
    )


def _heads(parcels: pl.DataFrame, base: Decided) -> pl.DataFrame:
    frame = _pairs(parcels, base.heads, HEAD_FACTS).with_columns(parcels["row"])
    return _differing(frame, HEAD_FACTS, "")


def _lines(lines: pl.DataFrame, base: Decided) -> pl.DataFrame:
    frame = _pairs(lines, base.lines, LINE_AMOUNTS).with_columns(lines["row"])
    return _differing(frame, LINE_AMOUNTS, "line: ")


def _findings(findings: pl.DataFrame, base: Decided) -> pl.DataFrame:
    keys = ["row", "rule", "field", "gnum", "expected", "actual"]
    recorded = findings.filter(pl.col("rule").str.contains(LAW_RULES)).select(keys)
    computed = base.findings.select(keys)
    only = [
        (recorded.join(computed, on=keys, how="anti", nulls_equal=True), "recorded"),
        (computed.join(recorded, on=keys, how="anti", nulls_equal=True), "recomputed"),
    ]
    values = pl.concat_str(
        [pl.col(name).cast(pl.String).fill_null("-") for name in keys[2:]], separator=" | "
    )
    return pl.concat(
        frame.select(
            "row",
            what=pl.lit("finding ") + pl.col("rule"),
            recorded=values if side == "recorded" else pl.lit("none"),
            recomputed=values if side == "recomputed" else pl.lit("none"),
        )
        for frame, side in only
    )


def _restored(back: pl.DataFrame, base: Decided) -> pl.DataFrame:
    names = ("restored_fen",)
    frame = _pairs(back, base.restored, names).with_columns(back["row"])
    return _differing(frame, names, "returned: ")


def in_words(difference: pl.DataFrame) -> str:
    """The first difference as a sentence."""
    row = difference.row(0, named=True)
    return (
        f"order {row['order_no']} (list {row['list']}, batch {row['batch']}): {row['what']} "
        f"was recorded as {row['recorded']}, the law in force gives {row['recomputed']}"
    )
