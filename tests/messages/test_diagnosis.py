"""A failing signature says what differs, where first, and what its sender seems to do."""

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import gmssl_pyx
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tongguan import messages
from tongguan.messages import diagnosis
from tongguan.messages.diagnosis import HINTS, first_difference

VECTORS = Path(__file__).parent / "signatures"
MESSAGE = (VECTORS / "message.xml").read_bytes()
RSA = messages.Signer.load(VECTORS / "rsa-sha256")
SM2 = messages.Signer.load(VECTORS / "sm2-sm3")
SIGNED = messages.sign(MESSAGE, RSA)


def coded(data: bytes) -> bytes:
    return base64.b64encode(data)


# --- senders and their mistakes ---

HEAD = b'<?xml version="1.0" encoding="UTF-8"?>'


def with_digest(body: bytes, digest: bytes) -> bytes:
    """A message whose sender hashed something else, and then did everything right."""
    signed = messages.sign(body, RSA)
    data = signed.message.replace(coded(signed.digest), coded(digest))
    form = messages.parse(data, signed_form=True).form
    assert form is not None
    return data.replace(coded(signed.signature), coded(RSA.sign(form.signed_info, "sha256")))


def with_signature(signature: bytes, signed: messages.Signed = SIGNED) -> bytes:
    """A message whose digest is right, and whose sender signed something else."""
    return signed.message.replace(coded(signed.signature), coded(signature))


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def as_sent() -> bytes:
    """Hashes the text: a comment, CDATA and all, before the signature goes in by hand."""
    text = MESSAGE.replace(b"\r\n", b"\n")
    data = with_digest(MESSAGE, sha256(text))
    signature = re.search(rb"<ds:Signature .*</ds:Signature>", data, re.S)
    assert signature
    end = text.rindex(b"</")
    return text[:end] + signature[0] + text[end:]


def with_white_space() -> bytes:
    """Signs a message without white space, and lays it out afterwards."""
    tight = re.sub(rb">\s+<", b"><", MESSAGE)
    data = messages.sign(tight, RSA).message
    return data.replace(b"><ceb:", b">\n  <ceb:")


def with_comments() -> bytes:
    root = etree.fromstring(MESSAGE)
    commented = etree.tostring(root, method="c14n", with_comments=True)
    data = with_digest(MESSAGE, sha256(commented))
    province = "浙江省".encode()
    return data.replace(province, province + b"<!-- the province -->", 1)


def sm2_signature(data: bytes, signer_id: bytes | None) -> bytes:
    key = SM2.certificate._key
    der = gmssl_pyx.sm2_sign(SM2._private, key, data, signer_id)
    return b"".join(part.to_bytes(32) for part in decode_dss_signature(der))


def alone(signed: messages.Signed) -> bytes:
    """SignedInfo as a client writes it that makes it canonical by itself."""
    names = re.compile(rb' xmlns:(?:ceb|xsi)="[^"]*"')
    return names.sub(b"", signed.signed_info)


