"""The kernel beside four ways of doing the same, on the same parcels, in one run.

All start from the same table in order of arrival (buyer, day, code, trade mode, quantity, price,
freight) and from the same dated law, find the rates of the day themselves, hold what they find
against list, limits and the buyer's year, and answer with a regime, three taxes and what was found.
The kernel also looks for consumption taxes that depend on a quantity, which no parcel here has,
and writes each finding with both values and the paragraph. OpenFisca is also measured where it
finds nothing itself but gets rates, values and faults ready, as arrays.

Every answer is held against exact fractions; a wrong one is a regime, a set of findings, or an
amount that differs by a fen or more. The rivals run one after the other in a Python of their own
(build/rivals, made by `make bench`), one process each.
"""

import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import floor
from pathlib import Path

import polars as pl
from benchmarks.rival_engines import (
    BONDED,
    DIRECT,
    GENERAL,
    OVER_ANNUAL,
    OVER_SINGLE,
    REFUSED,
    RETAIL,
    RUNS,
    UNKNOWN,
    UNLISTED,
)

from tongguan import policy
from tongguan.policy.quote import _HEAD_SCHEMA, _LINE_SCHEMA

YEAR = 2019
"""Its law changed on 1 April: VAT fell from 16 and 10 to 13 and 9 percent."""
SLOTS = 10
"""Parcels of each buyer in the year: one a month, so that OpenFisca's months can hold them."""
NO_CODES = ("9999999999", "0000000000")
CODES = 12_030
"""Codes of ten digits in China's tariff of 2026. The starter table has fewer; the others are made
up, with rates of the starter's, and no parcel has them: all they do is stand there."""

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / "build" / "rivals" / "bin" / "python"
ENGINES = {
    "plain": ("plain Python, Decimal", 50_000),
    "openfisca": ("OpenFisca, parameters by code", 10**9),
    "openfisca-taken": ("OpenFisca, rates by NumPy", 10**9),
    "openfisca-situations": ("OpenFisca, fed with situations", 5_000),
    "zen": ("GoRules zen-engine, rates by a dict", 5_000),
    "duckdb": ("SQL on DuckDB", 10**9),
    "openfisca-ready": ("OpenFisca, rates and faults ready", 10**9),
}
"""Engines of rival_engines.py, and the most parcels that each is given."""

