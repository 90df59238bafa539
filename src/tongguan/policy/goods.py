"""Goods findings: unknown codes, the positive list of the day, quantities that a tax needs.

Each rule looks at every line, whatever the others found. Sources: 财关税〔2016〕18号 art. 1 and
the positive lists (goods must be on the list of the day; its remarks bind the trade mode).
"""

from __future__ import annotations

import polars as pl

from tongguan.policy.rates import BONDED_MODES, Rates, barred

FINDINGS = pl.Schema(
    {
        "case": pl.UInt32,
        "gnum": pl.Int64,
        "rule": pl.String,
        "severity": pl.String,
        "field": pl.String,
        "expected": pl.String,
        "actual": pl.String,
        "law": pl.String,
    }
)
"""Columns of Assessment.findings; `gnum` is null where the whole case is meant."""


def finding(
    rows: pl.DataFrame,
    rule: str,
    field: str | pl.Expr | None,
    expected: pl.Expr,
    actual: pl.Expr,
    law: str | pl.Expr | None,
    severity: str = "error",
) -> pl.DataFrame:
    """One finding per row (columns `case` and, for lines, `gnum`), in the shape of FINDINGS."""
    gnum = pl.col("gnum").cast(pl.Int64) if "gnum" in rows.columns else pl.lit(None, pl.Int64)
    return rows.select(
        "case",
        gnum.alias("gnum"),
        rule=pl.lit(rule),
        severity=pl.lit(severity),
        field=field if isinstance(field, pl.Expr) else pl.lit(field, pl.String),
        expected=expected,
        actual=actual,
        law=law if isinstance(law, pl.Expr) else pl.lit(law, pl.String),
    )


def goods_flags(items: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """The lines with `listed`, `barred`, `bonded_only` also of unknown codes, and `faulty`."""
    positive = rates.positive_list
    if positive is not None and not items["known"].all():
        heads = items.select(code8=pl.col("gcode").str.slice(0, 8))
        found = heads.join(positive, on="code8", how="left", maintain_order="left")
        items = items.with_columns(
            found.select(
                listed=pl.col("bonded_only").is_not_null(),
                barred=barred(rates.list_complete, rates.withdrawn),
                bonded_only=pl.col("bonded_only").fill_null(value=False),
            )
        )
    elif positive is None:
        items = items.with_columns(listed=pl.lit(value=True))
    direct = pl.col("bonded_only") & ~pl.col("bonded")
    return items.with_columns(
        faulty=~pl.col("known")
        | ~pl.col("price_good")
        | pl.col("barred")
        | direct
        | pl.col("undecidable")
    )


def goods_findings(items: pl.DataFrame, settled: pl.DataFrame, rates: Rates) -> list[pl.DataFrame]:
    """The goods findings of all lines.

    `items`: `case`, `row`, `gnum`, `gcode`, `tradeMode`, `unit1`, `unit2`, `rate`, `duty_ppm` and
    the flags of `goods_flags`; `settled`: the cases with `rate_missing` (full tax is due, but a
    duty rate is not known).
    """
    found = _list_findings(items, rates)
    if not items["known"].all():
        unknown = items.filter(~pl.col("known"))
        expected = pl.lit(f"a code of tariff {rates.edition}")
        found.append(
            finding(
                unknown, "goods.unknown-code", "gcode", expected, pl.col("gcode"), rates.law_goods
            )
        )
    if settled["rate_missing"].any():
        missing = items.filter(settled["rate_missing"][items["row"]] & pl.col("duty_ppm").is_null())
        expected = pl.lit(f"a code with an ad valorem duty in tariff {rates.edition}")
        found.append(
            finding(
                missing, "goods.unknown-code", "gcode", expected, pl.col("gcode"), rates.law_goods
            )
        )
    if items["undecidable"].any():
        found.append(_quantity_findings(items.filter("undecidable"), rates))
    return found


def _list_findings(items: pl.DataFrame, rates: Rates) -> list[pl.DataFrame]:
    found: list[pl.DataFrame] = []
    if not items["listed"].all():
        expected = pl.lit(f"a code of positive list {rates.list_version}")
        actual = pl.col("gcode").str.slice(0, 8)
        for certain, rule, severity in (
            (True, "goods.not-listed", "error"),
            (False, "goods.list-incomplete", "warning"),
        ):
            rows = items.filter(~pl.col("listed") & (pl.col("barred") == certain))
            if rows.height:
                found.append(
                    finding(rows, rule, "gcode", expected, actual, rates.law_list, severity)
                )
    if (items["bonded_only"] & ~items["bonded"]).any():
        direct = items.filter(pl.col("bonded_only") & ~pl.col("bonded"))
        expected = pl.lit(" | ".join(BONDED_MODES))
        actual = pl.col("tradeMode")
        found.append(
            finding(direct, "goods.bonded-only", "tradeMode", expected, actual, rates.law_list)
        )
    return found


def _quantity_findings(undecidable: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Which quantity the consumption tax of each line asks for, and in which units it came."""
    needs = rates.table["needs"][undecidable["rate"]]
    given = pl.concat_str(
        (
            pl.when(pl.col(unit).is_not_null()).then(
                pl.format("{}={} unit {}", pl.lit(quantity), _plain(quantity), pl.col(unit))
            )
            for quantity, unit in (("qty1", "unit1"), ("qty2", "unit2"))
        ),
        separator=", ",
        ignore_nulls=True,
    )
    law = rates.table["needs_law"][undecidable["rate"]]
    return finding(undecidable, "goods.tax-quantity", "unit1", pl.lit(needs), given, pl.lit(law))


def _plain(quantity: str) -> pl.Expr:
    """A quantity as text without needless zeros; `none` where it is missing."""
    text = pl.col(quantity).cast(pl.String)
    trimmed = pl.when(text.str.contains(".", literal=True)).then(
        text.str.strip_chars_end("0").str.strip_chars_end(".")
    )
    return pl.coalesce(trimmed, text, pl.lit("none"))
