"""The order within a buyer's year, told from what each decision found."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from tongguan.replay import sequence


def adds_up(order: list[int], entries: list[tuple[int | None, int]]) -> bool:
    held = 0
    for index in order:
        before, fen = entries[index]
        if before is not None and before != held:
            return False
        held += fen
    return held >= 0


def test_two_workers_that_met_are_put_in_order() -> None:
    entries = pl.DataFrame(
        {
            "buyer": ["a", "a", "a"],
            "year": [2022] * 3,
            "batch": [1, 2, 3],
            "place": [10, 20, 30],
            "id": [100, 200, 300],
            "before_fen": [500, 0, 700],
            "fen": [200, 500, 0],
        }
    )
    moved = sequence.repaired(entries)
    assert moved.rows() == [(200, 1, 10), (100, 2, 20)]


def test_a_year_that_no_order_explains_is_left() -> None:
    assert sequence.chain([(0, 5), (7, 1)]) is None


@given(st.lists(st.integers(0, 3), max_size=7), st.randoms())
def test_any_true_order_is_found_again(fens: list[int], random) -> None:
    entries: list[tuple[int | None, int]] = []
    held = 0
    for fen in fens:
        entries.append((held, fen))
        held += fen
        if fen == 3:
            entries.append((None, -2))
            held -= 2
    random.shuffle(entries)
    found = sequence.chain(entries)
    assert found is not None
    assert sorted(found) == list(range(len(entries)))
    assert adds_up(found, entries)
