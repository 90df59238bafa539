"""Code tables and the rule dictionary: what every code and every rule means, and who says so."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tongguan.codes.findings import (
    KINDS,
    Finding,
    Receipt,
    Rule,
    Severity,
    Text,
    UnknownRule,
    receipt,
    rule,
    rules,
)
from tongguan.codes.tables import Entry, Table, UnknownCode, UnknownTable, table, tables
from tongguan.codes.zones import UNKNOWN as UNKNOWN_ZONE
from tongguan.codes.zones import zone_of

if TYPE_CHECKING:
    RULES: Mapping[str, Rule]

__all__ = [
    "KINDS",
    "RULES",
    "UNKNOWN_ZONE",
    "Entry",
    "Finding",
    "Receipt",
    "Rule",
    "Severity",
    "Table",
    "Text",
    "UnknownCode",
    "UnknownRule",
    "UnknownTable",
    "receipt",
    "rule",
    "rules",
    "table",
    "tables",
    "zone_of",
]


def __getattr__(name: str) -> Mapping[str, Rule]:
    """RULES is read when first asked for, so that importing the package reads no file."""
    if name == "RULES":
        return rules()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
