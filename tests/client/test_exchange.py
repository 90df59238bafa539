"""One question and its answer: when to try again, how long to wait, when to give up."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongguan.client.answers import Accepted, Refused
from tongguan.client.calls import read, send, send_many
from tongguan.client.exchange import (
    AGAIN,
    Broken,
    Call,
    GaveUp,
    Pause,
    Reply,
    Request,
    Retrying,
    TurnedAway,
)

STEADY = Retrying(first_seconds=1, longest_seconds=8, patience_seconds=60, chance=lambda: 1.0)
TAKEN = {"id": "a", "sha256": "b", "documents": 3}


def reply(status: int, facts: object = None, **headers: str) -> Reply:
    body = b"" if facts is None else json.dumps(facts).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def run(call: Call, *replies: Reply | Broken) -> tuple[object, list[Request], list[float]]:
    """The result of a call, what it sent and how long it paused, if these replies come."""
    sent: list[Request] = []
    pauses: list[float] = []
    coming = iter(replies)
    came: Reply | Broken | None = None
    while True:
        try:
            step = call.send(came)
        except StopIteration as end:
            return end.value, sent, pauses
        if isinstance(step, Pause):
            pauses.append(step.seconds)
            came = None
        else:
            sent.append(step)
            came = next(coming)


def test_a_message_is_sent_again_with_the_same_bytes_until_it_is_taken() -> None:
    result, sent, pauses = run(
        send(b"<m/>", STEADY), Broken("reset"), reply(503), Broken("reset"), reply(202, TAKEN)
    )
    assert result == Accepted(id="a", sha256="b", documents=3)
    assert {request.body for request in sent} == {b"<m/>"}
    assert pauses == [1, 2, 4]


def test_the_wait_that_the_gateway_asks_for_is_kept() -> None:
    busy = reply(429, {"status": 429, "title": "Too Many Requests"}, Retry_After="17")
    _, _, pauses = run(send(b"", STEADY), busy, reply(202, TAKEN))
    assert pauses == [17]
    date = reply(429, None, Retry_After="Wed, 01 Jun 2022 12:00:00 GMT")
    _, _, pauses = run(send(b"", STEADY), date, reply(202, TAKEN))
    assert pauses == [1]


@given(st.integers(1, 100), st.floats(0, 1), st.none() | st.floats(0, 100))
def test_a_pause_is_bounded_and_never_shorter_than_asked(
    failures: int, chance: float, asked: float | None
) -> None:
    retrying = Retrying(chance=lambda: chance)
    pause = retrying.pause(failures, asked)
    assert max(asked or 0, retrying.first_seconds / 2) <= pause
    assert pause <= max(asked or 0, retrying.longest_seconds)


def test_patience_ends_and_says_why() -> None:
    replies = [reply(503, {"status": 503, "title": "Away", "detail": "the database"})] * 99
    with pytest.raises(GaveUp, match=r"POST /api/messages: no answer after .* the database") as end:
        run(send(b"", STEADY), *replies)
    assert end.value.tries == 10  # 1 + 2 + 4 + 8 × 6 seconds make 55, one more is above 60


@pytest.mark.parametrize("status", sorted({400, 401, 403, 404, 409, 413, 415} - AGAIN))
def test_what_would_not_help_is_not_tried_again(status: int) -> None:
    problem = {"status": status, "title": "No", "detail": "do this", "limit": None}
    with pytest.raises(TurnedAway, match=f"{status} No: do this"):
        run(send(b"", STEADY), reply(status, problem))


def test_a_refused_message_is_an_answer_with_its_findings() -> None:
    finding = {"rule": "message.format", "severity": "error", "code": "-999999"}
    said = {"id": "a", "sha256": "b", "document": "message", "status": -999999}
    result, _, _ = run(send(b"x", STEADY), reply(422, said | {"findings": [finding]}))
    assert isinstance(result, Refused)
    assert result.findings[0].rule == "message.format"


def test_many_messages_go_in_parts_and_are_answered_in_their_order() -> None:
    data = [b"%d" % n for n in range(501)]
    first = {"messages": [TAKEN | {"http_status": 202, "id": str(n)} for n in range(500)]}
    last = {"messages": [{"id": "x", "sha256": "y", "findings": [], "http_status": 422}]}
    result, sent, _ = run(send_many(data, STEADY), reply(207, first), reply(207, last))
    assert isinstance(result, list)
    assert [each.id for each in result] == [*map(str, range(500)), "x"]
    assert isinstance(result[-1], Refused)
    assert [len(request.files) for request in sent] == [500, 1]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"next": 5, "receipts": []}', b"\xff"])
def test_an_answer_that_no_gateway_gives_is_told_as_such(body: bytes) -> None:
    with pytest.raises(TurnedAway, match="not what a gateway says"):
        run(read("0.0", 0, None, None, STEADY), Reply(200, {}, body))


def test_a_long_poll_may_take_its_time() -> None:
    _, sent, _ = run(read("7.1", 25, 10, "C", STEADY), reply(200, {"next": "7.1", "receipts": []}))
    assert sent[0].seconds == 25
    assert sent[0].params == {"after": "7.1", "wait": "25", "limit": "10", "company": "C"}
