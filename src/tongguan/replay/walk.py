"""Deciding recorded parcels anew, each buyer's year in its order: the kernel over history.

``policy.assess`` computes every tax and limit; here is only the order in which it is asked. A
buyer's year is cut into *turns*: within one the law is the same and nothing comes back, so the
kernel takes all its parcels at once; before the next one what came back is given back.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from tongguan import policy

LawOf = Callable[[str, date], policy.Law]
"""The law that decides a parcel: by the name of a policy, and the day that decides."""

CASES_AT_ONCE = 1 << 16
"""Parcels that the kernel gets at a time: bounds memory, and fills the processor's caches well."""

OUTCOME: dict[str, Any] = {
    "row": pl.Int64,
    "regime": pl.String,
    "refused": pl.Boolean,
    **dict.fromkeys(
        (
            *("value_fen", "duty_fen", "consumption_fen", "vat_fen", "parcel_tax_fen"),
            *("total_fen", "counted_fen", "used_before_fen", "used_after_fen"),
        ),
        pl.Int64,
    ),
}
LINE_AMOUNTS = (
    *("goods_fen", "charges_fen", "basis_fen", "duty_fen", "consumption_fen", "vat_fen"),
    "parcel_tax_fen",
)
LINE: dict[str, Any] = {"line": pl.Int64, **dict.fromkeys(LINE_AMOUNTS, pl.Int64)}
FOUND: dict[str, Any] = {
    "row": pl.Int64,
    "gnum": pl.Int64,
    **dict.fromkeys(("rule", "severity", "field", "expected", "actual"), pl.String),
}


@dataclass(frozen=True, slots=True)
class Decided:
    """What a law says of the parcels: heads (OUTCOME), lines (LINE), findings (FOUND).

    heads and lines in the order of ``row`` and ``line``; ``refused`` also where a rule outside the
    law refuses. restored: document, restored_fen: what each return or cancellation gave the
    buyer's year, in the order given.
    """

    heads: pl.DataFrame
    lines: pl.DataFrame
    findings: pl.DataFrame
    restored: pl.DataFrame


def walk(parcels: pl.DataFrame, lines: pl.DataFrame, back: pl.DataFrame, law_of: LawOf) -> Decided:
    """Decide all parcels of some buyers under a law, in order.

    parcels, in the order of decision within each year: row (0, 1, …), year (a number for each
    buyer and calendar year, rising), policy and law_day (which law decides), mode, freight,
    insured, eligible. lines, in order of row: line (0, 1, …), row and the columns of history lines
    that the kernel reads. back: what came back, one row per document: document, year and row (of
    its list), kind, basis_fen, next_row: the first parcel of that year after it (null: none).
    """
    laws, numbers = _laws(parcels, law_of)
    spans, turns = _spans(parcels["year"], numbers, back)
    years = _Years(back.with_columns(turn=turns.gather(back["next_row"])))
    span_of_line = spans["span"][lines["row"]]
    heads: list[pl.DataFrame] = [pl.DataFrame(schema=OUTCOME)]
    taxed: list[pl.DataFrame] = [pl.DataFrame(schema=LINE)]
    found: list[pl.DataFrame] = [pl.DataFrame(schema=FOUND)]
    for span in range(spans["span"].n_unique()):
        rows = (spans["span"] == span).arg_true()
        chosen = parcels.select("row", *_CASE.values())[rows].hstack(spans[rows])
        items = lines.filter(span_of_line == span)
        law, turn = laws[chosen["law"][0]], int(chosen["turn"][0])
        for part, some in _parts(chosen, items):
            assessed = policy.assess(part, some, law, years.before(part, turn))
            outcome = _outcome(part, assessed)
            years.after(part, outcome)
            heads.append(outcome)
            taxed.append(assessed.lines.with_columns(some["line"]).select(*LINE))
            row = part["row"][assessed.findings["case"]]
            found.append(assessed.findings.with_columns(row).select(*FOUND))
    decided, due = pl.concat(heads), pl.concat(taxed)
    if len(heads) > 2:
        decided, due = decided.sort("row"), due.sort("line")
    return Decided(decided, due, pl.concat(found), _restored(back, decided))


_CASE = {
    "year": pl.col("year"),
    "buyer": pl.col("year").alias("buyer"),
    "tradeMode": pl.col("mode").alias("tradeMode"),
    "freight": pl.col("freight"),
    "insuredFee": pl.col("insured").alias("insuredFee"),
    "eligible": pl.col("eligible"),
}


# ── turns ────────────────────────────────────────────────────────────────────────────────────


def _laws(parcels: pl.DataFrame, law_of: LawOf) -> tuple[list[policy.Law], pl.Series]:
    """The laws that decide, and for each parcel the number of its own.

    Laws of days between which nothing changes count as one.
    """
    days = parcels.select("policy", "law_day").unique().sort("policy", "law_day")
    laws: list[policy.Law] = []
    numbers: dict[tuple[int, ...], int] = {}
    found = []
    for name, day in days.iter_rows():
        law = law_of(name, day)
        same = (id(law.values), id(law.tariff), id(law.positive_list))
        if same not in numbers:
            numbers[same] = len(laws)
            laws.append(law)
        found.append(numbers[same])
    if len(laws) < 2:
        return laws, pl.Series("law", [0], pl.Int64).new_from_index(0, parcels.height)
    named = days.with_columns(law=pl.Series(found, dtype=pl.Int64))
    which = parcels.select("policy", "law_day")
    joined = which.join(named, on=["policy", "law_day"], how="left", maintain_order="left")
    return laws, joined["law"]


