"""The twin's own reckoning of tax: slow, exact fractions, one line after the other.

This is the second opinion on the clearance kernel, so it shares no code with it: rates come from
the rows of the tariff of the day (`Law.tariff`), fractions and limits from dated parameters
(`Law.value`), and everything else is written out below from the law.

Sources: 财关税〔2016〕18号 art. 2-3 and 〔2018〕49号 art. 1 (within the limits no duty, 70 % of
consumption tax and VAT; a single item over the single limit pays full tax); consumption tax
regulations art. 7-8 (the composite price contains the tax and its specific part);
财关税〔2016〕48号 (high-end cosmetics), consumption tax schedule (watches).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from tongguan.policy import Law

MILLION = 1_000_000

# What one legal unit is in grams, millilitres, sheets or pieces (GACC unit codes).
MEASURES: Mapping[str, tuple[str, int]] = {
    "035": ("mass", 1000),
    "036": ("mass", 1),
    "095": ("volume", 1000),
    "096": ("volume", 1),
    "020": ("sheet", 1),
    "010": ("sheet", 1),
    **dict.fromkeys(("001", "007", "008", "011", "012", "013", "014", "015", "017"), ("piece", 1)),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The law of the day in fen and fractions."""

    single_fen: int
    annual_fen: int
    levy: Fraction


def limits(law: Law) -> Limits:
    """The limits of a day under 财关税〔2018〕49号, which are both inclusive."""
    return Limits(
        single_fen=_fen(law, "retail-import.limit-single"),
        annual_fen=_fen(law, "retail-import.limit-annual"),
        levy=law.value("retail-import.levy-fraction").number,
    )


def _fen(law: Law, parameter: str) -> int:
    exact = law.value(parameter).number * 100
    assert exact.denominator == 1
    return exact.numerator


# What the condition of a tariff row asks: kind of measure -> parameter, yuan per base unit.
CONDITIONS: Mapping[str, Mapping[str, str]] = {
    "cosmetics": {
        "mass": "consumption-tax.cosmetics-price-per-gram",
        "volume": "consumption-tax.cosmetics-price-per-gram",
        "sheet": "consumption-tax.cosmetics-price-per-sheet",
    },
    "watches": {"piece": "consumption-tax.watches-price-each"},
}


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """One tariff code on one day; fractions of one, thresholds in fen per base unit.

    Compared by identity, so that factors are cached without hashing fractions line after line.
    """

    duty: Fraction
    consumption: Fraction
    vat: Fraction
    specific_kind: str | None
    specific: Fraction  # fen per base unit of specific_kind
    minimum: tuple[tuple[str, int], ...]  # (measure, fen per base unit from which it applies)

    @property
    def quantified(self) -> bool:
        """Whether the tax depends on a legal quantity."""
        return bool(self.minimum or self.specific_kind)

    @classmethod
    def of(cls, row: Mapping[str, Any], law: Law) -> Rates:
        """The rates of one row of `Law.tariff`."""
        duty_ppm = row["mfn_ppm"] if row["interim_ppm"] is None else row["interim_ppm"]
        kind, factor, specific = None, 1, ZERO
        if row["ct_specific_micro"]:
            kind, factor = MEASURES[row["ct_unit"]]
            specific = Fraction(row["ct_specific_micro"], 10_000 * factor)
        tests = CONDITIONS[row["ct_condition"]] if row["ct_condition"] else {}
        return cls(
            duty=Fraction(duty_ppm, MILLION),
            consumption=Fraction(row["ct_ppm"] or 0, MILLION),
            vat=Fraction(row["vat_ppm"], MILLION),
            specific_kind=kind,
            specific=specific,
            minimum=tuple((measure, _fen(law, parameter)) for measure, parameter in tests.items()),
        )


ZERO = Fraction(0)


