"""The kernel beside four ways of doing the same, on the same parcels, in one run.

Ours decides with the whole kernel (tariff look-up, positive list, findings, exact 128-bit
arithmetic); the rivals get the rates of each parcel ready and do tax and limits only. Every
answer is held against exact fractions; a wrong one is a regime or an amount that differs by a fen
or more. The rivals run one after the other in a Python of their own (build/rivals, made by
`make bench`), one process each.
"""

import csv
import json
import random
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import floor
from pathlib import Path

import polars as pl
from benchmarks.rival_engines import GENERAL, REFUSED, RETAIL

from tongguan import policy
from tongguan.policy.quote import _HEAD_SCHEMA, _LINE_SCHEMA

DAY = date(2022, 6, 1)
SLOTS = 10
"""Parcels of each buyer in the year, one after the other."""

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / "build" / "rivals" / "bin" / "python"
ENGINES = {
    "plain": ("plain Python, Decimal", 50_000),
    "openfisca": ("OpenFisca, fed with arrays", 10**9),
    "openfisca-situations": ("OpenFisca, fed with situations", 5_000),
    "zen": ("GoRules zen-engine", 5_000),
    "duckdb": ("SQL on DuckDB", 10**9),
}
"""Engines of rival_engines.py, and the most parcels that each is given."""

Facts = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Parcel:
    """One parcel: the `slot`th of its buyer, one line of goods, its rates in parts per million."""

    buyer: int
    slot: int
    code: str
    value_fen: int
    one_item: bool
    duty_ppm: int
    ct_ppm: int
    vat_ppm: int

    @property
    def value(self) -> Decimal:
        return Decimal(self.value_fen).scaleb(-2)


