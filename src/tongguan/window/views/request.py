"""What a view is given: the Django request, and with it gateway, caller and time."""

import re
from datetime import date
from typing import TypeVar

import msgspec
import psycopg
from django.http import HttpRequest

from tongguan.sharing import keys
from tongguan.window import stream
from tongguan.window.gateway import Gateway
from tongguan.window.trouble import Turned, over

T = TypeVar("T")
CURSOR = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,3}))?")


class Asked:
    """One request. conn: of this thread; at_ms, day: when it came."""

    def __init__(self, request: HttpRequest, gateway: Gateway, conn: psycopg.Connection) -> None:
        self.request, self.gateway, self.conn = request, gateway, conn
        self.at_ms: int
        self.day: date
        self.at_ms, self.day = gateway.moment(conn)
        self.caller: keys.Caller | None = None

    @property
    def company(self) -> str:
        """The company of the key."""
        assert self.caller is not None
        return self.caller.company

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number of the query. Raises Turned (400); a greater one than allowed is cut."""
        text = self.request.GET.get(name)
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least:
            raise Turned(400, f"{name}={text!r}: a whole number from {least} on is expected")
        return min(int(text), most)

    def text(self, name: str) -> str | None:
        """A text of the query. Raises Turned (400) for what no database can hold."""
        text = self.request.GET.get(name)
        if text is not None and "\0" in text:
            raise Turned(400, f"{name}: a NUL character")
        return text

    def json(self, shape: type[T]) -> T:
        """The body as JSON of a shape. Raises Turned (400, 413, 415)."""
        kind = (self.request.content_type or "").lower()
        if kind != "application/json":
            raise Turned(415, f"Content-Type application/json is expected, not {kind or 'nothing'}")
        body = self.request.body
        most = self.gateway.limits.other_bytes
        if len(body) > most:
            raise over(413, "other_bytes", most, len(body), "bytes in such a request")
        try:
            return msgspec.json.decode(body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise Turned(400, f"the body is not as expected: {problem}") from None


def cursor(text: str | None) -> tuple[int, int]:
    """Position and place of a cursor, see ``stream``. Raises Turned (400)."""
    if text is None:
        return stream.BEGINNING
    form = CURSOR.fullmatch(text)
    if form is None:
        raise Turned(400, f"{text!r} is not a cursor: give one as it was in an answer")
    return int(form[1]), stream.ALL if form[2] is None else int(form[2])
