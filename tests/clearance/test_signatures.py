"""message.signature: what each mode makes of a message, and what the registry has to say."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dossiers import (
    AGENT,
    CARRIER,
    NOON,
    PAYMENT,
    PLATFORM,
    Cleared,
    Paper,
    Window,
    cancellation,
    inventory,
    message,
    order,
    parcel,
    payment,
    returned,
    rules,
    waybill,
)

from tongguan import clearance, messages
from tongguan.clearance import signatures
from tongguan.sharing import certificates

SINCE, UNTIL = datetime(2015, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
AT_MS = 1_600_000_000_000


@pytest.fixture(scope="module")
def signers() -> dict[str, messages.Signer]:
    """A key of every sender, RSA and SM2."""
    kinds: dict[str, messages.KeyKind] = {PLATFORM[0]: "rsa", PAYMENT[0]: "sm2"}
    codes = (PLATFORM[0], PAYMENT[0], CARRIER[0], AGENT[0])
    return {code: messages.issue(code, "", kinds.get(code, "sm2"), SINCE, UNTIL) for code in codes}


Sign = Callable[[Paper], bytes]


@pytest.fixture
def sign(signers: dict[str, messages.Signer]) -> Sign:
    return lambda paper: messages.sign(message(paper), signers[paper.sender[0]]).message


def file(window: Window, signers: dict[str, messages.Signer]) -> None:
    with window.database.connect() as conn:
        for code, signer in signers.items():
            certificates.file(conn, code, signer.certificate, "test", AT_MS)


def told(cleared: Cleared, kind: str) -> list[tuple[str, str | None, str]]:
    """field, actual and severity of the signature findings of the one document of a kind."""
    [line] = cleared.all(kind)
    return [
        (found["field"], found.get("actual"), found["severity"])
        for found in line["findings"]
        if found["rule"] == "message.signature"
    ]


# --- the modes ---


def test_a_signed_parcel_is_released_and_nothing_is_said(
    window: Window, signers: dict[str, messages.Signer], sign: Sign
) -> None:
    file(window, signers)
    done = window.clear(*map(sign, parcel(1)), signatures="required")
    assert done.inventory["status"] == 800
    assert all(told(done, kind) == [] for kind in ("order", "payment", "waybill", "inventory"))


def test_unsigned_is_remarked_on_refused_or_not_looked_at(window: Window) -> None:
    checked = window.clear(*parcel(1), signatures="checked")
    assert checked.inventory["status"] == 800
    assert told(checked, "order") == [("ds:Signature", "none", "warning")]
    refused = window.clear(*parcel(2), signatures="required")
    assert [line["status"] for line in refused.lines] == [-301020, -401009, -504011, -621026]
    assert told(refused, "inventory") == [("ds:Signature", "none", "error")]
    ignored = window.clear(*parcel(3), signatures="ignored")
    assert ignored.inventory["status"] == 800
    assert told(ignored, "order") == []


def spoiled(data: bytes) -> bytes:
    """The message with one digit of its documents changed."""
    assert b"<ceb:note>spoil</ceb:note>" in data
    return data.replace(b"<ceb:note>spoil</ceb:note>", b"<ceb:note>spoilt</ceb:note>")


@pytest.mark.parametrize("mode", ["checked", "required"])
def test_a_signature_that_fails_refuses_with_the_codes_of_the_standard(
    window: Window, signers: dict[str, messages.Signer], sign: Sign, mode: str
) -> None:
    file(window, signers)
    papers = [paper.but(note="spoil") for paper in parcel(1)]
    done = window.clear(*(spoiled(sign(paper)) for paper in papers), signatures=mode)
    assert [line["status"] for line in done.lines] == [-301020, -401009, -504011, -621028]
    for line in done.lines:
        [found] = [f for f in line["findings"] if f["severity"] == "error"]
        assert found["field"] == "ds:DigestValue"
        assert "canonical bytes that arrived" in found["expected"]
        assert "certificate" in found["actual"]
    [answer] = done.returns("CEB622")
    assert answer["returnStatus"] == "-621028"
    assert answer["returnInfo"] is not None
    assert answer["returnInfo"].startswith("[Code:-621028;Desc:验签失败(ds:DigestValue,应为:")


def test_a_failing_signature_is_ignored_where_it_is_not_looked_at(
    window: Window, sign: Sign
) -> None:
    papers = [paper.but(note="spoil") for paper in parcel(1)]
    done = window.clear(*(spoiled(sign(paper)) for paper in papers), signatures="ignored")
    assert done.inventory["status"] == 800


def test_applications_have_codes_of_their_own(
    window: Window, signers: dict[str, messages.Signer], sign: Sign
) -> None:
    file(window, signers)
    window.clear(*parcel(1))
    applied = [cancellation(1), returned(1)]
    done = window.clear(*applied, signatures="required", cut=True)
    assert sorted(line["status"] for line in done.lines) == [-625028, -623017]


def test_all_documents_of_the_message_are_refused_and_nothing_beside_it(
    window: Window, signers: dict[str, messages.Signer], sign: Sign
) -> None:
    file(window, signers)
    both = message(order(1, note="spoil"), order(2))
    bad = spoiled(messages.sign(both, signers[PLATFORM[0]]).message)
    rest = [payment(1), payment(2), waybill(1), waybill(2), inventory(1), inventory(2)]
    done = window.clear(bad, *map(sign, [*parcel(3), *rest]), signatures="required")
    assert [line["status"] for line in done.all("order")] == [-301020, -301020, 120]
    assert [line["status"] for line in done.all("inventory")] == [800, 2, 2]
    assert window.status(order(1)) == [(-301020, False)]


def test_what_cannot_be_verified_files_no_company_and_holds_no_key(
    window: Window, signers: dict[str, messages.Signer], sign: Sign
) -> None:
    file(window, signers)
    bad = spoiled(sign(order(1, note="spoil")))
    window.clear(bad, signatures="checked")
    assert window.rows("SELECT count(*) FROM company") == [(0,)]
    done = window.clear(*map(sign, parcel(1)), signatures="checked")
    assert done.inventory["status"] == 800, "the number is free"


def test_other_faults_of_the_document_are_told_too(
    window: Window, signers: dict[str, messages.Signer], sign: Sign
) -> None:
    file(window, signers)
    bad = spoiled(sign(order(1, note="spoil", goodsValue="1", currency="840")))
    done = window.clear(bad, signatures="checked")
    assert {"message.signature", "message.field"} <= set(rules(done.one("order", 1)))
    assert done.one("order", 1)["status"] == -301020


# --- the registry ---


def test_an_unknown_certificate_is_remarked_on_or_refused(window: Window, sign: Sign) -> None:
    opened = window.clear(*map(sign, parcel(1)), signatures="required")
    assert opened.inventory["status"] == 800
    [(field, actual, severity)] = told(opened, "order")
    assert (field, severity) == ("ds:X509Certificate", "warning")
    assert actual is not None
    assert actual.endswith("not filed")
    with window.database.connect() as conn:
        conn.execute("UPDATE company_role SET provisional = false")
    closed = window.clear(*map(sign, parcel(2)), signatures="checked", registry="closed")
    assert closed.one("order", 2)["status"] == -301020
    assert told(closed, "order") == [("ds:X509Certificate", actual, "error")]


@pytest.mark.parametrize("at", ["2014-12-31T12:00:00+08:00", "2030-01-02T12:00:00+08:00"])
def test_a_certificate_counts_from_its_first_day_to_its_last(
    window: Window, signers: dict[str, messages.Signer], sign: Sign, at: str
) -> None:
    file(window, signers)
    settings = window.settings(at=NOON)
    incoming = clearance.examine(
        window.write([sign(order(1))]), settings.law, at=datetime.fromisoformat(at)
    )
    [found] = incoming.findings.filter(rule="message.signature").to_dicts()
    assert found["field"] == "ds:X509Certificate"
    assert "2015-01-01" in found["actual"]
    assert "2030-01-01" in found["actual"]


def test_an_expired_certificate_is_refused_whoever_knows_it(
    window: Window, signers: dict[str, messages.Signer]
) -> None:
    old = messages.issue(PLATFORM[0], "", "rsa", SINCE, datetime(2022, 5, 31, tzinfo=UTC))
    data = messages.sign(message(order(1)), old).message
    done = window.clear(data, signatures="checked")
    assert done.one("order", 1)["status"] == -301020
    assert [severity for _, _, severity in told(done, "order")] == ["warning", "error"]


def test_revoked_counts_from_its_time_on(
    window: Window, signers: dict[str, messages.Signer], sign: Sign
) -> None:
    file(window, signers)
    serial = signers[PLATFORM[0]].certificate.serial
    noon = int(datetime.fromisoformat(NOON).timestamp()) * 1000
    with window.database.connect() as conn:
        certificates.revoke(conn, PLATFORM[0], serial, "lost", "test", noon)
    before = window.clear(sign(order(1)), at="2022-06-01T11:59:59+08:00", signatures="checked")
    assert before.one("order", 1)["status"] == 2
    after = window.clear(sign(order(2)), at=NOON, signatures="checked")
    assert after.one("order", 2)["status"] == -301020
    [(field, actual, _)] = told(after, "order")
    assert field == "ds:X509Certificate"
    assert actual == f"{serial}, revoked since 2022-06-01T04:00:00+00:00"


def test_another_companys_certificate_is_refused_and_not_told_whose(
    window: Window, signers: dict[str, messages.Signer], sign: Sign
) -> None:
    file(window, signers)
    stolen = messages.sign(message(order(1)), signers[CARRIER[0]]).message
    done = window.clear(stolen, signatures="checked")
    [(field, actual, severity)] = told(done, "order")
    assert (field, severity) == ("copCode", "error")
    assert actual is not None
    assert CARRIER[0] not in actual
    other = messages.sign(message(returned(1)), signers[CARRIER[0]]).message
    done = window.clear(other, signatures="checked")
    assert done.one("return", 1)["status"] == -625013


def test_a_certificate_may_be_named_instead_of_sent(
    window: Window, signers: dict[str, messages.Signer], sign: Sign
) -> None:
    data = sign(order(1))
    start, end = data.index(b"<ds:X509Data>"), data.index(b"</ds:X509Data>")
    bare = data[:start] + data[end + len(b"</ds:X509Data>") :]
    unknown = window.clear(bare, signatures="checked")
    assert told(unknown, "order")[0][0] == "ds:KeyName"
    file(window, signers)
    known = window.clear(bare.replace(b"?>\n", b"?>\n\n"), signatures="required")
    assert known.one("order", 1)["status"] == 2
    assert told(known, "order") == []


# --- as a whole ---


def test_a_message_refused_whole_says_nothing_of_its_signature(window: Window, sign: Sign) -> None:
    data = sign(order(1))
    second = b'<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/>'
    doubled = data.replace(b"<ds:Signature ", second + b"<ds:Signature ", 1)
    early = data.replace(b"<ceb:BaseTransfer>", second + b"<ceb:BaseTransfer>")
    for spoilt in (doubled, early):
        done = window.clear(spoilt, signatures="checked")
        [line] = done.lines
        assert line["document"] == "message"
        assert [found["rule"] for found in line["findings"]] == ["message.format"]
        assert [name.split("-")[1] for name, _ in done.receipts] == ["CEB900.xml"]


def test_a_signature_nobody_verified_is_not_taken_for_good(window: Window) -> None:
    """A batch prepared without looking cannot be recorded under another mode."""
    [incoming] = window.work(order(1)).keywords["batch"].incoming
    incoming.parsed.signed = True
    assert signatures.about(incoming, "ignored") == ()
    with pytest.raises(ValueError, match="was not verified"):
        signatures.about(incoming, "checked")


def test_checking_needs_no_database(window: Window, sign: Sign, tmp_path: Path) -> None:
    papers = [paper.but(note="spoil") for paper in parcel(1)]
    law = window.settings().law
    good = clearance.examine(window.write([sign(paper) for paper in papers]), law)
    assert good.findings.is_empty()
    bad = clearance.examine(window.write([spoiled(sign(paper)) for paper in papers]), law)
    assert bad.findings["rule"].to_list() == ["message.signature"] * 4
    assert bad.findings["code"].to_list() == ["-301020", "-401009", "-504011", "-621028"]
    ignored = clearance.examine(
        window.write([spoiled(sign(paper)) for paper in papers]), law, mode="ignored"
    )
    assert ignored.findings.is_empty()
    bare = clearance.examine(window.write([message(order(1))]), law, mode="required")
    assert bare.findings["rule"].to_list()[0] == "message.signature"
