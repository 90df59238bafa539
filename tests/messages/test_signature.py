"""Signatures: vectors, a second implementation, and every way to say something else."""

import base64
import hashlib
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree
from signxml import DigestAlgorithm, SignatureConfiguration, SignatureMethod, XMLVerifier

from tongguan import messages

VECTORS = Path(__file__).parent / "signatures"
SCHEMES = sorted(messages.SCHEMES)


def vector(scheme: str, name: str) -> bytes:
    return (VECTORS / scheme / name).read_bytes()


def coded(scheme: str, name: str) -> bytes:
    return base64.b64decode(vector(scheme, name))


def signer(scheme: str) -> messages.Signer:
    return messages.Signer.load(VECTORS / scheme)


def verified(data: bytes) -> messages.Verified:
    parsed = messages.parse(data, signed_form=True)
    assert not parsed.refused, parsed.findings
    assert parsed.form is not None
    return messages.verify(parsed.form, parsed.kind)


def errors(data: bytes) -> dict[str, str]:
    """field -> what is there, of what refuses a message; of one refused whole, the same."""
    parsed = messages.parse(data, signed_form=True)
    if parsed.refused:
        return {found.field or "": str(found.actual) for found in parsed.findings}
    assert parsed.form is not None
    found = messages.verify(parsed.form, parsed.kind).findings
    return {one.field or "": str(one.actual) for one in found if one.severity == "error"}


@pytest.fixture(scope="module")
def signed() -> bytes:
    return vector("rsa-sha256", "signed.xml")


@pytest.fixture(scope="module")
def message() -> bytes:
    return (VECTORS / "message.xml").read_bytes()


# --- vectors ---


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_vector_verifies(scheme: str) -> None:
    found = verified(vector(scheme, "signed.xml"))
    assert found.verifies
    assert found.algorithm == messages.SCHEMES[scheme].method.name
    certificate = messages.read_certificate_file(VECTORS / scheme / "certificate.pem")
    assert found.certificate == certificate
    assert found.serial == certificate.serial


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_hashed_and_signed_is_that_of_the_vector(scheme: str, message: bytes) -> None:
    form = messages.parse(vector(scheme, "signed.xml"), signed_form=True).form
    assert form is not None
    assert form.canonical == vector(scheme, "canonical.txt")
    assert form.signed_info == vector(scheme, "signed_info.txt")
    assert form.digest_value == coded(scheme, "digest.txt")
    assert form.signature_value == coded(scheme, "signature.txt")
    made = messages.sign(message, signer(scheme), scheme)
    assert (made.canonical, made.digest) == (form.canonical, form.digest_value)
    assert made.signed_info == form.signed_info
    if scheme.startswith("rsa"):
        assert made.message == vector(scheme, "signed.xml"), "RSA signs the same each time"
    assert verified(made.message).verifies


def test_the_canonical_form_is_that_of_the_message_as_libxml2_writes_it(message: bytes) -> None:
    tree = etree.ElementTree(etree.fromstring(message))
    canonical = etree.tostring(tree, method="c14n", with_comments=False)
    assert canonical == vector("rsa-sha256", "canonical.txt")
    assert b"<!--" in message
    assert b"CDATA" in message
    assert b"\r\n" in message


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name.startswith("rsa")])
def test_signxml_agrees(scheme: str) -> None:
    weak = SignatureConfiguration(
        signature_methods=frozenset(SignatureMethod), digest_algorithms=frozenset(DigestAlgorithm)
    )
    pem = (VECTORS / scheme / "certificate.pem").read_text("ascii")
    found = XMLVerifier().verify(vector(scheme, "signed.xml"), x509_cert=pem, expect_config=weak)
    assert found.signed_data == vector(scheme, "canonical.txt")