def _spans(years: pl.Series, laws: pl.Series, back: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """What the kernel may take at once: span, turn, law, further of each parcel; and the turns.

    Spans are numbered in order of turn. A turn ends where the law changes within a year or before
    a parcel that something came back before. further: the year has a later turn.
    """
    frame = pl.DataFrame({"year": years, "law": laws})
    new = (pl.col("year") == pl.col("year").shift()) & (pl.col("law") != pl.col("law").shift())
    begins = frame.select(new=new.fill_null(value=False)).to_series()
    after = back["next_row"].drop_nulls().unique()
    if after.len():
        begins = begins.scatter(after, True)
    if not begins.any() and laws.n_unique() < 2:
        none = pl.lit(0, pl.Int64)
        placed = frame.with_columns(span=none, turn=none, further=pl.lit(value=False))
        return placed.select("span", "turn", "law", "further"), placed["turn"]
    placed = frame.with_columns(turn=begins.cast(pl.Int64).cum_sum()).with_columns(
        turn=pl.col("turn") - pl.col("turn").first().over("year")
    )
    placed = placed.with_columns(further=pl.col("turn") < pl.col("turn").max().over("year"))
    kinds = placed.select("turn", "law").unique().sort("turn", "law").with_row_index("span")
    placed = placed.join(kinds, on=["turn", "law"], how="left", maintain_order="left")
    return placed.select("span", "turn", "law", "further"), placed["turn"]


def _parts(rows: pl.DataFrame, items: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The parcels of a span and their lines in parts that do not cut a buyer's year, with case."""
    years, places = rows["year"], items["row"]
    start, first = 0, 0
    while start < rows.height:
        end = min(start + CASES_AT_ONCE, rows.height)
        if end < rows.height:
            others = (years.slice(end) != years[end - 1]).arg_true()
            end = end + int(others[0]) if others.len() else rows.height
        part = rows.slice(start, end - start).with_columns(
            case=pl.int_range(pl.len(), dtype=pl.UInt32)
        )
        last = int(places.search_sorted(part["row"][-1], side="right"))
        some = items.slice(first, last - first)
        case = part["row"].search_sorted(some["row"]).cast(pl.UInt32).alias("case")
        yield part, some.with_columns(case)
        start, first = end, last


def _outcome(part: pl.DataFrame, assessed: policy.Assessment) -> pl.DataFrame:
    heads = assessed.heads.with_columns(part["row"], refused=pl.col("refused") | ~part["eligible"])
    return heads.select(*OUTCOME)


# ── what a year holds between its turns ──────────────────────────────────────────────────────


class _Years:
    """What the buyers' years hold after each turn, kept for those that have a further one."""

    def __init__(self, restores: pl.DataFrame) -> None:
        self._restores = restores
        self._used = pl.DataFrame(schema={"year": pl.Int64, "used_fen": pl.Int64})
        self._counted = pl.DataFrame(schema={"row": pl.Int64, "counted_fen": pl.Int64})

    def before(self, part: pl.DataFrame, turn: int) -> pl.DataFrame:
        """What each year in ``part`` holds when a turn begins: buyer, used_fen."""
        if turn == 0:
            return pl.DataFrame(schema={"buyer": pl.Int64, "used_fen": pl.Int64})
        held = part.select(pl.col("year").unique()).join(self._used, on="year")
        given = (
            self._restores.filter(pl.col("turn") == turn)
            .join(held, on="year", how="semi")
            .join(self._counted, on="row", how="left")
            .group_by("year")
            .agg(back=given_back().sum())
        )
        held = held.join(given, on="year", how="left")
        return held.select(
            buyer="year",
            used_fen=(pl.col("used_fen") - pl.col("back").fill_null(0)).clip(lower_bound=0),
        )

    def after(self, part: pl.DataFrame, outcome: pl.DataFrame) -> None:
        """Note what a turn left, of the years that go on, and what lists took that come back."""
        left = part.select("year", "further").with_columns(used_fen=outcome["used_after_fen"])
        now = left.filter("further").unique("year", keep="last").drop("further")
        if now.height:
            self._used = pl.concat([self._used.join(now, on="year", how="anti"), now])
        if self._restores.height:
            comes = outcome.join(self._restores, on="row", how="semi")
            self._counted = pl.concat([self._counted, comes.select(*self._counted.columns)])


def given_back() -> pl.Expr:
    """What a return gives back of a year (its share of the value), or a cancellation (all that the
    list took); nothing if the list took nothing."""
    took = pl.col("counted_fen").fill_null(0)
    return (
        pl.when(took == 0)
        .then(pl.lit(0, pl.Int64))
        .when(pl.col("kind") == "cancellation")
        .then(took)
        .otherwise("basis_fen")
    )


def _restored(back: pl.DataFrame, decided: pl.DataFrame) -> pl.DataFrame:
    named = back.join(decided, on="row", how="left", maintain_order="left")
    return named.select("document", restored_fen=given_back())
