"""The law of one day made ready for columns: rates, conditions, limits, positive list.

Built once per law and kept; nothing in it is computed from a case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from tongguan.policy.amounts import UNIT
from tongguan.policy.parameter import DRAFT
from tongguan.policy.positive_list import versions
from tongguan.policy.quantities import KINDS, units_by_code
from tongguan.policy.tax import MILLION, reach_fen

if TYPE_CHECKING:
    from tongguan.policy.policy import Law

RETAIL, GENERAL, PARCEL, REFUSED = "retail-import", "general-trade", "parcel-tax", "refused"
"""Regimes of a case."""

COUNTED = "general-trade-counted"
"""Over the single limit, taxed in full, and the value still counts toward the buyer's year."""

BONDED_MODES = ("1210", "1239")
"""Trade modes of bonded retail import (公告2014年第57号, 公告2016年第75号)."""

TRADE_MODES = (*BONDED_MODES, "9610")
"""Trade modes of retail import; 9610 is direct purchase (公告2014年第12号)."""

CONDITIONS = {
    "cosmetics": {
        "measure": "consumption-tax.cosmetics-price-per-gram",
        "sheet": "consumption-tax.cosmetics-price-per-sheet",
    },
    "watches": {"piece": "consumption-tax.watches-price-each"},
}
"""Per condition of the tariff: the least price per kind of quantity, and its parameter."""

KINDS_OF = {"measure": ("mass", "volume"), "sheet": ("sheet",), "piece": ("piece",)}
"""The kinds of quantity that each least price looks at."""

_KIND_NAMES = {"mass": "weight", "volume": "volume", "sheet": "sheet (片, 张)", "piece": "piece"}

_FLAGS = ["known", "rate_confirmed", "special", "listed", "barred", "bonded_only", "conditional"]
_TAKEN = ["duty_ppm", "ct_ppm", "vat_ppm", "parcel_ppm", *_FLAGS[:6]]