def measures(quantities: Sequence[tuple[Fraction, str]]) -> dict[str, Fraction]:
    """Legal quantities (quantity, unit code) in base units by kind; the first of a kind counts."""
    found: dict[str, Fraction] = {}
    for quantity, unit in quantities:
        if unit in MEASURES:
            kind, factor = MEASURES[unit]
            found.setdefault(kind, quantity * factor)
    return found


def consumption_applies(rates: Rates, goods_fen: int, measured: Mapping[str, Fraction]) -> bool:
    """Whether the line reaches a threshold. Raises LookupError if no quantity can tell."""
    if not rates.minimum:
        return True
    tests = [
        goods_fen >= least * measured[kind] for kind, least in rates.minimum if kind in measured
    ]
    if not tests:
        wanted = ", ".join(kind for kind, _ in rates.minimum)
        raise LookupError(f"none of {wanted} is declared")
    return any(tests)


@dataclass(frozen=True, slots=True)
class Tax:
    """Fen."""

    duty: int
    consumption: int
    vat: int

    @property
    def total(self) -> int:
        return self.duty + self.consumption + self.vat


@dataclass(frozen=True, slots=True)
class Factors:
    """Tax per fen of price basis P and per fen of specific consumption tax S, exact."""

    duty: Fraction
    consumption: Fraction
    consumption_specific: Fraction
    vat: Fraction
    vat_specific: Fraction


def factors(rates: Rates, levy: Fraction | None, *, applies: bool) -> Factors:
    """The law as factors; `levy` is the fraction within the limits, None means full tax.

    With duty D, the composite price is C = (P + D + S) / (1 - c), the consumption tax C·c + S and
    the VAT (P + D + consumption tax)·v.
    """
    d = rates.duty if levy is None else ZERO
    share = Fraction(1) if levy is None else levy
    c = rates.consumption if applies else ZERO
    gross = c / (1 - c)
    return Factors(
        duty=d,
        consumption=(1 + d) * gross * share,
        consumption_specific=(gross + 1) * share,
        vat=(1 + d + (1 + d) * gross) * rates.vat * share,
        vat_specific=(gross + 1) * rates.vat * share,
    )


_factors = lru_cache(maxsize=None)(factors)


def line_tax(
    rates: Rates,
    goods_fen: int,
    basis_fen: int,
    measured: Mapping[str, Fraction],
    levy: Fraction | None,
) -> Tax:
    """The tax of one line: exact to the end, each tax rounded half-up to fen once.

    Raises LookupError where no declared quantity can decide the consumption tax.
    """
    applies = consumption_applies(rates, goods_fen, measured)
    by = _factors(rates, levy, applies=applies)
    if not (applies and rates.specific_kind):
        return Tax(
            _half_up(basis_fen, by.duty),
            _half_up(basis_fen, by.consumption),
            _half_up(basis_fen, by.vat),
        )
    if rates.specific_kind not in measured:
        raise LookupError(f"{rates.specific_kind} is not declared")
    specific = measured[rates.specific_kind] * rates.specific
    return Tax(
        _half_up(basis_fen, by.duty),
        half_up(basis_fen * by.consumption + specific * by.consumption_specific),
        half_up(basis_fen * by.vat + specific * by.vat_specific),
    )


def half_up(exact: Fraction) -> int:
    """A non-negative amount rounded half-up to a whole number."""
    return _half_up(1, exact)


def _half_up(whole: int, factor: Fraction) -> int:
    numerator, denominator = factor.as_integer_ratio()
    return (2 * whole * numerator + denominator) // (2 * denominator)


def shares(pot_fen: int, goods_fen: Sequence[int]) -> list[int]:
    """`pot_fen` over the lines by value, whole fen, leftovers to the largest remainders.

    Ties go to the smaller gnum (house rule; the notices are silent).
    """
    total = sum(goods_fen)
    parts = [divmod(pot_fen * value, total) for value in goods_fen]
    whole = [part for part, _ in parts]
    left = pot_fen - sum(whole)
    by_remainder = sorted(range(len(parts)), key=lambda i: (-parts[i][1], i))
    for i in by_remainder[:left]:
        whole[i] += 1
    return whole
