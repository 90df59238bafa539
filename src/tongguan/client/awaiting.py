"""The client whose answers are awaited."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx

from tongguan.client import calls
from tongguan.client.answers import Accepted, Page, Receipt, Refused, Submission
from tongguan.client.blocking import as_sent, settings
from tongguan.client.exchange import Broken, Call, Pause, Reply, Request, Retrying

T = TypeVar("T")


class AsyncClient:
    """As ``Client``, for asyncio. http: more for httpx.AsyncClient."""

    def __init__(self, url: str, key: str, retrying: Retrying | None = None, **http: Any) -> None:
        self._retrying = retrying or Retrying()
        self._http = httpx.AsyncClient(**settings(url, key), **http)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, message: bytes) -> Accepted | Refused:
        """See ``Client.send``."""
        return await self._run(calls.send(message, self._retrying))

    async def send_many(self, messages: Sequence[bytes]) -> list[Accepted | Refused]:
        """See ``Client.send_many``."""
        return await self._run(calls.send_many(messages, self._retrying))

    async def read(
        self,
        after: str = calls.BEGINNING,
        wait: int = 0,
        limit: int | None = None,
        company: str | None = None,
    ) -> Page:
        """See ``Client.read``."""
        return await self._run(calls.read(after, wait, limit, company, self._retrying))

    async def follow(
        self, after: str = calls.BEGINNING, wait: int = 25, idle: int | None = None
    ) -> AsyncIterator[Receipt]:
        """See ``Client.follow``."""
        empty = 0
        while idle is None or empty < idle:
            page = await self.read(after, wait)
            for receipt in page.receipts:
                yield receipt
            empty = 0 if page.receipts else empty + 1
            after = page.next

    async def look_up(self, id: str) -> Submission:
        """See ``Client.look_up``."""
        return await self._run(calls.look_up(id, self._retrying))

    async def explain(self, key: str) -> list[dict[str, Any]]:
        """See ``Client.explain``."""
        return await self._run(calls.explain(key, self._retrying))

    async def _run(self, call: Call[T]) -> T:
        came: Reply | Broken | None = None
        while True:
            try:
                wanted = call.send(came)
            except StopIteration as end:
                result: T = end.value
                return result
            came = None
            if isinstance(wanted, Pause):
                await asyncio.sleep(wanted.seconds)
            else:
                came = await self._exchange(wanted)

    async def _exchange(self, request: Request) -> Reply | Broken:
        try:
            response = await self._http.request(**as_sent(request))
        except httpx.TransportError as problem:
            return Broken(f"{type(problem).__name__} {problem}".strip())
        return Reply(response.status_code, response.headers, response.content)