_CONDITIONS = ["conditional", "ct_quantity_most"]
_SPECIFIC_RATE = ["ct_specific_num", "ct_specific_den"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits and treatments of retail import on one day; amounts in fen.

    `single_fen`, `annual_fen`: the limits as the law names them; the largest amounts still within
    are `single_within_fen` and `annual_within_fen`.
    """

    single_fen: int
    annual_fen: int
    single_within_fen: int
    annual_within_fen: int
    over_single_one_item: str
    over_single_many_items: str
    over_annual: str
    law_single: str
    law_annual: str


@dataclass(frozen=True, slots=True)
class Row:
    """One code of the tariff of the day, for one parcel.

    `facts`: its row of `Rates.table`; `tariff`: its row of `Law.tariff`; `asks`: per kind of
    quantity, in the order of KINDS, the least taxed price in fen (None: not looked at) and
    whether the specific rate is per this kind.
    """

    facts: Mapping[str, Any]
    tariff: Mapping[str, Any]
    asks: tuple[tuple[int | None, bool], ...]


@dataclass(frozen=True, slots=True)
class Rates:
    """What the kernel needs of a Law.

    `table`: one row per ten-digit code, in the order of `index` (gcode, rate: its position), and a
    last one for every code the tariff does not know (null rates, all flags False), with
    duty_ppm (interim where in force, else MFN; null: not known), ct_ppm, vat_ppm, parcel_ppm,
    rate_confirmed, known (taxable under this regime), special (the consumption tax depends on a
    quantity), listed, barred (certainly not listed) and bonded_only (positive list), conditional
    (the tax has a least price) and the specific rate ct_specific_num / ct_specific_den fen per
    base unit of ct_specific_kind.
    `asked`: what each row asks of each kind of quantity, as quantities.decide reads it.
    `levy_num / levy_den` is the fraction levied within the limits.
    `reach_fen`: the largest case value exact arithmetic can carry.
    """

    regime: str
    edition: str
    table: pl.DataFrame
    index: pl.DataFrame
    asked: pl.DataFrame
    positive_list: pl.DataFrame | None
    list_complete: bool
    withdrawn: tuple[str, ...]
    list_version: str
    limits: Limits | None
    waiver_fen: int
    levy_num: int
    levy_den: int
    duty_within_ppm: int
    reach_fen: int
    law_goods: str
    law_list: str
    tariff: pl.DataFrame
    _rows: dict[str, Row] = field(default_factory=dict)
    _positions: dict[str, int] = field(default_factory=dict)
    _remarks: dict[str, bool] = field(default_factory=dict)

    def row(self, gcode: str) -> Row | None:
        """What one code says; None where the tariff has no such code. Kept once asked for."""
        found = self._rows.get(gcode)
        if found is not None:
            return found
        if not self._positions:
            self._positions.update({code: n for n, code in enumerate(self.index["gcode"])})
        at = self._positions.get(gcode)
        if at is None:
            return None
        asks = self.asked.slice(at * len(KINDS), len(KINDS)).select("minimum_fen", "specific")
        row = Row(
            self.table.row(at, named=True), self.tariff.row(at, named=True), tuple(asks.rows())
        )
        self._rows[gcode] = row
        return row

    def unknown(self, code8: str) -> Mapping[str, Any]:
        """The facts of a code that is not taxable: as in `table`, and the list by its head."""
        if self.positive_list is None:
            return {**self.table.row(-1, named=True), "listed": True}
        if not self._remarks:
            self._remarks.update(self.positive_list.select("code8", "bonded_only").iter_rows())
        lacking = code8 not in self._remarks
        return {
            **self.table.row(-1, named=True),
            "listed": not lacking,
            "barred": barred(self.list_complete, lacking, code8 in self.withdrawn),
            "bonded_only": self._remarks.get(code8, False),
        }

    @property
    def levy_ppm(self) -> int:
        """The fraction levied within the limits, parts per million, for display."""
        return self.levy_num * MILLION // self.levy_den

    def find(self, gcode: pl.Series) -> pl.Series:
        """The row of `table` for each code, its last one where the tariff has no such code."""
        found = gcode.to_frame("gcode").join(
            self.index, on="gcode", how="left", maintain_order="left"
        )["rate"]
        return found.fill_null(self.table.height - 1) if found.null_count() else found

    def taken(self, rate: pl.Series) -> pl.DataFrame:
        """The columns every line needs; an unknown code has null rates and false flags."""
        return self.table[rate, _TAKEN]

    def conditions(self, rate: pl.Series) -> pl.DataFrame:
        """What decides lines with a special consumption tax."""
        return self.table[rate, _CONDITIONS]

    def specific(self, rate: pl.Series) -> pl.DataFrame:
        """The specific rates of lines that have one."""
        return self.table[rate, _SPECIFIC_RATE]


@dataclass(frozen=True, slots=True)
class _Key:
    """Laws of days between two changes share their tables, and so their rates.

    The tables are told apart by identity; the law held beside them keeps them alive.
    """

    tables: tuple[int, ...]
    regime: str
    list_version: str | None
    list_complete: bool
    law: Law = field(compare=False)


def rates_of(law: Law) -> Rates:
    """The rates of a law; the same object for every law of the same period."""
    tables = (id(law.tariff), id(law.positive_list), id(law.values))
    key = _Key(tables, law.regime, law.positive_list_version, law.positive_list_complete, law)
    return _rates(key)


@lru_cache(maxsize=32)
def _rates(key: _Key) -> Rates:
    law = key.law
    parcels = law.regime == PARCEL
    positive = None
    if law.positive_list_version is not None:
        positive = law.positive_list.group_by("code8").agg(pl.col("bonded_only").all())
    table = _table(law, positive)
    levy = Fraction(1) if parcels else law.value("retail-import.levy-fraction").number
    reach = reach_fen(
        _largest(table, "duty_ppm", 0), _largest(table, "ct_specific_den", 1), levy.denominator
    )
    table = table.with_columns(
        ct_quantity_most=(
            pl.lit(reach * UNIT, pl.Int128) * pl.col("ct_specific_den") // pl.col("ct_specific_num")
        )
        .clip(upper_bound=2**63 - 1)
        .cast(pl.Int64)
    )
    index = table.select("gcode", rate=pl.int_range(pl.len(), dtype=pl.UInt32))
    unknown = pl.DataFrame({flag: [False] for flag in _FLAGS})
    table = pl.concat([table, unknown], how="diagonal")
    return Rates(
        regime=law.regime,
        edition=law.tariff_edition,
        table=table,
        asked=_asked(table),
        index=index,
        positive_list=positive,
        list_complete=law.positive_list_complete,
        withdrawn=tuple(sorted(law.withdrawn)),
        list_version=law.positive_list_version or "",
        limits=None if parcels else _limits(law),
        waiver_fen=law.value("parcel-tax.waiver").fen if parcels else 0,
        levy_num=levy.numerator,
        levy_den=levy.denominator,
        duty_within_ppm=0 if parcels else law.value("retail-import.duty-rate").ppm,
        reach_fen=reach,
        law_goods=law.value("import.regime").law,
        law_list="; ".join(
            versions()[name].law if name in versions() else name
            for name in (law.positive_list_version or "").split(" + ")
            if name in versions() or name == DRAFT
        ),
        tariff=law.tariff,
    )


def _limits(law: Law) -> Limits:
    single = law.value("retail-import.limit-single")
    annual = law.value("retail-import.limit-annual")
    excluded = int(law.value("retail-import.limit-boundary").value == "over")
    return Limits(
        single_fen=single.fen,
        annual_fen=annual.fen,
        single_within_fen=single.fen - excluded,
        annual_within_fen=annual.fen - excluded,
        over_single_one_item=law.value("retail-import.over-single-one-item").text,
        over_single_many_items=law.value("retail-import.over-single-many-items").text,
        over_annual=law.value("retail-import.over-annual").text,
        law_single=single.law,
        law_annual=annual.law,
    )


def _largest(table: pl.DataFrame, column: str, least: int) -> int:
    largest = table[column].max()
    return max(least, largest) if isinstance(largest, int) else least


def _table(law: Law, positive: pl.DataFrame | None) -> pl.DataFrame:
    """The tariff of the day in the columns of Rates.table."""
    parcels = law.regime == PARCEL
    table = law.tariff.select(
        pl.col("code").alias("gcode"),
        "ct_condition",
        "parcel_ppm",
        "vat_ppm",
        "ct_specific_micro",
        "ct_unit",
        known=pl.col("parcel_ppm" if parcels else "vat_ppm").is_not_null(),
        duty_ppm=pl.coalesce("interim_ppm", "mfn_ppm"),
        ct_ppm=pl.col("ct_ppm").fill_null(0),
        rate_confirmed="confirmed",
    )
    table = table.join(_conditions(law), on="ct_condition", how="left", maintain_order="left")
    table = table.join(
        _specific(table), on=["ct_specific_micro", "ct_unit"], how="left", maintain_order="left"
    ).with_columns(
        conditional=pl.col("condition_needs").is_not_null(),
        needs=pl.coalesce("condition_needs", "specific_needs"),
        special=pl.coalesce("condition_needs", "specific_needs").is_not_null() & (not parcels),
        needs_law=pl.col("condition_law").fill_null(f"tariff {law.tariff_edition}"),
    )
    if positive is None:
        return table.with_columns(
            listed=pl.lit(value=True), barred=pl.lit(value=False), bonded_only=pl.lit(value=False)
        )
    return (
        table.with_columns(code8=pl.col("gcode").str.slice(0, 8))
        .join(positive, on="code8", how="left", maintain_order="left")
        .with_columns(
            listed=pl.col("bonded_only").is_not_null(),
            barred=barred(
                law.positive_list_complete,
                pl.col("bonded_only").is_null(),
                pl.col("code8").is_in(list(law.withdrawn)),
            ),
            bonded_only=pl.col("bonded_only").fill_null(value=False),
        )
    )


def barred(complete: bool, lacking: Any, withdrawn: Any) -> Any:
    """Whether goods are certainly not listed: of columns, or of one code.

    A list that is known to lack rows proves nothing, but what was taken off it is off.
    """
    return lacking if complete else lacking & withdrawn


def _asked(table: pl.DataFrame) -> pl.DataFrame:
    """Per tariff row and kind of quantity: `minimum_fen` and `specific`, kinds within rows."""
    minimum = {kind: group for group, kinds in KINDS_OF.items() for kind in kinds}
    return (
        pl.concat(
            table.select(
                row=pl.int_range(pl.len()),
                minimum_fen=f"ct_min_{minimum[kind]}_fen",
                specific=(pl.col("ct_specific_kind") == kind).fill_null(value=False),
            )
            for kind in KINDS
        )
        .sort("row", maintain_order=True)
        .drop("row")
    )


def _conditions(law: Law) -> pl.DataFrame:
    """Per condition of the tariff of the day: least prices in fen, what it needs, its law.

    Raises ValueError for a condition this kernel cannot test.
    """
    rows = []
    for condition in law.tariff["ct_condition"].drop_nulls().unique(maintain_order=True):
        if condition not in CONDITIONS:
            raise ValueError(f"consumption tax on condition {condition!r}: not known")
        values = {kind: law.value(i) for kind, i in CONDITIONS[condition].items()}
        rows.append(
            {
                "ct_condition": condition,
                **{f"ct_min_{kind}_fen": v.fen for kind, v in values.items()},
                "condition_needs": _needs(*values),
                "condition_law": next(iter(values.values())).law,
            }
        )
    minima = dict.fromkeys(
        ("ct_min_measure_fen", "ct_min_sheet_fen", "ct_min_piece_fen"), pl.Int64()
    )
    texts = dict.fromkeys(("condition_needs", "condition_law"), pl.String())
    return pl.DataFrame(rows, schema={"ct_condition": pl.String(), **minima, **texts})


def _specific(table: pl.DataFrame) -> pl.DataFrame:
    """Each specific rate of the table as a reduced fraction of a fen per base unit.

    Raises ValueError for a unit that quantity_units.csv does not know.
    """
    units = units_by_code()
    rows = []
    distinct = table.select("ct_specific_micro", "ct_unit").unique()
    for micro, unit in distinct.filter(pl.col("ct_specific_micro") > 0).iter_rows():
        if unit not in units:
            raise ValueError(f"consumption tax per unit {unit!r}: no such unit of quantity")
        kind, factor = units[unit]
        rate = Fraction(micro, 10_000 * factor)
        rows.append((micro, unit, kind, rate.numerator, rate.denominator, _needs(kind)))
    return pl.DataFrame(
        rows,
        schema={
            "ct_specific_micro": pl.Int64,
            "ct_unit": pl.String,
            "ct_specific_kind": pl.String,
            "ct_specific_num": pl.Int64,
            "ct_specific_den": pl.Int64,
            "specific_needs": pl.String,
        },
        orient="row",
    )


def _needs(*kinds: str) -> str:
    """The quantities that would decide, in words and unit codes."""
    by_kind: dict[str, list[str]] = {}
    for unit, (kind, _) in units_by_code().items():
        by_kind.setdefault(kind, []).append(unit)
    wanted = [kind for group in kinds for kind in KINDS_OF.get(group, (group,))]
    return "a quantity above 0 by " + " or by ".join(
        f"{_KIND_NAMES[kind]} (unit {' '.join(by_kind[kind])})" for kind in wanted
    )
