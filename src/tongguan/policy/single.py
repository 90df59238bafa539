"""One case in exact integers: the formulas of the columns, asked of one parcel.

A batch of one pays milliseconds for the planning of columns and microseconds for the law. Here
the same formulas (tax, treatment, quantities, shares) and the same rules on goods run on the
integers of one case. They are the only place that says what the law is; this module finds their
operands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tongguan.policy import tax, treatment
from tongguan.policy.amounts import PLACES, fen, reckonable, reckonable_text, yuan_text
from tongguan.policy.goods import AMOUNT_RULE, faulty, findings_of_one, given_text, one_finding
from tongguan.policy.goods import head as goods_head
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
    """One line: what it tells the rules on goods, and with which rate its tax is reckoned.

    `line`: the line given and what was found of it; `facts`: its row of `Rates.table`.
    """

    line: dict[str, Any]
    facts: Mapping[str, Any]
    goods_fen: int
    ct_ppm: int | None
    ct_quantity: int | None


def assess_one(
    head: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], law: Law, used_fen: int
) -> Outcome:
    """One case under the law of one day; what ``assess`` says of a batch of it.

    ``head`` and ``lines`` have the columns that ``assess`` takes, amounts as Decimal of at most
    five places; ``used_fen``: what the buyer's year holds.
    """
    rates = rates_of(law)
    mode = head["tradeMode"]
    items = [_item(line, mode, rates) for line in lines]
    pots = {name: _fen(head[name], rates) for name in ("freight", "insuredFee")}
    pot = sum(amount or 0 for amount in pots.values())
    goods = [item.goods_fen for item in items]
    value = sum(goods) + pot
    charges = share_of_one(pot, goods, [line["gnum"] for line in lines])
    case = _Case(
        faulty=None in pots.values()
        or value > rates.reach_fen
        or any(faulty(item.line.__getitem__) for item in items),
        duty_unknown=any(item.facts["duty_ppm"] is None for item in items),
        eligible=bool(head["eligible"]),
    )
    facts = {"case": head["case"], "value_fen": value, "used_before_fen": used_fen}
    facts["one_item"] = len(items) == 1 and lines[0]["qty"] == 1
    if rates.limits is None:
        regime = REFUSED if case.faulty else PARCEL
        settled = _Settled(regime, 0, missing=False, findings=[])
        taxed = _parcel(items, charges, settled, rates)
    else:
        settled = _settle(facts, case, rates)
        taxed = [
            _goods_tax(item, part, settled, rates)
            for item, part in zip(items, charges, strict=True)
        ]
    facts |= {"regime": settled.regime, "counted_fen": settled.counted_fen}
    findings = [
        *_amount_findings(head, pots, items, value, rates),
        *settled.findings,
        *(finding for item in items for finding in _goods_findings(item, settled, rates)),
    ]
    # Of the case itself first, then line by line, as the columns sort them.
    findings.sort(key=lambda finding: (finding["gnum"] is not None, finding["gnum"] or 0))
    return _outcome(facts, taxed, findings)


def _fifths(amount: Decimal) -> int:
    return int(amount.scaleb(PLACES))


def _fen(amount: Decimal | None, rates: Rates) -> int | None:
    """An amount in fen; None where it is missing, negative or beyond exact arithmetic."""
    fifths = -1 if amount is None else _fifths(amount)
    return fen(fifths) if reckonable(fifths, rates.reach_fen) else None


def _item(given: Mapping[str, Any], mode: str | None, rates: Rates) -> _Item:
    row, goods = rates.row(given["gcode"]), _fen(given["totalPrice"], rates)
    facts = rates.unknown(goods_head(given["gcode"])) if row is None else row.facts
    line = {
        **given,
        **{flag: facts[flag] for flag in ("known", "listed", "barred", "bonded_only")},
        "tradeMode": mode,
        "bonded": mode in BONDED_MODES,
        "price_good": goods is not None,
        "undecidable": False,
        "duty_unknown": facts["duty_ppm"] is None,
    }
    if row is None or not facts["special"]:
        return _Item(line, facts, goods or 0, facts["ct_ppm"], None)
    price = 0 if goods is None else _fifths(given["totalPrice"])
    first, second = (_tested(given, n, price, row) for n in ("1", "2"))
    most = facts["ct_quantity_most"]
    found = decision(first, second, facts["conditional"], most is not None, most or 0)
    line["undecidable"] = found.undecidable
    measured = found.taxed and found.measured
    ct_ppm = facts["ct_ppm"] if found.taxed else 0
    return _Item(line, facts, goods or 0, ct_ppm, found.quantity if measured else None)


def _tested(line: Mapping[str, Any], n: str, price: int, row: Row) -> Tested:
    quantity, known = line[f"qty{n}"], units_by_code().get(line[f"unit{n}"])
    if known is None:
        return _NOTHING
    kind, factor = KINDS.index(known[0]), known[1]
    fifths = 0 if quantity is None else _fifths(quantity)
    amount = fifths * factor if 0 < fifths <= LARGEST // factor else 0
    minimum, specific = row.asks[kind]
    return tested(kind, amount, price, minimum or 0, minimum is not None, specific)


@dataclass(frozen=True, slots=True)
class _Case:
    """What the lines and amounts say of the case."""

    faulty: bool
    duty_unknown: bool
    eligible: bool


@dataclass(frozen=True, slots=True)
class _Settled:
    """What becomes of the case, what its buyer's year takes, whether full tax is due but a duty
    rate is not known, and the limits that refuse it."""

    regime: str
    counted_fen: int
    missing: bool
    findings: list[dict[str, Any]]


def _settle(facts: Mapping[str, Any], case: _Case, rates: Rates) -> _Settled:
    limits = rates.limits
    assert limits is not None
    value, used, unknown = facts["value_fen"], facts["used_before_fen"], case.duty_unknown
    alone = treatment.alone(value, facts["one_item"], limits)
    inside = treatment.fits(used, value, limits.annual_within_fen)
    taking = treatment.takes(alone, case.eligible, case.faulty)
    counted = treatment.counted_fen(
        inside,
        value,
        treatment.takes_inside(alone, taking, unknown),
        treatment.takes_outside(taking, unknown, limits),
    )
    given = treatment.settled(alone, inside, limits)
    missing = treatment.rate_missing(given, unknown, case.faulty)
    flags = {
        "over_single": treatment.over_single(alone),
        "over_annual": treatment.over_annual(inside, limits),
    }
    findings = [
        one_finding(
            *(facts["case"], None, limit.rule, None),
            (yuan_text(limit.limit_fen), yuan_text(limit.held_fen(value, used)), limit.law),
        )
        for limit in treatment.limit_rules(limits)
        if flags[limit.refuses]
    ]
    if treatment.refused(given, case.faulty, missing):
        return _Settled(REFUSED, counted, missing, findings)
    regime = GENERAL if treatment.in_full(given) else RETAIL
    return _Settled(regime, counted, missing, findings)


def _amount_findings(
    head: Mapping[str, Any],
    pots: Mapping[str, int | None],
    items: Sequence[_Item],
    value_fen: int,
    rates: Rates,
) -> Iterator[dict[str, Any]]:
    """Amounts that are missing, negative or beyond the reach of exact arithmetic."""
    expected, case = reckonable_text(rates.reach_fen), head["case"]
    bad = [(None, name, head[name]) for name, amount in pots.items() if amount is None]
    bad += [
        (item.line["gnum"], "totalPrice", item.line["totalPrice"])
        for item in items
        if not item.line["price_good"]
    ]
    for gnum, field, amount in bad:
        actual = None if amount is None else f"{amount:.{PLACES}f}"
        yield one_finding(case, gnum, AMOUNT_RULE, field, (expected, actual, None))
    if value_fen > rates.reach_fen:
        told = (expected, yuan_text(value_fen), None)
        yield one_finding(case, None, AMOUNT_RULE, "totalPrice", told)


def _goods_findings(item: _Item, settled: _Settled, rates: Rates) -> Iterator[dict[str, Any]]:
    line = item.line | {"rate_missing": settled.missing}
    if line["undecidable"]:
        needs = {name: item.facts[name] for name in ("needs", "needs_law")}
        line |= needs | {"given": given_text(line)}
    return findings_of_one(line, rates)


def _goods_tax(item: _Item, charges: int, settled: _Settled, rates: Rates) -> dict[str, Any]:
    facts, full, owing = item.facts, settled.regime == GENERAL, settled.regime != REFUSED
    basis = item.goods_fen + charges
    duty_ppm = facts["duty_ppm"] if full else rates.duty_within_ppm
    levy = rates.levy_den if full else rates.levy_num
    due = dict.fromkeys(("duty_fen", "consumption_fen", "vat_fen"), 0)
    if owing:
        levy = rates.levy_den if full else rates.levy_num
        due = _due(item, basis, duty_ppm, levy, rates.levy_den)
    return (
        _line(item, charges)
        | due
        | {
            "parcel_tax_fen": 0,
            "waived_fen": 0,
            "duty_ppm": duty_ppm,
            "ct_ppm": item.ct_ppm,
            "ct_quantity": item.ct_quantity,
            "vat_ppm": facts["vat_ppm"],
            "parcel_ppm": None,
            "levy_ppm": MILLION if full else rates.levy_ppm,
        }
    )


def _due(item: _Item, basis: int, duty_ppm: int, levy: int, levy_den: int) -> dict[str, int]:
    """The taxes of a line whose rates are known."""
    facts, ct_ppm = item.facts, item.ct_ppm
    assert ct_ppm is not None
    specific = 0
    if item.ct_quantity is None:
        x, den = tax.terms(basis, duty_ppm, ct_ppm, levy, levy_den)
    else:
        quantity, num = item.ct_quantity, facts["ct_specific_num"]
        x, den, specific = tax.compound_terms(
            *(basis, duty_ppm, ct_ppm, levy, levy_den), quantity, num, facts["ct_specific_den"]
        )
    return {
        "duty_fen": tax.duty_fen(basis, duty_ppm),
        "consumption_fen": tax.consumption_fen(x, ct_ppm, den, specific),
        "vat_fen": tax.vat_fen(x, facts["vat_ppm"], den),
    }


def _parcel(
    items: list[_Item], charges: list[int], settled: _Settled, rates: Rates
) -> list[dict[str, Any]]:
    due = [
        0
        if settled.regime == REFUSED
        else tax.parcel_tax_fen(item.goods_fen + part, item.facts["parcel_ppm"])
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
            "parcel_ppm": item.facts["parcel_ppm"],
            "levy_ppm": MILLION,
        }
        for item, part, amount in zip(items, charges, due, strict=True)
    ]


def _line(item: _Item, charges: int) -> dict[str, Any]:
    given = ("case", "gnum", "gcode", "totalPrice", "qty1", "unit1", "qty2", "unit2")
    return {name: item.line[name] for name in given} | {
        "goods_fen": item.goods_fen,
        "charges_fen": charges,
        "basis_fen": item.goods_fen + charges,
        "rate_confirmed": item.facts["rate_confirmed"],
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
