"""A platform to try against: it listens for requests and uploads, late or wrongly if it shall."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tongguan.sharing.payment_data import carrying, protocol
from tongguan.sharing.payment_data.platform import Platform
from tongguan.sharing.payment_data.protocol import OpenRequest

ATTEMPTS, PAUSE_SECONDS = 5, 1.0
"""How often an upload is tried that customs' window does not answer, and the pause between."""


@dataclass
class Sandbox:
    """A platform with its address, its manners, and where it uploads to.

    clock: milliseconds since 1970. late_seconds: how long it waits before it uploads. tell: gets
    each thing that happens in words.
    """

    platform: Platform
    upload_url: str
    clock: Callable[[], int]
    late_seconds: float = 0
    tell: Callable[[str], None] = lambda words: None
    host: str = "127.0.0.1"
    port: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Sandbox":
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="platform")
        takes = {protocol.OPEN_PATH: self._take}
        self._listener = carrying.Listener(takes, self.host, self.port).__enter__()
        return self

    def __exit__(self, *ended: object) -> None:
        self._stopped.set()
        self._listener.__exit__()
        self._pool.shutdown(cancel_futures=True)

    @property
    def url(self) -> str:
        """Where it takes requests: what ``tongguan payments register`` wants."""
        return self._listener.root + protocol.OPEN_PATH

    def _take(self, body: bytes) -> dict[str, Any]:
        answer, asked = self.platform.take(body, self.clock())
        if asked is None:
            self.tell(f"refused a request: {answer['message']}")
        else:
            self.tell(f"asked for order {asked.order_no}, session {asked.session_id}")
            self._pool.submit(self._answer, asked)
        return answer

    def _answer(self, asked: OpenRequest) -> None:
        if self._stopped.wait(self.late_seconds):
            return
        form = self.platform.upload(asked, self.clock())
        if form is None:
            self.tell(f"does not know order {asked.order_no}: uploads nothing")
            return
        for attempt in range(1, ATTEMPTS + 1):
            try:
                said = json.loads(carrying.post(self.upload_url, form))
                self.tell(f"uploaded {asked.order_no}: {said['code']} {said['message']}")
                return
            except (carrying.NotReached, ValueError, KeyError, TypeError) as problem:
                self.tell(f"upload {attempt} of {asked.order_no} failed: {problem}")
            if self._stopped.wait(PAUSE_SECONDS):
                return
