"""The customs message standard: catalogue, parse, check, build, sign, envelope, schema, pages."""

from tongguan.messages.algorithms import DIGESTS, SCHEMES, KeyKind, scheme_for
from tongguan.messages.batch import Batch, collect
from tongguan.messages.catalogue import (
    EDITIONS,
    Field,
    MessageType,
    UnknownType,
    message_type,
    types,
)
from tongguan.messages.certificate import (
    Certificate,
    NotUsable,
    Signer,
    issue,
    read_certificate,
    read_certificate_file,
)
from tongguan.messages.check import Checked, check, mask
from tongguan.messages.cut import Cut, alone, cut
from tongguan.messages.diagnosis import Diagnosis, Difference, Hint, diagnose
from tongguan.messages.envelope import envelope
from tongguan.messages.pages import documentation
from tongguan.messages.parse import parse
from tongguan.messages.parsed import Limits, Parsed
from tongguan.messages.render import escape, joined, message, render
from tongguan.messages.schema import xsd
from tongguan.messages.signature import LAW as SIGNATURE_LAW
from tongguan.messages.signature import Verified, serial_of, verify
from tongguan.messages.signing import CannotSign, Signed, find_signer, sign

__all__ = [
    "DIGESTS",
    "EDITIONS",
    "SCHEMES",
    "SIGNATURE_LAW",
    "Batch",
    "CannotSign",
    "Certificate",
    "Checked",
    "Cut",
    "Diagnosis",
    "Difference",
    "Field",
    "Hint",
    "KeyKind",
    "Limits",
    "MessageType",
    "NotUsable",
    "Parsed",
    "Signed",
    "Signer",
    "UnknownType",
    "Verified",
    "alone",
    "check",
    "collect",
    "cut",
    "diagnose",
    "documentation",
    "envelope",
    "escape",
    "find_signer",
    "issue",
    "joined",
    "mask",
    "message",
    "message_type",
    "parse",
    "read_certificate",
    "read_certificate_file",
    "render",
    "scheme_for",
    "serial_of",
    "sign",
    "types",
    "verify",
    "xsd",
]
