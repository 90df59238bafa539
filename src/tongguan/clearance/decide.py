"""The decision about complete dossiers: one pure function over columns.

The same function serves a batch of messages, a check without a database, an explanation and a
replay; nothing else matches documents, and ``policy.assess`` inside it is the only place that
computes tax and limits.
"""

from dataclasses import dataclass

import polars as pl

from tongguan import policy
from tongguan.clearance import findings as f
from tongguan.clearance.rules import MATCH_RULES, Dossiers


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided, one row per case.

    heads: case, buyer, eligible, refused and the amounts of ``policy.assess`` in fen.
    lines: case, gnum and the shares, taxes (fen) and rates of each line.
    findings: ``findings.SCHEMA``.
    assessment: as ``policy.assess`` gave it, for an explanation.
    """

    heads: pl.DataFrame
    lines: pl.DataFrame
    findings: pl.DataFrame
    assessment: policy.Assessment


def buyer_key() -> pl.Expr:
    """Whose year it is: the keyed hash of the identity number.

    Not its type: a number declared once as an identity card and once as another document would
    have two years.
    """
    return pl.col("inventory.buyerIdNumber_digest")


def decide(dossiers: Dossiers, law: policy.Law, used: pl.DataFrame) -> Decisions:
    """Match, assess and decide complete dossiers under the law of one day.

    used: buyer, used_fen: what each buyer's calendar year already holds.

    The stages follow the way of a parcel: match and identity, then goods, limits and tax. A list
    that a match rule refuses is still assessed, so that it carries all its findings, but takes
    nothing of the buyer's year. The guarantee (finance/) and the selection for inspection (risk/)
    come after this function, between statuses 120 and 399, on lists it did not refuse.
    """
    matched = f.together(rule(dossiers) for rule in MATCH_RULES)
    refused = f.faulty(matched).with_columns(eligible=pl.lit(value=False))
    heads = dossiers.heads.select(
        "case",
        buyer=buyer_key(),
        tradeMode="inventory.tradeMode",
        freight="inventory.freight",
        insuredFee="inventory.insuredFee",
    ).join(refused, on="case", how="left", maintain_order="left")
    heads = heads.with_columns(pl.col("eligible").fill_null(value=True))
    assessment = policy.assess(heads, dossiers.inventory_lines, law, used)
    assessed = f.shaped(assessment.findings, document="inventory")
    decided = heads.select("case", "buyer", "eligible").join(
        assessment.heads, on="case", maintain_order="left"
    )
    return Decisions(
        heads=decided.with_columns(refused=pl.col("refused") | ~pl.col("eligible")),
        lines=assessment.lines,
        findings=f.together((matched, assessed)),
        assessment=assessment,
    )
