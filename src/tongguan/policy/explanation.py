"""The derivation of one case: every number with its formula in figures and what it rests on.

It computes no tax: the amounts are the assessment's own. It writes down how each came about, so
that a person can follow it with a pencil, and names parameter, day, paragraph and whether the
source is confirmed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl

from tongguan.policy.amounts import yuan_text
from tongguan.policy.quantities import units_by_code
from tongguan.policy.rates import CONDITIONS, GENERAL, KINDS_OF, PARCEL, REFUSED, rates_of
from tongguan.policy.tax import MILLION

if TYPE_CHECKING:
    from tongguan.policy.assess import Assessment
    from tongguan.policy.parameter import Value
    from tongguan.policy.policy import Law


@dataclass(frozen=True, slots=True)
class Basis:
    """One thing a number rests on: a parameter's value or a row of the tariff.

    `since` is None for a tariff row, whose edition says only up to when it was read.
    """

    parameter: str
    value: str
    since: date | None
    law: str
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One number of the derivation; `what` is a stable word, `gnum` None for the whole case.

    `formula` is in figures (yuan, percent), `value` the result as printed: money with two
    decimals, or a word. `confirmed` is False as soon as one thing it rests on is unconfirmed.
    """

    what: str
    zh: str
    en: str
    gnum: int | None
    formula: str
    value: str
    basis: tuple[Basis, ...]

    @property
    def confirmed(self) -> bool:
        return all(basis.confirmed for basis in self.basis)


LABELS = {
    "basis": ("完税价格", "price basis"),
    "parcel-tax": ("行邮税", "parcel tax"),
    "duty": ("关税", "customs duty"),
    "consumption-condition": ("消费税起征条件", "condition of the consumption tax"),
    "consumption": ("消费税", "consumption tax"),
    "vat": ("增值税", "value-added tax"),
    "value": ("交易价值", "value of the case"),
    "limit-single": ("单次限值", "single limit"),
    "limit-annual": ("年度限值", "annual limit"),
    "regime": ("适用制度", "regime"),
    "waiver": ("免征额", "waiver"),
    "total": ("税款合计", "tax in total"),
}

WORDS = {
    "retail-import": ("跨境电商零售进口", "retail import"),
    "general-trade": ("一般贸易，全额征税", "general trade, full taxes"),
    "parcel-tax": ("行邮税", "parcel tax"),
    "refused": ("不得以零售进口申报", "refused"),
    "within": ("限值以内", "within"),
    "over": ("超过限值", "over"),
    "applies": ("征收", "applies"),
    "does not apply": ("不征收", "does not apply"),
    "waived": ("免征", "waived"),
    "due": ("应征", "due"),
}
"""The values of steps that are words, in Chinese and English."""

PARAMETERS_OF_REGIMES = {
    "one": "retail-import.over-single-one-item",
    "many": "retail-import.over-single-many-items",
    "annual": "retail-import.over-annual",
}


def explain(assessment: Assessment, case: int, law: Law) -> tuple[Step, ...]:
    """The derivation of one case of an assessment made under this law.

    Raises KeyError if the assessment has no such case.
    """
    heads = assessment.heads.filter(pl.col("case") == case).to_dicts()
    if not heads:
        raise KeyError(f"case {case} is not in this assessment")
    lines = assessment.lines.filter(pl.col("case") == case).to_dicts()
    return derivation(heads[0], lines, law)


def derivation(
    head: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], law: Law
) -> tuple[Step, ...]:
    """The derivation of one case from its rows of ``Assessment.heads`` and ``Assessment.lines``."""
    rates = rates_of(law)
    steps = [_basis_step(line) for line in lines]
    steps += _regime_steps(head, lines, law)
    if head["regime"] != REFUSED:
        for line in lines:
            row = rates.row(line["gcode"])
            assert row is not None, "only a refused case has a code the tariff lacks"
            steps += _line_steps(line, head["regime"], row.tariff, law)
        steps += _total_steps(head, law)
    return tuple(steps)


def basis_of(steps: tuple[Step, ...]) -> list[Basis]:
    """Everything a derivation rests on, each once, in the order of its first use."""
    return list(dict.fromkeys(basis for step in steps for basis in step.basis))


def percent(ppm: int) -> str:
    """Parts per million as a percentage without needless zeros: 130000 is `13%`."""
    return f"{(Decimal(ppm) / (MILLION // 100)).normalize():f}%"


