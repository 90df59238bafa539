"""Handing in: durable, answered once and the same again, owned, within limits."""

import hashlib
import json
import threading
from typing import Any

import msgspec
import pytest
from dossiers import AGENT, PAYMENT, PLATFORM, SELLER, message, order, parcel, payment
from zones import Zone

from tongguan import store
from tongguan.window import submissions
from tongguan.window.limits import Limits


def test_a_message_is_answered_with_its_digest_and_documents(zone: Zone) -> None:
    data = message(order(1), order(2))
    reply = zone.post(zone.key(PLATFORM[0]), data)
    assert reply.status == 202
    assert reply.json == {
        "id": submissions.submission_id(PLATFORM[0], hashlib.sha256(data).hexdigest()),
        "sha256": hashlib.sha256(data).hexdigest(),
        "documents": 2,
    }
    assert zone.rows("SELECT company, documents, state FROM submission") == [
        (PLATFORM[0], 2, "waiting")
    ]


def test_the_same_message_again_gets_the_same_answer_and_is_recorded_once(zone: Zone) -> None:
    key, data = zone.key(PLATFORM[0]), message(order(1))
    first = zone.post(key, data)
    again = zone.post(key, data)
    zone.work()
    later = zone.post(key, data)
    assert first.body == again.body == later.body
    assert zone.rows("SELECT count(*) FROM document") == [(1,)]


def test_bytes_in_the_queue_are_sealed_and_go_when_they_are_recorded(zone: Zone) -> None:
    zone.post(zone.key(PLATFORM[0]), message(order(1)))
    [(sealed,)] = zone.rows("SELECT sealed FROM submission")
    assert b"orderNo" not in sealed
    zone.work()
    assert zone.rows("SELECT state, sealed FROM submission") == [("done", None)]


def test_what_is_no_message_is_refused_with_every_finding_and_a_ceb900(zone: Zone) -> None:
    key = zone.key(PLATFORM[0])
    reply = zone.post(key, b"<no/>")
    assert reply.status == 422
    told = reply.json
    assert told["document"] == "message"
    assert told["history"] == []
    assert [f["rule"] for f in told["findings"]] == ["message.format"]
    assert zone.post(key, b"<no/>").body == reply.body
    zone.work()
    [entry] = zone.receipts(key)
    assert entry["message"] == "CEB900"
    assert "message.format" in entry["info"]
    state = zone.ask("GET", f"/api/messages/{told['id']}", key).json
    assert state["state"] == "refused"


def test_two_senders_of_the_same_nonsense_each_get_their_ceb900(zone: Zone) -> None:
    keys = [zone.key(company[0]) for company in (PLATFORM, PAYMENT)]
    for key in keys:
        assert zone.post(key, b"<no/>").status == 422
    zone.work()
    assert [len(zone.receipts(key)) for key in keys] == [1, 1]


def test_a_receipt_that_customs_sends_is_not_taken_from_a_company(zone: Zone) -> None:
    data = message(order(1)).replace(b"CEB311", b"CEB312").replace(b"Order>", b"OrderReturn>")
    assert zone.post(zone.key(PLATFORM[0]), data).status == 422


def test_a_key_sends_for_its_company_alone(zone: Zone) -> None:
    reply = zone.post(zone.key(AGENT[0]), message(order(1)))
    assert reply.status == 403
    [finding] = reply.json["findings"]
    assert (finding["rule"], finding["field"]) == ("party.mandate", "copCode")
    assert finding["actual"] == PLATFORM[0]
    assert zone.rows("SELECT count(*) FROM submission") == [(0,)]


@pytest.mark.parametrize(
    ("since", "until", "status"),
    [
        ("2022-06-01", None, 202),
        ("2022-05-01", "2022-06-01", 202),
        ("2022-06-02", None, 403),
        ("2022-05-01", "2022-05-31", 403),
    ],
)
def test_a_mandate_of_the_day_lets_it_send_for_another(
    zone: Zone, since: str, until: str | None, status: int
) -> None:
    zone.mandate(PLATFORM[0], AGENT[0], since, until)
    assert zone.post(zone.key(AGENT[0]), message(order(1))).status == status


def form(*files: bytes) -> tuple[bytes, str]:
    edge = "edge-of-a-form"
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="message"; filename="{n}.xml"\r\n'
        "Content-Type: application/xml\r\n\r\n".encode()
        + data
        + b"\r\n"
        for n, data in enumerate(files)
    ]
    return b"".join([*parts, f"--{edge}--\r\n".encode()]), f"multipart/form-data; boundary={edge}"


def test_many_messages_of_one_request_are_answered_one_by_one(zone: Zone) -> None:
    body, kind = form(message(order(1)), b"<no/>", message(order(2), order(3)))
    reply = zone.post(zone.key(PLATFORM[0]), body, kind=kind)
    assert reply.status == 207
    assert [each["http_status"] for each in reply.json["messages"]] == [202, 422, 202]
    zone.work()
    assert zone.rows("SELECT count(*) FROM document") == [(3,)]


