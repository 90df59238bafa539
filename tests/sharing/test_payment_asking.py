"""Our side of notice 2018-179: two minutes, a signature, the order that was asked for."""

import json
from decimal import Decimal

import psycopg
import pytest
from uploads import HEAD, MINUTES, NOW, ORDER, PLATFORM, body, prepare, signer

from tongguan import store
from tongguan.sharing import certificates, companies
from tongguan.sharing.payment_data import asking, protocol
from tongguan.sharing.rules import Refused

VAULT = store.Vault(bytes(range(32)))
KEY, OTHER_KEY = signer(), signer()
DECLARED = asking.Declared("3301960Y01", "T1", Decimal("100.10000"))


def ask(conn: psycopg.Connection, order: str = "O1") -> asking.Request:
    return asking.ask(conn, PLATFORM, order, "li", NOW, MINUTES, DECLARED)


def receive(conn: psycopg.Connection, data: bytes, at: int = NOW + 5_000) -> tuple[str, str]:
    answer = asking.receive_upload(conn, VAULT, data, at)
    assert answer["serviceTime"] == at
    return answer["code"], answer["message"]


def state(conn: psycopg.Connection, request: asking.Request, at: int = NOW + 10_000) -> str:
    [facts] = asking.shown(conn, request.session_id, at)
    return str(facts["state"])


def last(conn: psycopg.Connection, request: asking.Request) -> dict:
    [facts] = asking.shown(conn, request.session_id, NOW)
    return dict(facts["events"][-1]["facts"])


def test_a_sound_upload_in_time_answers_and_is_kept_sealed(conn: psycopg.Connection) -> None:
    prepare(conn, KEY)
    request = ask(conn)
    [text] = [request.form().decode()]
    assert request.session_id in text
    assert state(conn, request) == "asked"
    assert asking.opened(conn, request.session_id, NOW + 1, b'{"code":"10000","message":""}')
    assert state(conn, request) == "opened"
    data = body(request.session_id, KEY)
    assert receive(conn, data) == ("10000", "上传成功")
    assert state(conn, request) == "answered"
    facts = last(conn, request)
    assert (facts["transaction"], facts["amount"], facts["orders"]) == ("T1", "100.1", ["O1"])
    assert facts["differs"] == []
    assert asking.original(conn, VAULT, request.session_id) == data
    rows = conn.execute("SELECT e::text FROM payment_event e").fetchall()
    assert "pay.example" not in str(rows)


@pytest.mark.parametrize(("after", "taken"), [(MINUTES, True), (MINUTES + 1, False)])
def test_two_minutes_and_no_millisecond_more(
    conn: psycopg.Connection, after: int, taken: bool
) -> None:
    prepare(conn, KEY)
    request = ask(conn)
    code, _ = receive(conn, body(request.session_id, KEY), NOW + after)
    assert code == ("10000" if taken else "20004")
    assert state(conn, request) == ("answered" if taken else "late")
    if not taken:
        assert last(conn, request)["late_ms"] == 1
        assert asking.original(conn, VAULT, request.session_id)


def test_a_platform_that_stays_silent_is_seen_to(conn: psycopg.Connection) -> None:
    prepare(conn, KEY)
    request = ask(conn, "UNKNOWN")
    asking.opened(conn, request.session_id, NOW + 1, b'{"code":"10000","message":""}')
    assert state(conn, request, NOW + MINUTES) == "opened"
    assert state(conn, request, NOW + MINUTES + 1) == "silent"
    with pytest.raises(asking.UnknownRequest):
        asking.original(conn, VAULT, request.session_id)


def test_a_wrong_signature_is_refused_recorded_and_may_be_mended_in_time(
    conn: psycopg.Connection,
) -> None:
    prepare(conn, KEY)
    request = ask(conn)
    forged = body(request.session_id, KEY).replace(
        b"payCode%22%3A%223301960Y01", b"payCode%22%3A%223301960Y02"
    )
    assert receive(conn, forged)[0] == "20003"
    assert "does not verify" in last(conn, request)["problems"][0]
    assert state(conn, request, NOW + MINUTES + 1) == "silent"
    assert receive(conn, body(request.session_id, KEY))[0] == "10000"
    assert state(conn, request) == "answered"


def test_only_a_certificate_of_the_platform_in_force_counts(conn: psycopg.Connection) -> None:
    prepare(conn, KEY)
    request = ask(conn)
    assert receive(conn, body(request.session_id, OTHER_KEY))[0] == "20002"
    companies.file(conn, "3301960P02", "另一商城", ["platform"], "wang", 0)
    certificates.file(conn, "3301960P02", OTHER_KEY.certificate, "wang", 0)
    assert receive(conn, body(request.session_id, OTHER_KEY))[0] == "20002"
    certificates.revoke(conn, PLATFORM, KEY.certificate.serial, "lost", "wang", NOW + 1_000)
    assert receive(conn, body(request.session_id, KEY))[0] == "20002"
    assert "revoked" in last(conn, request)["problems"][0]
    later = asking.ask(conn, PLATFORM, "O1", "li", 1704067200000, MINUTES)
    assert receive(conn, body(later.session_id, KEY), 1704067200001)[0] == "20002"
    assert "valid from" in last(conn, later)["problems"][0]


