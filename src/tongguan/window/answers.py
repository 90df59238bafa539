"""What the gateway says: the types of its answers, one for JSON, documentation and tests."""

from typing import Any, ClassVar

import msgspec


class Answer(msgspec.Struct, kw_only=True):
    """An answer in JSON. status: of HTTP."""

    status_code: ClassVar[int] = 200


class Finding(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One thing that is wrong: the rule, its receipt code, what was expected, what came."""

    rule: str
    code: str
    severity: str
    document: str
    field: str | None = None
    gnum: int | None = None
    expected: str | None = None
    actual: str | None = None
    law: str | None = None


class Accepted(Answer, kw_only=True):
    """A message that is durable and will be recorded. sha256: of its bytes, in hex."""

    status_code: ClassVar[int] = 202

    id: str
    sha256: str
    documents: int


class Refused(Answer, kw_only=True):
    """A message that is refused as a whole, in the shape of a report line; its CEB900 follows."""

    status_code: ClassVar[int] = 422

    id: str
    sha256: str
    document: str = "message"
    key: dict[str, str]
    status: int
    history: list[int] = []
    findings: list[Finding]


class Several(Answer, kw_only=True):
    """What became of each message of one request, in its order: each accepted or refused."""

    status_code: ClassVar[int] = 207

    messages: list[dict[str, Any]]


class Limit(msgspec.Struct, kw_only=True):
    """A limit that was met: its name, what it allows, what came (where that is known)."""

    name: str
    most: int
    actual: int | None = None


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Why a request is not answered (RFC 9457)."""

    status: int
    title: str
    detail: str
    limit: Limit | None = None
    findings: list[Finding] | None = None


class Submission(Answer, kw_only=True):
    """A message that was handed in.

    state: waiting, done, refused (its CEB900 tells why), set-aside (kept for the operator; a
    CEB900 tells so). report: once done, a report line for each document as it stands now.
    """

    id: str
    sha256: str
    documents: int
    received: str
    state: str
    findings: list[dict[str, Any]]
    report: list[dict[str, Any]]


class Receipt(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one receipt message says of one document.

    cursor: position in the evidence log, a point, place in the receipt message. receipt: number
    of the message; xml and proof stand with the first entry of it in an answer.
    """

    cursor: str
    receipt: int
    message: str
    key: dict[str, str]
    status: int | None
    info: str | None
    time: str | None
    xml: str | None = None
    proof: dict[str, Any] | None = None


class Receipts(Answer, kw_only=True):
    """Receipts behind a cursor, in order. next: where to go on."""

    next: str
    receipts: list[Receipt]


class Parcels(Answer, kw_only=True):
    """The parcels with a number, each explained as ``tongguan explain --json`` does."""

    parcels: list[dict[str, Any]]


class Diagnosis(Answer, kw_only=True):
    """What is known about a signature, as ``tongguan diagnose --json`` has it."""

    diagnosis: dict[str, Any]


class Head(Answer, kw_only=True):
    """A signed tree head of the evidence log, and the same as a signed note (C2SP)."""

    head: dict[str, Any]
    note: str


class Consistency(Answer, kw_only=True):
    """That the tree of ``old`` leaves is the beginning of that of ``new``; hashes in hex."""

    old: int
    new: int
    path: list[str]


class Webhook(Answer, kw_only=True, omit_defaults=True):
    """Where receipts are pushed to. secret: shown once, when it is made.

    cursor: how far it has been told. failures: deliveries that failed since the last good one.
    """

    id: str
    url: str
    made: str
    cursor: str
    failures: int = 0
    trouble: str | None = None
    secret: str | None = None


class MadeWebhook(Webhook, kw_only=True, omit_defaults=True):
    """A new webhook."""

    status_code: ClassVar[int] = 201


class Webhooks(Answer, kw_only=True):
    """The webhooks of a company."""

    webhooks: list[Webhook]


class Uploaded(Answer, kw_only=True):
    """What becomes of an upload of payment data (interface of notice 2018-179).

    code: 10000 taken, 20000 and above refused; serviceTime: milliseconds since 1970.
    """

    code: str
    message: str
    total: int
    serviceTime: int


class PaymentRequests(Answer, kw_only=True):
    """What platforms were asked under a number and what came, as `tongguan payments show`."""

    requests: list[dict[str, Any]]


class NewWebhook(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where to push receipts to, and from where on (left out: from now on)."""

    url: str
    after: str | None = None


class Replay(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """From which cursor on to tell again."""

    after: str


class Nothing(Answer):
    """No content."""

    status_code: ClassVar[int] = 204


class Health(Answer, kw_only=True):
    """How the window is. window: which one it is, the same for all that share a database; process:
    which of its gateways answers."""

    state: str
    window: str
    process: int
    version: str