def _rests(value: Value, unit: str = "") -> Basis:
    return Basis(value.parameter, value.text + unit, value.since, value.law, value.confirmed)


def _step(what: str, gnum: int | None, formula: str, value: str, *basis: Basis | None) -> Step:
    zh, en = LABELS[what]
    return Step(what, zh, en, gnum, formula, value, tuple(b for b in basis if b is not None))


def _tariff_basis(row: Mapping[str, Any], column: str, ppm: int) -> Basis:
    return Basis(
        f"tariff.{row['code']}.{column}",
        percent(ppm),
        None,
        f"tariff {row['edition']}: {row['source']}",
        bool(row["confirmed"]),
    )


# -- the case --------------------------------------------------------------------------------------


def _basis_step(line: Mapping[str, Any]) -> Step:
    goods, charges = yuan_text(line["goods_fen"]), yuan_text(line["charges_fen"])
    return _step("basis", line["gnum"], f"{goods} + {charges}", yuan_text(line["basis_fen"]))


def _regime_steps(
    head: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], law: Law
) -> Iterator[Step]:
    value = yuan_text(head["value_fen"])
    parts = " + ".join(yuan_text(line["basis_fen"]) for line in lines)
    yield _step("value", None, parts, value)
    rule = _rests(law.value("import.regime"))
    if law.regime == PARCEL:
        yield _step("regime", None, str(law.day), head["regime"], rule)
        return
    boundary = law.value("retail-import.limit-boundary")
    single, annual = (law.value(f"retail-import.limit-{name}") for name in ("single", "annual"))
    before = head["used_before_fen"]
    reasons = [rule]
    over_single, over_annual = (
        amount > limit.fen - (boundary.value == "over")
        for amount, limit in ((head["value_fen"], single), (before + head["value_fen"], annual))
    )
    yield _step(
        "limit-single",
        None,
        f"{value} {'>' if over_single else '≤'} {yuan_text(single.fen)}",
        "over" if over_single else "within",
        _rests(single),
        _rests(boundary),
    )
    yield _step(
        "limit-annual",
        None,
        f"{yuan_text(before)} + {value} {'>' if over_annual else '≤'} {yuan_text(annual.fen)}",
        "over" if over_annual else "within",
        _rests(annual),
        _rests(boundary),
    )
    if over_single:
        kind = "one" if head["one_item"] else "many"
        reasons += [
            _rests(law.value(PARAMETERS_OF_REGIMES[kind])),
            _rests(law.value("retail-import.single-item-unit")),
        ]
    if over_annual:
        reasons.append(_rests(law.value(PARAMETERS_OF_REGIMES["annual"])))
    yield _step("regime", None, str(law.day), head["regime"], *reasons)


def _total_steps(head: Mapping[str, Any], law: Law) -> Iterator[Step]:
    if head["regime"] == PARCEL:
        waiver = law.value("parcel-tax.waiver")
        assessed = head["parcel_tax_fen"] + head["waived_fen"]
        waived = head["parcel_tax_fen"] == 0
        yield _step(
            "waiver",
            None,
            f"{yuan_text(assessed)} {'≤' if waived else '>'} {yuan_text(waiver.fen)}",
            "waived" if waived else "due",
            _rests(waiver),
        )
        parts = yuan_text(head["parcel_tax_fen"])
    else:
        names = ("duty_fen", "consumption_fen", "vat_fen")
        parts = " + ".join(yuan_text(head[name]) for name in names)
    rounding = _rests(law.value("import.rounding"))
    yield _step("total", None, parts, yuan_text(head["total_fen"]), rounding)


# -- the lines -------------------------------------------------------------------------------------


def _line_steps(
    line: Mapping[str, Any], regime: str, row: Mapping[str, Any], law: Law
) -> Iterator[Step]:
    if regime == PARCEL:
        rate = law.value(row["parcel_parameter"])
        due = yuan_text(line["parcel_tax_fen"] + line["waived_fen"])
        formula = f"{yuan_text(line['basis_fen'])} × {percent(line['parcel_ppm'])}"
        yield _step("parcel-tax", line["gnum"], formula, due, _rests(rate, "%"))
        return
    yield _duty_step(line, regime, row, law)
    yield from _consumption_steps(line, row, law)
    yield _vat_step(line, row, law)


