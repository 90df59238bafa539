"""One quote in process beside the same rule in plain decimal arithmetic, in one run.

A quote looks codes up, checks the list and every amount, and writes its derivation with a
paragraph for each number; the plain rule gets its rates ready and computes three taxes.
"""

import random
import time
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal

from benchmarks.rival_engines import plain_case

from tongguan import policy
from tongguan.policy.quote import Goods, quote

DAY = date(2022, 6, 1)
RUNS = 2_000
LIMIT_MS = 1.0


def percentiles(work: Sequence[Callable[[], object]]) -> tuple[float, float]:
    """Median and 99th percentile in microseconds, after each was done once."""
    for one in work[:50]:
        one()
    took = []
    for one in work:
        start = time.perf_counter()
        one()
        took.append((time.perf_counter() - start) * 1e6)
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)]


def baskets(dice: random.Random) -> dict[str, list[tuple[list[Goods], str]]]:
    """Baskets (goods, freight) of some kinds; prices differ, so that nothing is remembered."""

    def price(most: int = 90_000) -> Decimal:
        return Decimal(dice.randrange(1_000, most)).scaleb(-2)

    def cream() -> Goods:
        return Goods("3304990029", price(), 1, qty1="0.05", unit1="035")

    def whisky() -> Goods:
        return Goods("2208300000", price(), 1, qty1="0.7", unit1="095", qty2="0.7", unit2="035")

    count = range(RUNS)
    return {
        "one line": [([Goods("1901101090", price())], "0") for _ in count],
        "one line, cosmetics": [([cream()], "0") for _ in count],
        "three lines and freight": [
            ([Goods("1901101090", price(), 2), cream(), whisky()], "12.01") for _ in count
        ],
        "over the limit, refused": [([Goods("1901101090", 3_000 + n, 2)], "0") for n in count],
        "unknown code, refused": [([Goods("9999999999", price())], "0") for _ in count],
        "quantity missing, refused": [
            ([Goods("3304990029", price(), 1, qty1="1", unit1="011")], "0") for _ in count
        ],
        "amount beyond reckoning, refused": [
            ([Goods("1901101090", 10**12 + n)], "1") for n in count
        ],
        "all of these in three lines, refused": [
            (
                [
                    Goods("9999999999", price()),
                    Goods("3304990029", price(), 1, qty1="1", unit1="011"),
                    Goods("1901101090", 10**12 + n),
                ],
                "12.01",
            )
            for n in count
        ],
    }


def main(scale: int) -> None:
    """Prints median and 99th percentile per kind of basket, and the ratio to plain arithmetic."""
    known = policy.load()
    dice = random.Random(3)
    rates = (Decimal("0.05"), Decimal(0), Decimal("0.13"))
    values = [Decimal(dice.randrange(1_000, 90_000)).scaleb(-2) for _ in range(RUNS)]
    plain = percentiles(
        [lambda v=v: plain_case(v, 1, *rates, Decimal(0)) for v in values]  # type: ignore[misc]
    )
    print(f"quote: one in process, law of {DAY}; the goal is {LIMIT_MS} ms")
    print(f"  {'plain Decimal, one line, no derivation':<40} p50 {plain[0]:8.1f} µs", end="")
    print(f"  p99 {plain[1]:8.1f} µs")
    for kind, given in baskets(dice).items():
        p50, p99 = percentiles(
            [lambda g=goods, f=freight: quote(known, DAY, g, f) for goods, freight in given]
        )
        goal = "reached" if p50 <= LIMIT_MS * 1000 else "NOT reached"
        print(f"  {kind:<40} p50 {p50:8.1f} µs  p99 {p99:8.1f} µs", end="")
        print(f"  {p50 / plain[0]:7.0f} × plain  {goal}")


if __name__ == "__main__":
    main(1)
