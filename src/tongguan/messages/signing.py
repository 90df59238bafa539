"""Sign a message as the standard prescribes: one enveloped XML signature over the whole of it."""

import base64
from dataclasses import dataclass
from pathlib import Path

from tongguan.messages import algorithms
from tongguan.messages.algorithms import C14N, ENVELOPED, SCHEMES, Scheme
from tongguan.messages.catalogue import SIGNATURE_NAMESPACE
from tongguan.messages.certificate import KEY_FILE, Signer
from tongguan.messages.parse import parse, tree
from tongguan.messages.parsed import Limits
from tongguan.messages.render import attribute
from tongguan.messages.signature import SIGNATURE_TAG, canonical, nothing_inherited

_NAMESPACE = f'xmlns:ds="{SIGNATURE_NAMESPACE}"'


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed message, and what was hashed and signed on the way to it.

    ``canonical``: the canonical form of the message without its Signature; ``signed_info``: that
    of SignedInfo.
    """

    message: bytes
    canonical: bytes
    digest: bytes
    signed_info: bytes
    signature: bytes


class CannotSign(ValueError):  # noqa: N818 - what it is about
    """The bytes are no message that carries a signature, or the key does not fit the scheme."""


def sign(data: bytes, signer: Signer, scheme: str | None = None) -> Signed:
    """Sign a message: any encoding in, canonical XML in UTF-8 with its Signature out.

    A Signature that is there is replaced. ``scheme``: a name of SCHEMES; else the default of the
    key. Raises CannotSign, saying what is wrong with the message or the key.
    """
    chosen = _scheme(signer, scheme)
    parsed = parse(data, signed_form=True)
    if parsed.refused:
        said = "; ".join(f"{f.field or ''} {f.expected}: {f.actual}" for f in parsed.findings)
        raise CannotSign(f"this is no message of the standard: {said.strip()}")
    if parsed.envelope is not None:
        raise CannotSign("sign the message before it is put into its envelope")
    if parsed.type is None or not parsed.transfer:
        raise CannotSign(f"{parsed.root} is what customs sends, it carries no signature")
    body = _unsigned(data)
    digest = algorithms.digest(algorithms.DIGESTS[chosen.digest], [body])
    signed_info = _signed_info(chosen, digest)
    form = _canonical_signed_info(body, signed_info)
    signature = signer.sign(form, chosen.method.hash)
    whole = _signature(signed_info, signature, signer)
    end = body.rindex(b"</")
    message = b'<?xml version="1.0" encoding="UTF-8"?>\n' + body[:end] + whole + body[end:]
    return Signed(message, body, digest, form, signature)


def find_signer(folder: Path, data: bytes) -> Signer:
    """The key for a message: the one in ``folder``, else in its subfolder named as the sender.

    Raises NotUsable, CannotSign.
    """
    if (folder / KEY_FILE).exists():
        return Signer.load(folder)
    company = parse(data).transfer.get("copCode")
    if not company or not company.isalnum():
        raise CannotSign("the message names no company (copCode) whose key could be looked for")
    return Signer.load(folder / company)


def _scheme(signer: Signer, name: str | None) -> Scheme:
    key = signer.certificate.algorithm
    name = name or algorithms.scheme_for(key)
    if name not in SCHEMES:
        raise CannotSign(f"no scheme {name!r}; there are {', '.join(SCHEMES)}")
    if SCHEMES[name].method.key != key:
        raise CannotSign(f"{name} does not go with an {key.upper()} key")
    return SCHEMES[name]


def _unsigned(data: bytes) -> bytes:
    """The canonical form of a message without the Signature it may have."""
    root = tree(data, Limits())
    last = root[-1]
    if last.tag == SIGNATURE_TAG:
        before = last.getprevious()
        if before is not None and last.tail:
            before.tail = (before.tail or "") + last.tail
        root.remove(last)
    try:
        return canonical(root)
    except ValueError as problem:
        raise CannotSign(f"it has no canonical form: {problem}") from None


def _signed_info(scheme: Scheme, digest: bytes) -> str:
    return (
        f'<ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{C14N}"/>'
        f'<ds:SignatureMethod Algorithm="{scheme.signature}"/><ds:Reference URI="">'
        f'<ds:Transforms><ds:Transform Algorithm="{ENVELOPED}"/></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{scheme.digest}"/>'
        f"<ds:DigestValue>{_coded(digest)}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )


def _canonical_signed_info(body: bytes, signed_info: str) -> bytes:
    """SignedInfo as it is signed: with the namespaces of the root around it.

    A stand-in of the message with the same root and nothing else in it gives them.
    """
    start, end = body[: body.index(b">") + 1], body[body.rindex(b"</") :]
    root = tree(start + _signature_text(signed_info, "", "").encode() + end, Limits())
    try:
        nothing_inherited(root, root[0])
        return canonical(root[0][0])
    except ValueError as problem:
        raise CannotSign(str(problem)) from None


def _signature(signed_info: str, signature: bytes, signer: Signer) -> bytes:
    certificate = signer.certificate
    key_info = (
        f"<ds:KeyInfo><ds:KeyName>{attribute(certificate.serial)}</ds:KeyName><ds:X509Data>"
        f"<ds:X509Certificate>{_coded(certificate.der)}</ds:X509Certificate></ds:X509Data>"
        "</ds:KeyInfo>"
    )
    return _signature_text(signed_info, _coded(signature), key_info).encode()


def _signature_text(signed_info: str, value: str, key_info: str) -> str:
    return (
        f"<ds:Signature {_NAMESPACE}>{signed_info}"
        f"<ds:SignatureValue>{value}</ds:SignatureValue>{key_info}</ds:Signature>"
    )


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
