"""What is owed, by whom, secured by what, until it is paid or taken back."""

from tongguan.finance import guarantees, ledger
from tongguan.finance.rules import Allotment, allot

STEPS = [*ledger.STEPS, *guarantees.STEPS]
"""The tables of this room, as numbered steps for ``store.migrate``."""

__all__ = ["STEPS", "Allotment", "allot", "guarantees", "ledger"]
