"""The customs message standard: catalogue, parse, check, build, envelope, schema, documentation."""

from tongguan.messages.batch import Batch, collect
from tongguan.messages.catalogue import (
    EDITIONS,
    Field,
    MessageType,
    UnknownType,
    message_type,
    types,
)
from tongguan.messages.check import Checked, check, mask
from tongguan.messages.cut import Cut, alone, cut
from tongguan.messages.envelope import envelope
from tongguan.messages.pages import documentation
from tongguan.messages.parse import parse
from tongguan.messages.parsed import Limits, Parsed
from tongguan.messages.render import message, render
from tongguan.messages.schema import xsd

__all__ = [
    "EDITIONS",
    "Batch",
    "Checked",
    "Cut",
    "Field",
    "Limits",
    "MessageType",
    "Parsed",
    "UnknownType",
    "alone",
    "check",
    "collect",
    "cut",
    "documentation",
    "envelope",
    "mask",
    "message",
    "message_type",
    "parse",
    "render",
    "types",
    "xsd",
]