CANONICAL = SIGNED.canonical
SM2_SIGNED = messages.sign(MESSAGE, SM2)
MISTAKES: dict[str, Callable[[], bytes]] = {
    "other-hash": lambda: with_digest(MESSAGE, hashlib.sha1(CANONICAL).digest()),
    "as-sent": as_sent,
    "with-declaration": lambda: with_digest(MESSAGE, sha256(HEAD + CANONICAL)),
    "with-comments": with_comments,
    "exclusive": lambda: with_digest(
        MESSAGE,
        sha256(
            etree.tostring(
                etree.fromstring(MESSAGE), method="c14n", exclusive=True, with_comments=False
            )
        ),
    ),
    "without-white-space": with_white_space,
    "carriage-returns": lambda: with_digest(MESSAGE, sha256(CANONICAL.replace(b"\n", b"\r\n"))),
    "gb18030": lambda: with_digest(MESSAGE, sha256(CANONICAL.decode().encode("gb18030"))),
    "hexadecimal": lambda: with_digest(MESSAGE, sha256(CANONICAL).hex().encode()),
    "signed-as-sent": lambda: with_signature(
        RSA.sign(
            re.search(rb"<ds:SignedInfo>.*</ds:SignedInfo>", SIGNED.message, re.S)[0], "sha256"
        )
    ),
    "signed-alone": lambda: with_signature(RSA.sign(alone(SIGNED), "sha256")),
    "signed-message": lambda: with_signature(RSA.sign(CANONICAL, "sha256")),
    "signed-digest": lambda: with_signature(RSA.sign(SIGNED.digest, "sha256")),
    "signed-other-hash": lambda: with_signature(RSA.sign(SIGNED.signed_info, "sha1")),
    "no-signer-id": lambda: with_signature(sm2_signature(SM2_SIGNED.signed_info, None), SM2_SIGNED),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_usual_mistake_is_named(name: str) -> None:
    found = messages.diagnose(MISTAKES[name]())
    assert [hint.id for hint in found.hints] == [name]
    signing = name.startswith("signed") or name == "no-signer-id"
    assert found.verdict == ("signature" if signing else "digest")
    assert found.hints[0].text.zh
    assert found.hints[0].text.en


def test_hashing_the_signature_too_is_named() -> None:
    """The digest of a message with its Signature, which holds that digest: one has to aim."""
    form = messages.parse(SIGNED.message, signed_form=True).form
    assert form is not None
    form.digest_value = sha256(form.whole)
    verified = messages.verify(form, "order")
    hints = diagnosis._hints(SIGNED.message, form, verified)
    assert [hint.id for hint in hints] == ["with-signature"]


def test_every_hint_has_its_mistake() -> None:
    assert HINTS.keys() == MISTAKES.keys() | {"with-signature"}


def test_a_good_signature_has_no_hint() -> None:
    found = messages.diagnose(SIGNED.message, SIGNED.canonical)
    assert found.verdict == "verifies"
    assert (found.findings, found.hints, found.first_difference) == ((), (), None)
    assert found.digest_sent == found.digest_computed == found.digest_of_sender
    assert found.canonical_bytes == len(SIGNED.canonical)
    assert (found.algorithm, found.digest_algorithm) == ("rsa-sha256", "sha256")
    assert found.serial == RSA.certificate.serial


# --- where it differs first ---


def test_the_first_byte_that_differs_is_shown_with_what_stands_around_it() -> None:
    changed = SIGNED.message.replace(b"<ceb:freight>12.5<", b"<ceb:freight>12.6<")
    found = messages.diagnose(changed, SIGNED.canonical)
    assert found.verdict == "digest"
    where = found.first_difference
    assert where is not None
    assert where.of == "message"
    assert SIGNED.canonical[where.offset : where.offset + 1] == b"5"
    assert where.ours[where.mark] == "6"
    assert where.theirs[where.mark] == "5"
    assert where.ours[: where.mark] == where.theirs[: where.mark]
    assert where.ours[: where.mark].endswith("<ceb:freight>12.")
    assert found.digest_of_sender == found.digest_sent != found.digest_computed


def test_signed_info_is_compared_with_signed_info() -> None:
    found = messages.diagnose(MISTAKES["signed-alone"](), alone(SIGNED))
    where = found.first_difference
    assert where is not None
    assert where.of == "SignedInfo"
    assert where.ours[where.mark :].startswith("ceb=")
    assert where.theirs[where.mark :].startswith("ds=")
    assert found.digest_of_sender is None


def test_a_difference_inside_a_character_is_shown() -> None:
    other = SIGNED.canonical.replace("王小明".encode(), "王小朋".encode(), 1)
    where = messages.diagnose(SIGNED.message, other).first_difference
    assert where is not None
    assert SIGNED.canonical[where.offset] & 0xC0 == 0x80
    assert where.ours[where.mark - 2 : where.mark + 1] == "王小明"
    assert where.theirs[where.mark - 2 : where.mark + 1] == "王小朋"
    assert "\\x" not in where.ours + where.theirs, "whole characters are shown"


@pytest.mark.parametrize(
    ("theirs", "shown"),
    [(HEAD + b"\r\n", r"<?xml"), (b"", ""), (b"\xff\xfe", r"\xff")],
)
def test_whatever_the_sender_posts_is_compared(theirs: bytes, shown: str) -> None:
    where = messages.diagnose(SIGNED.message, theirs).first_difference
    assert where is not None
    assert where.offset <= 2
    assert where.theirs.startswith(shown)
    where = messages.diagnose(SIGNED.message, SIGNED.canonical + b"\n").first_difference
    assert where is not None
    assert (where.offset, where.theirs[where.mark :]) == (len(SIGNED.canonical), r"\n")
    assert where.ours[where.mark :] == ""


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_first_difference_is_the_first(one: bytes, other: bytes) -> None:
    pairs = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    expected = next(pairs, None if one == other else min(len(one), len(other)))
    assert first_difference(one, other) == expected


@given(st.data())
def test_first_difference_finds_one_byte(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(SIGNED.canonical) - 1))
    other = bytearray(SIGNED.canonical)
    other[place] ^= data.draw(st.integers(1, 255))
    assert first_difference(SIGNED.canonical, bytes(other)) == place


# --- the other verdicts, and what is not told ---


def test_each_verdict_is_given() -> None:
    tampered = SIGNED.message.replace(b'URI=""', b'URI="#x"')
    assert messages.diagnose(tampered).verdict == "form"
    unknown = SIGNED.message.replace(b"xmlenc#sha256", b"xmlenc#md5")
    assert messages.diagnose(unknown, SIGNED.canonical).verdict == "form"
    assert messages.diagnose(MESSAGE).verdict == "unsigned"
    assert messages.diagnose(b"<x/>", b"<x/>").verdict == "refused"
    serial = RSA.certificate.serial.encode()
    renamed = SIGNED.message.replace(serial + b"</ds:KeyName>", b"77</ds:KeyName>")
    assert messages.diagnose(renamed).verdict == "certificate"


def test_a_message_in_its_envelope_and_in_gb_is_diagnosed() -> None:
    changed = SIGNED.message.replace(b"<ceb:freight>12.5<", b"<ceb:freight>12.6<")
    body = changed.split(b"?>\n", 1)[1].decode()
    gb = f'<?xml version="1.0" encoding="GB18030"?>\n{body}'.encode("gb18030")
    wrapped = messages.envelope(
        *(gb, "1", "DXPENT0000000001", ["DXPEDCCEB0000002"]),
        *("2022-06-01T12:00:00", "CEB311Message"),
    )
    found = messages.diagnose(wrapped, SIGNED.canonical)
    assert found.verdict == "digest"
    assert found.first_difference is not None


def test_the_facts_are_json_and_the_repr_holds_no_text_of_the_message() -> None:
    changed = SIGNED.message.replace("王小明".encode(), "王小朋".encode(), 1)
    found = messages.diagnose(changed, SIGNED.canonical)
    facts = found.facts()
    assert facts["verdict"] == "digest"
    assert facts["findings"][0]["code"] == "-301020"
    assert facts["first_difference"]["of"] == "message"
    assert "王小" in facts["first_difference"]["ours"]
    assert "王小" not in repr(found)
    assert facts["hints"] == []
    assert messages.diagnose(MESSAGE).facts()["first_difference"] is None
