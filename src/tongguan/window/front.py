"""The front of the gateway: HTTP as granian gives it, bodies and waiting on one event loop.

Granian could call Django directly (WSGI), and then a thread would sit on every body that trickles
in and on every poll that waits. Here a body is read by the loop, within its limits of size and
time, and a poll waits on the loop; only whole requests go to the few threads that answer them, in
which Django works as under any WSGI server. Measured on two cores with 32 connections and bodies
of 2 KB, this answers as many requests a second as granian's own WSGI (about 3,500 of an empty
view) while thousands of polls wait for nothing.
"""

import asyncio
import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psycopg
from django.http import HttpResponse

from tongguan import store
from tongguan.sharing.payment_data.protocol import UPLOAD_PATH
from tongguan.window import access
from tongguan.window.gateway import Gateway
from tongguan.window.journal import journal
from tongguan.window.rendering import problem
from tongguan.window.site import GATEWAY, SECURITY_HEADERS
from tongguan.window.trouble import Turned, over
from tongguan.window.views.receipts import Waiting

Environment = dict[str, Any]
Answered = tuple[int, list[tuple[str, str]], bytes]
BIG = frozenset({"/api/messages", "/api/signatures/diagnose"})
"""The paths whose bodies may be big."""
SIZES = {UPLOAD_PATH: "upload_bytes"}
"""The limit of other paths that has a name of its own."""
EARLY_BYTES = 64 << 10
"""A body above this is read only after the key was looked at."""


class Front:
    """The RSGI application. handler: the Django application (WSGI)."""

    def __init__(self, gateway: Gateway, handler: Callable[..., Any], threads: int) -> None:
        self._gateway, self._handler = gateway, handler
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="answer")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bytes = 0
        self._requests = 0
        self._polls: dict[str, set[asyncio.Event]] = {}
        self._waiting = 0

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        if scope.proto != "http":
            return
        if self._requests >= self._gateway.limits.requests:
            most = self._gateway.limits.requests
            _send(protocol, _refused(over(503, "requests", most, None, "requests at once")))
            return
        self._requests += 1
        try:
            status, headers, body = await self._answer(scope, protocol)
        except Turned as turned:
            status, headers, body = _refused(turned)
            headers.append(("connection", "close"))
        except Exception as failure:
            journal.failure("failed", failure)
            status, headers, body = _refused(Turned(500, "an error of this window"))
        finally:
            self._requests -= 1
        if self._gateway.draining.is_set() and scope.http_version == "1.1":
            headers.append(("connection", "close"))
        _send(protocol, (status, headers, b"" if scope.method == "HEAD" else body))

    async def _answer(self, scope: Any, protocol: Any) -> Answered:
        environment = _environment(scope, self._gateway)
        body = await self._body(scope, protocol, environment)
        self._bytes += len(body)
        try:
            response = await self._django(environment, body)
            if isinstance(response, Waiting):
                response = await self._poll(response, environment, protocol)
        finally:
            self._bytes -= len(body)
        return response.status_code, _headers(response), response.content

    async def _django(self, environment: Environment, body: bytes) -> Any:
        """Let a thread answer."""
        loop = asyncio.get_running_loop()
        asked = environment | {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return await loop.run_in_executor(self._pool, self._handler, asked, _nobody)

    # --- bodies ---

    async def _body(self, scope: Any, protocol: Any, environment: Environment) -> bytes:
        """The whole body. Raises Turned: too long, too slow, too much at once, broken off."""
        limits = self._gateway.limits
        big = scope.path in BIG
        name = "request_bytes" if big else SIZES.get(scope.path, "other_bytes")
        most = getattr(limits, name)
        told = _length(environment)
        if told is not None and told > most:
            raise over(413, name, most, told, "bytes in such a request")
        if told == 0 or (told is None and "HTTP_TRANSFER_ENCODING" not in environment):
            return b""
        if big and (told is None or told > EARLY_BYTES):
            await self._look_at_key(environment)
        room = limits.bodies_bytes - self._bytes
        if (told or 0) > room:
            raise over(429, "bodies_bytes", limits.bodies_bytes, None, "bytes of bodies at once")
        parts: list[bytes] = []
        size = 0
        loop = asyncio.get_running_loop()
        end = loop.time() + limits.body_seconds
        try:
            async with asyncio.timeout_at(end) as due:
                pieces = aiter(protocol)
                while True:
                    due.reschedule(min(loop.time() + limits.pause_seconds, end))
                    try:
                        # Not anext(): granian's awaitable does not survive being wrapped.
                        piece = await pieces.__anext__()
                    except StopAsyncIteration:
                        break
                    size += len(piece)
                    self._bytes += len(piece)
                    parts.append(piece)
                    if size > most:
                        raise over(413, name, most, None, "bytes in such a request")
        except TimeoutError:
            if loop.time() >= end:
                about = "seconds until the body is there"
                raise over(408, "body_seconds", limits.body_seconds, None, about) from None
            about = "seconds between two pieces of a body"
            raise over(408, "pause_seconds", limits.pause_seconds, None, about) from None
        finally:
            self._bytes -= size
        if told is not None and size != told:
            raise Turned(400, f"the body broke off after {size} of {told} bytes")
        return b"".join(parts)

    async def _look_at_key(self, environment: Environment) -> None:
        """Before a big body is read: that somebody with a key sends it. Raises Turned."""
        gateway, header = self._gateway, environment.get("HTTP_AUTHORIZATION", "")

        def look(conn: psycopg.Connection) -> None:
            found = access.caller(conn, header, gateway.moment(conn)[0])
            environment[access.LOOKED] = access.Looked(found)

        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._pool, gateway.connections.ask, look)
        except store.Unavailable:
            raise Turned(503, "the database cannot be reached", retry_after=2) from None

    # --- long polls ---

    async def _poll(self, waiting: Waiting, environment: Environment, protocol: Any) -> Any:
        """Wait until receipts have come for a company, or long enough; then answer."""
        limits = self._gateway.limits
        if self._waiting >= limits.polls:
            return problem(over(429, "polls", limits.polls, None, "long polls at once"))
        self._waiting += 1
        self._requests -= 1
        self._gateway.metrics.polls.set(self._waiting)
        woken = asyncio.Event()
        for company in waiting.companies:
            self._polls.setdefault(company, set()).add(woken)
        gone = asyncio.ensure_future(protocol.client_disconnect())
        end = asyncio.get_running_loop().time() + waiting.seconds
        response: Any = waiting
        try:
            # What came between the look and the registration has woken nobody.
            response = await self._django(environment, b"")
            while isinstance(response, Waiting) and not self._gateway.draining.is_set():
                left = end - asyncio.get_running_loop().time()
                if left <= 0:
                    break
                wake = asyncio.ensure_future(woken.wait())
                await asyncio.wait({wake, gone}, timeout=left, return_when="FIRST_COMPLETED")
                wake.cancel()
                if gone.done() or not woken.is_set():
                    break
                woken.clear()
                response = await self._django(environment, b"")
        finally:
            gone.cancel()
            for company in waiting.companies:
                others = self._polls.get(company, set())
                others.discard(woken)
                if not others:
                    self._polls.pop(company, None)
            self._waiting -= 1
            self._requests += 1
            self._gateway.metrics.polls.set(self._waiting)
        return response

    def wake(self, companies: Iterable[str] | None) -> None:
        """Receipts have come for these companies (None: perhaps for all). From any thread."""
        loop = self._loop
        if loop is None:
            return
        names = None if companies is None else list(companies)
        # The server may have closed its loop since: then nobody waits any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._wake, names)

    def _wake(self, companies: list[str] | None) -> None:
        for company in list(self._polls) if companies is None else companies:
            for event in self._polls.get(company, ()):
                event.set()

    # --- beginning and end ---

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    @property
    def busy(self) -> bool:
        """Whether anything is being answered."""
        return self._requests > 0 or self._waiting > 0

    def close(self) -> None:
        self._loop = None
        self._pool.shutdown()


