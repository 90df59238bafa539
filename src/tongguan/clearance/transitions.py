"""The life of a document as one table: which status may follow which, by what, by whom.

Source: the return statuses of the CEB specification (202205, receipts 312 to 712) and the
procedure "three documents and the list". The table is ``transitions.csv``; the database
constraint and the rules both read it from here.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

REFUSED_FOR_FORM = -1
"""Stands in the table for every negative code: 0 → any code below zero."""
CANCELLED = "cancelled"
"""The trigger of a step that an approved cancellation (CEB623) takes."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One legal step. since: the numbered step of the tables (``models.steps``) it came with."""

    kind: str
    before: int
    after: int
    trigger: str
    actor: str
    since: int

    @property
    def triggers(self) -> tuple[str, ...]:
        """What may cause it, each by itself."""
        return tuple(self.trigger.split("; "))


@cache
def transitions() -> tuple[Transition, ...]:
    """Every legal step, in the order of the table."""
    text = files(__package__).joinpath("transitions.csv").read_text(encoding="utf-8")
    return tuple(
        Transition(
            row["kind"],
            int(row["from"]),
            int(row["to"]),
            row["trigger"],
            row["actor"],
            int(row["since"]),
        )
        for row in csv.DictReader(text.splitlines())
    )


@cache
def legal_steps(kind: str) -> frozenset[tuple[int, int]]:
    """The legal (before, after) pairs of a kind; every negative code counts as −1."""
    return frozenset((t.before, t.after) for t in transitions() if t.kind == kind)


def is_legal(kind: str, before: int, after: int) -> bool:
    """Whether a document of this kind may go from one status to the other.

    >>> is_legal("inventory", 2, 120), is_legal("inventory", 2, 800), is_legal("order", 0, -301008)
    (True, False, True)
    """
    return (before, max(after, REFUSED_FOR_FORM)) in legal_steps(kind)


@cache
def cancellable() -> frozenset[int]:
    """The statuses at which a list may still be cancelled.

    >>> sorted(cancellable())
    [2, 120, 300, 399, 400, 500]
    """
    return frozenset(
        t.before for t in transitions() if t.kind == "inventory" and CANCELLED in t.triggers
    )