@pytest.fixture(scope="module")
def openssl() -> str:
    """The openssl command, which knows SM2 from version 3 on."""
    found = shutil.which("openssl")
    told = subprocess.run([found, "version"], capture_output=True, text=True) if found else None
    if told is None or not told.stdout.startswith(("OpenSSL 3", "OpenSSL 4")):
        pytest.skip("SM2 IS NOT VERIFIED BY A SECOND IMPLEMENTATION: openssl 3 is not here")
    return str(found)


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name.startswith("sm2")])
def test_openssl_agrees(scheme: str, openssl: str, tmp_path: Path) -> None:
    raw = coded(scheme, "signature.txt")
    assert len(raw) == 64, "r and s, as cards give them"
    der = der_of(raw)
    (tmp_path / "signature.der").write_bytes(der)
    pem = ["-in", VECTORS / scheme / "certificate.pem", "-noout", "-pubkey"]
    public = subprocess.run([openssl, "x509", *pem], capture_output=True, check=True).stdout
    (tmp_path / "public.pem").write_bytes(public)
    told = subprocess.run(
        [
            *(openssl, "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "public.pem"),
            *("-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678"),
            *("-in", VECTORS / scheme / "signed_info.txt"),
            *("-sigfile", tmp_path / "signature.der"),
        ],
        capture_output=True,
        text=True,
    )
    assert "Verified Successfully" in told.stdout, told.stderr
    name = {"sm2-sm3": "sm3", "sm2-sm3-w3c": "sha1"}[scheme]
    hashed = subprocess.run(
        [openssl, "dgst", f"-{name}", "-binary", VECTORS / scheme / "canonical.txt"],
        capture_output=True,
        check=True,
    ).stdout
    assert hashed == coded(scheme, "digest.txt")


def der_of(raw: bytes) -> bytes:
    """SEQUENCE of two INTEGERs, by hand."""
    numbers = b"".join(
        b"\x02" + bytes([len(n)]) + n
        for n in (b"\0" * (h[0] >> 7) + h for h in (raw[:32].lstrip(b"\0"), raw[32:].lstrip(b"\0")))
    )
    return b"\x30" + bytes([len(numbers)]) + numbers


def test_an_sm2_signature_is_taken_in_der_too() -> None:
    data = vector("sm2-sm3", "signed.xml")
    der = base64.b64encode(der_of(coded("sm2-sm3", "signature.txt")))
    assert verified(data.replace(vector("sm2-sm3", "signature.txt").strip(), der)).verifies


# --- other ways to write the same message ---


def test_encoding_and_envelope_do_not_touch_a_signature(signed: bytes) -> None:
    body = signed.split(b"?>\n", 1)[1].decode()
    gb = f'<?xml version="1.0" encoding="GB18030"?>\n{body}'.encode("gb18030")
    assert verified(gb).verifies
    wrapped = messages.envelope(
        *(signed, "1", "DXPENT0000000001", ["DXPEDCCEB0000002"]),
        *("2022-06-01T12:00:00", "CEB311Message"),
    )
    assert verified(wrapped).verifies
    assert verified(b"\xef\xbb\xbf" + signed).verifies


def test_the_certificate_may_be_left_out_where_it_is_filed(signed: bytes) -> None:
    start, end = signed.index(b"<ds:X509Data>"), signed.index(b"</ds:X509Data>")
    bare = signed[:start] + signed[end + len(b"</ds:X509Data>") :]
    certificate = signer("rsa-sha256").certificate
    form = messages.parse(bare, signed_form=True).form
    assert form is not None
    asked: list[str] = []

    def filed(serial: str) -> bytes:
        asked.append(serial)
        return certificate.der

    assert messages.verify(form, "order", filed).verifies
    assert asked == [certificate.serial]
    assert list(errors(bare)) == ["ds:KeyName"]


def test_a_default_namespace_signature_verifies(message: bytes) -> None:
    """A root that declares ds, and a Signature that uses it as its default namespace."""
    ds = b'xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'
    twice = message.replace(b"xmlns:ceb=", ds + b" xmlns:ceb=", 1)
    made = messages.sign(twice, signer("rsa-sha256")).message
    assert verified(made).verifies
    key = signer("rsa-sha256")
    head, rest = made.split(b"<ds:Signature ", 1)
    signature, tail = rest.split(b"</ds:Signature>", 1)
    plain = b"<Signature " + signature.replace(ds, ds.replace(b":ds", b"")).replace(b"ds:", b"")
    moved = head + plain + b"</Signature>" + tail
    form = messages.parse(moved, signed_form=True).form
    assert form is not None
    again = base64.b64encode(key.sign(form.signed_info, "sha256"))
    old = base64.b64encode(form.signature_value or b"")
    data = moved.replace(old, again)
    assert verified(data).verifies
    signed_info = etree.fromstring(data)[-1][0]
    assert etree.tostring(signed_info, method="c14n") == form.signed_info


# --- what differs is told ---


def test_a_change_is_a_matter_of_the_digest(signed: bytes) -> None:
    found = verified(signed.replace(b"<ceb:freight>12.5<", b"<ceb:freight>12.6<"))
    [one] = found.findings
    assert (one.rule, one.severity, one.field) == ("message.signature", "error", "ds:DigestValue")
    sent = vector("rsa-sha256", "digest.txt").decode().strip()
    assert f"sha256 {sent}" in str(one.actual)
    assert signer("rsa-sha256").certificate.serial in str(one.actual)
    changed = vector("rsa-sha256", "canonical.txt").replace(b"ght>12.5<", b"ght>12.6<")
    digest = base64.b64encode(hashlib.sha256(changed).digest()).decode()
    assert f"sha256 {digest} of the {len(changed)} canonical bytes" in str(one.expected)


def test_another_signature_is_a_matter_of_the_signature(signed: bytes) -> None:
    other = base64.b64encode(signer("rsa-sha256").sign(b"something else", "sha256"))
    found = errors(signed.replace(vector("rsa-sha256", "signature.txt").strip(), other))
    assert list(found) == ["ds:SignatureValue"]
    assert "256 bytes that do not verify" in found["ds:SignatureValue"]


def test_both_are_told_at_once(signed: bytes) -> None:
    changed = signed.replace(b"<ceb:freight>12.5<", b"<ceb:freight>12.6<")
    other = base64.b64encode(signer("rsa-sha256").sign(b"something else", "sha256"))
    found = errors(changed.replace(vector("rsa-sha256", "signature.txt").strip(), other))
    assert list(found) == ["ds:DigestValue", "ds:SignatureValue"]


@pytest.mark.parametrize("scheme", ["rsa-sha1", "sm2-sm3-w3c"])
def test_what_is_weak_is_taken_and_told(scheme: str) -> None:
    found = verified(vector(scheme, "signed.xml"))
    assert found.verifies
    weak = {one.field for one in found.findings if one.severity == "warning"}
    assert weak == {"ds:DigestMethod"} | ({"ds:SignatureMethod"} if scheme == "rsa-sha1" else set())
    assert not verified(vector("sm2-sm3", "signed.xml")).findings


# --- nothing else is taken ---

C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
TAMPERED = {
    "exclusive c14n": (
        C14N.encode(),
        b"http://www.w3.org/2001/10/xml-exc-c14n#",
        "ds:CanonicalizationMethod",
    ),
    "c14n with comments": (
        C14N.encode(),
        C14N.encode() + b"#WithComments",
        "ds:CanonicalizationMethod",
    ),
    "an unknown signature": (
        b"xmldsig-more#rsa-sha256",
        b"xmldsig-more#hmac-sha256",
        "ds:SignatureMethod",
    ),
    "an unknown digest": (b"xmlenc#sha256", b"xmlenc#md5", "ds:DigestMethod"),
    "part of the message": (b'URI=""', b'URI="#order"', "ds:Reference"),
    "no address": (b' URI=""', b"", "ds:Reference"),
    "another transform": (
        b"xmldsig#enveloped-signature",
        b"xmldsig#base64",
        "ds:Transform",
    ),
    "a second transform": (
        b"</ds:Transforms>",
        b'<ds:Transform Algorithm="x"/></ds:Transforms>',
        "ds:Transform",
    ),
    "a transform with XPath in it": (
        b'#enveloped-signature"/>',
        b'#enveloped-signature"><ds:XPath>not(self::x)</ds:XPath></ds:Transform>',
        "ds:Transform",
    ),
    "a second reference": (
        b"</ds:Reference>",
        b'</ds:Reference><ds:Reference URI=""/>',
        "ds:Reference",
    ),
    "a truncated hash": (
        b"rsa-sha256",
        b'rsa-sha256" Length="1',
        "ds:SignatureMethod",
    ),
    "an object": (b"</ds:KeyInfo>", b"</ds:KeyInfo><ds:Object/>", "ds:Object"),
    "a key value": (b"<ds:KeyName>", b"<ds:KeyValue/><ds:KeyName>", "ds:KeyInfo"),
    "a chain": (
        b"</ds:X509Data>",
        b"<ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data>",
        "ds:X509Certificate",
    ),
    "elements in a value": (b"</ds:DigestValue>", b"<x/></ds:DigestValue>", "ds:DigestValue"),
    "no base64": (b"<ds:DigestValue>", b"<ds:DigestValue>%", "ds:DigestValue"),
    "an inherited attribute": (b" guid=", b' xml:space="preserve" guid=', "@xml:space"),
}


def test_the_tampering_touches_the_message(signed: bytes) -> None:
    assert [name for name, (old, _, _) in TAMPERED.items() if old not in signed] == []


@pytest.mark.parametrize("name", TAMPERED)
def test_another_form_is_refused_and_named(name: str, signed: bytes) -> None:
    old, new, field = TAMPERED[name]
    assert field in errors(signed.replace(old, new, 1))


def test_a_signature_without_its_parts_is_refused(signed: bytes) -> None:
    start, end = signed.index(b"<ds:KeyInfo>"), signed.index(b"</ds:Signature>")
    assert "ds:KeyInfo" in errors(signed[:start] + signed[end:])
    start, end = signed.index(b"<ds:SignedInfo>"), signed.index(b"</ds:Signature>")
    assert "ds:SignedInfo" in errors(signed[:start] + signed[end:])


def test_a_second_signature_is_refused_wherever_it_stands(signed: bytes) -> None:
    start, end = signed.index(b"<ds:Signature "), signed.index(b"</ds:Signature>")
    whole = signed[start : end + len(b"</ds:Signature>")]
    assert "ds:Signature" in errors(signed.replace(whole, whole + whole))
    assert "ds:Signature" in errors(
        signed.replace(b"<ceb:BaseTransfer>", whole + b"<ceb:BaseTransfer>")
    )
    moved = signed.replace(whole, b"").replace(b"<ceb:BaseTransfer>", whole + b"<ceb:BaseTransfer>")
    assert "ds:Signature" in errors(moved)
    extended = (
        b"<ceb:ExtendMessage><ceb:name>n</ceb:name><ceb:version>1</ceb:version><ceb:Message>"
        + whole
        + b"</ceb:Message></ceb:ExtendMessage>"
    )
    hidden = signed.replace(b"<ds:Signature ", extended + b"<ds:Signature ", 1)
    assert "ds:Signature[2]" in errors(hidden)


def test_documents_cannot_be_wrapped_away(signed: bytes) -> None:
    """The signed order moved below an extension, another one in its place."""
    start = signed.index(b"<ceb:Order>")
    end = signed.index(b"</ceb:Order>") + len(b"</ceb:Order>")
    order = signed[start:end]
    extended = (
        b"<ceb:ExtendMessage><ceb:name>n</ceb:name><ceb:version>1</ceb:version><ceb:Message>"
        + order
        + b"</ceb:Message></ceb:ExtendMessage>"
    )
    other = order.replace(b"<ceb:freight>12.5<", b"<ceb:freight>0.01<")
    wrapped = signed[:start] + other + signed[end:]
    wrapped = wrapped.replace(b"<ds:Signature ", extended + b"<ds:Signature ", 1)
    assert "ds:DigestValue" in errors(wrapped)


# --- what is decided is what was signed ---


@pytest.mark.parametrize(
    "written",
    [
        b"12<!-- x -->.5",
        b"<!-- x -->12.5",
        b"12<![CDATA[.]]>5",
        b"<![CDATA[12.5]]>",
        b"1&#50;.5",
        b"12.5<!---->",
    ],
)
def test_a_value_is_that_of_the_canonical_form(written: bytes, message: bytes) -> None:
    data = message.replace(b"<ceb:freight>12.5<", b"<ceb:freight>" + written + b"<", 1)
    made = messages.sign(data, signer("rsa-sha256"))
    assert b"<ceb:freight>12.5</ceb:freight>" in made.canonical
    again = made.message.replace(b"<ceb:freight>12.5<", b"<ceb:freight>" + written + b"<", 1)
    assert verified(again).verifies, "the canonical form is the same"
    assert messages.parse(again).heads["freight"] == ["12.5"]
    assert messages.parse(made.canonical).heads == messages.parse(again).heads
    # A text in two pieces and an empty one beside it: as many texts as leaves.
    empty = again.replace(b"<ceb:discount>12.5<", b"<ceb:discount><", 1)
    heads = messages.parse(empty).heads
    assert (heads["freight"], heads["discount"], heads["taxTotal"]) == (["12.5"], [""], ["12.5"])


@pytest.mark.parametrize(
    "place", [b"<ceb:freight>12.5", b"<ceb:freight>", b"</ceb:CEB311Message>", b"?>\n"]
)
def test_a_processing_instruction_is_refused(place: bytes, signed: bytes) -> None:
    data = signed.replace(place, place + b"<?x y?>", 1)
    assert "one" in errors(data)["ds:Reference"]


def test_an_instruction_in_the_place_of_the_declaration_is_refused(signed: bytes) -> None:
    body = signed.split(b"?>\n", 1)[1]
    assert verified(body).verifies
    assert "one" in errors(b"<?x y?>" + body)["ds:Reference"]
    assert "one" in errors(b"<?xml-stylesheet href='a'?>" + body)["ds:Reference"]


def test_what_looks_like_an_instruction_is_none(message: bytes) -> None:
    data = message.replace(b"<!-- an order -->", b"<!-- <?x y?> -->")
    body = messages.sign(data, signer("rsa-sha256")).message.split(b"?>\n", 1)[1]
    assert verified(b"<!-- <?x y?> -->" + body).verifies


def test_an_entity_is_refused(signed: bytes) -> None:
    head = b'<!DOCTYPE x [<!ENTITY a "12.5">]>'
    assert errors(signed.replace(b"?>\n", b"?>\n" + head, 1)) == {"": "a DOCTYPE"}
    assert "a" in errors(signed.replace(b"<ceb:freight>12.5<", b"<ceb:freight>&a;<"))[""]


# --- signing ---


def test_a_dummy_signature_is_replaced(message: bytes) -> None:
    made = messages.sign(message, signer("sm2-sm3")).message
    again = messages.sign(made, signer("rsa-sha256"))
    assert again.message == messages.sign(message, signer("rsa-sha256")).message
    assert verified(again.message).algorithm == "rsa-sha256"


def test_every_import_message_can_be_signed(documents, written) -> None:
    key = signer("rsa-sha256")
    for name in ("CEB411", "CEB511", "CEB513", "CEB621", "CEB623", "CEB625", "CEB711"):
        made = messages.sign(written(name, *documents(name)), key)
        found = verified(made.message)
        assert found.verifies, name
        assert not messages.parse(made.message).findings, name


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<x/>", "no message of the standard"),
        (b"", "no message of the standard"),
    ],
)
def test_what_is_no_message_is_not_signed(data: bytes, said: str) -> None:
    with pytest.raises(messages.CannotSign, match=said):
        messages.sign(data, signer("rsa-sha256"))


