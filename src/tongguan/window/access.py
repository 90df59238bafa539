"""Who may do what: a key in every request, a scope for every route, a rate for every key."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

import psycopg

from tongguan.sharing import keys
from tongguan.window.limits import Limits
from tongguan.window.trouble import Turned, over

KEYS_REMEMBERED = 10_000
"""Keys whose rate is known; of more, the one that was quiet longest begins anew."""


LOOKED = "tongguan.looked"
"""Where the environment of a request keeps whose key was looked at before its body was read."""
LOOKED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Looked:
    """Whose key it was when it was looked at."""

    caller: keys.Caller
    at: float = field(default_factory=time.monotonic)

    @property
    def fresh(self) -> bool:
        """Whether that was just now; after a body that took its time the key is asked again."""
        return time.monotonic() - self.at < LOOKED_SECONDS


def caller(conn: psycopg.Connection, header: str, at_ms: int) -> keys.Caller:
    """Who presents ``Authorization: Bearer KEY`` at a time. Raises Turned (401)."""
    kind, _, presented = header.partition(" ")
    found = None
    if kind.lower() == "bearer" and presented.strip():
        found = keys.authenticate(conn, presented.strip(), at_ms)
    if found is None:
        raise Turned(
            401,
            "no key in force: send the header Authorization: Bearer KEY, with a key of "
            "`tongguan keys issue`",
            headers=[("WWW-Authenticate", "Bearer")],
        )
    return found


def require(who: keys.Caller, scope: str) -> None:
    """That a key is for this. Raises Turned (403)."""
    if scope not in who.scopes:
        raise Turned(403, f"key {who.key_id} is not for {scope}: issue one that is")


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Rates:
    """How often each key asks: so many a second, and so many at once after a pause.

    Known to this process alone: behind several gateways a key has the rate of each.
    """

    def __init__(self, limits: Limits) -> None:
        self._rate, self._burst = limits.rate, limits.burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key_id: str) -> None:
        """Count one request of a key. Raises Turned (429)."""
        now = time.monotonic()
        with self._lock:
            bucket = self._buckets.pop(key_id, None) or _Bucket(self._burst, now)
            bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
            bucket.at = now
            self._buckets[key_id] = bucket
            if len(self._buckets) > KEYS_REMEMBERED:
                self._buckets.popitem(last=False)
            if bucket.left < 1:
                raise over(429, "rate", self._rate, None, "requests of one key a second")
            bucket.left -= 1
