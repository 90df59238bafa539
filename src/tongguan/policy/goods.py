"""Goods findings: unknown codes, the positive list of the day, quantities that a tax needs.

Each rule looks at every line, whatever the others found. Sources: 财关税〔2016〕18号 art. 1 and
the positive lists (goods must be on the list of the day; its remarks bind the trade mode).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import polars as pl

from tongguan.policy.amounts import negated
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

AMOUNT_RULE = "message.field"
"""The rule of an amount that is missing, negative or beyond the reach of exact arithmetic."""


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
    if rates.positive_list is None:
        items = items.with_columns(listed=pl.lit(value=True))
    elif not items["known"].all():
        unknown = (~items["known"]).arg_true()
        found = _heads_listed(items["gcode"][unknown], rates)
        items = items.with_columns(
            items[flag.name].scatter(unknown, flag) for flag in found.get_columns()
        )
    return items.with_columns(faulty=faulty(pl.col))


def _heads_listed(gcode: pl.Series, rates: Rates) -> pl.DataFrame:
    """What the list says of codes by their heads: listed, barred, bonded_only."""
    assert rates.positive_list is not None
    heads = gcode.to_frame("gcode").select(code8=head(pl.col("gcode")))
    lacking = pl.col("bonded_only").is_null()
    withdrawn = pl.col("code8").is_in(list(rates.withdrawn))
    return heads.join(rates.positive_list, on="code8", how="left", maintain_order="left").select(
        listed=~lacking,
        barred=barred(rates.list_complete, lacking, withdrawn),
        bonded_only=pl.col("bonded_only").fill_null(value=False),
    )


# -- the rules, of columns or of one line ----------------------------------------------------------

Line: TypeAlias = Callable[[str], Any]
"""What a rule reads: a column by its name (pl.col), or the fact of one line."""


class GoodsRule(NamedTuple):
    """A rule on a line: where it holds, and what its finding says of the line."""

    rule: str
    severity: str
    field: str
    holds: Callable[[Line], Any]
    expected: Callable[[Line], Any]
    actual: Callable[[Line], Any]
    law: Callable[[Line], Any]


def head(code: Any) -> Any:
    """The first eight digits of a tariff code, by which the positive lists go."""
    return code.str.slice(0, 8) if isinstance(code, pl.Expr) else code[:8]


def directly(line: Line) -> Any:
    """Goods for bonded import only, which do not come that way."""
    return line("bonded_only") & negated(line("bonded"))


def faulty(line: Line) -> Any:
    """Whether a line by itself refuses its case."""
    return (
        negated(line("known"))
        | negated(line("price_good"))
        | line("barred")
        | directly(line)
        | line("undecidable")
    )


def goods_rules(rates: Rates) -> tuple[GoodsRule, ...]:
    """The rules on a line, in the order of their findings.

    They read gcode, tradeMode, known, listed, barred, bonded_only, bonded, undecidable, duty_ppm,
    rate_missing (full tax is due, but a duty rate of the case is not known), duty_unknown, and
    needs, needs_law, given: which quantity the consumption tax asks for, by which paragraph, and
    which are there.
    """
    listed = f"a code of positive list {rates.list_version}"
    tariff = f"tariff {rates.edition}"
    modes = " | ".join(BONDED_MODES)

    def by_code(rule: str, severity: str, holds: Callable[[Line], Any]) -> GoodsRule:
        return GoodsRule(
            *(rule, severity, "gcode", holds),
            expected=lambda _: listed,
            actual=lambda line: head(line("gcode")),
            law=lambda _: rates.law_list,
        )

    def unknown(expected: str, holds: Callable[[Line], Any]) -> GoodsRule:
        return GoodsRule(
            *("goods.unknown-code", "error", "gcode", holds),
            expected=lambda _: f"{expected} {tariff}",
            actual=lambda line: line("gcode"),
            law=lambda _: rates.law_goods,
        )

    return (
        by_code("goods.not-listed", "error", lambda x: negated(x("listed")) & x("barred")),
        by_code(
            *("goods.list-incomplete", "warning"),
            lambda line: negated(line("listed")) & negated(line("barred")),
        ),
        GoodsRule(
            *("goods.bonded-only", "error", "tradeMode", directly),
            expected=lambda _: modes,
            actual=lambda line: line("tradeMode"),
            law=lambda _: rates.law_list,
        ),
        unknown("a code of", lambda line: negated(line("known"))),
        unknown(
            "a code with an ad valorem duty in",
            lambda line: line("rate_missing") & line("duty_unknown"),
        ),
        GoodsRule(
            *("goods.tax-quantity", "error", "unit1", lambda line: line("undecidable")),
            expected=lambda line: line("needs"),
            actual=lambda line: line("given"),
            law=lambda line: line("needs_law"),
        ),
    )


# -- findings of columns ---------------------------------------------------------------------------


_TOLD = ["case", "row", "gnum", "gcode", "rate", "qty1", "unit1", "qty2", "unit2"]


def goods_findings(items: pl.DataFrame, settled: pl.DataFrame, rates: Rates) -> list[pl.DataFrame]:
    """The goods findings of all lines.

    `items`: `case`, `row`, `gnum`, `gcode`, `rate`, `duty_ppm`, the legal quantities, and the flags
    of `goods_flags`; `settled`: the cases with `tradeMode` and `rate_missing`.
    """
    missing = settled["rate_missing"]
    clean = items["known"].all() and items["listed"].all()
    if clean and not (items["bonded_only"].any() or items["undecidable"].any() or missing.any()):
        return []  # no rule can hold
    none = pl.Series("rate_missing", [False])
    flags = items.select(
        *("known", "listed", "barred", "bonded_only", "bonded", "undecidable"),
        missing[items["row"]] if missing.any() else none.new_from_index(0, items.height),
        duty_unknown=pl.col("duty_ppm").is_null(),
    )
    rules = goods_rules(rates)
    holds = flags.select(rule.holds(pl.col).alias(str(n)) for n, rule in enumerate(rules))
    found = []
    for rule, flag in zip(rules, holds.get_columns(), strict=True):
        if not flag.any():
            continue
        rows = items[flag.arg_true(), _TOLD]
        rows = rows.with_columns(
            *rates.table[rows["rate"], ["needs", "needs_law"]].get_columns(),
            settled["tradeMode"][rows["row"]],
            given=_given(),
        )
        expected, actual, law = (
            _told(text(pl.col)) for text in (rule.expected, rule.actual, rule.law)
        )
        found.append(finding(rows, rule.rule, rule.field, expected, actual, law, rule.severity))
    return found


def _told(text: Any) -> pl.Expr:
    return text if isinstance(text, pl.Expr) else pl.lit(text, pl.String)


GIVEN, GIVEN_BETWEEN, NOT_GIVEN = "{}={} unit {}", ", ", "none"
"""A legal quantity in words: its field, the quantity, its unit; what stands between two of them;
and what stands for a quantity that is missing."""
GIVEN_FIELDS = (("qty1", "unit1"), ("qty2", "unit2"))


def _given() -> pl.Expr:
    return pl.concat_str(
        (
            pl.when(pl.col(unit).is_not_null()).then(
                pl.format(GIVEN, pl.lit(quantity), _plain(quantity), pl.col(unit))
            )
            for quantity, unit in GIVEN_FIELDS
        ),
        separator=GIVEN_BETWEEN,
        ignore_nulls=True,
    )


def _plain(quantity: str) -> pl.Expr:
    """A quantity as text without needless zeros."""
    text = pl.col(quantity).cast(pl.String)
    trimmed = pl.when(text.str.contains(".", literal=True)).then(
        text.str.strip_chars_end("0").str.strip_chars_end(".")
    )
    return pl.coalesce(trimmed, text, pl.lit(NOT_GIVEN))


# -- findings of one line --------------------------------------------------------------------------


def one_finding(
    case: int,
    gnum: int | None,
    rule: str,
    field: str | None,
    told: Iterable[str | None],
    severity: str = "error",
) -> dict[str, Any]:
    """One finding as a row of FINDINGS. `told`: expected, actual, law."""
    return dict(zip(FINDINGS, (case, gnum, rule, severity, field, *told), strict=True))


def findings_of_one(line: Mapping[str, Any], rates: Rates) -> Iterator[dict[str, Any]]:
    """The goods findings of one line, which has the facts that `goods_rules` reads."""
    fact = line.__getitem__
    for rule in goods_rules(rates):
        if rule.holds(fact):
            told = (rule.expected(fact), rule.actual(fact), rule.law(fact))
            yield one_finding(
                *(line["case"], line["gnum"], rule.rule, rule.field, told, rule.severity)
            )


def given_text(line: Mapping[str, Any]) -> str:
    """The legal quantities of one line in words."""
    return GIVEN_BETWEEN.join(
        GIVEN.format(quantity, plain_text(line[quantity]), line[unit])
        for quantity, unit in GIVEN_FIELDS
        if line[unit] is not None
    )


def plain_text(quantity: Decimal | None) -> str:
    """A quantity as text without needless zeros."""
    return NOT_GIVEN if quantity is None else f"{quantity.normalize():f}"
