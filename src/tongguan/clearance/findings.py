"""Findings as columns: the one shape in which every stage of the job says what it found.

Columns: ``case`` (whatever index the stage works on), ``rule``, ``severity`` (error | warning),
``document`` (kind), ``field``, ``gnum``, ``expected``, ``actual``, ``law``. Personal values come
in masked. The receipt code is not a column here: it follows from rule, kind and field
(``codes.rule(rule).code(kind, field)``) and is added once, when findings are recorded.
"""

from collections.abc import Iterable
from typing import Any

import polars as pl

from tongguan import codes

SCHEMA: dict[str, Any] = {
    "case": pl.Int64,
    "rule": pl.String,
    "severity": pl.String,
    "document": pl.String,
    "field": pl.String,
    "gnum": pl.Int64,
    "expected": pl.String,
    "actual": pl.String,
    "law": pl.String,
}
ERROR, WARNING = "error", "warning"
MESSAGE = "message"
"""Stands for the kind where a finding is about a message as a whole."""


def none() -> pl.DataFrame:
    return pl.DataFrame(schema=SCHEMA)


def shaped(frame: pl.DataFrame, **constants: str) -> pl.DataFrame:
    """Bring a frame into the shape; a column it lacks is filled from ``constants`` or left null."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(constants.get(name)))
        .cast(kind)
        .alias(name)
        for name, kind in SCHEMA.items()
    )


def together(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """All findings one under the other, in the order the stages gave them."""
    return pl.concat([none(), *frames])


def with_codes(findings: pl.DataFrame) -> pl.DataFrame:
    """Add ``code``: the receipt code of the rule for that kind and field, else the rule id.

    A finding that names no paragraph of its own gets that of its rule.
    """
    on = ["rule", "document", "field"]
    cases = findings.select(on).unique()
    kinds = cases.with_columns(pl.col("document").replace(MESSAGE, "order"))
    table = cases.with_columns(
        code=pl.Series(
            [codes.rule(rule).code(kind, field) for rule, kind, field in kinds.iter_rows()],
            dtype=pl.String,
        ),
        rule_law=pl.Series([codes.rule(rule).law for rule in cases["rule"]], dtype=pl.String),
    )
    coded = findings.join(table, on=on, how="left", maintain_order="left", nulls_equal=True)
    return coded.with_columns(law=pl.coalesce("law", "rule_law")).drop("rule_law")


def faulty(findings: pl.DataFrame) -> pl.DataFrame:
    """The distinct cases that carry at least one error."""
    return findings.filter(pl.col("severity") == ERROR).select("case").unique()