def test_if_one_of_many_may_not_be_sent_none_is_kept(zone: Zone) -> None:
    body, kind = form(message(order(1)), message(payment(2)))
    assert zone.post(zone.key(PLATFORM[0]), body, kind=kind).status == 403
    assert zone.rows("SELECT count(*) FROM submission") == [(0,)]


def test_requests_that_wait_are_committed_together(zone: Zone, monkeypatch: Any) -> None:
    """While one commit is under way others gather; then they go with one statement."""
    sizes: list[int] = []
    begun, go = threading.Event(), threading.Event()
    keep = submissions.keep

    def slow(conn: Any, messages: Any) -> set[str]:
        sizes.append(len(messages))
        begun.set()
        assert go.wait(20)
        return keep(conn, messages)

    monkeypatch.setattr(submissions, "keep", slow)
    key = zone.key(PLATFORM[0])
    replies: list[int] = []
    threads = [
        threading.Thread(
            target=lambda n=n: replies.append(zone.post(key, message(order(n))).status)
        )
        for n in range(1, 9)
    ]
    threads[0].start()
    assert begun.wait(20)
    for each in threads[1:]:
        each.start()
    while zone.gateway.committer._gathered.qsize() < 7:
        pass
    go.set()
    for each in threads:
        each.join()
    assert replies == [202] * 8
    assert sizes == [1, 7]


def test_too_many_that_wait_are_turned_away_and_nothing_is_lost(zone: Zone) -> None:
    key = zone.key(PLATFORM[0])
    zone.gateway.committer.waiting(zone.gateway.limits.waiting)
    reply = zone.post(key, message(order(1)))
    assert reply.status == 429
    assert reply.headers["Retry-After"] == "1"
    assert reply.json["limit"]["name"] == "waiting"
    zone.gateway.committer.waiting(0)
    assert zone.post(key, message(order(1))).status == 202


class TestLimits:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(message_bytes=3000, messages=2, rate=1, burst=3)

    def test_a_long_message_is_refused_by_name_of_the_limit(self, zone: Zone) -> None:
        reply = zone.post(zone.key(PLATFORM[0]), b" " * 3001)
        assert reply.status == 413
        assert reply.json["limit"] == {"name": "message_bytes", "most": 3000, "actual": 3001}

    def test_too_many_messages_in_a_request(self, zone: Zone) -> None:
        body, kind = form(b"<a/>", b"<b/>", b"<c/>")
        reply = zone.post(zone.key(PLATFORM[0]), body, kind=kind)
        assert reply.status == 413
        assert reply.json["limit"]["name"] == "messages"

    def test_a_key_that_asks_too_often_is_told_to_wait(self, zone: Zone) -> None:
        key, other = zone.key(PLATFORM[0]), zone.key(SELLER[0])
        statuses = [zone.ask("GET", "/api/receipts", key).status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert zone.ask("GET", "/api/receipts", other).status == 200


def test_limits_come_from_the_environment() -> None:
    assert Limits.of({"TONGGUAN_LIMIT_RATE": "7"}).rate == 7
    with pytest.raises(store.Unavailable, match="TONGGUAN_LIMIT_RATE"):
        Limits.of({"TONGGUAN_LIMIT_RATE": "many"})


def test_the_state_of_a_message_ends_with_a_report_line_a_document(zone: Zone) -> None:
    keys = {each[0]: zone.key(each[0]) for each in (PLATFORM, PAYMENT)}
    key = keys[PLATFORM[0]]
    id_ = zone.post(key, message(order(1))).json["id"]
    before = zone.ask("GET", f"/api/messages/{id_}", key).json
    assert (before["state"], before["report"]) == ("waiting", [])
    zone.work()
    after = zone.ask("GET", f"/api/messages/{id_}", key).json
    assert after["state"] == "done"
    assert [(line["document"], line["status"]) for line in after["report"]] == [("order", 2)]
    assert zone.ask("GET", f"/api/messages/{id_}", keys[PAYMENT[0]]).status == 404


def test_a_parcel_is_explained_to_those_who_sent_a_document_of_it(zone: Zone) -> None:
    papers = parcel(1)
    keys = {paper.sender[0]: zone.key(paper.sender[0]) for paper in papers}
    for paper in papers:
        assert zone.post(keys[paper.sender[0]], message(paper)).status == 202
    zone.lay_down(registry="open")
    zone.work()
    for key in keys.values():
        reply = zone.ask("GET", "/api/parcels/O0000001", key)
        assert reply.status == 200
        assert reply.json["parcels"][0]["documents"][-1]["status"] == 800
    stranger = zone.key(SELLER[0])
    assert zone.ask("GET", "/api/parcels/O0000001", stranger).status == 404
    assert json.dumps(msgspec.to_builtins(reply.json)).count("13900000001") == 0
