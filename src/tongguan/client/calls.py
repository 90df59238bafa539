"""Every question a client asks, as a call (see ``exchange``)."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from tongguan.client.answers import Accepted, Page, Refused, Submission
from tongguan.client.exchange import Call, Request, Retrying, answered, converted, decoded

XML = {"Content-Type": "application/xml"}
BEGINNING = "0.0"
"""The cursor before everything."""
MESSAGES_MOST = 500
"""Messages in one request."""


def send(message: bytes, retrying: Retrying) -> Call[Accepted | Refused]:
    """Hand in one message (CEB or DxpMsg)."""
    request = Request("POST", "/api/messages", headers=XML, body=message)
    reply = yield from answered(request, retrying)
    if reply.status == 422:
        return decoded(reply, Refused, (422,))
    return decoded(reply, Accepted, (202,))


def send_many(messages: Sequence[bytes], retrying: Retrying) -> Call[list[Accepted | Refused]]:
    """Hand in many messages; the answers in their order."""
    found: list[Accepted | Refused] = []
    for start in range(0, len(messages), MESSAGES_MOST):
        part = tuple(messages[start : start + MESSAGES_MOST])
        request = Request("POST", "/api/messages", files=part)
        reply = yield from answered(request, retrying)
        said = decoded(reply, dict[str, Any], (207,))
        for one in converted(said.get("messages"), list[dict[str, Any]]):
            refused = one.get("http_status") == 422
            found.append(converted(one, Refused) if refused else converted(one, Accepted))
    return found


def read(
    after: str, wait: int, limit: int | None, company: str | None, retrying: Retrying
) -> Call[Page]:
    """Receipts behind a cursor."""
    params = {"after": after, "wait": str(wait)}
    if limit is not None:
        params["limit"] = str(limit)
    if company is not None:
        params["company"] = company
    request = Request("GET", "/api/receipts", params=params, seconds=wait)
    reply = yield from answered(request, retrying)
    return decoded(reply, Page)


def look_up(id: str, retrying: Retrying) -> Call[Submission]:
    """How far a message is."""
    reply = yield from answered(Request("GET", f"/api/messages/{quote(id, safe='')}"), retrying)
    return decoded(reply, Submission)


def explain(key: str, retrying: Retrying) -> Call[list[dict[str, Any]]]:
    """Why the parcels of a number were or were not released."""
    reply = yield from answered(Request("GET", f"/api/parcels/{quote(key, safe='')}"), retrying)
    said = decoded(reply, dict[str, Any])
    return converted(said.get("parcels"), list[dict[str, Any]])
