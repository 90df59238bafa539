"""The Django site: settings, addresses, and the one way from a request to an answer.

There are no sessions, no forms and no templates here: a request carries a key, an answer is JSON.
"""

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tongguan import store
from tongguan.window import access, tracing
from tongguan.window.gateway import Gateway
from tongguan.window.journal import journal
from tongguan.window.limits import Limits
from tongguan.window.rendering import problem, rendered
from tongguan.window.routes import PUBLIC, ROUTES, Route
from tongguan.window.trouble import Turned
from tongguan.window.views.request import Asked

GATEWAY = "tongguan.gateway"
"""Where the environment of a request names the gateway that answers it."""
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def configure(limits: Limits) -> WSGIHandler:
    """Set Django up, once a process; the application that answers."""
    if not settings.configured:
        settings.configure(
            DEBUG=False,
            # The name that a client uses is never put into an answer.
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF=__name__,
            MIDDLEWARE=[],
            INSTALLED_APPS=[],
            DATABASES={},
            APPEND_SLASH=False,
            USE_TZ=True,
            LOGGING_CONFIG=None,
            # The front has bounded the body already; nothing of it may reach the disk.
            DATA_UPLOAD_MAX_MEMORY_SIZE=None,
            DATA_UPLOAD_MAX_NUMBER_FIELDS=limits.messages,
            DATA_UPLOAD_MAX_NUMBER_FILES=limits.messages + 1,
            FILE_UPLOAD_MAX_MEMORY_SIZE=limits.request_bytes,
            FILE_UPLOAD_HANDLERS=["django.core.files.uploadhandler.MemoryFileUploadHandler"],
        )
        django.setup()
        logging.getLogger("django").setLevel(logging.CRITICAL)
    return WSGIHandler()


def door(routes: dict[str, Route], pattern: str) -> Callable[..., HttpResponse]:
    """The Django view of one address: by method to its route, or 405."""

    def answer(request: HttpRequest, **ids: str) -> HttpResponse:
        began = time.perf_counter()
        gateway: Gateway = request.environ[GATEWAY]
        method = "GET" if request.method == "HEAD" else str(request.method)
        route = routes.get(method)
        who: dict[str, str] = {}
        if route is None:
            turned = Turned(
                405,
                f"{pattern} knows {', '.join(routes)}",
                headers=[("Allow", ", ".join(routes))],
            )
            response = problem(turned)
        else:
            with tracing.span(
                f"{method} {pattern}", request.headers.get("traceparent"), route=pattern
            ):
                response = _answered(route, request, gateway, ids, who)
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        seconds = time.perf_counter() - began
        gateway.metrics.requests.labels(pattern, response.status_code).inc()
        gateway.metrics.seconds.labels(pattern).observe(seconds)
        journal.info(
            "answered",
            method=request.method,
            route=pattern,
            status=response.status_code,
            ms=round(seconds * 1000, 2),
            bytes=int(request.environ["CONTENT_LENGTH"]),
            **who,
        )
        return response

    return answer


def _answered(
    route: Route, request: HttpRequest, gateway: Gateway, ids: dict[str, str], who: dict[str, str]
) -> HttpResponse:
    """Check who asks, then let the view answer; whatever goes wrong becomes a Problem."""

    def work(conn: Any) -> HttpResponse:
        asked = Asked(request, gateway, conn)
        if route.scope != PUBLIC:
            looked: access.Looked | None = request.environ.get(access.LOOKED)
            if looked is not None and looked.fresh:
                asked.caller = looked.caller
            else:
                header = request.headers.get("Authorization", "")
                asked.caller = access.caller(conn, header, asked.at_ms)
            who.update(key=asked.caller.key_id, company=asked.caller.company)
            gateway.rates.take(asked.caller.key_id)
            access.require(asked.caller, route.scope)
        return rendered(route.view(asked, **ids))

    try:
        if any("\0" in value for value in ids.values()):
            raise Turned(404, "nothing has such a number")
        return gateway.connections.ask(work)
    except Turned as turned:
        return problem(turned)
    except store.Unavailable as failed:
        journal.error("unavailable", why=str(failed), route=route.path)
        detail = "the database cannot be reached: send it again, what came before is recognised"
        return problem(Turned(503, detail, retry_after=2))
    except (SuspiciousOperation, BadRequest):
        return problem(Turned(400, "this is no request that can be read"))
    except Exception as failure:
        journal.failure("failed", failure, route=route.path)
        return problem(Turned(500, "an error of this window; it is in its log"))


def _urls() -> list[Any]:
    by_path: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, {})[route.method] = route
    return [
        path(
            pattern.lstrip("/")
            .replace("{key}", "<path:key>")
            .replace("{", "<str:")
            .replace("}", ">"),
            door(routes, pattern),
        )
        for pattern, routes in by_path.items()
    ]


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """No door of that address."""
    return problem(Turned(404, "no such address; /api/openapi.json lists them"))


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    """No request that Django can read."""
    return problem(Turned(400, "this is no request that can be read"))


def handler500(request: HttpRequest) -> HttpResponse:
    """An error outside every door."""
    failure = sys.exc_info()[1]
    if failure is not None:
        journal.failure("failed", failure)
    return problem(Turned(500, "an error of this window; it is in its log"))


urlpatterns = _urls()
