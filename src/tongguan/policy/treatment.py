"""What becomes of a case under the limits and the buyer's year: one formula for each question.

Source: 财关税〔2016〕18号 art. 3, 〔2018〕49号 art. 1-2. The operands are columns (Polars
expressions) or the exact values of one case; what happens over a limit is the law's own word.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from tongguan.policy.amounts import choose, negated
from tongguan.policy.rates import COUNTED, GENERAL, REFUSED, RETAIL, Limits

Operand: TypeAlias = Any
"""A pl.Expr, or an int or bool."""

TREATMENTS = {REFUSED: 0, GENERAL: 1, COUNTED: 2, RETAIL: 3}
"""What may become of a case, as small integers."""


def alone(value_fen: Operand, one_item: Operand, limits: Limits) -> Operand:
    """The treatment by the single limit alone, whatever the year holds."""
    over = choose(
        one_item,
        TREATMENTS[limits.over_single_one_item],
        TREATMENTS[limits.over_single_many_items],
    )
    return choose(value_fen <= limits.single_within_fen, TREATMENTS[RETAIL], over)


def in_full(treatment: Operand) -> Operand:
    """Whether the full taxes of general trade are due."""
    return (treatment >= TREATMENTS[GENERAL]) & (treatment <= TREATMENTS[COUNTED])


def takes(by_single: Operand, eligible: Operand, faulty: Operand) -> Operand:
    """Whether a case may take of the buyer's year at all."""
    return eligible & negated(faulty) & (by_single != TREATMENTS[REFUSED])


def takes_inside(by_single: Operand, taking: Operand, duty_unknown: Operand) -> Operand:
    """Whether a case that fits into the year counts toward it."""
    counts = by_single >= TREATMENTS[COUNTED]
    return taking & counts & negated(in_full(by_single) & duty_unknown)


def takes_outside(taking: Operand, duty_unknown: Operand, limits: Limits) -> Operand:
    """Whether a case that does not fit counts toward the year all the same."""
    return taking & negated(duty_unknown) & (TREATMENTS[limits.over_annual] == TREATMENTS[COUNTED])


def fits(used_fen: Operand, value_fen: Operand, limit_fen: int) -> Operand:
    """Whether the value still fits into the year; the limit itself is inside."""
    return used_fen + value_fen <= limit_fen


def counted_fen(
    inside: Operand, value_fen: Operand, counts_inside: Operand, counts_outside: Operand
) -> Operand:
    """What the year takes."""
    return choose(choose(inside, counts_inside, counts_outside), value_fen, 0)


def settled(by_single: Operand, inside: Operand, limits: Limits) -> Operand:
    """The treatment by single limit and year together."""
    by_itself = (by_single == TREATMENTS[REFUSED]) | inside
    return choose(by_itself, by_single, TREATMENTS[limits.over_annual])


def rate_missing(treatment: Operand, duty_unknown: Operand, faulty: Operand) -> Operand:
    """Whether full tax would be due, but a duty rate is not known."""
    return in_full(treatment) & duty_unknown & negated(faulty)


def refused(treatment: Operand, faulty: Operand, missing: Operand) -> Operand:
    """Whether the case may not be declared as retail import."""
    return (treatment == TREATMENTS[REFUSED]) | faulty | missing


def over_single(by_single: Operand) -> Operand:
    """Whether the single limit refuses the case."""
    return by_single == TREATMENTS[REFUSED]


def over_annual(inside: Operand, limits: Limits) -> Operand:
    """Whether the year refuses the case."""
    return negated(inside) & (TREATMENTS[limits.over_annual] == TREATMENTS[REFUSED])


class LimitRule(NamedTuple):
    """A limit that refuses: the rule, the limit in fen, its paragraph, and what is held against it.

    `refuses` names the flag of the case (`over_single`, `over_annual`); `with_year`: the value is
    added to what the year holds.
    """

    rule: str
    refuses: str
    limit_fen: int
    law: str
    with_year: bool

    def held_fen(self, value_fen: Operand, used_fen: Operand) -> Operand:
        """What is held against the limit."""
        return value_fen + used_fen if self.with_year else value_fen


def limit_rules(limits: Limits) -> tuple[LimitRule, LimitRule]:
    """The rules that a refusal for a limit names."""
    return (
        LimitRule("limit.single", "over_single", limits.single_fen, limits.law_single, False),
        LimitRule("limit.annual", "over_annual", limits.annual_fen, limits.law_annual, True),
    )
