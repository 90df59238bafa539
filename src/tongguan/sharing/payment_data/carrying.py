"""How forms travel between customs and platforms: posted by one, listened for by the other."""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tongguan.sharing.payment_data.protocol import BODY_MOST

FORM = "application/x-www-form-urlencoded"
SECONDS = 10
"""For connecting, and for each step of the answer."""


class NotReached(RuntimeError):  # noqa: N818 - what happened
    """The other side did not answer, or not as HTTP 200."""


def post(url: str, form: bytes) -> bytes:
    """Post a form; the body of the answer, BODY_MOST bytes of it. Raises NotReached."""
    got = b""
    try:
        with httpx.stream(
            "POST", url, content=form, headers={"Content-Type": FORM}, timeout=SECONDS
        ) as response:
            for chunk in response.iter_bytes():
                got += chunk
                if len(got) > BODY_MOST:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise NotReached(f"{url} cannot be reached: {problem or type(problem).__name__}") from None
    if response.status_code != httpx.codes.OK:
        raise NotReached(f"{url} answered with HTTP {response.status_code}")
    return got[:BODY_MOST]


Take = Callable[[bytes], Mapping[str, Any]]
"""Takes the body of a form and says what to answer, in JSON."""


class Listener:
    """A small HTTP server that takes forms at some paths; each on a thread of its own.

    For sandboxes and tests: the window itself has its gateway. Port 0 chooses a free one.
    """

    def __init__(self, takes: Mapping[str, Take], host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = ThreadingHTTPServer((host, port), _handler(takes))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="listener")

    @property
    def root(self) -> str:
        """Its address without a path."""
        host, port = self._server.server_address[:2]
        shown = host.decode() if isinstance(host, bytes) else host
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

    def __enter__(self) -> "Listener":
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(takes: Mapping[str, Take]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = SECONDS
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            take = takes.get(self.path.split("?")[0])
            length = self.headers.get("Content-Length", "")
            if take is None:
                self._say(404, {"message": f"nothing is taken at {self.path}"})
            elif not length.isdecimal() or int(length) > BODY_MOST:
                self._say(413, {"message": f"give Content-Length, at most {BODY_MOST}"})
            else:
                self._say(200, take(self.rfile.read(int(length))))

        def _say(self, status: int, facts: Mapping[str, Any]) -> None:
            body = json.dumps(facts, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            if status != 200:
                self.close_connection = True
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what is asked and answered is told by who takes it."""

    return Handler
