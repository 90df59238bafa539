"""Certificates of companies: filed once, for one company, revoked from a time on, never lost."""

from datetime import UTC, datetime

import psycopg
import pytest
from stdnum.cn import uscc

from tongguan import messages
from tongguan.sharing import certificates, companies
from tongguan.sharing.rules import Refused

MINE, OTHER = "3302695961", "3301960S01"
SINCE, UNTIL = datetime(2022, 1, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC)
AT = 1_654_000_000_000


@pytest.fixture(scope="module")
def certificate() -> messages.Certificate:
    return messages.issue(MINE, "", "sm2", SINCE, UNTIL).certificate


def test_a_certificate_is_filed_once(
    conn: psycopg.Connection, certificate: messages.Certificate
) -> None:
    assert certificates.file(conn, MINE, certificate, "ann", AT)
    assert not certificates.file(conn, MINE, certificate, "bo", AT + 1)
    [filed] = certificates.of_company(conn, MINE)
    assert filed.fingerprint == certificate.fingerprint
    assert (filed.company, filed.serial, filed.algorithm) == (MINE, certificate.serial, "sm2")
    assert (filed.filed_by, filed.revoked_at) == ("ann", None)
    facts = filed.facts()
    assert (facts["valid_from"], facts["valid_to"]) == (SINCE.isoformat(), UNTIL.isoformat())
    assert certificates.named(conn, MINE, certificate.serial) == certificate.der
    assert certificates.named(conn, OTHER, certificate.serial) is None
    assert certificates.of_company(conn, None) == [filed]


def test_a_certificate_is_one_companys(
    conn: psycopg.Connection, certificate: messages.Certificate
) -> None:
    certificates.file(conn, MINE, certificate, "ann", AT)
    with pytest.raises(certificates.AnotherCompanys, match=f"filed for {MINE}"):
        certificates.file(conn, OTHER, certificate, "ann", AT)


def test_what_is_no_code_is_refused(
    conn: psycopg.Connection, certificate: messages.Certificate
) -> None:
    with pytest.raises(Refused, match="customs code"):
        certificates.file(conn, "13号密钥测试", certificate, "ann", AT)
    assert certificates.of_company(conn, None) == []


def test_either_code_of_a_company_is_good(
    conn: psycopg.Connection, certificate: messages.Certificate
) -> None:
    credit = "91330100MA2CC0XY1"
    credit += uscc.calc_check_digit(credit)
    companies.file(conn, MINE, "某某", ["seller"], "ann", AT, credit)
    certificates.file(conn, credit, certificate, "ann", AT)
    assert certificates.of_company(conn, MINE)
    assert certificates.named(conn, credit, certificate.serial) == certificate.der
    history = companies.shown(conn, MINE)["history"]
    assert [row["what"] for row in history] == ["filed", "certificate filed"]


def test_revoking_holds_from_the_earliest_time_said(
    conn: psycopg.Connection, certificate: messages.Certificate
) -> None:
    certificates.file(conn, MINE, certificate, "ann", AT)
    written = f"00{certificate.serial.upper()}"
    [gone] = certificates.revoke(conn, MINE, written, "lost", "ann", AT + 10_000)
    assert (gone.revoked_at, gone.revoked_because) == (AT + 10_000, "lost")
    assert certificates.revoke(conn, MINE, certificate.serial, "again", "ann", AT + 20_000) == []
    [earlier] = certificates.revoke(conn, MINE, certificate.serial, "stolen", "ann", AT)
    assert (earlier.revoked_at, earlier.revoked_because) == (AT, "stolen")
    with pytest.raises(certificates.UnknownCertificate, match="no certificate 77"):
        certificates.revoke(conn, MINE, "77", "lost", "ann", AT)
    with pytest.raises(certificates.UnknownCertificate):
        certificates.revoke(conn, OTHER, certificate.serial, "lost", "ann", AT)