RULES = {
    "goods.unknown-code": UNKNOWN,
    "goods.list-incomplete": UNLISTED,
    "goods.not-listed": UNLISTED,
    "goods.bonded-only": BONDED,
    "limit.single": OVER_SINGLE,
    "limit.annual": OVER_ANNUAL,
}
Facts = tuple[str, int, int, int, int]
"""Regime, duty, consumption tax and VAT in fen, findings."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """The `n`th parcel, of one line of goods."""

    n: int
    buyer: int
    day: date
    code: str
    mode: str
    qty: int
    price_fen: int
    freight_fen: int

    @property
    def price(self) -> Decimal:
        return Decimal(self.price_fen).scaleb(-2)

    @property
    def freight(self) -> Decimal:
        return Decimal(self.freight_fen).scaleb(-2)


@dataclass(frozen=True, slots=True)
class Rate:
    """What the law says of a code from a day on; rates in parts per million."""

    since: date
    duty_ppm: int
    ct_ppm: int
    vat_ppm: int
    listed: bool
    bonded_only: bool


Dated = dict[str, list[Rate]]
"""By code, the oldest first."""


def laws(known: policy.Policy) -> list[policy.Law]:
    """The laws of the year, each on its first day."""
    days = [date(YEAR, month, 1) for month in range(1, SLOTS + 1)]
    found: list[policy.Law] = []
    for law in map(known.on, days):
        if not found or period(law) != period(found[-1]):
            found.append(law)
    return found


def period(law: policy.Law) -> tuple[int, ...]:
    """Laws of days between which nothing changes have these in common."""
    return id(law.values), id(law.tariff), id(law.positive_list)


def dated(laws_of_year: list[policy.Law]) -> tuple[Dated, list[str]]:
    """The rates of every code taxed by value, and the codes whose tax has no condition."""
    found: Dated = {}
    conditional: set[str] = set()
    for law in laws_of_year:
        assert not law.withdrawn
        assert not law.positive_list_complete
        remarks = law.positive_list.group_by("code8").agg(pl.col("bonded_only").all())
        listed = dict(remarks.iter_rows())
        taxed = law.tariff.filter(pl.all_horizontal(pl.col("vat_ppm", "mfn_ppm").is_not_null()))
        special = pl.col("ct_condition").is_not_null() | (pl.col("ct_specific_micro") != 0)
        columns = ("code", pl.coalesce("interim_ppm", "mfn_ppm"), "ct_ppm", "vat_ppm", special)
        for code, duty, tax, vat, conditions in taxed.select(*columns).iter_rows():
            remark = listed.get(code[:8])
            rate = Rate(law.day, duty, tax or 0, vat, remark is not None, bool(remark))
            found.setdefault(code, []).append(rate)
            if conditions:
                conditional.add(code)
    return found, sorted(set(found) - conditional)


def parcels(count: int, codes: list[str]) -> list[Parcel]:
    """Parcels in order of arrival: values around both limits, goods at every unconditional rate,
    some of codes that no tariff has."""
    dice = random.Random(7)
    drawn = []
    for month in range(1, SLOTS + 1):
        first = date(YEAR, month, 1)
        for buyer in range(max(1, count // SLOTS)):
            code = dice.choice(NO_CODES) if dice.random() < 0.01 else dice.choice(codes)
            price = dice.choice([dice.randrange(1_000, 60_000), dice.randrange(1_000, 650_000)])
            freight = dice.choice((0, 0, 600, 1_250))
            mode = DIRECT if dice.random() < 0.2 else "1210"
            qty = 1 if dice.random() < 0.5 else 2
            day = first + timedelta(days=dice.randrange(28))
            drawn.append((day, buyer, code, mode, qty, price, freight))
    drawn.sort(key=lambda parcel: parcel[0])
    return [Parcel(n, buyer, day, *rest) for n, (day, buyer, *rest) in enumerate(drawn)]


def exact(given: list[Parcel], rates: Dated) -> dict[int, Facts]:
    """The facts of each parcel, in exact fractions."""
    year: dict[int, int] = {}
    decided = {}
    for p in given:
        used, value = year.get(p.buyer, 0), p.price_fen + p.freight_fen
        rate = next((r for r in reversed(rates.get(p.code, ())) if r.since <= p.day), None)
        over = value > 500_000
        found = OVER_SINGLE * (over and p.qty != 1) + OVER_ANNUAL * (used + value > 2_600_000)
        found += UNLISTED * (rate is None or not rate.listed) + UNKNOWN * (rate is None)
        found += BONDED * (rate is not None and rate.bonded_only and p.mode == DIRECT)
        if rate is None or found & ~UNLISTED:
            decided[p.n] = (REFUSED, 0, 0, 0, found)
            continue
        year[p.buyer] = used + value
        tax, vat = Fraction(rate.ct_ppm, 10**6), Fraction(rate.vat_ppm, 10**6)
        duty = value * Fraction(rate.duty_ppm, 10**6) if over else Fraction(0)
        levy = Fraction(1) if over else Fraction(7, 10)
        gross = (value + duty) / (1 - tax)
        amounts = (duty, gross * tax * levy, gross * vat * levy)
        fen = tuple(floor(amount + Fraction(1, 2)) for amount in amounts)
        decided[p.n] = (GENERAL if over else RETAIL, *fen, found)
    return decided


def wrong(decided: dict[int, Facts], truth: dict[int, Facts]) -> str:
    """How many regimes or findings, and how many amounts, differ from the exact ones."""
    answers = sum(
        (facts[0], facts[4]) != (truth[n][0], truth[n][4]) for n, facts in decided.items()
    )
    amounts = sum(
        mine != right
        for n, facts in decided.items()
        for mine, right in zip(facts[1:4], truth[n][1:4], strict=True)
    )
    return f"{answers:>7,} {amounts:>9,}"


def line(name: str, count: int, seconds: float, p50: float, p99: float, errors: str) -> str:
    speed = count / seconds
    return f"  {name:<44}{count:>9,} {speed:>12,.0f} {p50:>9.3f} {p99:>9.3f} {errors}"


def frames(given: list[Parcel]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The table of the parcels as the kernel takes it, heads with their day."""
    no = Decimal(0)
    heads = pl.DataFrame(
        [(p.n, p.buyer, p.mode, p.freight, no, True, p.day) for p in given],
        schema=_HEAD_SCHEMA | {"buyer": pl.Int64(), "day": pl.Date()},
        orient="row",
    )
    lines = pl.DataFrame(
        [(p.n, 1, p.code, Decimal(p.qty), p.price, p.price, *[None] * 4) for p in given],
        schema=_LINE_SCHEMA,
        orient="row",
    )
    return heads, lines


def decide(
    known: policy.Policy, heads: pl.DataFrame, lines: pl.DataFrame
) -> list[policy.Assessment]:
    """All parcels, those of days with the same law at once; years go on from each to the next."""
    used = pl.DataFrame(schema={"buyer": pl.Int64, "used_fen": pl.Int64})
    days = heads["day"].unique().sort()
    named = [(day, known.on(day)) for day in days]
    turns = [day for (_, old), (day, new) in pairwise(named) if period(old) != period(new)]
    bounds = [0, *(int(heads["day"].search_sorted(day)) for day in turns), heads.height]
    found = []
    for first, last in pairwise(bounds):
        mine = heads.slice(first, last - first)
        start, end = (
            int(lines["case"].search_sorted(heads["case"][at])) for at in (first, last - 1)
        )
        some = lines.slice(start, end + 1 - start)
        told = policy.assess(mine, some, known.on(mine["day"][0]), used)
        found.append(told)
        if last < heads.height:
            left = pl.DataFrame({"buyer": mine["buyer"], "used_fen": told.heads["used_after_fen"]})
            used = pl.concat([used, left]).unique("buyer", keep="last")
    return found