def _duty_step(line: Mapping[str, Any], regime: str, row: Mapping[str, Any], law: Law) -> Step:
    if regime == GENERAL:
        column = "mfn" if row["interim_ppm"] is None else "interim"
        basis = _tariff_basis(row, column, line["duty_ppm"])
    else:
        basis = _rests(law.value("retail-import.duty-rate"), "%")
    formula = f"{yuan_text(line['basis_fen'])} × {percent(line['duty_ppm'])}"
    return _step("duty", line["gnum"], formula, yuan_text(line["duty_fen"]), basis)


def _taxed_price(line: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[str, str]:
    """P + D + S in figures, unrounded D and S written as products; and S alone ("" if none)."""
    parts = [yuan_text(line["basis_fen"])]
    if line["duty_ppm"]:
        parts[0] += f" × (1 + {percent(line['duty_ppm'])})"
    specific = ""
    if line["ct_quantity"] is not None:
        from_base = 1_000 if row["ct_unit"] in ("035", "095") else 1
        quantity = Decimal(line["ct_quantity"]) / 100_000 / from_base
        per_unit = Decimal(row["ct_specific_micro"]) / MILLION
        specific = f"{_plain(quantity)} × {_plain(per_unit)}"
        parts.append(specific)
    text = " + ".join(parts)
    return (f"({text})" if len(parts) > 1 else text), specific


def _levied(line: Mapping[str, Any], law: Law) -> tuple[str, Basis | None]:
    if line["levy_ppm"] == MILLION:
        return "", None
    fraction = law.value("retail-import.levy-fraction")
    return f" × {percent(line['levy_ppm'])}", _rests(fraction)


def _consumption_basis(line: Mapping[str, Any], row: Mapping[str, Any], law: Law) -> Basis:
    if row["ct_parameter"] is not None:
        return _rests(law.value(row["ct_parameter"]), "%")
    return _tariff_basis(row, "consumption", line["ct_ppm"])


def _condition_step(line: Mapping[str, Any], condition: str, law: Law) -> Step:
    """The price against the least price of each legal quantity that the condition looks at."""
    price: Decimal = line["totalPrice"]
    units = units_by_code()
    tests = []
    for kind, parameter in CONDITIONS[condition].items():
        least = law.value(parameter)
        for quantity, unit in ((line["qty1"], line["unit1"]), (line["qty2"], line["unit2"])):
            if quantity is None or unit not in units or units[unit][0] not in KINDS_OF[kind]:
                continue
            factor = units[unit][1]
            sign = "≥" if price >= Decimal(least.fen) / 100 * quantity * factor else "<"
            product = f"{least.text} × {_plain(quantity)}" + (f" × {factor}" if factor > 1 else "")
            tests.append(f"{_plain(price)} {sign} {product}")
    basis = (_rests(law.value(parameter)) for parameter in CONDITIONS[condition].values())
    outcome = "applies" if line["ct_ppm"] else "does not apply"
    return _step("consumption-condition", line["gnum"], "; ".join(tests), outcome, *basis)


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _consumption_steps(line: Mapping[str, Any], row: Mapping[str, Any], law: Law) -> Iterator[Step]:
    if not row["ct_ppm"] and not row["ct_specific_micro"]:
        return
    if row["ct_condition"] is not None:
        yield _condition_step(line, row["ct_condition"], law)
        if not line["ct_ppm"]:
            return
    price, specific = _taxed_price(line, row)
    levied, fraction = _levied(line, law)
    rate = percent(line["ct_ppm"])
    formula = f"{price} ÷ (1 − {rate}) × {rate}" if line["ct_ppm"] else ""
    if specific:
        formula = f"({formula} + {specific})" if formula else specific
    due = yuan_text(line["consumption_fen"])
    basis = _consumption_basis(line, row, law)
    yield _step("consumption", line["gnum"], formula + levied, due, basis, fraction)


def _vat_step(line: Mapping[str, Any], row: Mapping[str, Any], law: Law) -> Step:
    price, _ = _taxed_price(line, row)
    levied, fraction = _levied(line, law)
    if line["ct_ppm"]:
        price += f" ÷ (1 − {percent(line['ct_ppm'])})"
    if row["vat_parameter"] is not None:
        basis = _rests(law.value(row["vat_parameter"]), "%")
    else:
        basis = _tariff_basis(row, "vat", line["vat_ppm"])
    formula = f"{price} × {percent(line['vat_ppm'])}{levied}"
    return _step("vat", line["gnum"], formula, yuan_text(line["vat_fen"]), basis, fraction)
