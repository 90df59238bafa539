"""From what a view answers to what goes out."""

from typing import Any

import msgspec
from django.http import HttpResponse

from tongguan.window import answers
from tongguan.window.trouble import Turned

PROBLEM = "application/problem+json"


def rendered(answer: Any) -> HttpResponse:
    """An answer as it goes out."""
    if isinstance(answer, HttpResponse):
        return answer
    if answer.status_code == answers.Nothing.status_code:
        return HttpResponse(status=answer.status_code)
    body = msgspec.json.encode(answer)
    return HttpResponse(body, "application/json", status=answer.status_code)


def problem(turned: Turned) -> HttpResponse:
    """A refusal as it goes out (RFC 9457)."""
    body = msgspec.json.encode(turned.problem)
    return HttpResponse(body, PROBLEM, status=turned.status, headers=dict(turned.headers))
