"""What a basket costs on a day, line by line, with the paragraph for each number.

A quote is one case: the formulas of the kernel that clears parcels, asked beforehand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING, Any

import polars as pl

from tongguan import codes
from tongguan.policy.amounts import PLACES, yuan_text
from tongguan.policy.explanation import WORDS, Basis, Step, basis_of, derivation, percent
from tongguan.policy.quantities import units_by_code
from tongguan.policy.rates import TRADE_MODES, rates_of
from tongguan.policy.single import Outcome, assess_one

if TYPE_CHECKING:
    from tongguan.policy.policy import Law, Policy

Amount = Decimal | int | str
"""An exact number; binary floats are refused."""

_MOST = Decimal(10) ** 14  # N19,5: fourteen digits before the point


@dataclass(frozen=True, slots=True)
class QuoteError:
    """One input that does not fit: `line` counts from 1, None for the basket."""

    line: int | None
    field: str
    expected: str
    actual: str

    def __str__(self) -> str:
        where = f"line {self.line}, " if self.line else ""
        return f"{where}{self.field}: expected {self.expected}, found {self.actual!r}"


class QuoteErrors(ValueError):  # noqa: N818 - several errors
    """All inputs that do not fit, in `errors`."""

    def __init__(self, errors: list[QuoteError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Goods:
    """One line of a basket: ten-digit code, price of one unit of sale in yuan, units of sale.

    `qty1`/`unit1` and `qty2`/`unit2` are the legal quantities with their unit codes, as a list
    would declare them; a unit left out is the tariff's, a quantity left out is `qty` where the
    tariff counts pieces, else unknown.
    """

    code: str
    price: Amount
    qty: Amount = 1
    qty1: Amount | None = None
    unit1: str | None = None
    qty2: Amount | None = None
    unit2: str | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """The answer: amounts in fen, lines, findings, and the derivation step by step."""

    day: date
    regime: str
    value_fen: int
    duty_fen: int
    consumption_fen: int
    vat_fen: int
    total_fen: int
    lines: tuple[Mapping[str, Any], ...]
    findings: tuple[Mapping[str, Any], ...]
    steps: tuple[Step, ...]

    @property
    def basis(self) -> list[Basis]:
        """Every parameter and tariff row the amounts rest on, each once."""
        return basis_of(self.steps)

    def facts(self) -> dict[str, Any]:
        """The quote as `quote --json` prints it: money as text with two decimals."""
        return {
            "regime": self.regime,
            "duty": yuan_text(self.duty_fen),
            "consumption": yuan_text(self.consumption_fen),
            "vat": yuan_text(self.vat_fen),
            "total": yuan_text(self.total_fen),
            "lines": [dict(line) for line in self.lines],
            "findings": [dict(finding) for finding in self.findings],
            "basis": [
                {
                    "parameter": basis.parameter,
                    "value": basis.value,
                    "since": basis.since.isoformat() if basis.since else None,
                    "law": basis.law,
                    "confirmed": basis.confirmed,
                }
                for basis in self.basis
            ],
        }

    def to_json(self) -> str:
        """`facts` as one JSON text."""
        return json.dumps(self.facts(), ensure_ascii=False)


def quote(
    policy: Policy,
    day: date,
    lines: Sequence[Goods],
    freight: Amount = 0,
    insurance: Amount = 0,
    used: Amount = 0,
    trade_mode: str = "1210",
) -> Quote:
    """What `lines` cost as one parcel accepted on `day` (a civil day in Shanghai).

    `freight`, `insurance`: yuan for the whole parcel; `used`: yuan the buyer's calendar year
    already holds. Raises QuoteErrors with every bad input at once, OutsideKnown for a day the
    policy does not know. A basket the law refuses is an answer, with findings, not an error.
    """
    errors: list[QuoteError] = []
    if not lines:
        errors.append(QuoteError(None, "lines", "at least one line of goods", ""))
    if trade_mode not in TRADE_MODES:
        errors.append(QuoteError(None, "mode", " | ".join(TRADE_MODES), trade_mode))
    pots = [
        _number(errors, None, "freight", freight),
        _number(errors, None, "insurance", insurance),
    ]
    year = _number(errors, None, "used", used)
    if year != year.quantize(Decimal("0.01")):
        errors.append(QuoteError(None, "used", "yuan with at most two decimals", str(used)))
    law = policy.on(day)
    rows = [_line(errors, n, line, law) for n, line in enumerate(lines, 1)]
    if errors:
        raise QuoteErrors(errors)
    head = dict(zip(_HEAD_SCHEMA, (0, "buyer", trade_mode, *pots, True), strict=True))
    return _quote(assess_one(head, rows, law, int(year * 100)), law, rows)


def rows_to_print(result: Quote, language: str = "zh") -> Iterator[tuple[str, ...]]:
    """The derivation as rows of text: line, what, formula, amount, what it rests on.

    `language`: `zh` or `en`. Unconfirmed sources are marked in the last column.
    """
    mark = "（未证实）" if language == "zh" else " (unconfirmed)"
    for step in result.steps:
        rests = "; ".join(
            f"{b.parameter} = {b.value}"
            + (f", {b.since}" if b.since else "")
            + f", {b.law}"
            + ("" if b.confirmed else mark)
            for b in step.basis
        )
        zh, en = WORDS.get(step.value, (step.value, step.value))
        label, value = (step.zh, zh) if language == "zh" else (step.en, en)
        yield "" if step.gnum is None else str(step.gnum), label, step.formula, value, rests


_FIVE = pl.Decimal(19, PLACES)
_HEAD_SCHEMA: dict[str, pl.DataType] = {
    "case": pl.UInt32(),
    "buyer": pl.String(),
    "tradeMode": pl.String(),
    "freight": _FIVE,
    "insuredFee": _FIVE,
    "eligible": pl.Boolean(),
}
_LINE_SCHEMA: dict[str, pl.DataType] = {
    "case": pl.UInt32(),
    "gnum": pl.Int64(),
    "gcode": pl.String(),
    "qty": _FIVE,
    "price": _FIVE,
    "totalPrice": _FIVE,
    "qty1": _FIVE,
    "unit1": pl.String(),
    "qty2": _FIVE,
    "unit2": pl.String(),
}


# -- input -----------------------------------------------------------------------------------------


def _number(
    errors: list[QuoteError], line: int | None, field: str, given: Amount, above_zero: bool = False
) -> Decimal:
    """An exact number of at most five decimals and fourteen digits before the point; 0 if bad."""
    try:
        if isinstance(given, float | bool):
            raise InvalidOperation
        number = Decimal(given)
        if not number.is_finite() or not 0 <= number < _MOST or (above_zero and not number):
            raise InvalidOperation
        if number != round(number, PLACES):
            raise InvalidOperation
    except (InvalidOperation, TypeError, ValueError):
        least = "above 0" if above_zero else "0 or more"
        expected = f"a number, {least}, with at most {PLACES} decimals (as text, not binary)"
        errors.append(QuoteError(line, field, expected, str(given)))
        return Decimal(0)
    return number


def _line(errors: list[QuoteError], n: int, line: Goods, law: Law) -> dict[str, Any]:
    """One line as a row of _LINE_SCHEMA, with legal quantities filled in where they are clear."""
    if not (line.code.isascii() and line.code.isdigit() and len(line.code) == 10):
        errors.append(QuoteError(n, "code", "a tariff code of ten digits", line.code))
    price = _number(errors, n, "price", line.price)
    qty = _number(errors, n, "qty", line.qty, above_zero=True)
    with localcontext(prec=60):  # two numbers of nineteen digits
        total = (price * qty).quantize(Decimal(1).scaleb(-PLACES), ROUND_HALF_UP)
    if total >= _MOST:
        errors.append(QuoteError(n, "price", "a line total below 10**14 yuan", str(total)))
    known = rates_of(law).row(line.code)
    usual_units = (known.tariff["unit1"], known.tariff["unit2"]) if known else (None, None)
    legal: list[Any] = []
    for number, given, unit, usual in zip(
        ("1", "2"),
        (line.qty1, line.qty2),
        (line.unit1, line.unit2),
        usual_units,
        strict=True,
    ):
        if unit is not None and unit not in codes.table("unit").codes:
            errors.append(QuoteError(n, f"unit{number}", "a customs unit code such as 035", unit))
        if given is not None:
            amount = _number(errors, n, f"qty{number}", given, above_zero=True)
            legal += [amount, unit or usual]
        else:
            legal += [qty, usual] if unit in (None, usual) and _counted(usual) else [None, unit]
    return dict(zip(_LINE_SCHEMA, (0, n, line.code, qty, price, total, *legal), strict=True))


def _counted(unit: str | None) -> bool:
    """Does the tariff count this unit in pieces, one by one?"""
    return unit is not None and units_by_code().get(unit) == ("piece", 1)


# -- output ----------------------------------------------------------------------------------------


def _quote(outcome: Outcome, law: Law, rows: list[dict[str, Any]]) -> Quote:
    head, rates = outcome.head, rates_of(law)
    names = [row.tariff["name_zh"] if (row := rates.row(x["gcode"])) else None for x in rows]
    return Quote(
        day=law.day,
        regime=head["regime"],
        value_fen=head["value_fen"],
        duty_fen=head["duty_fen"],
        consumption_fen=head["consumption_fen"],
        vat_fen=head["vat_fen"],
        total_fen=head["total_fen"],
        lines=tuple(
            _line_facts(line, row, name)
            for line, row, name in zip(outcome.lines, rows, names, strict=True)
        ),
        findings=tuple(_finding_facts(finding) for finding in outcome.findings),
        steps=derivation(head, outcome.lines, law),
    )


def _line_facts(
    line: Mapping[str, Any], row: Mapping[str, Any], name: str | None
) -> dict[str, Any]:
    money = ("goods", "charges", "basis", "duty", "consumption", "vat", "parcel_tax")
    taxes = ("duty_fen", "consumption_fen", "vat_fen", "parcel_tax_fen")
    rates = ("duty", "ct", "vat", "parcel", "levy")
    return {
        "gnum": line["gnum"],
        "code": line["gcode"],
        "name": name,
        "qty": f"{row['qty'].normalize():f}",
        **{field: yuan_text(line[f"{field}_fen"]) for field in money},
        "total": yuan_text(sum(line[tax] for tax in taxes)),
        "rates": {
            rate: percent(line[f"{rate}_ppm"]) for rate in rates if line[f"{rate}_ppm"] is not None
        },
        "confirmed": line["rate_confirmed"],
    }


def _finding_facts(finding: Mapping[str, Any]) -> dict[str, Any]:
    """A finding as report lines print it."""
    return {
        "rule": finding["rule"],
        "code": codes.rule(finding["rule"]).code("inventory"),
        "severity": finding["severity"],
        "document": "inventory",
        "gnum": finding["gnum"],
        "field": finding["field"],
        "expected": finding["expected"],
        "actual": finding["actual"],
        "law": finding["law"],
    }
