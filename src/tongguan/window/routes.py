"""Every door of the gateway, as data: addresses, rights, and the documentation come from here.

What is not in this table is not there, and a route without a scope must say that it is public.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tongguan.sharing.payment_data.protocol import UPLOAD_PATH
from tongguan.window.answers import (
    Accepted,
    Answer,
    Consistency,
    Diagnosis,
    Head,
    Health,
    MadeWebhook,
    NewWebhook,
    Nothing,
    Parcels,
    PaymentRequests,
    Receipts,
    Refused,
    Replay,
    Several,
    Submission,
    Uploaded,
    Webhook,
    Webhooks,
)
from tongguan.window.views import (
    evidence,
    health,
    messages,
    parcels,
    payments,
    receipts,
    signatures,
    webhooks,
)

PUBLIC = ""
"""The scope of what needs no key."""
XML, JSON, MULTIPART = "application/xml", "application/json", "multipart/form-data"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something in the address. schema: of JSON Schema."""

    name: str
    about: str
    schema: dict[str, Any]
    place: str = "query"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One door. body: content types with the type of each (None: bytes); answers: by status;
    text: content types of an answer that is no JSON."""

    method: str
    path: str
    view: Callable[..., Any]
    scope: str
    about: str
    answers: tuple[type[Answer], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: dict[str, type | None] | None = None
    text: tuple[str, ...] = ()
    problems: tuple[int, ...] = ()


_ID = Parameter("id", "the id that was given", {"type": "string", "maxLength": 64}, "path")
_CURSOR = {"type": "string", "pattern": r"^[0-9]{1,18}(\.[0-9]{1,3})?$"}
_SIZE = {"type": "integer", "minimum": 1}
_COMPANY = Parameter(
    "company",
    "whose receipts; else those of the key's company. Another one must have given it a mandate",
    {"type": "string", "maxLength": 18},
)

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/api/messages",
        messages.hand_in,
        "messages:send",
        "Hand in a CEB message or a DxpMsg, or many of them as files of one form. Answered when "
        "the bytes are durable. The same message again gets the same answer.",
        (Accepted, Several, Refused),
        body={XML: None, "text/xml": None, MULTIPART: None},
        problems=(400, 403, 408, 413, 415, 429, 503),
    ),
    Route(
        "GET",
        "/api/messages/{id}",
        messages.look_up,
        "messages:send",
        "How far a message is that was handed in, and what became of its documents.",
        (Submission,),
        (_ID,),
        problems=(404,),
    ),
    Route(
        "GET",
        "/api/receipts",
        receipts.read,
        "receipts:read",
        "Receipts behind a cursor, in order; waits for the first if there is none yet. With "
        "Accept: application/xml the receipt messages alone.",
        (Receipts,),
        (
            Parameter("after", "the cursor to go on behind; else from the beginning", _CURSOR),
            Parameter("wait", "seconds to wait for a first one", {"type": "integer", "minimum": 0}),
            Parameter("limit", "receipt messages at most", {"type": "integer", "minimum": 1}),
            _COMPANY,
        ),
        text=(XML,),
        problems=(400, 404, 429),
    ),
    Route(
        "GET",
        "/api/parcels/{key}",
        parcels.explain,
        "receipts:read",
        "Why a parcel was or was not released: documents, compared values, tax with its law. By "
        "orderNo, copNo, invtNo, logisticsNo or payTransactionId; own parcels only.",
        (Parcels,),
        (Parameter("key", "a number of the parcel", {"type": "string", "maxLength": 100}, "path"),),
        problems=(404,),
    ),
    Route(
        "POST",
        "/api/signatures/diagnose",
        signatures.diagnose,
        "messages:send",
        "Why the signature of a message fails: post the message, or a form with the file message "
        "and, as the file canonical, the bytes that you hashed or signed. Nothing is kept.",
        (Diagnosis,),
        body={XML: None, MULTIPART: None},
        problems=(400, 413, 415),
    ),
    Route(
        "GET",
        "/api/evidence/head",
        evidence.head,
        "receipts:read",
        "The signed head of the evidence log.",
        (Head,),
        (Parameter("size", "of which size; else the last", _SIZE),),
        problems=(400, 404),
    ),
    Route(
        "GET",
        "/api/evidence/consistency",
        evidence.consistency,
        "receipts:read",
        "The proof that the log of one head is the beginning of that of another.",
        (Consistency,),
        (
            Parameter("old", "the smaller size", _SIZE, required=True),
            Parameter("new", "the greater size", _SIZE, required=True),
        ),
        problems=(400, 404),
    ),
    Route(
        "POST",
        "/api/webhooks",
        webhooks.make,
        "webhooks:manage",
        "Have receipts pushed to an address.",
        (MadeWebhook,),
        body={JSON: NewWebhook},
        problems=(400, 409, 415),
    ),
    Route(
        "GET",
        "/api/webhooks",
        webhooks.listed,
        "webhooks:manage",
        "Where receipts are pushed to, and how far each has been told.",
        (Webhooks,),
    ),
    Route(
        "DELETE",
        "/api/webhooks/{id}",
        webhooks.remove,
        "webhooks:manage",
        "Push no more receipts there.",
        (Nothing,),
        (_ID,),
        problems=(404,),
    ),
    Route(
        "POST",
        "/api/webhooks/{id}/replay",
        webhooks.replay,
        "webhooks:manage",
        "Tell the receipts behind a cursor again, at once.",
        (Webhook,),
        (_ID,),
        body={JSON: Replay},
        problems=(400, 404, 415),
    ),
    Route(
        "POST",
        UPLOAD_PATH,
        payments.upload,
        PUBLIC,
        "A platform uploads original payment data it was asked for (notice 2018-179). Who sends "
        "it, its signature says.",
        (Uploaded,),
        body={FORM: None},
        problems=(408, 413, 429),
    ),
    Route(
        "GET",
        "/api/payment-data/{number}",
        payments.shown,
        "payments:179",
        "What platforms were asked, by session or order number, and what came.",
        (PaymentRequests,),
        (Parameter("number", "session or order", {"type": "string", "maxLength": 60}, "path"),),
    ),
    Route(
        "GET",
        "/api/openapi.json",
        health.openapi,
        PUBLIC,
        "This description.",
        text=(JSON,),
    ),
    Route("GET", "/health/live", health.live, PUBLIC, "Whether it runs.", (Health,)),
    Route(
        "GET",
        "/health/ready",
        health.ready,
        PUBLIC,
        "Whether it takes messages: the database answers and it is not being stopped.",
        (Health,),
        problems=(503,),
    ),
    Route(
        "GET",
        "/metrics",
        health.metrics,
        "operate",
        "Figures for Prometheus.",
        text=("text/plain",),
    ),
)