def test_another_order_or_platform_than_was_asked_for_is_refused(conn: psycopg.Connection) -> None:
    prepare(conn, KEY)
    request = ask(conn, "O2")
    assert receive(conn, body(request.session_id, KEY))[0] == "20006"
    assert "expected O2, found O1" in last(conn, request)["problems"][0]
    request = ask(conn)
    head = HEAD | {"ebpCode": "3301960P09"}
    assert receive(conn, body(request.session_id, KEY, head))[0] == "20006"
    both = [ORDER, ORDER | {"orderNo": "O2"}]
    assert receive(conn, body(request.session_id, KEY, orders=both))[0] == "10000"


def test_fields_that_do_not_fit_are_answered_by_name(conn: psycopg.Connection) -> None:
    prepare(conn, KEY)
    request = ask(conn)
    head = HEAD | {"verDept": "9", "tradingTime": "today"}
    code, said = receive(conn, body(request.session_id, KEY, head))
    assert code == "20005"
    assert "payExchangeInfoHead.verDept" in said
    assert "payExchangeInfoHead.tradingTime" in said


def test_an_unknown_session_leaves_nothing(conn: psycopg.Connection) -> None:
    prepare(conn, KEY)
    for session in ("0A1B2C3D-0000-4000-8000-000000000001", "x", "\\u0000", "'; DROP"):
        assert receive(conn, body(session, KEY))[0] == "20000"
    assert receive(conn, b"nonsense")[0] == "20001"
    assert conn.execute("SELECT count(*) FROM payment_event").fetchone() == (0,)


def test_a_session_is_answered_once_and_the_same_bytes_as_often_as_they_come(
    conn: psycopg.Connection,
) -> None:
    prepare(conn, KEY)
    request = ask(conn)
    data = body(request.session_id, KEY)
    assert [receive(conn, data)[0] for _ in range(3)] == ["10000"] * 3
    assert receive(conn, data, NOW + MINUTES * 9)[0] == "10000"
    other = body(request.session_id, KEY, HEAD | {"totalAmount": Decimal(1)})
    assert receive(conn, other)[0] == "20000"
    [facts] = asking.shown(conn, request.session_id, NOW)
    assert [event["what"] for event in facts["events"]] == ["asked", "answered"]


def test_what_differs_from_the_declaration_is_told_and_no_reason_to_refuse(
    conn: psycopg.Connection,
) -> None:
    prepare(conn, KEY)
    request = ask(conn)
    head = HEAD | {"totalAmount": Decimal("99"), "payTransactionId": "T9"}
    assert receive(conn, body(request.session_id, KEY, head))[0] == "10000"
    differs = last(conn, request)["differs"]
    assert "payTransactionId: expected T1, found T9" in differs[0]
    assert "totalAmount: expected 100.1, found 99" in differs[1]


def test_only_a_platform_with_an_address_is_asked(conn: psycopg.Connection) -> None:
    companies.file(conn, PLATFORM, "明日商城", ["platform"], "wang", 0)
    companies.file(conn, "3301960S01", "海棠", ["seller"], "wang", 0)
    with pytest.raises(Refused, match="tongguan payments register"):
        ask(conn)
    with pytest.raises(companies.UnknownCompany):
        asking.ask(conn, "3301960P09", "O1", "li", NOW, MINUTES)
    with pytest.raises(Refused) as caught:
        asking.register(conn, "3301960S01", "ftp://x", "wang", 0)
    assert [problem.field for problem in caught.value.problems] == ["url", "company"]


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (None, "refused"),
        (b'{"code":"20000","message":"busy"}', "'20000': 'busy'"),
        (b"<html>", "its answer"),
        (b'{"code":10000}', "answered 10000"),
        (b"[]", "no JSON object"),
        (b'{"code":"1\\u0000"}', "answered"),
    ],
)
def test_a_platform_that_does_not_take_the_request(
    conn: psycopg.Connection, reply: bytes | None, why: str
) -> None:
    prepare(conn, KEY)
    request = ask(conn)
    assert not asking.opened(conn, request.session_id, NOW + 1, reply, "connection refused")
    assert state(conn, request, NOW + MINUTES + 1) == "not opened"
    assert why in json.dumps(last(conn, request), ensure_ascii=False)


def test_events_only_grow(conn: psycopg.Connection) -> None:
    prepare(conn, KEY)
    ask(conn)
    conn.commit()
    for attack in ("UPDATE payment_event SET at = 0", "DELETE FROM payment_request"):
        with pytest.raises(psycopg.errors.CheckViolation, match="only grows"):
            conn.execute(attack)
        conn.rollback()


def test_of_two_uploads_at_once_one_answers(
    database: store.Database, conn: psycopg.Connection
) -> None:
    prepare(conn, KEY)
    request = ask(conn)
    conn.commit()
    first = body(request.session_id, KEY)
    other = body(request.session_id, KEY, HEAD | {"totalAmount": Decimal(2)})
    with database.connect() as one, database.connect() as two:
        assert asking.receive_upload(one, VAULT, first, NOW)["code"] == "10000"
        two.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            asking.receive_upload(two, VAULT, other, NOW)
        two.rollback()
        one.commit()
        assert asking.receive_upload(two, VAULT, other, NOW)["code"] == "20000"
        assert protocol.OPENED == "10000"
