"""The signature of a message: taken from its tree, verified over its canonical bytes.

One enveloped XML signature over the whole message (CEB specification 202205 §6): one Reference
to "", one transform, canonical XML 1.0. Whatever else XML signatures can say is refused.

What is decided is what was signed: the columns of a message and its canonical form are made from
one tree, which holds no comments, no processing instructions and no entities. The form is taken
while nothing in the tree has been moved.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest

from lxml import etree

from tongguan import codes
from tongguan.codes import Finding, Severity
from tongguan.messages import algorithms
from tongguan.messages.catalogue import SIGNATURE_NAMESPACE
from tongguan.messages.certificate import Certificate, NotUsable, read_certificate

RULE = "message.signature"
LAW = "CEB specification 202205 §6"
DIGEST_VALUE, SIGNATURE_VALUE = "ds:DigestValue", "ds:SignatureValue"
CERTIFICATE, KEY_NAME, WHOLE = "ds:X509Certificate", "ds:KeyName", "ds:Signature"

_DS = f"{{{SIGNATURE_NAMESPACE}}}"
SIGNATURE_TAG = _DS + "Signature"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a signature that is not as it must be. field: ds:DigestMethod …"""

    field: str
    expected: str
    actual: str
    severity: Severity = "error"


@dataclass(slots=True)
class SignedForm:
    """What a signature says, and the bytes it is about.

    ``whole``: the canonical form of the message with its Signature, which stands from ``start`` to
    ``end``. ``signed_info``: the canonical form of SignedInfo. What the signature does not say in
    the one way that is allowed is None and has a problem.
    """

    whole: bytes = b""
    start: int = 0
    end: int = 0
    signed_info: bytes = b""
    signature_method: str | None = None
    digest_method: str | None = None
    digest_value: bytes | None = None
    signature_value: bytes | None = None
    key_name: str | None = None
    certificate: bytes | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def canonical(self) -> bytes:
        """What is signed: the canonical form of the message without its Signature."""
        return self.whole[: self.start] + self.whole[self.end :]

    def hashed(self, name: str) -> bytes:
        """The hash of what is signed, by a hash's name."""
        whole = memoryview(self.whole)
        return algorithms.digest(name, (whole[: self.start], whole[self.end :]))


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of a signature.

    ``algorithm`` and ``digest_algorithm`` by name (rsa-sha256, sm3), None where the standard knows
    none of that address. ``serial``: of the certificate, else what KeyName says. ``findings``:
    message.signature, errors first; without an error the signature verifies, which says nothing of
    whose certificate it is and whether it is valid.
    """

    algorithm: str | None
    digest_algorithm: str | None
    serial: str | None
    certificate: Certificate | None
    findings: tuple[Finding, ...]

    @property
    def verifies(self) -> bool:
        return not any(found.severity == "error" for found in self.findings)


# --- from the tree ---


class Malformed(ValueError):  # noqa: N818 - what the signature is
    """A signature, or a message, that is not as the standard wants it; ``problem`` says how."""

    def __init__(self, field: str, expected: str, actual: str) -> None:
        super().__init__(f"{field}: {expected}, not {_short(actual)}")
        self.problem = Problem(field, expected, _short(actual))


def take(root: etree._Element, signature: etree._Element) -> SignedForm:
    """Read the Signature that is the last child of ``root``. Leaves the tree as it is.

    Never raises for what a sender wrote; see :attr:`SignedForm.problems`.
    """
    form = SignedForm()
    try:
        _one_signature(root)
        children = _children(signature, ("SignedInfo", "SignatureValue", "KeyInfo"))
        _signed_info(form, children["SignedInfo"])
        form.signature_value = _base64(children["SignatureValue"])
        _key_info(form, children["KeyInfo"])
        nothing_inherited(root, signature)
        form.signed_info = canonical(children["SignedInfo"])
        form.whole = canonical(root)
        form.start, form.end = _place(form.whole, signature)
    except Malformed as malformed:
        form.problems.append(malformed.problem)
    return form


def _one_signature(root: etree._Element) -> None:
    count = sum(1 for _ in root.iter(SIGNATURE_TAG))
    if count != 1:
        expected = "one Signature, as the last child of the root"
        raise Malformed(f"ds:Signature[{count}]", expected, f"{count} of them")


def canonical(element: etree._Element) -> bytes:
    """The canonical form (XML 1.0, without comments) of an element where it stands.

    Raises Malformed where there is none (a namespace with a relative name).
    """
    try:
        return etree.tostring(element, method="c14n", exclusive=False, with_comments=False)
    except (etree.LxmlError, ValueError) as problem:
        raise Malformed("ds:Reference", "a message with a canonical form", str(problem)) from None


def nothing_inherited(root: etree._Element, signature: etree._Element) -> None:
    """Raises Malformed for what canonical XML would repeat on SignedInfo, and lxml does not."""
    for element in (root, signature):
        for name in element.attrib:
            if str(name).startswith(_XML):
                shown = "@xml:" + str(name).removeprefix(_XML)
                raise Malformed(shown, "no xml: attribute around what is signed", shown)


def _place(whole: bytes, signature: etree._Element) -> tuple[int, int]:
    """Where the Signature stands in the canonical form.

    In it a "<" is always a tag, and of all its elements only the Signature itself has that name.
    """
    name = f"{signature.prefix}:Signature" if signature.prefix else "Signature"
    tag = name.encode()
    start = max(whole.rfind(b"<%b " % tag), whole.rfind(b"<%b>" % tag))
    closing = b"</%b>" % tag
    return start, whole.rfind(closing) + len(closing)


def _children(parent: etree._Element, names: Sequence[str]) -> dict[str, etree._Element]:
    """The children of an element, each once and in this order; any other one is refused."""
    wanted = [f"ds:{name}" for name in names]
    there = [_name(child) for child in islice(parent, len(names) + 1)]
    if there != wanted:
        pairs = zip_longest(wanted, there)
        first = next(want or here for want, here in pairs if want != here)
        raise Malformed(str(first), ", ".join(wanted), ", ".join(there) or "none")
    return dict(zip(names, parent, strict=True))


def _name(element: etree._Element) -> str:
    """The name of an element as it is spoken of: ds:… for those of XML signatures."""
    name = str(element.tag)
    return "ds:" + name.removeprefix(_DS) if name.startswith(_DS) else _short(name)


def _signed_info(form: SignedForm, signed_info: etree._Element) -> None:
    parts = ("CanonicalizationMethod", "SignatureMethod", "Reference")
    c14n, method, reference = _children(signed_info, parts).values()
    if _algorithm(c14n) != algorithms.C14N:
        raise Malformed(_name(c14n), algorithms.C14N, _algorithm(c14n))
    form.signature_method = _algorithm(method)
    uri = reference.get("URI")
    if uri != "":
        shown = "no URI" if uri is None else f'URI="{uri}"'
        raise Malformed("ds:Reference", 'URI="", the whole message', shown)
    inside = ("Transforms", "DigestMethod", "DigestValue")
    transforms, digest_method, digest_value = _children(reference, inside).values()
    (transform,) = _children(transforms, ("Transform",)).values()
    if _algorithm(transform) != algorithms.ENVELOPED:
        raise Malformed(_name(transform), algorithms.ENVELOPED, _algorithm(transform))
    form.digest_method = _algorithm(digest_method)
    form.digest_value = _base64(digest_value)


def _algorithm(element: etree._Element) -> str:
    if len(element) or set(element.attrib) != {"Algorithm"}:
        raise Malformed(_name(element), "its Algorithm and nothing else", "more, or none")
    return element.get("Algorithm") or ""


def _key_info(form: SignedForm, key_info: etree._Element) -> None:
    names = [_name(child) for child in islice(key_info, 3)]
    if names not in ([KEY_NAME], ["ds:X509Data"], [KEY_NAME, "ds:X509Data"]):
        shown = ", ".join(names) or "none"
        raise Malformed(_name(key_info), f"{KEY_NAME}, ds:X509Data", shown)
    for child, name in zip(key_info, names, strict=True):
        if name == KEY_NAME:
            form.key_name = _text(child).strip()
        else:
            (certificate,) = _children(child, ("X509Certificate",)).values()
            form.certificate = _base64(certificate)


def _text(element: etree._Element) -> str:
    if len(element):
        raise Malformed(_name(element), "text only", "elements inside it")
    return element.text or ""


def _base64(element: etree._Element) -> bytes:
    text = "".join(_text(element).split())
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not found:
        raise Malformed(_name(element), "base64", text or "nothing")
    return found


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


# --- verify ---

Known = Callable[[str], bytes | None]
"""The certificate (DER) that the sender has filed under a serial number (hex), if there is one."""


def verify(form: SignedForm, kind: str, known: Known = lambda serial: None) -> Verified:
    """Verify a signature; what differs is told, all of it. Never raises for what a sender wrote.

    ``kind``: of the document (order …), for the findings. ``known`` is asked only where the
    signature names a certificate and does not carry it.
    """
    problems = list(form.problems)
    method = algorithms.SIGNATURES.get(form.signature_method or "")
    digest = algorithms.DIGESTS.get(form.digest_method or "")
    certificate = _certificate(form, known, problems)
    if not form.problems:
        if method is None:
            known_methods = ", ".join(algorithms.SIGNATURES)
            problems.append(_unknown("ds:SignatureMethod", known_methods, form.signature_method))
        if digest is None:
            known_methods = ", ".join(algorithms.DIGESTS)
            problems.append(_unknown("ds:DigestMethod", known_methods, form.digest_method))
        else:
            problems += _digest_problems(form, digest, certificate)
        if method is not None and certificate is not None:
            problems += _signature_problems(form, method, certificate)
    if method is not None and digest is not None:
        problems += _weak(method, digest, certificate)
    problems.sort(key=lambda problem: problem.severity)
    return Verified(
        algorithm=method.name if method else None,
        digest_algorithm=digest,
        serial=certificate.serial if certificate else form.key_name,
        certificate=certificate,
        findings=findings(problems, kind),
    )


def findings(problems: Sequence[Problem], kind: str) -> tuple[Finding, ...]:
    """Problems as findings of message.signature for a kind of document."""
    rule = codes.rule(RULE)
    return tuple(
        Finding(
            rule=RULE,
            severity=problem.severity,
            document=kind,
            field=problem.field,
            expected=problem.expected,
            actual=problem.actual,
            law=LAW,
            code=rule.code(kind, problem.field),
        )
        for problem in problems
    )


def _unknown(field: str, known: str, actual: str | None) -> Problem:
    return Problem(field, f"one of {known}", _short(actual or "none"))


def _certificate(form: SignedForm, known: Known, problems: list[Problem]) -> Certificate | None:
    """The certificate that goes with the signature; what is wrong with it is added."""
    if form.problems:
        return None
    der = form.certificate
    if der is None:
        serial = serial_of(form.key_name)
        der = None if serial is None else known(serial)
        if der is None:
            expected = "the certificate, or the serial number of one that the sender has filed"
            problems.append(Problem(KEY_NAME, expected, _short(form.key_name or "nothing")))
            return None
    try:
        certificate = read_certificate(der)
    except NotUsable as problem:
        problems.append(Problem(CERTIFICATE, "an X.509 certificate, RSA or SM2", str(problem)))
        return None
    if form.key_name is not None and serial_of(form.key_name) != certificate.serial:
        expected = f"the serial number of the certificate beside it, {certificate.serial}"
        problems.append(Problem(KEY_NAME, expected, _short(form.key_name)))
    return certificate


def serial_of(key_name: str | None) -> str | None:
    """A serial number as certificates here have it, from how KeyName writes it (hex digits)."""
    digits = (key_name or "").strip().lower()
    if not digits or set(digits) - set("0123456789abcdef"):
        return None
    return digits.lstrip("0") or "0"


def _digest_problems(
    form: SignedForm, digest: str, certificate: Certificate | None
) -> list[Problem]:
    computed = form.hashed(digest)
    if computed == form.digest_value:
        return []
    size = len(form.whole) - (form.end - form.start)
    return [
        Problem(
            DIGEST_VALUE,
            f"{digest} {_coded(computed)} of the {size} canonical bytes that arrived",
            f"{digest} {_coded(form.digest_value)} in the signature{_by(certificate)}",
        )
    ]


def _signature_problems(
    form: SignedForm, method: algorithms.Method, certificate: Certificate
) -> list[Problem]:
    if method.key != certificate.algorithm:
        expected = f"a certificate with an {method.key.upper()} key, as {method.name} needs"
        actual = f"{certificate.algorithm.upper()}{_by(certificate)}"
        return [Problem(CERTIFICATE, expected, actual)]
    least, most = algorithms.RSA_BITS_LEAST, algorithms.RSA_BITS_MOST
    if certificate.algorithm == "rsa" and not least <= certificate.bits <= most:
        expected = f"an RSA key of {least} to {most} bits"
        return [Problem(CERTIFICATE, expected, f"{certificate.bits} bits{_by(certificate)}")]
    signature = form.signature_value or b""
    if certificate.verifies(signature, form.signed_info, method.hash):
        return []
    return [
        Problem(
            SIGNATURE_VALUE,
            f"{method.name} over the {len(form.signed_info)} canonical bytes of SignedInfo"
            + _by(certificate),
            f"{len(signature)} bytes that do not verify",
        )
    ]


def _weak(method: algorithms.Method, digest: str, certificate: Certificate | None) -> list[Problem]:
    weak = []
    if method.weak:
        weak.append(("ds:SignatureMethod", f"{method.name}, weak and still accepted"))
    if digest in algorithms.WEAK_DIGESTS:
        weak.append(("ds:DigestMethod", f"{digest}, weak and still accepted"))
    short = certificate is not None and certificate.algorithm == "rsa"
    if short and certificate is not None and certificate.bits < algorithms.RSA_BITS_STRONG:
        bits = f"RSA of {certificate.bits} bits, weak and still accepted"
        weak.append((CERTIFICATE, bits))
    strong = {
        "ds:SignatureMethod": "sm2-sm3 or rsa-sha256",
        "ds:DigestMethod": "sm3 or sha256",
        CERTIFICATE: f"SM2, or RSA of {algorithms.RSA_BITS_STRONG} bits",
    }
    return [Problem(field, strong[field], actual, "warning") for field, actual in weak]


def _by(certificate: Certificate | None) -> str:
    return f", certificate {certificate.serial}" if certificate else ""


def _coded(value: bytes | None) -> str:
    return base64.b64encode((value or b"")[:64]).decode("ascii")
