"""The job: messages in, every parcel released or refused with a reason, receipts out."""

from tongguan.clearance.examine import Examined, examine
from tongguan.clearance.explain import Compared, Differs, Explanation, UnknownKey, explain
from tongguan.clearance.intake import Source, sources
from tongguan.clearance.lawbook import UnknownPolicy
from tongguan.clearance.lawbook import add as add_edition
from tongguan.clearance.lawbook import current as current_policy
from tongguan.clearance.report import Finished, finish
from tongguan.clearance.service import Progress, Run, clear, prepare_database, settings
from tongguan.clearance.settings import REGISTRIES, SIGNATURES, ZONE, Settings

__all__ = [
    "REGISTRIES",
    "SIGNATURES",
    "ZONE",
    "Compared",
    "Differs",
    "Examined",
    "Explanation",
    "Finished",
    "Progress",
    "Run",
    "Settings",
    "Source",
    "UnknownKey",
    "UnknownPolicy",
    "add_edition",
    "clear",
    "current_policy",
    "examine",
    "explain",
    "finish",
    "prepare_database",
    "settings",
    "sources",
]
