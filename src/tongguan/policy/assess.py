"""The kernel: tax, limits, allowance and positive list of a batch of cases, on columns.

Nothing else in the house computes tax or limits. Pure: the law of the day, the cases and what
the buyers have used go in; amounts and findings come out. All money is integers of fen, all
rates parts per million, intermediates Int128; see tax.py for the formulae and their sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from tongguan.policy import allowance, treatment
from tongguan.policy.amounts import (
    UNIT,
    fen,
    fifths,
    reckonable,
    reckonable_text,
    yuan,
    yuan_text,
)
from tongguan.policy.goods import AMOUNT_RULE, FINDINGS, finding, goods_findings, goods_flags
from tongguan.policy.quantities import decide
from tongguan.policy.rates import (
    BONDED_MODES,
    GENERAL,
    PARCEL,
    REFUSED,
    RETAIL,
    Limits,
    Rates,
    rates_of,
)
from tongguan.policy.shares import share
from tongguan.policy.tax import MILLION, PARCEL_TAX, compound_taxes, taxes, waived

if TYPE_CHECKING:
    from tongguan.policy.policy import Law


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the law of one day says about a batch of cases.

    `heads`, one row per case in the order given: case UInt32, regime String (retail-import |
    general-trade | parcel-tax | refused), value_fen, duty_fen, consumption_fen, vat_fen,
    parcel_tax_fen, waived_fen, total_fen, counted_fen (what the buyer's year takes),
    used_before_fen, used_after_fen (Int64), one_item (one line of quantity one), refused
    (Boolean). A refused case owes nothing under
    the list, so its taxes are 0. waived_fen is parcel tax too small to be levied.

    `lines`, one row per line in the order given: case, gnum, gcode, totalPrice and the legal
    quantities as given, goods_fen, charges_fen,
    basis_fen (the price basis P), duty_fen, consumption_fen, vat_fen, parcel_tax_fen, waived_fen
    (Int64, fen), duty_ppm (as applied: 0 within the limits), ct_ppm (as applied: 0 below the
    price a condition names), ct_quantity (Int64, the specific part's quantity in 0.00001 g, ml,
    sheet or piece; null if none), vat_ppm, parcel_ppm, levy_ppm (Int64), rate_confirmed Boolean.
    Rates that are unknown, or of another regime, are null.

    `findings`: case, gnum (null: the whole case), rule, severity, field, expected, actual, law.
    """

    heads: pl.DataFrame
    lines: pl.DataFrame
    findings: pl.DataFrame


def assess(heads: pl.DataFrame, lines: pl.DataFrame, law: Law, used: pl.DataFrame) -> Assessment:
    """Assess a batch of cases under the law of one day.

    `heads`: case (strictly ascending: the order of arrival), buyer (String or an integer: whose
    year it is), tradeMode, freight, insuredFee (Decimal, ≤ 5 places), eligible (Boolean; False:
    other rules refuse it; it is assessed, but takes no allowance). `lines`: case, gnum, gcode,
    qty, qty1, unit1, qty2, unit2, totalPrice. `used`: buyer, used_fen (Int64, ≥ 0): what the
    calendar year of the day already holds; a buyer it lacks has used nothing.

    Raises ValueError when the frames are not of this shape (cases out of order, a line without
    its case, a buyer twice in `used`, binary floats for money). Bad amounts inside them (missing,
    negative, or beyond what 128-bit arithmetic carries exactly: 10**12 yuan) are findings
    `message.field` that refuse their own case only.
    """
    rates = rates_of(law)
    cases = _cases(heads, rates)
    items = _items(lines, cases, rates)
    cases = _valued(cases, items, rates)
    charges = share(items, cases["pot_fen"], cases["goods_fen"])
    items = items.with_columns(charges, basis_fen=pl.col("goods_fen") + charges)
    cases = cases.with_columns(_used_before(cases, used))
    if rates.limits is None:
        settled = _parcels(cases)
        taxed = _parcel_tax(items, settled, rates)
    else:
        settled = _settle(cases, rates.limits)
        taxed = _goods_tax(items, settled, rates)
    return Assessment(
        _totals(settled, taxed, rates),
        taxed.select(_LINE_COLUMNS),
        _findings(settled, items, rates),
    )


