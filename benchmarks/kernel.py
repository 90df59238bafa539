"""The kernel against bare arithmetic: lines a second, and the ratio to a limit of this machine.

The limit is what the same engine needs for the unavoidable arithmetic on the same columns and
nothing else: per line three times a 128-bit product divided and rounded (duty, consumption tax,
VAT), with rates already in place, one regime, no limits, no lists, no findings.
"""

import random
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import polars as pl

from tongguan import policy
from tongguan.policy.assess import assess

DAY = date(2022, 6, 1)
BATCHES = (1, 100, 2_000, 8_000)
FIVE = pl.Decimal(19, 5)


def batch(cases: int, tariff: pl.DataFrame, seed: int = 1) -> tuple[pl.DataFrame, ...]:
    """Heads, lines and used amounts of a realistic batch: 1-5 lines a case, few buyers twice."""
    dice = random.Random(seed)
    codes = tariff.select("code", "unit1", "unit2").rows()
    rows = []
    for case in range(cases):
        for gnum in range(1, dice.choice([1, 1, 2, 2, 3, 5]) + 1):
            code, unit1, unit2 = dice.choice(codes)
            total = Decimal(dice.randrange(1_000, 60_000)).scaleb(-2)
            qty = Decimal(dice.choice([1, 1, 1, 2, 3, 6]))
            rows.append((case, gnum, code, qty, "011", qty, unit1, qty, unit2, total / qty, total))
    lines = pl.DataFrame(
        rows,
        schema={
            "case": pl.UInt32,
            "gnum": pl.Int64,
            "gcode": pl.String,
            "qty": FIVE,
            "unit": pl.String,
            "qty1": FIVE,
            "unit1": pl.String,
            "qty2": FIVE,
            "unit2": pl.String,
            "price": FIVE,
            "totalPrice": FIVE,
        },
        orient="row",
    )
    buyers = [f"{dice.randrange(max(1, cases * 10)):032x}" for _ in range(cases)]
    heads = pl.DataFrame(
        {
            "case": range(cases),
            "buyer": buyers,
            "tradeMode": ["1210"] * cases,
            "freight": [Decimal(dice.choice([0, 0, 15])) for _ in range(cases)],
            "insuredFee": [Decimal(0)] * cases,
            "eligible": [True] * cases,
        },
        schema_overrides={"case": pl.UInt32, "freight": FIVE, "insuredFee": FIVE},
    )
    used = pl.DataFrame({"buyer": buyers}).unique()
    used = used.with_columns(
        used_fen=pl.Series([dice.randrange(2_400_000) for _ in range(used.height)], dtype=pl.Int64)
    )
    return heads, lines, used


def bare(lines: pl.DataFrame) -> Callable[[], object]:
    """The arithmetic nobody can leave out, on columns that are ready for it."""
    ready = lines.select(
        basis=(pl.col("totalPrice").to_physical() // 1000).cast(pl.Int128),
        duty=pl.lit(100_000, pl.Int64),
        tax=pl.lit(150_000, pl.Int64),
        vat=pl.lit(130_000, pl.Int64),
    )
    basis, million = pl.col("basis"), 1_000_000
    net = (million - pl.col("tax")).cast(pl.Int128) * million * 10
    gross = basis * (pl.col("duty") + million)
    taxes = [
        (basis * pl.col("duty") * 2 + million) // (2 * million),
        (gross * pl.col("tax") * 7 * 2 + net) // (net * 2),
        (gross * pl.col("vat") * 7 * 2 + net) // (net * 2),
    ]
    named = [tax.cast(pl.Int64).alias(str(n)) for n, tax in enumerate(taxes)]
    return lambda: ready.select(named)


def seconds(work: Callable[[], object], least: int = 7, budget_s: int = 2) -> float:
    """The fastest of at least `least` runs within about `budget_s` seconds."""
    best, begun, runs = float("inf"), time.perf_counter(), 0
    while runs < least or (time.perf_counter() - begun < budget_s and runs < 200):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
        runs += 1
    return best


def main(scale: int) -> None:
    """Prints, per batch size up to `scale` cases, time, lines a second and the ratio."""
    law = policy.load().on(DAY)
    print(f"kernel: assess() on batches of cases, law of {DAY}, {law.tariff.height} tariff lines")
    for cases in (size for size in BATCHES if size <= max(scale, 1)):
        heads, lines, used = batch(cases, law.tariff)
        kernel_s = seconds(lambda: assess(heads, lines, law, used))  # noqa: B023
        limit_s = seconds(bare(lines))
        print(
            f"  {cases:>6} cases {lines.height:>7} lines  {kernel_s * 1e3:8.2f} ms"
            f"  {lines.height / kernel_s:>12,.0f} lines/s"
            f"  limit {lines.height / limit_s:>12,.0f} lines/s  ratio {kernel_s / limit_s:6.1f}"
        )


if __name__ == "__main__":
    main(8_000)
