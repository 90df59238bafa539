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
from tongguan.clearance.beside import Beside, Lost
from tongguan.clearance.declared import DeclaredPayment, declared_payments
from tongguan.clearance.examine import Examined, examine
from tongguan.clearance.explain import Compared, Differs, Explanation, UnknownKey, explain
from tongguan.clearance.handed import Handed, catch_up, prepare_handed, unpacked
from tongguan.clearance.intake import Batch, Source, read_message, sources
from tongguan.clearance.lawbook import UnknownPolicy
from tongguan.clearance.lawbook import add as add_edition
from tongguan.clearance.lawbook import current as current_policy
from tongguan.clearance.pack import pack, sealed
from tongguan.clearance.prove import PROOF_SUFFIX, prove_files
from tongguan.clearance.record import Recorded, UnknownArrival, record
from tongguan.clearance.report import Finished, document_lines, finish, money
from tongguan.clearance.report import lines as report_lines
from tongguan.clearance.second_process import collect_seldom
from tongguan.clearance.service import (
    ATTEMPTS,
    Progress,
    Run,
    clear,
    desk,
    prepare_database,
    settings,
    sign_head,
)
from tongguan.clearance.settings import ZONE, Arrivals, Registry, Settings, Signatures
from tongguan.clearance.verify import check_facts, verify

__all__ = [
    "ATTEMPTS",
    "PAYMENT_PROBLEMS",
    "PROOF_SUFFIX",
    "ZONE",
    "Arrivals",
    "Batch",
    "Beside",
    "Compared",
    "DeclaredPayment",
    "Differs",
    "Examined",
    "Explanation",
    "Finished",
    "Handed",
    "Lost",
    "Progress",
    "Recorded",
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
    "catch_up",
    "check_facts",
    "clear",
    "clock",
    "collect_seldom",
    "current_policy",
    "declared_payments",
    "desk",
    "document_lines",
    "examine",
    "explain",
    "finish",
    "freeze_guarantee",
    "guarantee_facts",
    "money",
    "open_guarantee",
    "pack",
    "pay",
    "prepare_database",
    "prepare_handed",
    "prove_files",
    "read_message",
    "record",
    "report_lines",
    "sealed",
    "set_clock",
    "settings",
    "settle",
    "sign_head",
    "sources",
    "statement",
    "unpacked",
    "verify",
]
