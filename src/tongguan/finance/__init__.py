"""What is owed, by whom, secured by what, until it is paid or taken back."""

from tongguan.finance import bills, books, guarantees, ledger, notices, settlement
from tongguan.finance.bills import Bills, UnknownBill, correct, make_bills, void
from tongguan.finance.guarantees import UnknownGuarantee
from tongguan.finance.notices import xml816, xml818
from tongguan.finance.rules import Allotment, allot
from tongguan.finance.settlement import (
    NotDue,
    Payment,
    PaymentDiffers,
    enforce,
    overdue,
    pay,
    summaries,
    summarise,
)

STEPS = [*ledger.STEPS, *guarantees.STEPS, *books.STEPS]
"""The tables of this room, as numbered steps for ``store.migrate``; new ones go to the end."""

__all__ = [
    "STEPS",
    "Allotment",
    "Bills",
    "NotDue",
    "Payment",
    "PaymentDiffers",
    "UnknownBill",
    "UnknownGuarantee",
    "allot",
    "bills",
    "correct",
    "enforce",
    "guarantees",
    "ledger",
    "make_bills",
    "notices",
    "overdue",
    "pay",
    "settlement",
    "summaries",
    "summarise",
    "void",
    "xml816",
    "xml818",
]
