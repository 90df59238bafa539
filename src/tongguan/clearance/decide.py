"""The decision about complete dossiers: one pure function over columns.

The same function serves a batch of messages, a check without a database, an explanation and a
replay; nothing else matches documents, and ``policy.assess`` inside it is the only place that
computes tax and limits.
"""

from dataclasses import dataclass

import polars as pl

from tongguan import finance, policy
from tongguan.clearance import findings as f
from tongguan.clearance.rules import MATCH_RULES, Dossiers


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided, one row per case.

    heads: case, buyer, guarantor, eligible, refused, hold_fen (what its guarantee holds) and the
    amounts of ``policy.assess`` in fen.
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


@dataclass(frozen=True, slots=True)
class Standing:
    """What a decision finds: the state that lists take from, one after the other.

    used: buyer, used_fen: what each buyer's calendar year already holds.
    guarantees: ``finance.guarantees.STATES`` of the guarantors; None where nobody asks for one.
    opened_registry: whether a company without a guarantee may carry tax all the same.
    """

    used: pl.DataFrame
    guarantees: pl.DataFrame | None = None
    opened_registry: bool = True


def decide(dossiers: Dossiers, law: policy.Law, standing: Standing) -> Decisions:
    """Match, assess, secure and decide complete dossiers under the law of one day.

    The stages follow the way of a parcel: match and identity, then goods, limits and tax, then
    the guarantee for the tax. A list that a match rule refuses is still assessed, so that it
    carries all its findings, but takes nothing of the buyer's year. The selection for inspection
    (risk/) comes after this function, between statuses 120 and 399, on lists it did not refuse.
    """
    matched = f.together(rule(dossiers) for rule in MATCH_RULES)
    refused = f.faulty(matched).with_columns(eligible=pl.lit(value=False))
    heads = dossiers.heads.select(
        "case",
        buyer=buyer_key(),
        guarantor="inventory.assureCode",
        tradeMode="inventory.tradeMode",
        freight="inventory.freight",
        insuredFee="inventory.insuredFee",
    ).join(refused, on="case", how="left", maintain_order="left")
    heads = heads.with_columns(pl.col("eligible").fill_null(value=True))
    assessment, secured, unsecured = _assess(heads, dossiers, law, standing)
    assessed = f.shaped(assessment.findings, document="inventory")
    amounts = assessment.heads.with_columns(pl.col("case").cast(pl.Int64))
    decided = secured.select("case", "buyer", "guarantor", "eligible", "hold_fen").join(
        amounts, on="case", maintain_order="left"
    )
    return Decisions(
        heads=decided.with_columns(refused=pl.col("refused") | ~pl.col("eligible")),
        lines=assessment.lines,
        findings=f.together((matched, assessed, unsecured)),
        assessment=assessment,
    )


def _assess(
    heads: pl.DataFrame, dossiers: Dossiers, law: policy.Law, standing: Standing
) -> tuple[policy.Assessment, pl.DataFrame, pl.DataFrame]:
    """Assess, and hold the tax on guarantees: the assessment, heads with hold_fen, findings.

    A list that its guarantee cannot carry gives back what it took of its buyer's year, so a later
    one may fit there and ask for a guarantee in its turn. Each time round at least one more list
    is refused for good: those up to the first that a later one may profit from. What comes after
    that one is judged anew, as it may find other years and other guarantees.
    """
    unsecured = pl.Series([], dtype=pl.Int64)
    case = pl.col("case").cast(pl.Int64)
    while True:
        assessment = policy.assess(heads, dossiers.inventory_lines, law, standing.used)
        if standing.guarantees is None:
            return assessment, heads.with_columns(hold_fen=pl.lit(0, dtype=pl.Int64)), f.none()
        taxes = assessment.heads.select("case", "refused", tax_fen="total_fen")
        asked = heads.select("case", "guarantor", "eligible").join(taxes, on="case").sort("case")
        asked = asked.with_columns(case, pl.col("eligible") & ~pl.col("refused"))
        allotment = finance.allot(asked, standing.guarantees, standing.opened_registry)
        able = asked.filter("eligible")["case"]
        told = f.shaped(allotment.findings, document="inventory", law=LAW_OF_GUARANTEES)
        # A list that was refused so is judged again with the others: what it says is what the
        # guarantee held when its turn came.
        told = told.filter(case.is_in(able.append(unsecured).implode()))
        now = f.faulty(told)["case"]
        fresh = now.filter(~now.is_in(unsecured.implode()))
        if fresh.is_empty():
            break
        fresh = _settled(fresh, heads, assessment.heads)
        unsecured = unsecured.append(fresh)
        heads = heads.with_columns(pl.col("eligible") & ~case.is_in(unsecured.implode()))
    holds = asked.join(allotment.heads.filter("holds"), on="case")
    held = holds.select("case", hold_fen="tax_fen")
    heads = heads.with_columns(case).join(held, on="case", how="left", maintain_order="left")
    return assessment, heads.with_columns(pl.col("hold_fen").fill_null(0)), told


def _settled(fresh: pl.Series, heads: pl.DataFrame, assessed: pl.DataFrame) -> pl.Series:
    """The cases just found unsecured whose refusal stands: the first up to one whose buyer has a
    later case that is refused, or pays more, for want of what this one gives back."""
    cases = heads.select("case", "buyer").join(assessed, on="case")
    worse = cases.filter(pl.col("refused") | (pl.col("regime") != "retail-import"))
    last = worse.group_by("buyer").agg(last=pl.col("case").max())
    gives = cases.filter(pl.col("case").is_in(fresh.implode())).join(last, on="buyer")
    first = gives.filter(pl.col("last") > pl.col("case"))["case"].min()
    return fresh if first is None else fresh.filter(fresh <= first)


LAW_OF_GUARANTEES = "GACC notice 2018-194: the collecting agent secures the tax before release"
