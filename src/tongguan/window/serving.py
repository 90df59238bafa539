"""The process of a gateway: granian on a port, and an end without a lost answer."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server

from tongguan.window.front import Front
from tongguan.window.gateway import Gateway
from tongguan.window.journal import journal
from tongguan.window.listening import Listener
from tongguan.window.site import configure

THREADS = 16
"""Threads that answer. They wait for commits more than they compute, so more than cores."""
FAREWELL_SECONDS = 1.0
"""How long a gateway that is being stopped still answers, and tells each client to connect anew."""
STOP_SECONDS = 30.0
"""How long it waits for answers that are under way."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM. authority: of client certificates; then every client must show one."""

    certificate: Path
    key: Path
    authority: Path | None = None


def serve_until_stopped(gateway: Gateway, host: str, port: int, tls: Tls | None = None) -> None:
    """Serve until SIGTERM or SIGINT; then finish what was begun and close the gateway."""
    front = Front(gateway, configure(gateway.limits), THREADS)
    listener = Listener(gateway.database, front.wake, gateway.committer)
    try:
        asyncio.run(_serve(front, gateway, host, port, tls))
    finally:
        listener.close()
        front.close()
        gateway.close()
        journal.info("stopped")


async def _serve(front: Front, gateway: Gateway, host: str, port: int, tls: Tls | None) -> None:
    limits = gateway.limits
    loop = asyncio.get_running_loop()
    server = Server(
        front,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        # Granian's own bound must not be met before those that say so.
        backpressure=limits.requests + limits.polls + 100,
        http1_settings=HTTP1Settings(
            header_read_timeout=limits.header_seconds * 1000,
            max_buffer_size=limits.header_bytes,
        ),
        log_enabled=False,
        **_secured(tls),
    )
    front.begin(loop)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.ensure_future(server.serve())
    stopping = asyncio.ensure_future(stop.wait())
    journal.info("serves", host=host, port=port, tls=tls is not None)
    await asyncio.wait({serving, stopping}, return_when="FIRST_COMPLETED")
    if not serving.done():
        await _farewell(front, gateway)
        server.stop()  # type: ignore[no-untyped-call]
    await serving


async def _farewell(front: Front, gateway: Gateway) -> None:
    """Answer on, but keep no connection; end when nothing is under way any more."""
    gateway.draining.set()
    front.wake(None)
    journal.info("stops")
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while front.busy or loop.time() - begun < FAREWELL_SECONDS:
        if loop.time() - begun > STOP_SECONDS:
            journal.warning("stops with requests under way")
            break
        await asyncio.sleep(0.02)


def _secured(tls: Tls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    return {
        "ssl_cert": tls.certificate,
        "ssl_key": tls.key,
        "ssl_protocol_min": SSLProtocols.tls12,
        "ssl_ca": tls.authority,
        "ssl_client_verify": tls.authority is not None,
    }


def when_orphaned(end: threading.Event, parent: int, act: Callable[[], None]) -> None:
    """Act once when the process that started this one is gone: nobody else would stop it."""

    def watch() -> None:
        while not end.wait(0.5):
            if os.getppid() != parent:
                return act()
        return None

    threading.Thread(target=watch, name="parent", daemon=True).start()
