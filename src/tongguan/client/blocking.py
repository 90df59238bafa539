"""The client that waits for its answers."""

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx

from tongguan.client import calls
from tongguan.client.answers import Accepted, Page, Receipt, Refused, Submission
from tongguan.client.exchange import Broken, Call, Pause, Reply, Request, Retrying

T = TypeVar("T")
SECONDS = 30.0
"""For connecting, and for each step of an answer."""


def settings(url: str, key: str) -> dict[str, Any]:
    """What an httpx client is made with."""
    return {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {key}"},
        "timeout": SECONDS,
    }


def as_sent(request: Request) -> dict[str, Any]:
    """A request in the words of httpx."""
    sent: dict[str, Any] = {
        "method": request.method,
        "url": request.path,
        "params": dict(request.params),
        "headers": dict(request.headers),
        "timeout": SECONDS + request.seconds,
    }
    if request.files:
        sent["files"] = [
            ("message", (f"{n}.xml", data, "application/xml"))
            for n, data in enumerate(request.files, 1)
        ]
    elif request.body is not None:
        sent["content"] = request.body
    return sent


class Client:
    """A connection to a gateway with a key. Threads may share it; close it, or use ``with``.

    url: root of the gateway (https://window.example); retrying: how patient to be; http: more for
    httpx.Client (verify, cert, proxy, transport). Calls raise TurnedAway and GaveUp.
    """

    def __init__(self, url: str, key: str, retrying: Retrying | None = None, **http: Any) -> None:
        self._retrying = retrying or Retrying()
        self._http = httpx.Client(**settings(url, key), **http)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def send(self, message: bytes) -> Accepted | Refused:
        """Hand in a message; answered when it is durable. Sending it again changes nothing."""
        return self._run(calls.send(message, self._retrying))

    def send_many(self, messages: Sequence[bytes]) -> list[Accepted | Refused]:
        """Hand in many messages, up to 500 a request; the answers in their order."""
        return self._run(calls.send_many(messages, self._retrying))

    def read(
        self,
        after: str = calls.BEGINNING,
        wait: int = 0,
        limit: int | None = None,
        company: str | None = None,
    ) -> Page:
        """Receipts behind a cursor; with ``wait`` it waits so many seconds for a first one.

        limit: receipt messages at most; company: of one that has given a mandate.
        """
        return self._run(calls.read(after, wait, limit, company, self._retrying))

    def follow(
        self, after: str = calls.BEGINNING, wait: int = 25, idle: int | None = None
    ) -> Iterator[Receipt]:
        """Receipts as they come. To go on later, keep the cursor of the last one you have dealt
        with.

        wait: seconds a question is held open; idle: end after so many empty answers, else never.
        """
        empty = 0
        while idle is None or empty < idle:
            page = self.read(after, wait)
            yield from page.receipts
            empty = 0 if page.receipts else empty + 1
            after = page.next

    def look_up(self, id: str) -> Submission:
        """How far a message is, by the id it was accepted under."""
        return self._run(calls.look_up(id, self._retrying))

    def explain(self, key: str) -> list[dict[str, Any]]:
        """Why parcels were or were not released: documents, compared values, tax with its law.

        key: orderNo, copNo, invtNo, logisticsNo or payTransactionId.
        """
        return self._run(calls.explain(key, self._retrying))

    def _run(self, call: Call[T]) -> T:
        came: Reply | Broken | None = None
        while True:
            try:
                wanted = call.send(came)
            except StopIteration as end:
                result: T = end.value
                return result
            came = None
            if isinstance(wanted, Pause):
                time.sleep(wanted.seconds)
            else:
                came = self._exchange(wanted)

    def _exchange(self, request: Request) -> Reply | Broken:
        try:
            response = self._http.request(**as_sent(request))
        except httpx.TransportError as problem:
            return Broken(f"{type(problem).__name__} {problem}".strip())
        return Reply(response.status_code, response.headers, response.content)