def test_receipts_and_envelopes_are_not_signed(signed: bytes, documents, written) -> None:
    with pytest.raises(messages.CannotSign, match="customs sends"):
        messages.sign(written("CEB312", *documents("CEB312")), signer("rsa-sha256"))
    wrapped = messages.envelope(
        *(signed, "1", "DXPENT0000000001", ["DXPEDCCEB0000002"]),
        *("2022-06-01T12:00:00", "CEB311Message"),
    )
    with pytest.raises(messages.CannotSign, match="before it is put into its envelope"):
        messages.sign(wrapped, signer("rsa-sha256"))


def test_a_scheme_goes_with_its_key(message: bytes) -> None:
    with pytest.raises(messages.CannotSign, match="does not go with an RSA key"):
        messages.sign(message, signer("rsa-sha256"), "sm2-sm3")
    with pytest.raises(messages.CannotSign, match="there are rsa-sha256"):
        messages.sign(message, signer("rsa-sha256"), "rsa-md5")


def test_a_key_does_not_go_with_another_algorithm(signed: bytes) -> None:
    sm2 = base64.b64encode(signer("sm2-sm3").certificate.der)
    rsa = base64.b64encode(signer("rsa-sha256").certificate.der)
    found = errors(signed.replace(rsa, sm2))
    assert found["ds:X509Certificate"].startswith("SM2")
    assert "ds:KeyName" in found, "and its serial number is another one"


def test_a_key_is_found_by_the_sender(signed: bytes, tmp_path: Path) -> None:
    since, until = datetime(2022, 1, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC)
    mine = messages.issue("3301960A00", "", "sm2", since, until)
    mine.save(tmp_path / "3301960A00")
    assert messages.find_signer(tmp_path, signed).certificate == mine.certificate
    with pytest.raises(messages.NotUsable, match=r"certificate\.pem"):
        messages.find_signer(tmp_path / "3301960A00" / "nobody", signed)
