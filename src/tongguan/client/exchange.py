"""One question and its answer, without input and output: what to send, when to try again.

A call is a generator: it yields what is to be done (a Request to be sent, a Pause to be kept) and
is sent what came of it. ``blocking`` and ``awaiting`` do what it says, each in its own way, so
neither has logic of its own. Trying again is safe: a message is recorded once by its sender and its
bytes, everything else only reads.
"""

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from tongguan.client.answers import Problem

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. files: messages of a form, instead of a body; seconds: to wait for an answer,
    beyond the usual."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    files: tuple[bytes, ...] = ()
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer came: the connection could not be made, or broke."""

    why: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Call = Generator[Request | Pause, Reply | Broken | None, T]
"""A question on its way."""


class TurnedAway(Exception):  # noqa: N818 - a request that was turned away
    """The gateway does not do what was asked; trying again would not help.

    problem: status, title, detail with what to do, the limit that was met, findings.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(f"{problem.status} {problem.title}: {problem.detail}".rstrip(": "))


class GaveUp(Exception):  # noqa: N818 - what the client did
    """No answer within the patience. Nothing is lost by asking again later."""

    def __init__(self, what: str, why: str, tries: int) -> None:
        self.why, self.tries = why, tries
        super().__init__(f"{what}: no answer after {tries} tries ({why}); ask again later")


AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same question may be answered."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """How patient to be.

    first_seconds: the pause after the first failure; it doubles, up to longest_seconds, and each
    pause is a random part of it from one half on. patience_seconds: all pauses of a call together.
    What the gateway asks for (Retry-After) is kept at least.
    """

    first_seconds: float = 0.25
    longest_seconds: float = 30.0
    patience_seconds: float = 300.0
    chance: Callable[[], float] = random.random

    def pause(self, failures: int, asked: float | None) -> float:
        """Seconds before the next try, after so many failures in a row."""
        doubled = self.first_seconds * 2.0 ** min(failures - 1, 30)
        own = min(doubled, self.longest_seconds) * (0.5 + self.chance() / 2)
        return max(own, asked or 0.0)


def answered(request: Request, retrying: Retrying) -> Call[Reply]:
    """Send a request until it is answered. Raises GaveUp."""
    waited, tries = 0.0, 0
    while True:
        tries += 1
        reply = yield request
        assert reply is not None
        if isinstance(reply, Reply):
            if reply.status not in AGAIN:
                return reply
            asked, why = retry_after(reply), str(TurnedAway(problem_of(reply)))
        else:
            asked, why = None, reply.why
        seconds = retrying.pause(tries, asked)
        if waited + seconds > retrying.patience_seconds:
            raise GaveUp(f"{request.method} {request.path}", why, tries)
        waited += seconds
        yield Pause(seconds)


def retry_after(reply: Reply) -> float | None:
    """The seconds a reply asks to wait (RFC 9110 §10.2.3); None if it does not say.

    A date instead of seconds is let go: the client has no clock to hold against another's.
    """
    text = _headers(reply).get("retry-after", "").strip()
    return float(text) if text.isdecimal() else None


def _headers(reply: Reply) -> dict[str, str]:
    return {name.lower(): value for name, value in reply.headers.items()}


def problem_of(reply: Reply) -> Problem:
    """Why a request was not answered, also if a proxy between says so in its own words."""
    try:
        return msgspec.json.decode(reply.body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Problem(status=reply.status, detail=reply.body[:200].decode(errors="replace"))


def decoded(reply: Reply, shape: type[T], expected: tuple[int, ...] = (200,)) -> T:
    """The answer as a type. Raises TurnedAway."""
    if reply.status not in expected:
        raise TurnedAway(problem_of(reply))
    try:
        return msgspec.json.decode(reply.body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        detail = f"the answer is not what a gateway says: {problem}"
        raise TurnedAway(Problem(status=reply.status, detail=detail)) from None


def converted(value: Any, shape: type[T]) -> T:
    """A part of an answer as a type. Raises TurnedAway."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as problem:
        detail = f"the answer is not what a gateway says: {problem}"
        raise TurnedAway(Problem(status=200, detail=detail)) from None
