"""The answer of a replay as facts: the one source of JSON, CSV, the report and the console."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import polars as pl

from tongguan.replay import reproduce
from tongguan.replay.judge import View
from tongguan.replay.tally import NEWLY_REFUSED, NO_LONGER_REFUSED, Tally

SHOWN = 20
"""Companies and goods that are listed: the most affected."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked. draft: its name (None: whether the record is reproduced); view: of what.

    changes: what the draft changes: parameter, from, until, and in both languages its name, its
    value before and after. goods: names of tariff codes.
    """

    draft: str | None
    view: View
    changes: list[dict[str, Any]] = field(default_factory=list)
    goods: Mapping[str, str] = field(default_factory=dict)


def yuan(fen: int) -> str:
    """Fen as yuan with two decimals.

    >>> yuan(-123456), yuan(5)
    ('-1234.56', '0.05')
    """
    return f"{Decimal(fen) / 100:.2f}"


def facts(question: Question, tally: Tally) -> dict[str, Any]:
    """The answer as JSON values: amounts in yuan as text, counts as numbers."""
    totals = tally.tables["totals"].row(0, named=True)
    difference = tally.difference
    taxes = {
        row["tax"]: {"base": yuan(row["base_fen"]), "draft": yuan(row["draft_fen"])}
        for row in tally.tables["by_tax"].iter_rows(named=True)
    }
    sums = tally.tables["by_tax"].select(pl.col("base_fen", "draft_fen").sum()).row(0)
    return {
        "draft": question.draft,
        "from": question.view.since.isoformat() if question.view.since else None,
        "to": question.view.until.isoformat() if question.view.until else None,
        "zone": question.view.zone,
        "changes": question.changes,
        "parcels": totals["parcels"],
        "reproduced": difference.is_empty(),
        "first_difference": None if difference.is_empty() else reproduce.in_words(difference),
        "changed": totals["changed"],
        "outcome_changed": totals["outcome_changed"],
        "tax_changed": totals["tax_changed"],
        "refused": {"base": totals["refused_base"], "draft": totals["refused_draft"]},
        "by_rule": _by_rule(tally.tables["by_rule"]),
        "by_regime": tally.tables["by_regime"].to_dicts(),
        "tax": {"base": yuan(sums[0]), "draft": yuan(sums[1])},
        "tax_by_kind": taxes,
        "buyers": {
            "all": totals["buyers"],
            "newly_over": totals["buyers_newly_over"],
            "no_longer_over": totals["buyers_no_longer_over"],
        },
        "returns": {
            "all": totals["returns"],
            "affected": totals["returns_affected"],
            "void": totals["returns_void"],
            "tax": {
                "base": yuan(totals["returned_base_fen"]),
                "draft": yuan(totals["returned_draft_fen"]),
            },
        },
        "months": _listed(tally.tables["by_month"], "month"),
        "zones": _listed(tally.tables["by_zone"], "zone"),
        "companies": _listed(_most(companies(tally), "seller"), "seller"),
        "goods": _listed(_most(goods(tally, question), "gcode"), "gcode"),
        "examples": [_example(row) for row in tally.examples.iter_rows(named=True)],
    }


def companies(tally: Tally) -> pl.DataFrame:
    """The sums of every company with its name: the one it declared most often."""
    names = tally.tables["names"].sort(
        ["seller", "parcels", "seller_name"], descending=[False, True, False], nulls_last=True
    )
    first = names.unique("seller", keep="first", maintain_order=True)
    named = first.select("seller", name="seller_name")
    return tally.tables["companies"].join(
        named, on="seller", how="left", nulls_equal=True, maintain_order="left"
    )


def goods(tally: Tally, question: Question) -> pl.DataFrame:
    """The sums of every tariff code with its name, where the tariff has one."""
    name = pl.col("gcode").replace_strict(question.goods, default=None, return_dtype=pl.String)
    return tally.tables["goods"].with_columns(name=name)


def _by_rule(table: pl.DataFrame) -> dict[str, dict[str, int]]:
    told: dict[str, dict[str, int]] = {}
    for rule, direction, parcels in table.iter_rows():
        told.setdefault(rule, {NEWLY_REFUSED: 0, NO_LONGER_REFUSED: 0})[direction] = parcels
    return told


def _most(table: pl.DataFrame, key: str) -> pl.DataFrame:
    """The rows that a draft affects most: by changed parcels, then by the change of tax."""
    change = (pl.col("tax_draft_fen") - pl.col("tax_base_fen")).abs()
    affected = table.filter((pl.col("changed") > 0) | (change > 0))
    ranked = affected.with_columns(change=change)
    return ranked.sort(
        ["changed", "change", key], descending=[True, True, False], nulls_last=True
    ).head(SHOWN)


def _listed(table: pl.DataFrame, key: str) -> list[dict[str, Any]]:
    return [
        {
            key: row[key],
            **({"name": row["name"]} if "name" in row else {}),
            **{name: row[name] for name in ("parcels", "lines") if name in row},
            "changed": row["changed"],
            NEWLY_REFUSED: row[NEWLY_REFUSED],
            NO_LONGER_REFUSED: row[NO_LONGER_REFUSED],
            **({"lost": yuan(row["lost_fen"])} if "lost_fen" in row else {}),
            "tax": {"base": yuan(row["tax_base_fen"]), "draft": yuan(row["tax_draft_fen"])},
        }
        for row in table.iter_rows(named=True)
    ]


def _example(row: Mapping[str, Any]) -> dict[str, Any]:
    plain = ("rule", "direction", "order_no", "invt_no", "zone", "seller", "seller_name", "gnum")
    return {
        **{name: row[name] for name in plain},
        "day": row["day"].isoformat(),
        "value": yuan(row["value_fen"]),
        **{name: row[name] for name in ("field", "expected", "actual")},
        "regime": {"base": row["regime_base"], "draft": row["regime_draft"]},
        "tax": {"base": yuan(row["tax_base_fen"]), "draft": yuan(row["tax_draft_fen"])},
        "used": {"base": yuan(row["used_base_fen"]), "draft": yuan(row["used_draft_fen"])},
    }
