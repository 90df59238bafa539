"""Why a signature fails: what differs, where it differs first, and what the sender seems to do.

For senders, who post the message and their own canonical form of it. What is shown of either goes
back to the sender and nowhere else: nothing here is logged, and no ``repr`` holds it.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from lxml import etree

from tongguan.codes import Finding, Text
from tongguan.messages import algorithms
from tongguan.messages.certificate import Certificate
from tongguan.messages.parse import message_bytes, new_parser, parse
from tongguan.messages.parsed import Limits
from tongguan.messages.signature import (
    DIGEST_VALUE,
    SIGNATURE_VALUE,
    Known,
    SignedForm,
    Verified,
    verify,
)

Verdict = Literal["verifies", "refused", "unsigned", "form", "digest", "signature", "certificate"]

SURROUNDINGS = 40
"""Bytes shown on either side of the first difference."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two canonical forms part.

    ``of``: message, or SignedInfo. ``offset``: of the first byte that differs, from 0; where one
    form ends before the other, its length. ``ours`` and ``theirs``: what stands around it in
    either, from the same offset on; ``mark``: how many characters of each come before it.
    """

    of: Literal["message", "SignedInfo"]
    offset: int
    mark: int
    ours: str = field(repr=False)
    theirs: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hint:
    """What the sender seems to have done, which would give the value that was sent."""

    id: str
    text: Text


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known about one signature.

    ``verdict``: ``verifies``; ``refused``, no message of the standard; ``unsigned``; ``form``, a
    signature other than the standard prescribes; ``digest``, the message is not what was hashed;
    ``signature``, SignedInfo is not what was signed, or by another key; ``certificate``, none that
    can be used. Where several hold, the first of form, certificate, digest, signature.
    ``findings``: as the receipt has them. ``digest_*``: base64: as sent, of the message as it
    arrived, of the sender's own form. ``first_difference``: None without a form of the sender's,
    or where it is ours. Whether the certificate is filed and valid is not asked here.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    algorithm: str | None = None
    digest_algorithm: str | None = None
    serial: str | None = None
    canonical_bytes: int | None = None
    digest_sent: str | None = None
    digest_computed: str | None = None
    digest_of_sender: str | None = None
    first_difference: Difference | None = None
    hints: tuple[Hint, ...] = ()

    def facts(self) -> dict[str, Any]:
        """The diagnosis as JSON values: the attributes above by their names.

        ``findings``: a list of {field, expected, actual, severity, code}; ``first_difference``:
        {of, offset, mark, ours, theirs} or None; ``hints``: a list of {id, zh, en}.
        """
        difference = self.first_difference
        names = ("field", "expected", "actual", "severity", "code")
        plain = (
            *("verdict", "algorithm", "digest_algorithm", "serial", "canonical_bytes"),
            *("digest_sent", "digest_computed", "digest_of_sender"),
        )
        return {
            **{name: getattr(self, name) for name in plain},
            "findings": [{name: getattr(f, name) for name in names} for f in self.findings],
            "first_difference": difference
            and {
                name: getattr(difference, name)
                for name in ("of", "offset", "mark", "ours", "theirs")
            },
            "hints": [{"id": h.id, "zh": h.text.zh, "en": h.text.en} for h in self.hints],
        }


def diagnose(
    data: bytes,
    canonical_of_sender: bytes | None = None,
    known: Known = lambda serial: None,
    limits: Limits | None = None,
) -> Diagnosis:
    """Say why the signature of a message fails. Never raises for what a sender wrote.

    ``data``: the message, also in its envelope. ``canonical_of_sender``: the bytes the sender
    hashed (the message without its Signature), or those it signed (SignedInfo); which of the two
    they are is told from their root. ``known``: see :func:`verify`.
    """
    limits = limits or Limits()
    parsed = parse(data, limits, signed_form=True)
    if parsed.refused:
        return Diagnosis("refused", tuple(parsed.findings))
    form = parsed.form
    if form is None:
        return Diagnosis("unsigned", ())
    verified = verify(form, parsed.kind, known)
    difference, of_sender = None, None
    digest = verified.digest_algorithm
    if canonical_of_sender is not None and form.whole:
        difference = _compare(form, canonical_of_sender)
        if digest is not None and not _is_signed_info(canonical_of_sender):
            of_sender = _coded(algorithms.digest(digest, [canonical_of_sender]))
    computed = _coded(form.hashed(digest)) if digest and form.whole else None
    return Diagnosis(
        verdict=_verdict(form, verified),
        findings=verified.findings,
        algorithm=verified.algorithm,
        digest_algorithm=digest,
        serial=verified.serial,
        canonical_bytes=len(form.canonical) if form.whole else None,
        digest_sent=None if form.digest_value is None else _coded(form.digest_value),
        digest_computed=computed,
        digest_of_sender=of_sender,
        first_difference=difference,
        hints=_hints(message_bytes(data, limits), form, verified),
    )


def _verdict(form: SignedForm, verified: Verified) -> Verdict:
    wrong = {found.field for found in verified.findings if found.severity == "error"}
    if not wrong:
        return "verifies"
    if form.problems or not verified.algorithm or not verified.digest_algorithm:
        return "form"
    if wrong - {DIGEST_VALUE, SIGNATURE_VALUE}:
        return "certificate"
    return "digest" if DIGEST_VALUE in wrong else "signature"


# --- the first byte that differs ---


def _is_signed_info(form: bytes) -> bool:
    opening = re.match(rb"\s*<(?:[\w.-]+:)?SignedInfo[\s>]", form)
    return opening is not None


def _compare(form: SignedForm, theirs: bytes) -> Difference | None:
    of_info = _is_signed_info(theirs)
    ours = form.signed_info if of_info else form.canonical
    offset = first_difference(ours, theirs)
    if offset is None:
        return None
    whole = _character(ours, theirs, offset)
    start = _character(ours, ours, max(0, whole - SURROUNDINGS))
    return Difference(
        of="SignedInfo" if of_info else "message",
        offset=offset,
        mark=len(_shown(ours[start:whole])),
        ours=_shown(ours[start : _character(ours, ours, whole + SURROUNDINGS)]),
        theirs=_shown(theirs[start : _character(theirs, theirs, whole + SURROUNDINGS)]),
    )


def _character(one: bytes, other: bytes, offset: int) -> int:
    """Where the character of UTF-8 begins that an offset lies in, in either text."""
    for place in range(offset, max(offset - 4, -1), -1):
        here = one[place : place + 1] + other[place : place + 1]
        if not any(byte & 0xC0 == 0x80 for byte in here):
            return place
    return offset


def first_difference(one: bytes, other: bytes) -> int | None:
    """The offset of the first byte that differs, the shorter length if one goes on; None if equal.

    >>> first_difference(b"<a>12</a>", b"<a>13</a>")
    4
    """
    if one == other:
        return None
    same, differs = 0, min(len(one), len(other)) + 1
    while differs - same > 1:
        middle = (same + differs) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            differs = middle
    return same


def _shown(data: bytes) -> str:
    r"""Bytes as text; line ends and tabs, and what is not UTF-8, as \r, \n, \t, \xNN."""
    text = data.decode("utf-8", "backslashreplace")
    return text.replace("\r", r"\r").replace("\n", r"\n").replace("\t", r"\t")


# --- what the sender seems to do ---

HINTS = {
    "other-hash": Text(
        "摘要值是用另一种杂凑算法算出的，与DigestMethod所写不符。",
        "The digest was made with another hash than DigestMethod names.",
    ),
    "as-sent": Text(
        "摘要取自原始文本，未作规范化（C14N）。",
        "The text was hashed as it is written, not its canonical form.",
    ),
    "with-declaration": Text(
        "摘要包含了XML声明（<?xml …?>），规范形式中没有它。",
        "The XML declaration was hashed too; the canonical form has none.",
    ),
    "with-signature": Text(
        "摘要包含了Signature节点，应先去掉它（enveloped-signature）。",
        "The Signature was hashed too; it must be left out (enveloped-signature).",
    ),
    "with-comments": Text(
        "摘要用了带注释的规范化，应不带注释。",
        "The canonical form with comments was hashed; it must be the one without.",
    ),
    "exclusive": Text(
        "用了排他规范化（exc-c14n），应为C14N 1.0。",
        "Exclusive canonical XML was used; it must be canonical XML 1.0.",
    ),
    "without-white-space": Text(
        "加签之后报文被重新排版，元素之间多了空白。",
        "The message was laid out anew after it was signed: there is white space between elements.",
    ),
    "carriage-returns": Text(
        "摘要按CRLF换行计算，规范形式只有LF。",
        "Lines ended in CR LF when it was hashed; the canonical form has LF alone.",
    ),
    "gb18030": Text(
        "摘要按GB编码的字节计算，规范形式总是UTF-8。",
        "It was hashed in a GB encoding; the canonical form is always UTF-8.",
    ),
    "hexadecimal": Text(
        "DigestValue是十六进制文本的base64，应为摘要字节的base64。",
        "DigestValue is base64 of the digest in hexadecimal; it must be base64 of its bytes.",
    ),
    "signed-as-sent": Text(
        "签名取自SignedInfo的原始文本，未作规范化。",
        "SignedInfo was signed as it is written, not its canonical form.",
    ),
    "signed-alone": Text(
        "SignedInfo脱离报文单独规范化，缺少根节点的命名空间声明。",
        "SignedInfo was made canonical by itself: it lacks the namespaces of the root around it.",
    ),
    "signed-message": Text(
        "签名取自整份报文，应取自SignedInfo。",
        "The message was signed; it must be SignedInfo.",
    ),
    "signed-digest": Text(
        "签名取自摘要值，应取自SignedInfo。",
        "The digest was signed; it must be SignedInfo.",
    ),
    "signed-other-hash": Text(
        "签名用了另一种杂凑算法，与SignatureMethod所写不符。",
        "It was signed with another hash than SignatureMethod names.",
    ),
    "no-signer-id": Text(
        "SM2签名未计入签名者标识（1234567812345678）。",
        "The SM2 signature leaves out the signer's identity (1234567812345678).",
    ),
}
"""What senders are seen to do, by what gives it away."""


def _hints(text: bytes, form: SignedForm, verified: Verified) -> tuple[Hint, ...]:
    wrong = {found.field for found in verified.findings if found.severity == "error"}
    found: list[str] = []
    if DIGEST_VALUE in wrong and verified.digest_algorithm:
        found += _digest_hints(text, form, verified.digest_algorithm)
    if SIGNATURE_VALUE in wrong and verified.certificate and verified.algorithm:
        method = algorithms.SIGNATURES[form.signature_method or ""]
        found += _signature_hints(text, form, method.hash, verified.certificate)
    return tuple(Hint(name, HINTS[name]) for name in dict.fromkeys(found))


def _digest_hints(text: bytes, form: SignedForm, declared: str) -> Iterator[str]:
    sent = form.digest_value
    for other in sorted(set(algorithms.DIGESTS.values()) - {declared}):
        if form.hashed(other) == sent:
            yield "other-hash"
    for name, hashed in _other_forms(text, form):
        if algorithms.digest(declared, [hashed]) == sent:
            yield name
    computed = form.hashed(declared)
    if sent in (computed.hex().encode(), computed.hex().upper().encode()):
        yield "hexadecimal"


def _other_forms(text: bytes, form: SignedForm) -> Iterator[tuple[str, bytes]]:
    """What else than the canonical form of the message may have been hashed."""
    canonical = form.canonical
    bare = _without_signature(text)
    yield "as-sent", bare
    yield "as-sent", bare.strip()
    yield "with-signature", form.whole
    for end in (b"", b"\n", b"\r\n"):
        yield "with-declaration", b'<?xml version="1.0" encoding="UTF-8"?>' + end + canonical
    yield "carriage-returns", canonical.replace(b"\n", b"\r\n")
    yield "carriage-returns", canonical.replace(b"\n", b"&#xD;\n")
    yield "gb18030", canonical.decode().encode("gb18030")
    yield "without-white-space", re.sub(rb">\s+<", b"><", canonical)
    root = etree.fromstring(bare, new_parser(comments=True))
    yield "with-comments", etree.tostring(root, method="c14n", with_comments=True)
    yield "exclusive", etree.tostring(root, method="c14n", exclusive=True, with_comments=False)


_SIGNATURE = re.compile(rb"<(?P<lead>(?:[\w.-]+:)?)Signature[\s>].*</(?P=lead)Signature\s*>", re.S)


def _without_signature(text: bytes) -> bytes:
    return _SIGNATURE.sub(b"", text)


def _signature_hints(
    text: bytes, form: SignedForm, hash_name: str, certificate: Certificate
) -> Iterator[str]:
    signature = form.signature_value or b""
    for name, signed in _other_signed(text, form):
        if certificate.verifies(signature, signed, hash_name):
            yield name
    if certificate.algorithm == "rsa":
        for other in {"sha1", "sha256"} - {hash_name}:
            if certificate.verifies(signature, form.signed_info, other):
                yield "signed-other-hash"
    elif certificate.verifies(signature, form.signed_info, hash_name, signer_id=None):
        yield "no-signer-id"


def _other_signed(text: bytes, form: SignedForm) -> Iterator[tuple[str, bytes]]:
    """What else than the canonical form of SignedInfo may have been signed."""
    as_sent = re.search(rb"<((?:[\w.-]+:)?)SignedInfo[\s>].*</\1SignedInfo\s*>", text, re.S)
    if as_sent:
        yield "signed-as-sent", as_sent[0]
    info = etree.fromstring(form.signed_info)
    yield "signed-alone", etree.tostring(info, method="c14n", exclusive=True)
    yield "signed-message", form.canonical
    if form.digest_value is not None:
        yield "signed-digest", form.digest_value
        yield "signed-digest", base64.b64encode(form.digest_value)


def _coded(value: bytes) -> str:
    return base64.b64encode(value[:64]).decode("ascii")
