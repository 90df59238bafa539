"""What the gateway says, as types. Names are those of its JSON; what is new in it is let go."""

from typing import Any

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong: the rule, its receipt code, both values, the paragraph."""

    rule: str
    severity: str
    code: str | None = None
    document: str | None = None
    field: str | None = None
    gnum: int | None = None
    expected: str | None = None
    actual: str | None = None
    law: str | None = None


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is durable. id: the window's; sha256: of the bytes, hex; documents in it."""

    id: str
    sha256: str
    documents: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was refused as a whole, with every reason; a CEB900 follows."""

    id: str
    sha256: str
    findings: tuple[Finding, ...]
    status: int | None = None


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """How far a message is. state: waiting, done, refused, set-aside; report: a line a document."""

    id: str
    sha256: str
    documents: int
    received: str
    state: str
    findings: tuple[dict[str, Any], ...] = ()
    report: tuple[dict[str, Any], ...] = ()


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What one receipt message says of one document.

    cursor: its place among all receipts; message: its type (CEB622); key: elements that say which
    document it is about; time: ISO 8601. xml and proof (inclusion in the evidence log) stand with
    the first entry of a receipt message in an answer.
    """

    cursor: str
    message: str
    key: dict[str, str]
    receipt: int | None = None
    status: int | None = None
    info: str | None = None
    time: str | None = None
    xml: str | None = None
    proof: dict[str, Any] | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Receipts behind a cursor, in order; next is where to go on."""

    next: str
    receipts: tuple[Receipt, ...]


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that was met."""

    name: str
    most: int
    actual: int | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was not answered (RFC 9457)."""

    status: int
    title: str = ""
    detail: str = ""
    limit: Limit | None = None
    findings: tuple[Finding, ...] | None = None