_LINE_COLUMNS = (
    "case",
    "gnum",
    "gcode",
    "totalPrice",
    "qty1",
    "unit1",
    "qty2",
    "unit2",
    "goods_fen",
    "charges_fen",
    "basis_fen",
    "duty_fen",
    "consumption_fen",
    "vat_fen",
    "parcel_tax_fen",
    "waived_fen",
    "duty_ppm",
    "ct_ppm",
    "ct_quantity",
    "vat_ppm",
    "parcel_ppm",
    "levy_ppm",
    "rate_confirmed",
)

_TAXES = ("duty_fen", "consumption_fen", "vat_fen", "parcel_tax_fen")
_COMPOUND = ["basis_fen", "duty_ppm", "ct_ppm", "vat_ppm", "levy", "ct_quantity", "rate"]
_MOST_USED = 2**62
_ZERO = pl.lit(0, pl.Int64)
_NULL = pl.lit(None, pl.Int64)


# -- the frames given, as exact integers ----------------------------------------------------------


def _cases(heads: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """The heads with freight and insurance as one pot of fen; a bad amount is flagged and 0."""
    freight, insured = _narrow(heads, "freight"), _narrow(heads, "insuredFee")
    freight_good, insured_good = _reckonable(freight, rates), _reckonable(insured, rates)
    cases = heads.select(
        pl.col("case").cast(pl.UInt32),
        "buyer",
        "tradeMode",
        "freight",
        "insuredFee",
        eligible=pl.col("eligible").fill_null(value=False),
        bonded=pl.col("tradeMode").is_in(BONDED_MODES).fill_null(value=False),
        freight_good=freight_good,
        insured_good=insured_good,
        pot_good=freight_good & insured_good,
        pot_fen=_fen_or_zero(freight, freight_good) + _fen_or_zero(insured, insured_good),
    )
    case = cases["case"]
    if case.null_count() or not (case[1:] > case[:-1]).all():
        raise ValueError("heads: case must be strictly ascending, the order of arrival")
    return cases


def _narrow(frame: pl.DataFrame, column: str) -> pl.Expr:
    """The column in its fifth decimal as Int64; null where it is beyond that, and so beyond reach.

    Processors reckon in 64 bits many times as fast as in 128.
    """
    return fifths(frame, column).cast(pl.Int64, strict=False)


def _reckonable(amount: pl.Expr, rates: Rates) -> pl.Expr:
    good: pl.Expr = reckonable(amount, rates.reach_fen).fill_null(value=False)
    return good


def _fen_or_zero(amount: pl.Expr, good: pl.Expr) -> pl.Expr:
    return pl.when(good).then(fen(amount)).otherwise(0).cast(pl.Int64)


def _items(lines: pl.DataFrame, cases: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """The lines with their case's position (`row`), their rates and everything known of them."""
    case = lines["case"].cast(pl.UInt32)
    row = _rows(case, cases["case"])
    price = _narrow(lines, "totalPrice")
    good = _reckonable(price, rates)
    rate = rates.find(lines["gcode"])
    items = lines.select(
        case.alias("case"),
        row.alias("row"),
        "gnum",
        "gcode",
        "qty1",
        "unit1",
        "qty2",
        "unit2",
        "totalPrice",
        single=(fifths(lines, "qty") == UNIT).fill_null(value=False),
        price_good=good,
        goods_fen=_fen_or_zero(price, good),
        bonded=cases["bonded"][row],
        rate=rate,
    ).hstack(rates.taken(rate))
    return goods_flags(_conditions(items, rates), rates)


def _rows(case: pl.Series, cases: pl.Series) -> pl.Series:
    """The position of each line's case."""
    bad = ValueError("lines: every line must belong to a case of heads")
    if case.null_count():
        raise bad
    row = case.rle_id()
    if row.len() and row[-1] < cases.len() and (cases[row] == case).all():
        return row  # in order, and no case before them without lines: nothing need be searched
    row = cases.search_sorted(case)
    if case.len() and (row.max() == cases.len() or not (cases[row] == case).all()):
        raise bad
    return row


def _conditions(items: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Decide the lines whose consumption tax depends on a price per unit or on a quantity."""
    special = items["special"].arg_true()
    undecidable = pl.Series("undecidable", [False]).new_from_index(0, items.height)
    quantity = pl.Series("ct_quantity", [None], pl.Int64).new_from_index(0, items.height)
    if not special.len():
        return items.hstack([undecidable, quantity])
    few = items[
        special, ["totalPrice", "price_good", "qty1", "qty2", "unit1", "unit2", "rate", "ct_ppm"]
    ]
    price = pl.when("price_good").then(fifths(few, "totalPrice")).otherwise(0)
    few = few.with_columns(price=price).hstack(rates.conditions(few["rate"]))
    decided = decide(few, rates.asked)
    return items.with_columns(
        items["ct_ppm"].scatter(special, decided["ct_ppm"]),
        undecidable.scatter(special, decided["undecidable"]),
        quantity.scatter(special, decided["ct_quantity"]),
    )


def _per_case(items: pl.DataFrame, cases: int) -> pl.DataFrame:
    """Sums over the lines of each case, in order of the cases, 0 without lines.

    `items`: `row`, and what is summed: Int64 of 0 or more (the sum of a case must fit), or Boolean
    (how many hold). They are running sums, looked at where each case ends; where those could leave
    Int64 they are reckoned in Int128.
    """
    if not items["row"].is_sorted():
        items = items.sort("row")
    sums = [column.name for column in items.iter_columns() if column.dtype == pl.Int64]
    largest = max((_largest(items[name]) for name in sums), default=0)
    kind = pl.Int64 if largest * items.height < 2**63 else pl.Int128
    running = items.select(
        "row",
        pl.col(sums).cast(kind).cum_sum(),
        pl.col(pl.Boolean).cast(pl.Int64).cum_sum(),
        last=(pl.col("row") != pl.col("row").shift(-1)).fill_null(value=True),
    ).filter("last")
    found = running.select(
        "row",
        (pl.exclude("row", "last") - pl.exclude("row", "last").shift(1, fill_value=0)).cast(
            pl.Int64
        ),
    )
    if found.height < cases:
        every = pl.select(row=pl.int_range(cases, dtype=pl.UInt32))
        found = every.join(found, on="row", how="left", maintain_order="left").fill_null(0)
    return found.drop("row")


def _largest(column: pl.Series) -> int:
    largest = column.max()
    return largest if isinstance(largest, int) else 0


def _valued(cases: pl.DataFrame, items: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """The cases with what their lines say together."""
    of_lines = _per_case(
        items.select(
            *("row", "goods_fen", "single", "faulty"),
            lines=pl.lit(value=True),
            duty_unknown=pl.col("duty_ppm").is_null(),
        ),
        cases.height,
    ).select(
        "goods_fen",
        one_item=(pl.col("lines") == 1) & (pl.col("single") == 1),
        faulty=pl.col("faulty") > 0,
        duty_unknown=pl.col("duty_unknown") > 0,
    )
    value = pl.col("goods_fen") + pl.col("pot_fen")
    return cases.hstack(of_lines).with_columns(
        value_fen=value,
        faulty=pl.col("faulty") | ~pl.col("pot_good") | (value > rates.reach_fen),
    )


def _used_before(cases: pl.DataFrame, used: pl.DataFrame) -> pl.Series:
    """What each case's buyer has used before the batch, in fen."""
    if not used.height:
        return pl.Series("used_fen", [0]).new_from_index(0, cases.height)
    amount = used["used_fen"].cast(pl.Int64)
    if amount.null_count() or not ((amount >= 0) & (amount <= _MOST_USED)).all():
        raise ValueError("used: used_fen must be integers of fen, 0 or more")
    buyer = used["buyer"].cast(cases.schema["buyer"])
    known = pl.DataFrame({"buyer": buyer, "used_fen": amount})
    try:
        found = cases.select("buyer").join(
            known, on="buyer", how="left", maintain_order="left", validate="m:1"
        )
    except pl.exceptions.ComputeError:
        raise ValueError("used: a buyer stands twice") from None
    return found["used_fen"].fill_null(0)


# -- limits and allowance --------------------------------------------------------------------------


def _settle(cases: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """The regime of each case under the single limit and the buyer's year, in order of arrival."""
    by_single, unknown = pl.col("alone"), pl.col("duty_unknown")
    value, faulty, inside = pl.col("value_fen"), pl.col("faulty"), pl.col("inside")
    alone = treatment.alone(value, pl.col("one_item"), limits)
    cases = cases.with_columns(alone=alone.cast(pl.Int8))
    taking = treatment.takes(by_single, pl.col("eligible"), faulty)
    year = allowance.take(
        cases.select(
            "buyer",
            "used_fen",
            "value_fen",
            takes_inside=treatment.takes_inside(by_single, taking, unknown),
            takes_outside=treatment.takes_outside(taking, unknown, limits),
        ),
        limits.annual_within_fen,
    )
    given, missing = pl.col("treatment"), pl.col("rate_missing")
    return (
        cases.hstack(year)
        .with_columns(treatment=treatment.settled(by_single, inside, limits).cast(pl.Int8))
        .with_columns(rate_missing=treatment.rate_missing(given, unknown, faulty))
        .with_columns(
            refused=treatment.refused(given, faulty, missing),
            over_single=treatment.over_single(by_single),
            over_annual=treatment.over_annual(inside, limits),
        )
        .with_columns(
            full_tax=treatment.in_full(given) & ~pl.col("refused"),
            regime=pl.when("refused")
            .then(pl.lit(REFUSED))
            .when(treatment.in_full(given))
            .then(pl.lit(GENERAL))
            .otherwise(pl.lit(RETAIL)),
        )
    )


def _parcels(cases: pl.DataFrame) -> pl.DataFrame:
    """Before the regime of 2016 there is no allowance and no limit: only bad goods refuse."""
    return cases.with_columns(
        refused="faulty",
        rate_missing=pl.lit(value=False),
        over_single=pl.lit(value=False),
        over_annual=pl.lit(value=False),
        regime=pl.when("faulty").then(pl.lit(REFUSED)).otherwise(pl.lit(PARCEL)),
        used_before_fen="used_fen",
        counted_fen=_ZERO,
    )


# -- tax -------------------------------------------------------------------------------------------


def _goods_tax(items: pl.DataFrame, settled: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Duty, consumption tax and VAT of every line; 0 where the case is refused."""
    row = items["row"]
    full = settled["full_tax"][row]
    lines = items.with_columns(
        settled["refused"][row].alias("refused"),
        duty_ppm=pl.when(full).then("duty_ppm").otherwise(pl.lit(rates.duty_within_ppm, pl.Int64)),
        levy=pl.when(full).then(rates.levy_den).otherwise(rates.levy_num).cast(pl.Int64),
        levy_ppm=pl.when(full).then(MILLION).otherwise(rates.levy_ppm).cast(pl.Int64),
        parcel_ppm=_NULL,
        parcel_tax_fen=_ZERO,
        waived_fen=_ZERO,
    )
    due = taxes(lines, rates.levy_den).get_columns()
    compound = (lines["ct_quantity"].is_not_null() & ~lines["refused"]).arg_true()
    if compound.len():
        few = lines[compound, _COMPOUND]
        exact = compound_taxes(few.hstack(rates.specific(few["rate"])), rates.levy_den)
        due = [
            tax.scatter(compound, column)
            for tax, column in zip(due, exact.get_columns(), strict=True)
        ]
    if not lines["refused"].any():
        return lines.hstack(due)
    owing = ~lines["refused"]
    nothing = pl.Series([0]).new_from_index(0, lines.height)
    return lines.hstack([tax.zip_with(owing, nothing) for tax in due])


def _parcel_tax(items: pl.DataFrame, settled: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Parcel tax of every line; waived together where the case's tax is within the waiver."""
    refused = settled["refused"][items["row"]]
    lines = items.with_columns(
        assessed_fen=pl.when(refused).then(_ZERO).otherwise(PARCEL_TAX)
    ).with_columns(
        waived=waived(pl.col("assessed_fen").sum().over("row"), rates.waiver_fen),
    )
    return lines.with_columns(
        parcel_tax_fen=pl.when("waived").then(_ZERO).otherwise("assessed_fen"),
        waived_fen=pl.when("waived").then("assessed_fen").otherwise(_ZERO),
        duty_fen=_ZERO,
        consumption_fen=_ZERO,
        vat_fen=_ZERO,
        duty_ppm=_NULL,
        ct_ppm=_NULL,
        vat_ppm=_NULL,
        levy_ppm=pl.lit(MILLION, pl.Int64),
    )


def _totals(settled: pl.DataFrame, taxed: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """One row per case: its regime, its sums and its buyer's year."""
    levied = _TAXES[:3] if rates.limits else (_TAXES[3], "waived_fen")
    sums = _per_case(taxed.select("row", *levied), settled.height).with_columns(
        _ZERO.alias(name) for name in (*_TAXES, "waived_fen") if name not in levied
    )
    return settled.hstack(sums).select(
        "case",
        "regime",
        "value_fen",
        *_TAXES,
        "waived_fen",
        "counted_fen",
        "used_before_fen",
        "one_item",
        "refused",
        total_fen=pl.sum_horizontal(_TAXES),
        used_after_fen=pl.col("used_before_fen") + pl.col("counted_fen"),
    )


# -- findings --------------------------------------------------------------------------------------


def _findings(settled: pl.DataFrame, items: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """All findings in order of case, then of the case itself before its lines."""
    found = [
        *_amount_findings(settled, items, rates),
        *_limit_findings(settled, rates),
        *goods_findings(items, settled, rates),
    ]
    if not found:
        return pl.DataFrame(schema=FINDINGS)
    return pl.concat(found).sort("case", "gnum", maintain_order=True)


def _limit_findings(settled: pl.DataFrame, rates: Rates) -> list[pl.DataFrame]:
    if rates.limits is None:
        return []
    value, used = pl.col("value_fen"), pl.col("used_before_fen")
    return [
        finding(
            settled[settled[limit.refuses].arg_true(), ["case", "value_fen", "used_before_fen"]],
            limit.rule,
            None,
            pl.lit(yuan_text(limit.limit_fen)),
            yuan(limit.held_fen(value, used)),
            limit.law,
        )
        for limit in treatment.limit_rules(rates.limits)
        if settled[limit.refuses].any()
    ]


def _amount_findings(
    settled: pl.DataFrame, items: pl.DataFrame, rates: Rates
) -> list[pl.DataFrame]:
    """Amounts that are missing, negative or beyond the reach of exact arithmetic."""
    expected = pl.lit(reckonable_text(rates.reach_fen))
    found: list[pl.DataFrame] = []
    if settled["pot_good"].all() and items["price_good"].all() and not settled["faulty"].any():
        return found
    for rows, good, field in (
        (settled, "freight_good", "freight"),
        (settled, "insured_good", "insuredFee"),
        (items, "price_good", "totalPrice"),
    ):
        if not rows[good].all():
            bad = rows.filter(~pl.col(good))
            actual = pl.col(field).cast(pl.String)
            found.append(finding(bad, AMOUNT_RULE, field, expected, actual, None))
    beyond = settled["value_fen"] > rates.reach_fen
    if beyond.any():
        rows = settled.filter(beyond)
        value = yuan(pl.col("value_fen"))
        found.append(finding(rows, AMOUNT_RULE, "totalPrice", expected, value, None))
    return found
