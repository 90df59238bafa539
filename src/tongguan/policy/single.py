"""One case in exact integers: the formulas of the columns, asked of one parcel.

A batch of one pays milliseconds for the planning of columns and microseconds for the law. Here
the same formulas (tax, treatment, quantities, shares) run on the integers of one case. They are
the only place that says what the law is; this module finds their operands. A case with anything
to remark but a limit (goods, quantities, bad amounts) is left to ``assess``, so that nothing of it
stands twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tongguan.policy import tax, treatment
from tongguan.policy.amounts import PLACES, UNIT, fen, yuan_text
from tongguan.policy.quantities import KINDS, LARGEST, Tested, decision, tested, units_by_code
from tongguan.policy.rates import (
    BONDED_MODES,
    GENERAL,
    PARCEL,
    REFUSED,
    RETAIL,
    Rates,
    Row,
    rates_of,
)
from tongguan.policy.shares import share_of_one
from tongguan.policy.tax import MILLION

if TYPE_CHECKING:
    from tongguan.policy.policy import Law

_NOTHING = Tested(-1, False, False, False, 0)
_TAXES = ("duty_fen", "consumption_fen", "vat_fen", "parcel_tax_fen")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The head, the lines and the findings of one case, with the columns of ``Assessment``."""

    head: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    findings: Sequence[Mapping[str, Any]] = ()


@dataclass(slots=True)
class _Item:
    """One line with what the tariff says of it."""

    given: Mapping[str, Any]
    row: Row
    goods_fen: int
    ct_ppm: int
    ct_quantity: int | None


def assess_one(
    head: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], law: Law, used_fen: int
) -> Outcome | None:
    """One case under the law of one day, or None where ``assess`` must look at it.

    ``head`` and ``lines`` have the columns that ``assess`` takes, amounts as Decimal of at most
    five places; ``used_fen``: what the buyer's year holds.
    """
    rates = rates_of(law)
    items: list[_Item] = []
    for line in lines:
        item = _item(line, head["tradeMode"], rates)
        if item is None:
            return None
        items.append(item)
    pots = [_fen(head[name], rates) for name in ("freight", "insuredFee")]
    if not items or pots[0] is None or pots[1] is None or not head["eligible"]:
        return None
    goods = [item.goods_fen for item in items]
    value = sum(goods) + pots[0] + pots[1]
    if value > rates.reach_fen:
        return None
    numbers = [line["gnum"] for line in lines]
    charges = share_of_one(pots[0] + pots[1], goods, numbers)
    facts = {"case": head["case"], "value_fen": value, "used_before_fen": used_fen}
    facts["one_item"] = len(items) == 1 and lines[0]["qty"] == 1
    if rates.limits is None:
        taxed = _parcel(items, charges, rates)
        return _outcome(facts | {"regime": PARCEL, "counted_fen": 0}, taxed)
    settled = _settle(facts, any(item.row.facts["duty_ppm"] is None for item in items), rates)
    if settled is None:
        return None
    taxed = [
        _goods_tax(item, part, settled, rates) for item, part in zip(items, charges, strict=True)
    ]
    facts |= {"regime": settled.regime, "counted_fen": settled.counted_fen}
    return _outcome(facts, taxed, settled.findings)


def _fifths(amount: Decimal) -> int:
    return int(amount.scaleb(PLACES))


