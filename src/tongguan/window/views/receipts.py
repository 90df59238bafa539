"""Reading receipts."""

import re
from typing import Any

from django.http import HttpResponse

from tongguan.window import answers, gate, stream
from tongguan.window.rendering import rendered
from tongguan.window.trouble import Turned, not_found
from tongguan.window.views.request import Asked, cursor

XML = "application/xml"
DECLARATION = re.compile(rb"^\s*<\?xml[^>]*\?>\s*")


class Waiting(HttpResponse):  # type: ignore[misc]  # Django has no types
    """An empty answer that need not be given yet: the front asks again when receipts have come.

    companies: whose; seconds: how long to wait.
    """

    companies: tuple[str, ...]
    seconds: int


def read(asked: Asked) -> Any:
    """Receipts behind a cursor, of the caller's company or of one that has given it a mandate."""
    companies = _whose(asked)
    behind = cursor(asked.text("after"))
    limits = asked.gateway.limits
    wait = asked.number("wait", 0, 0, limits.wait_seconds)
    limit = asked.number("limit", min(100, limits.page), 1, limits.page)
    as_xml = XML in asked.request.headers.get("Accept", "")
    found = stream.after(
        asked.conn, asked.gateway.vault, companies, behind, limit, proofs=not as_xml
    )
    asked.gateway.metrics.receipts.inc(len(found))
    following = stream.next_cursor(found, behind)
    if as_xml:
        answer: Any = _xml(found, following)
    else:
        told = [entry for message in found for entry in stream.entries(message, behind)]
        answer = answers.Receipts(next=following, receipts=told)
    if found or not wait:
        return answer
    return _waiting(answer, companies, wait)


def _whose(asked: Asked) -> tuple[str, ...]:
    """The codes of the company that is asked about. Raises Turned (404)."""
    wanted = asked.text("company")
    own = gate.codes_of(asked.conn, asked.company)
    if wanted is None or wanted in own:
        return tuple(own)
    try:
        gate.check_sender(asked.conn, asked.company, [wanted], asked.day)
    except Turned:
        raise not_found(f"company {wanted}") from None
    return tuple(gate.codes_of(asked.conn, wanted))


def _xml(found: list[stream.Message], following: str) -> HttpResponse:
    """The receipt messages alone, in one element; each as it is stored, but for its declaration."""
    bodies = [DECLARATION.sub(b"", message.xml, count=1) for message in found]
    opening = f'<?xml version="1.0" encoding="UTF-8"?>\n<receipts next="{following}">\n'
    body = b"".join([opening.encode(), *(each + b"\n" for each in bodies), b"</receipts>\n"])
    return HttpResponse(body, content_type=f"{XML}; charset=utf-8")


def _waiting(answer: Any, companies: tuple[str, ...], wait: int) -> Waiting:
    empty = rendered(answer)
    waiting = Waiting(empty.content, status=empty.status_code, headers=dict(empty.headers))
    waiting.companies, waiting.seconds = companies, wait
    return waiting
