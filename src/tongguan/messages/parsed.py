"""What reading a message gives, and how much is read."""

import builtins
from dataclasses import dataclass, field
from typing import Any

from tongguan.codes import Finding
from tongguan.messages.catalogue import message_type
from tongguan.messages.signature import SignedForm


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is read.

    ``bytes`` of a message (and of the one inside an envelope), ``tags`` in it (a full message of
    100 documents with 99 lines has under half a million), ``equals`` signs in it (one for each
    attribute, and the standard has few), ``endless`` elements where the standard sets no end
    (lines of CEB711, documents of CEB816 and CEB818). The standard's own bounds (100 documents, 99
    lines) are in the catalogue; libxml2 bounds the depth (256) and one text (10 MB).
    """

    bytes: int = 20 * 1024 * 1024
    tags: int = 600_000
    equals: int = 200_000
    endless: int = 20_000


@dataclass(slots=True)
class Parsed:
    """A message as columns.

    ``heads`` and ``lines`` hold raw text, one entry a document or line: None where the element is
    absent, "" where it is empty; ``lines["#position"]`` is the 0-based document of each line.
    ``refused`` means the whole message fails (``message.format``, answered by CEB900) and has no
    columns; other findings name the document by ``position`` and the other documents stay good.
    A mandatory element that is absent or empty is a finding of :func:`check.check`, not of this.
    ``root`` is the local name of the root; ``envelope`` the values of the DxpMsg it came in,
    ``inner`` the bytes of the message inside it; ``prefix`` the namespace prefix it used.
    ``signed``: it carries a Signature, in its place; ``form`` what that says and is about, if it
    was asked for.
    """

    bytes: int
    edition: str
    root: str | None = None
    type: str | None = None
    prefix: str | None = None
    guid: str | None = None
    version: str | None = None
    envelope: dict[str, Any] | None = None
    inner: builtins.bytes | None = None
    documents: int = 0
    heads: dict[str, list[str | None]] = field(default_factory=dict)
    lines: dict[str, list[Any]] = field(default_factory=dict)
    transfer: dict[str, str | None] = field(default_factory=dict)
    subscribes: list[dict[str, str | None]] = field(default_factory=list)
    extend: dict[str, str | None] | None = None
    signed: bool = False
    form: SignedForm | None = None
    refused: bool = False
    findings: list[Finding] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The kind of its documents (order …); message where it is of no known type."""
        return message_type(self.type).kind if self.type else "message"
