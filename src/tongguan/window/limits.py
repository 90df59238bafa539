"""What the gateway takes at most. Every refusal names the limit it met.

Each can be set by an environment variable: ``TONGGUAN_LIMIT_`` and its name in capitals.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from tongguan import store

PREFIX = "TONGGUAN_LIMIT_"


def _limit(value: int, about: str) -> int:
    found: int = field(default=value, metadata={"about": about})
    return found


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, seconds and counts; ``about`` of each field says what it bounds."""

    message_bytes: int = _limit(20 << 20, "one message, and the one inside an envelope")
    request_bytes: int = _limit(64 << 20, "the body of one request with messages")
    other_bytes: int = _limit(64 << 10, "the body of any other request")
    upload_bytes: int = _limit(1 << 20, "the body of an upload of payment data")
    messages: int = _limit(500, "messages in one multipart request")
    header_bytes: int = _limit(32 << 10, "request line and headers")
    header_seconds: int = _limit(10, "until request line and headers are there")
    pause_seconds: int = _limit(10, "between two pieces of a body")
    body_seconds: int = _limit(60, "until a body is there")
    bodies_bytes: int = _limit(512 << 20, "bodies of all requests that are being read or answered")
    requests: int = _limit(1000, "requests that are being answered at once, without long polls")
    wait_seconds: int = _limit(60, "a long poll")
    polls: int = _limit(5000, "long polls that wait at once")
    page: int = _limit(500, "receipt messages in one answer")
    rate: int = _limit(200, "requests of one key a second")
    burst: int = _limit(400, "requests of one key at once, after a pause")
    waiting: int = _limit(100_000, "messages that wait to be recorded")
    webhooks: int = _limit(10, "webhooks of one company")

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "Limits":
        """The limits as the environment sets them. Raises store.Unavailable for no number."""
        given = {}
        for each in fields(cls):
            text = environment.get(PREFIX + each.name.upper())
            if text is None:
                continue
            if not text.isdecimal() or int(text) == 0:
                raise store.Unavailable(
                    f"{PREFIX}{each.name.upper()}={text!r} is not a number above 0: {about(each)}"
                )
            given[each.name] = int(text)
        return cls(**given)


def about(each: object) -> str:
    """What a field of Limits bounds."""
    return str(getattr(each, "metadata", {}).get("about", ""))
