"""The job: messages in, every parcel released or refused with a reason, receipts out."""

from tongguan.clearance.after import (
    PAYMENT_PROBLEMS,
    Settled,
    arrive,
    clock,
    freeze_guarantee,
    guarantee_facts,
    open_guarantee,
    pay,
    set_clock,
    settle,
    statement,
)
from tongguan.clearance.examine import Examined, examine
from tongguan.clearance.explain import Compared, Differs, Explanation, UnknownKey, explain
from tongguan.clearance.intake import Source, sources
from tongguan.clearance.lawbook import UnknownPolicy
from tongguan.clearance.lawbook import add as add_edition
from tongguan.clearance.lawbook import current as current_policy
from tongguan.clearance.record import UnknownArrival
from tongguan.clearance.report import Finished, document_lines, finish, money
from tongguan.clearance.service import Progress, Run, clear, prepare_database, settings
from tongguan.clearance.settings import ZONE, Arrivals, Registry, Settings, Signatures

__all__ = [
    "PAYMENT_PROBLEMS",
    "ZONE",
    "Arrivals",
    "Compared",
    "Differs",
    "Examined",
    "Explanation",
    "Finished",
    "Progress",
    "Registry",
    "Run",
    "Settings",
    "Settled",
    "Signatures",
    "Source",
    "UnknownArrival",
    "UnknownKey",
    "UnknownPolicy",
    "add_edition",
    "arrive",
    "clear",
    "clock",
    "current_policy",
    "document_lines",
    "examine",
    "explain",
    "finish",
    "freeze_guarantee",
    "guarantee_facts",
    "money",
    "open_guarantee",
    "pay",
    "prepare_database",
    "set_clock",
    "settings",
    "settle",
    "sources",
    "statement",
]