def _nobody(status: str, headers: list[tuple[str, str]], *error: Any) -> None:
    """Django says status and headers here; the response that it returns says them too."""


def _refused(turned: Turned) -> Answered:
    response = problem(turned)
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response.status_code, _headers(response), response.content


def _headers(response: HttpResponse) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in response.headers.items()]


def _send(protocol: Any, answered: Answered) -> None:
    status, headers, body = answered
    if body:
        protocol.response_bytes(status, headers, body)
    else:
        protocol.response_empty(status, headers)


def _length(environment: Environment) -> int | None:
    """Content-Length; None without one. Raises Turned (400)."""
    text = environment.get("CONTENT_LENGTH")
    if text is None:
        return None
    if not text.isdecimal():
        raise Turned(400, "Content-Length is no number")
    return int(text)


def _environment(scope: Any, gateway: Gateway) -> Environment:
    """A request as WSGI has it (PEP 3333), without its body. Raises Turned (431)."""
    client, _, port = scope.client.rpartition(":")
    environment: Environment = {
        GATEWAY: gateway,
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        # WSGI holds bytes as if they were Latin-1.
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string.encode().decode("latin-1"),
        "SERVER_NAME": "gateway",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": client,
        "REMOTE_PORT": port,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    headers = scope.headers.items()
    size = len(scope.path) + len(scope.query_string) + sum(len(n) + len(v) for n, v in headers)
    if size > gateway.limits.header_bytes:
        most = gateway.limits.header_bytes
        raise over(431, "header_bytes", most, size, "bytes of address and headers")
    for name, value in headers:
        key = name.upper().replace("-", "_")
        if "_" in name:
            continue  # it would pass for the header with a hyphen
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environment[key] = f"{environment[key]},{value}" if key in environment else value
    return environment
