"""The order within a buyer's year, told from what each decision found: pure.

Every decision says what the year held before it and what it took; every return and cancellation
what it gave back. An order in which each finds what it says is how things happened.
"""

from typing import Any

import polars as pl

KEYS = ["buyer", "year"]
ORDER = ["batch", "place", "id"]
ENTRIES: dict[str, Any] = {
    "buyer": pl.String,
    **dict.fromkeys(("year", "batch", "place", "id", "before_fen", "fen"), pl.Int64),
}
"""id: the list, return or cancellation; before_fen: what it found (null: it did not look); fen:
what it took, below 0 what it gave back."""
MOVED: dict[str, Any] = dict.fromkeys(("id", "batch", "place"), pl.Int64)
STEPS = 20_000
"""How many tries one year gets; a year that is beyond order keeps the one it has."""


def repaired(entries: pl.DataFrame) -> pl.DataFrame:
    """The entries that must stand elsewhere, with their new batch and place (MOVED).

    entries: ENTRIES, all those of some buyers' years. The places of a year are dealt anew among
    its entries; a year that no order explains is left as it is.
    """
    moved: list[tuple[int, int, int]] = []
    ordered = entries.sort(*KEYS, *ORDER)
    for _, year in ordered.group_by(KEYS, maintain_order=True):
        rows = year.select("id", "before_fen", "fen").rows()
        found = chain([(before, fen) for _, before, fen in rows])
        if found is None:
            continue
        places = year.select("batch", "place").rows()
        moved += [(rows[index][0], *places[n]) for n, index in enumerate(found) if index != n]
    return pl.DataFrame(moved, schema=MOVED, orient="row")


def chain(entries: list[tuple[int | None, int]]) -> list[int] | None:
    """An order of entries (what was found, what was taken) that adds up, nearest to the given.

    >>> chain([(500, 100), (0, 500)]), chain([(7, 1)])
    ([1, 0], None)
    """
    tries = iter(range(STEPS))

    def follow(held: int, left: tuple[int, ...]) -> list[int] | None:
        if not left:
            return []
        for index in left:
            if next(tries, None) is None:
                return None
            before, fen = entries[index]
            if (before is None and held + fen >= 0) or before == held:
                rest = follow(held + fen, tuple(other for other in left if other != index))
                if rest is not None:
                    return [index, *rest]
        return None

    return follow(0, tuple(range(len(entries)))) if len(entries) < 500 else None
