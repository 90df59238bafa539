"""What a change does to some everyday baskets: the same parcel asked under the law of two days."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources

from tongguan.codes import Text
from tongguan.policy.policy import OutsideKnown, Policy
from tongguan.policy.quote import Goods, Quote, quote


@dataclass(frozen=True, slots=True)
class Effect:
    """A basket that is not treated the same on two days, with the quote of each."""

    basket: Text
    before: Quote
    after: Quote


@cache
def baskets() -> Sequence[tuple[Text, Goods]]:
    """Everyday baskets, in words and as goods (``samples.csv``); prices are made up."""
    text = resources.files("tongguan.policy").joinpath("samples.csv").read_text("utf-8")
    return [
        (
            Text(row["zh"], row["en"]),
            Goods(row["code"], row["price"], row["qty"], row["qty1"], row["unit1"]),
        )
        for row in csv.DictReader(text.splitlines())
    ]


def effects(before: tuple[Policy, date], after: tuple[Policy, date]) -> Iterator[Effect]:
    """The baskets whose regime or tax is not the same under the two laws, each of a day."""
    for basket, goods in baskets():
        try:
            old, new = (quote(known, day, [goods]) for known, day in (before, after))
        except OutsideKnown:
            continue
        if (old.regime, old.total_fen) != (new.regime, new.total_fen):
            yield Effect(basket, old, new)