def parcels(count: int, law: policy.Law) -> list[Parcel]:
    """Parcels in order of arrival: values around both limits, goods at every unconditional rate."""
    dice = random.Random(7)
    goods = (
        law.tariff.filter(
            pl.col("ct_condition").is_null()
            & (pl.col("ct_specific_micro") == 0)
            & pl.col("vat_ppm").is_not_null()
            & pl.col("mfn_ppm").is_not_null()
        )
        .select("code", pl.coalesce("interim_ppm", "mfn_ppm"), "ct_ppm", "vat_ppm")
        .rows()
    )
    made = []
    for slot in range(SLOTS):
        for buyer in range(max(1, count // SLOTS)):
            code, duty, tax, vat = dice.choice(goods)
            value = dice.choice([dice.randrange(1_000, 60_000), dice.randrange(1_000, 650_000)])
            one = dice.random() < 0.5
            made.append(Parcel(buyer, slot, code, value, one, duty, tax or 0, vat))
    return made


def exact(given: list[Parcel]) -> dict[tuple[int, int], Facts]:
    """Regime, duty, consumption tax and VAT in fen of each parcel, in exact fractions."""
    year: dict[int, int] = {}
    found = {}
    for p in given:
        used = year.get(p.buyer, 0)
        over = p.value_fen > 500_000
        if used + p.value_fen > 2_600_000 or (over and not p.one_item):
            found[p.buyer, p.slot] = (REFUSED, 0, 0, 0)
            continue
        year[p.buyer] = used + p.value_fen
        tax, vat = Fraction(p.ct_ppm, 10**6), Fraction(p.vat_ppm, 10**6)
        duty = p.value_fen * Fraction(p.duty_ppm, 10**6) if over else Fraction(0)
        levy = Fraction(1) if over else Fraction(7, 10)
        gross = (p.value_fen + duty) / (1 - tax)
        amounts = (duty, gross * tax * levy, gross * vat * levy)
        fen = tuple(floor(amount + Fraction(1, 2)) for amount in amounts)
        found[p.buyer, p.slot] = (GENERAL if over else RETAIL, *fen)
    return found


def wrong(decided: dict[tuple[int, int], Facts], truth: dict[tuple[int, int], Facts]) -> str:
    """How many regimes and how many amounts differ from the exact ones."""
    regimes = sum(facts[0] != truth[key][0] for key, facts in decided.items())
    amounts = sum(
        mine != right
        for key, facts in decided.items()
        for mine, right in zip(facts[1:], truth[key][1:], strict=True)
    )
    return f"{regimes:>7,} {amounts:>9,}"


def line(name: str, count: int, seconds: float, p50: float, p99: float, errors: str) -> str:
    speed = count / seconds
    return f"  {name:<38}{count:>9,} {speed:>12,.0f} {p50:>9.3f} {p99:>9.3f} {errors}"


def ours(given: list[Parcel], law: policy.Law) -> tuple[float, dict[tuple[int, int], Facts]]:
    """The kernel on one batch: the best of three runs, and what it decided."""
    heads = pl.DataFrame(
        [(n, f"{p.buyer}", "1210", Decimal(0), Decimal(0), True) for n, p in enumerate(given)],
        schema=_HEAD_SCHEMA,
        orient="row",
    )
    lines = pl.DataFrame(
        [
            (n, 1, p.code, Decimal(1 if p.one_item else 2), p.value, p.value, *[None] * 4)
            for n, p in enumerate(given)
        ],
        schema=_LINE_SCHEMA,
        orient="row",
    )
    used = pl.DataFrame(schema={"buyer": pl.String, "used_fen": pl.Int64})
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        found = policy.assess(heads, lines, law, used)
        best = min(best, time.perf_counter() - start)
    taken = found.heads.select("regime", "duty_fen", "consumption_fen", "vat_fen").rows()
    return best, {(p.buyer, p.slot): facts for p, facts in zip(given, taken, strict=True)}


def alone(given: list[Parcel], known: policy.Policy) -> tuple[float, float]:
    """Median and 99th percentile of a quote with its whole derivation, in milliseconds."""
    took = []
    for p in given[:300]:
        basket = [policy.Goods(p.code, p.value)]
        start = time.perf_counter()
        policy.quote(known, DAY, basket)
        took.append((time.perf_counter() - start) * 1e3)
    took = sorted(took[50:])
    return took[len(took) // 2], took[int(len(took) * 0.99)]


def rival(engine: str, source: Path, limit: int) -> tuple[dict, dict[tuple[int, int], Facts]]:
    """What a rival took and what it decided; raises CalledProcessError, TimeoutExpired."""
    target = source.with_name(f"{engine}.csv")
    script = Path(__file__).with_name("rival_engines.py")
    done = subprocess.run(
        [str(PYTHON), str(script), str(source), str(target), engine, str(limit)],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    with target.open(newline="") as file:
        decided = {
            (int(b), int(slot)): (regime, *(floor(Fraction(x) * 100 + Fraction(1, 2)) for x in tax))
            for b, slot, regime, *tax in csv.reader(file)
        }
    return json.loads(done.stdout.strip().splitlines()[-1]), decided


def main(scale: int) -> None:
    """Prints a table: parcels a second in bulk, latency of one parcel, answers that are wrong."""
    known = policy.load()
    law = known.on(DAY)
    given = parcels(scale, law)
    truth = exact(given)
    print(f"rivals: {SLOTS} parcels of each buyer, law of {DAY}; p50, p99: one parcel alone, ms")
    heading = ("parcels", "parcels/s", "p50", "p99", "regimes", "amounts")
    print("  {:<38}{:>9} {:>12} {:>9} {:>9} {:>7} {:>9} wrong".format("", *heading))
    seconds, decided = ours(given, law)
    speed = len(given) / seconds
    errors = wrong(decided, truth)
    print(line("Tongguan", len(given), seconds, *alone(given, known), errors))
    if not PYTHON.exists():
        print("  !! NO RIVAL WAS MEASURED: build/rivals is not there; `make bench` installs them.")
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "parcels.csv"
        with source.open("w", newline="") as file:
            million = Decimal(10**6)
            csv.writer(file).writerows(
                (
                    *(p.buyer, p.slot, p.value, int(p.one_item)),
                    *(rate / million for rate in (p.duty_ppm, p.ct_ppm, p.vat_ppm)),
                )
                for p in given
            )
        for engine, (name, most) in ENGINES.items():
            try:
                facts, decided = rival(engine, source, most)
            except subprocess.CalledProcessError as problem:
                print(f"  !! {name} FAILED: {problem.stderr.strip().splitlines()[-1:]}")
                continue
            except subprocess.TimeoutExpired:
                print(f"  !! {name} TOOK TOO LONG")
                continue
            took = (facts["parcels"], facts["seconds"], facts["p50_ms"], facts["p99_ms"])
            ratio = speed / (facts["parcels"] / facts["seconds"])
            shown = line(f"{name} {facts['version']}", *took, wrong(decided, truth))
            print(f"{shown}  ours {ratio:,.1f}×")


if __name__ == "__main__":
    main(50_000)
