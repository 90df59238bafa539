"""Original payment data at the gateway: platforms upload without a key, agencies look with one."""

from pathlib import Path

import pytest
from dossiers import PLATFORM, SELLER
from uploads import body, signer
from zones import Zone

from tongguan import store
from tongguan.sharing import certificates, companies
from tongguan.sharing.payment_data import asking, protocol

FORM = "application/x-www-form-urlencoded"
KEY = signer()
NOON = 1654056000000


@pytest.fixture
def session(zone: Zone) -> str:
    """A request for order O1 that our window made at noon."""

    def work(conn) -> str:
        certificates.file(conn, PLATFORM[0], KEY.certificate, "test", 1)
        companies.file(conn, "3301960Z09", "运营公司", ["operator"], "test", 1)
        asking.register(conn, PLATFORM[0], "http://127.0.0.1:9/platDataOpen", "test", 1)
        return asking.ask(conn, PLATFORM[0], "O1", "test", NOON, 120_000).session_id

    return store.transact(zone.database, work)


def upload(zone: Zone, data: bytes) -> dict:
    reply = zone.ask("POST", protocol.UPLOAD_PATH, None, data, FORM)
    assert reply.status == 200
    return dict(reply.json)


def test_an_upload_needs_no_key_but_a_signature(zone: Zone, session: str) -> None:
    assert upload(zone, body(session, signer()))["code"] == "20002"
    said = upload(zone, body(session, KEY))
    assert said == {"code": "10000", "message": "上传成功", "total": 0, "serviceTime": NOON}
    assert upload(zone, b"nonsense")["code"] == "20001"
    assert zone.ask("GET", protocol.UPLOAD_PATH).status == 405


def test_only_a_key_for_it_sees_what_came(zone: Zone, session: str) -> None:
    upload(zone, body(session, KEY))
    key = zone.key("3301960Z09", "payments:179")
    for number in (session, "O1"):
        [facts] = zone.ask("GET", f"/api/payment-data/{number}", key).json["requests"]
        assert facts["state"] == "answered"
    assert zone.ask("GET", "/api/payment-data/O2", key).status == 404
    assert zone.ask("GET", f"/api/payment-data/{session}", zone.key(SELLER[0])).status == 403
    assert zone.ask("GET", f"/api/payment-data/{session}").status == 401


def test_what_was_said_between_platform_and_payment_firm_is_in_no_row_in_clear(
    zone: Zone, session: str, tmp_path: Path
) -> None:
    upload(zone, body(session, KEY))
    rows = zone.rows("SELECT e::text FROM payment_event e")
    assert len(rows) == 2
    assert "pay.example" not in str(rows)