def _fen(amount: Decimal | None, rates: Rates) -> int | None:
    """An amount in fen; None where it is missing, negative or beyond exact arithmetic."""
    if amount is None or not 0 <= amount <= rates.reach_fen:
        return None
    fifths = _fifths(amount)
    return fen(fifths) if fifths <= rates.reach_fen * (UNIT // 100) else None


def _item(line: Mapping[str, Any], mode: str, rates: Rates) -> _Item | None:
    row = rates.row(line["gcode"])
    goods = _fen(line["totalPrice"], rates)
    if row is None or goods is None:
        return None
    facts = row.facts
    direct = facts["bonded_only"] and mode not in BONDED_MODES
    if not facts["known"] or not facts["listed"] or direct:
        return None
    if not facts["special"]:
        return _Item(line, row, goods, facts["ct_ppm"], None)
    first, second = (_tested(line, n, row) for n in ("1", "2"))
    most = facts["ct_quantity_most"]
    found = decision(first, second, facts["conditional"], most is not None, most or 0)
    if found.undecidable:
        return None
    measured = found.taxed and found.measured
    ct_ppm = facts["ct_ppm"] if found.taxed else 0
    return _Item(line, row, goods, ct_ppm, found.quantity if measured else None)


def _tested(line: Mapping[str, Any], n: str, row: Row) -> Tested:
    quantity, known = line[f"qty{n}"], units_by_code().get(line[f"unit{n}"])
    if known is None:
        return _NOTHING
    kind, factor = KINDS.index(known[0]), known[1]
    fifths = 0 if quantity is None else _fifths(quantity)
    amount = fifths * factor if 0 < fifths <= LARGEST // factor else 0
    minimum, specific = row.asks[kind]
    price = _fifths(line["totalPrice"])
    return tested(kind, amount, price, minimum or 0, minimum is not None, specific)


@dataclass(frozen=True, slots=True)
class _Settled:
    """What becomes of the case, what its buyer's year takes, and the limits that refuse it."""

    regime: str
    counted_fen: int
    findings: list[dict[str, Any]]


def _settle(facts: Mapping[str, Any], unknown: bool, rates: Rates) -> _Settled | None:
    """None where full tax is due, but a duty rate is not known."""
    limits = rates.limits
    assert limits is not None
    value, used = facts["value_fen"], facts["used_before_fen"]
    alone = treatment.alone(value, facts["one_item"], limits)
    inside = treatment.fits(used, value, limits.annual_within_fen)
    taking = treatment.takes(alone, eligible=True, faulty=False)
    counted = treatment.counted_fen(
        inside,
        value,
        treatment.takes_inside(alone, taking, unknown),
        treatment.takes_outside(taking, unknown, limits),
    )
    given = treatment.settled(alone, inside, limits)
    missing = treatment.rate_missing(given, unknown, faulty=False)
    if missing:
        return None
    flags = {
        "over_single": treatment.over_single(alone),
        "over_annual": treatment.over_annual(inside, limits),
    }
    findings = [
        _finding(facts["case"], limit, limit.held_fen(value, used))
        for limit in treatment.limit_rules(limits)
        if flags[limit.refuses]
    ]
    if treatment.refused(given, faulty=False, missing=missing):
        return _Settled(REFUSED, counted, findings)
    return _Settled(GENERAL if treatment.in_full(given) else RETAIL, counted, findings)


def _finding(case: int, limit: treatment.LimitRule, held_fen: int) -> dict[str, Any]:
    return {
        "case": case,
        "gnum": None,
        "rule": limit.rule,
        "severity": "error",
        "field": None,
        "expected": yuan_text(limit.limit_fen),
        "actual": yuan_text(held_fen),
        "law": limit.law,
    }


def _goods_tax(item: _Item, charges: int, settled: _Settled, rates: Rates) -> dict[str, Any]:
    facts, full = item.row.facts, settled.regime == GENERAL
    basis = item.goods_fen + charges
    duty_ppm = facts["duty_ppm"] if full else rates.duty_within_ppm
    levy = rates.levy_den if full else rates.levy_num
    terms = (basis, duty_ppm, item.ct_ppm, levy, rates.levy_den)
    specific = 0
    if item.ct_quantity is None:
        x, den = tax.terms(*terms)
    else:
        x, den, specific = tax.compound_terms(
            *terms, item.ct_quantity, facts["ct_specific_num"], facts["ct_specific_den"]
        )
    owing = settled.regime != REFUSED
    return _line(item, charges) | {
        "duty_fen": tax.duty_fen(basis, duty_ppm) if owing else 0,
        "consumption_fen": tax.consumption_fen(x, item.ct_ppm, den, specific) if owing else 0,
        "vat_fen": tax.vat_fen(x, facts["vat_ppm"], den) if owing else 0,
        "parcel_tax_fen": 0,
        "waived_fen": 0,
        "duty_ppm": duty_ppm,
        "ct_ppm": item.ct_ppm,
        "ct_quantity": item.ct_quantity,
        "vat_ppm": facts["vat_ppm"],
        "parcel_ppm": None,
        "levy_ppm": MILLION if full else rates.levy_ppm,
    }


def _parcel(items: list[_Item], charges: list[int], rates: Rates) -> list[dict[str, Any]]:
    due = [
        tax.parcel_tax_fen(item.goods_fen + part, item.row.facts["parcel_ppm"])
        for item, part in zip(items, charges, strict=True)
    ]
    waived = tax.waived(sum(due), rates.waiver_fen)
    return [
        _line(item, part)
        | {
            **dict.fromkeys(("duty_fen", "consumption_fen", "vat_fen"), 0),
            "parcel_tax_fen": 0 if waived else amount,
            "waived_fen": amount if waived else 0,
            **dict.fromkeys(("duty_ppm", "ct_ppm", "vat_ppm")),
            "ct_quantity": item.ct_quantity,
            "parcel_ppm": item.row.facts["parcel_ppm"],
            "levy_ppm": MILLION,
        }
        for item, part, amount in zip(items, charges, due, strict=True)
    ]


def _line(item: _Item, charges: int) -> dict[str, Any]:
    given = ("case", "gnum", "gcode", "totalPrice", "qty1", "unit1", "qty2", "unit2")
    return {name: item.given[name] for name in given} | {
        "goods_fen": item.goods_fen,
        "charges_fen": charges,
        "basis_fen": item.goods_fen + charges,
        "rate_confirmed": item.row.facts["rate_confirmed"],
    }


def _outcome(
    facts: dict[str, Any], lines: list[dict[str, Any]], findings: Sequence[Mapping[str, Any]] = ()
) -> Outcome:
    sums = {name: sum(line[name] for line in lines) for name in (*_TAXES, "waived_fen")}
    head = facts | sums
    head["total_fen"] = sum(sums[name] for name in _TAXES)
    head["used_after_fen"] = facts["used_before_fen"] + facts["counted_fen"]
    head["refused"] = facts["regime"] == REFUSED
    return Outcome(head, lines, findings)