def ours(given: list[Parcel], known: policy.Policy) -> tuple[float, dict[int, Facts]]:
    """The kernel on all parcels: the best of some runs, and what it decided."""
    heads, lines = frames(given)
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        found = decide(known, heads, lines)
        best = min(best, time.perf_counter() - start)
    told = pl.concat(each.heads for each in found)
    marks: dict[int, int] = {}
    for case, rule in pl.concat(x.findings for x in found).select("case", "rule").iter_rows():
        marks[case] = marks.get(case, 0) | RULES[rule]
    taken = told.select("case", "regime", "duty_fen", "consumption_fen", "vat_fen").iter_rows()
    return best, {case: (*facts, marks.get(case, 0)) for case, *facts in taken}


def alone(given: list[Parcel], known: policy.Policy) -> tuple[float, float]:
    """Median and 99th percentile of a quote with its whole derivation, in milliseconds."""
    took = []
    for p in given[:300]:
        basket = [policy.Goods(p.code, p.price / p.qty, p.qty)]
        start = time.perf_counter()
        policy.quote(known, p.day, basket, p.freight, trade_mode=p.mode)
        took.append((time.perf_counter() - start) * 1e3)
    took = sorted(took[50:])
    return took[len(took) // 2], took[int(len(took) * 0.99)]


def write(folder: Path, given: list[Parcel], rates: Dated) -> None:
    """The files that rival_engines.py reads."""
    with (folder / "parcels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            (p.n, p.buyer, p.day, p.code, p.mode, p.qty, p.price, p.freight) for p in given
        )
    million = Decimal(10**6)
    with (folder / "rates.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            (
                *(code, r.since, *(x / million for x in (r.duty_ppm, r.ct_ppm, r.vat_ppm))),
                *(int(r.listed), int(r.bonded_only)),
            )
            for code, each in rates.items()
            for r in each
        )


def rival(engine: str, folder: Path, limit: int) -> tuple[dict, dict[int, Facts]]:
    """What a rival took and what it decided; raises CalledProcessError, TimeoutExpired."""
    script = Path(__file__).with_name("rival_engines.py")
    done = subprocess.run(
        [str(PYTHON), str(script), str(folder), engine, str(limit)],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    with (folder / f"{engine}.csv").open(newline="") as file:
        decided = {
            int(n): (regime, *(floor(Fraction(x) * 100 + Fraction(1, 2)) for x in tax), int(found))
            for n, regime, *tax, found in csv.reader(file)
        }
    return json.loads(done.stdout.strip().splitlines()[-1]), decided


def whole() -> policy.Policy:
    """The law with a tariff of CODES codes."""
    starter = policy.load().tariffs[0].frame
    missing = CODES - starter.height
    made = pl.concat([starter] * (missing // starter.height + 1)).head(missing)
    codes = pl.format("97{}", pl.int_range(pl.len()).cast(pl.String).str.zfill(8))
    frame = pl.concat([starter, made.with_columns(code=codes)]).unique("code").sort("code")
    return policy.load([policy.TariffEdition("as large as the real one", date(YEAR, 1, 1), frame)])


def compare(known: policy.Policy, given: list[Parcel], engines: Iterable[str]) -> None:
    """One table: the kernel and these engines under one law."""
    rates, _ = dated(laws(known))
    truth = exact(given, rates)
    print(f"  law of {YEAR}, tariff of {len(rates):,} codes taxed by value")
    seconds, decided = ours(given, known)
    speed = len(given) / seconds
    errors = wrong(decided, truth)
    print(line("Tongguan", len(given), seconds, *alone(given, known), errors))
    if not PYTHON.exists():
        print("  !! NO RIVAL WAS MEASURED: build/rivals is not there; `make bench` installs them.")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, given, rates)
        for engine in engines:
            title, most = ENGINES[engine]
            try:
                facts, decided = rival(engine, folder, most)
            except subprocess.CalledProcessError as problem:
                print(f"  !! {title} FAILED: {problem.stderr.strip().splitlines()[-1:]}")
                continue
            except subprocess.TimeoutExpired:
                print(f"  !! {title} TOOK TOO LONG")
                continue
            took = (facts["parcels"], facts["seconds"], facts["p50_ms"], facts["p99_ms"])
            ratio = speed / (facts["parcels"] / facts["seconds"])
            shown = line(f"{title} {facts['version']}", *took, wrong(decided, truth))
            print(f"{shown}  ours {ratio:,.1f}×")


def main(scale: int) -> None:
    """Prints tables: parcels a second in bulk, latency of one parcel, answers that are wrong."""
    starter = policy.load()
    given = parcels(4 * scale, dated(laws(starter))[1])
    print("rivals: one parcel a month of each buyer; p50, p99: one parcel alone, ms")
    heading = ("parcels", "parcels/s", "p50", "p99", "answers", "amounts")
    print("  {:<44}{:>9} {:>12} {:>9} {:>9} {:>7} {:>9} wrong".format("", *heading))
    compare(whole(), given, ENGINES)
    compare(starter, given, [name for name in ENGINES if name.startswith("openfisca")])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
