"""How the gateway is, what it counts, and what it offers."""

import os
from typing import Any

import msgspec
from django.http import HttpResponse

import tongguan
from tongguan.window import answers, figures
from tongguan.window import openapi as description
from tongguan.window.metrics import CONTENT_TYPE
from tongguan.window.trouble import Turned
from tongguan.window.views.request import Asked


def live(asked: Asked) -> answers.Health:
    """It runs."""
    return _health(asked, "live")


def ready(asked: Asked) -> answers.Health:
    """It takes messages. Raises Turned (503) while it is being stopped."""
    if asked.gateway.draining.is_set():
        raise Turned(503, "this gateway is being stopped; another one takes over", retry_after=1)
    asked.conn.execute("SELECT FROM submission LIMIT 1")
    return _health(asked, "ready")


def _health(asked: Asked, state: str) -> answers.Health:
    return answers.Health(
        state=state,
        window=asked.gateway.name,
        process=os.getpid(),
        version=tongguan.__version__,
    )


def openapi(asked: Asked) -> Any:
    """The description of the API."""
    return HttpResponse(msgspec.json.encode(description.document()), "application/json")


def metrics(asked: Asked) -> Any:
    """Figures of this process, and of the queue that all share."""
    figures.measure(asked.conn, asked.gateway.metrics, asked.at_ms)
    return HttpResponse(asked.gateway.metrics.text(), CONTENT_TYPE)
