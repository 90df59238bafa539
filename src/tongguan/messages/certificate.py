"""Certificates and private keys of those who sign: read, made for development, used.

RSA is the work of ``cryptography``. It reads certificates on the SM2 curve, but neither their keys
nor their signatures: what it lacks is done by ``gmssl_pyx``, and the structures around it are
written down here (RFC 5280, RFC 5958, RFC 5915; GM/T 0009, GM/T 0015).
"""

import base64
import binascii
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import gmssl_pyx
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.x509.oid import NameOID

from tongguan.messages.algorithms import KeyKind

SM2_CURVE = x509.ObjectIdentifier("1.2.156.10197.1.301")
SM2_WITH_SM3 = x509.ObjectIdentifier("1.2.156.10197.1.501")
EC_KEY = x509.ObjectIdentifier("1.2.840.10045.2.1")
SIGNER_ID = b"1234567812345678"
"""The identity that goes into every SM2 signature (GM/T 0009)."""
CERTIFICATE_FILE, KEY_FILE = "certificate.pem", "key.pem"
VALID_FROM = datetime(2015, 1, 1, tzinfo=UTC)
VALID_TO = datetime(2049, 12, 31, tzinfo=UTC)
"""Of a development certificate unless other days are named: a sandbox's clock goes anywhere."""
NAME_MOST = 64
"""Characters of a name in a certificate (X.520)."""

_SM2_POINT, _SM2_NUMBER = 64, 32
_HASHES = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}


class NotUsable(ValueError):  # noqa: N818 - what the thing is
    """A certificate or key that cannot be read, or is of a kind that nobody signs with here."""


# --- structures that ``cryptography`` does not read for SM2 ---


@asn1.sequence
class _Algorithm:
    algorithm: x509.ObjectIdentifier
    parameters: x509.ObjectIdentifier


@asn1.sequence
class _PublicKey:
    algorithm: _Algorithm
    key: asn1.BitString


@asn1.sequence
class _Signed:
    algorithm: x509.ObjectIdentifier


@asn1.sequence
class _Validity:
    since: asn1.UTCTime | asn1.GeneralizedTime
    until: asn1.UTCTime | asn1.GeneralizedTime


@asn1.sequence
class _Extension:
    oid: x509.ObjectIdentifier
    critical: Annotated[bool, asn1.Default(False)]
    value: bytes


@asn1.sequence
class _ToBeSigned:
    version: Annotated[int, asn1.Explicit(0)]
    serial: int
    signature: _Signed
    issuer: asn1.TLV
    validity: _Validity
    subject: asn1.TLV
    public: _PublicKey
    extensions: Annotated[list[_Extension], asn1.Explicit(3)]


@asn1.sequence
class _Certificate:
    body: _ToBeSigned
    algorithm: _Signed
    signature: asn1.BitString


@asn1.sequence
class _AnyBody:
    """Of another's certificate: only the place of the key counts."""

    version: Annotated[int, asn1.Explicit(0)]
    serial: int
    signature: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    public: _PublicKey
    extensions: Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]


@asn1.sequence
class _AnyCertificate:
    body: _AnyBody
    algorithm: asn1.TLV
    signature: asn1.BitString


@asn1.sequence
class _EcKey:
    version: int
    key: bytes
    parameters: Annotated[x509.ObjectIdentifier | None, asn1.Explicit(0)]
    public: Annotated[asn1.BitString | None, asn1.Explicit(1)]


@asn1.sequence
class _PrivateKey:
    version: int
    algorithm: _Algorithm
    key: bytes


# --- certificates ---


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as a signature uses it.

    ``serial``: lower-case hex without leading zeros. ``fingerprint``: SHA-256 of the DER, hex.
    ``bits``: size of the key. ``valid_from`` and ``valid_to``: aware, both inclusive.
    """

    der: bytes
    algorithm: KeyKind
    bits: int
    serial: str
    fingerprint: str
    valid_from: datetime
    valid_to: datetime
    _key: Any = field(repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Goes to another process as its DER; the key is read from it there."""
        return read_certificate, (self.der,)

    def verifies(
        self,
        signature: bytes,
        data: bytes,
        hash_name: str,
        signer_id: bytes | None = SIGNER_ID,
    ) -> bool:
        """Whether ``signature`` is over ``data`` by the key of this certificate.

        RSA: PKCS #1 v1.5. SM2: r and s one after the other (64 bytes, as cards give them), or in
        DER; ``hash_name`` has no say there, it is SM3, over ``signer_id`` and the key first.
        """
        if self.algorithm == "rsa":
            try:
                self._key.verify(signature, data, padding.PKCS1v15(), _HASHES[hash_name]())
            except InvalidSignature:
                return False
            return True
        encoded = _sm2_der(signature)
        return encoded is not None and bool(
            gmssl_pyx.sm2_verify(self._key, data, encoded, signer_id)
        )

    @property
    def common_name(self) -> str | None:
        """Of the subject: a person's name on a card, a company's code in those made here.

        Read when asked for: names are written in many ways, and no signature depends on them.
        """
        try:
            subject = x509.load_der_x509_certificate(self.der).subject
            names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        except ValueError:
            return None
        return str(names[0].value) if names else None

    def pem(self) -> str:
        return _armoured("CERTIFICATE", self.der)


def _sm2_der(signature: bytes) -> bytes | None:
    """An SM2 signature in DER; None if it is none."""
    if len(signature) == 2 * _SM2_NUMBER:
        r, s = (int.from_bytes(half) for half in (signature[:32], signature[32:]))
        return encode_dss_signature(r, s) if r and s else None
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        return None
    small = 0 < r < 1 << 256 and 0 < s < 1 << 256
    return signature if small and encode_dss_signature(r, s) == signature else None


_UNREADABLE = (
    *(ValueError, TypeError, UnsupportedAlgorithm),
    *(x509.InvalidVersion, gmssl_pyx.InvalidValueError),
)


@lru_cache(maxsize=1024)
def read_certificate(der: bytes) -> Certificate:
    """A certificate from DER. Raises NotUsable: no X.509 v3, or neither RSA nor SM2."""
    try:
        read = x509.load_der_x509_certificate(der)
        key, algorithm, bits = _public_key(read, der)
        return Certificate(
            der=der,
            algorithm=algorithm,
            bits=bits,
            serial=f"{read.serial_number:x}",
            fingerprint=read.fingerprint(hashes.SHA256()).hex(),
            valid_from=read.not_valid_before_utc,
            valid_to=read.not_valid_after_utc,
            _key=key,
        )
    except _UNREADABLE as problem:
        raise NotUsable(f"no certificate that can be used: {problem}") from None


def _public_key(read: x509.Certificate, der: bytes) -> tuple[Any, KeyKind, int]:
    if read.public_key_algorithm_oid == EC_KEY:
        public = asn1.decode_der(_AnyCertificate, der).body.public
        if public.algorithm.parameters != SM2_CURVE:
            raise NotUsable("its key is on another curve than SM2")
        return gmssl_pyx.normalize_sm2_public_key(public.key.as_bytes()), "sm2", 256
    key = read.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise NotUsable("its key is neither RSA nor SM2")
    return key, "rsa", key.key_size


def read_certificate_file(path: Path) -> Certificate:
    """The certificate in a file, PEM or DER. Raises NotUsable, OSError."""
    data = path.read_bytes()
    return read_certificate(_unarmoured("CERTIFICATE", data) if b"-----" in data else data)


# --- signers ---


@dataclass(frozen=True, slots=True)
class Signer:
    """A certificate with its private key."""

    certificate: Certificate
    _private: Any = field(repr=False)

    def sign(self, data: bytes, hash_name: str) -> bytes:
        """A signature over ``data``; of SM2 r and s one after the other, 64 bytes."""
        if self.certificate.algorithm == "rsa":
            made: bytes = self._private.sign(data, padding.PKCS1v15(), _HASHES[hash_name]())
            return made
        encoded = gmssl_pyx.sm2_sign(self._private, self.certificate._key, data, SIGNER_ID)
        return b"".join(part.to_bytes(_SM2_NUMBER) for part in decode_dss_signature(encoded))

    def key_pem(self) -> str:
        """The private key, PKCS #8, not encrypted."""
        if self.certificate.algorithm == "rsa":
            der: bytes = self._private.private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        else:
            point = asn1.BitString(b"\x04" + self.certificate._key, 0)
            inner = _EcKey(version=1, key=self._private, parameters=None, public=point)
            algorithm = _Algorithm(algorithm=EC_KEY, parameters=SM2_CURVE)
            der = asn1.encode_der(
                _PrivateKey(version=0, algorithm=algorithm, key=asn1.encode_der(inner))
            )
        return _armoured("PRIVATE KEY", der)

    def save(self, folder: Path) -> None:
        """Write certificate.pem and key.pem (mode 0600) into a folder, which is made.

        Raises FileExistsError rather than overwrite a key.
        """
        folder.mkdir(parents=True, exist_ok=True)
        key = folder / KEY_FILE
        key.touch(mode=0o600, exist_ok=False)
        key.write_text(self.key_pem(), "ascii")
        (folder / CERTIFICATE_FILE).write_text(self.certificate.pem(), "ascii")

    @classmethod
    def load(cls, folder: Path) -> "Signer":
        """The certificate and key in a folder, as :meth:`save` writes them.

        Raises NotUsable when one of them is missing or they do not belong together.
        """
        for name in (CERTIFICATE_FILE, KEY_FILE):
            if not (folder / name).is_file():
                raise NotUsable(f"{folder} has no {name}")
        certificate = read_certificate_file(folder / CERTIFICATE_FILE)
        pem = (folder / KEY_FILE).read_bytes()
        if certificate.algorithm == "rsa":
            signer = cls(certificate, _rsa_key(pem))
        else:
            signer = cls(certificate, _sm2_key(_unarmoured("PRIVATE KEY", pem)))
        probe = b"do they belong together?"
        if not certificate.verifies(signer.sign(probe, "sha256"), probe, "sha256"):
            raise NotUsable(f"the key in {folder} is not that of the certificate beside it")
        return signer


def _rsa_key(pem: bytes) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise NotUsable(f"{KEY_FILE} is no private key that can be read: {problem}") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise NotUsable(f"{KEY_FILE} is no RSA key, the certificate beside it is for one")
    return key


def _sm2_key(der: bytes) -> bytes:
    try:
        outer = asn1.decode_der(_PrivateKey, der)
        if outer.algorithm.parameters != SM2_CURVE:
            raise NotUsable(f"{KEY_FILE} is on another curve than SM2")
        key = asn1.decode_der(_EcKey, outer.key).key
    except ValueError as problem:
        raise NotUsable(f"{KEY_FILE} is no PKCS #8 private key on SM2: {problem}") from None
    if len(key) != _SM2_NUMBER:
        raise NotUsable(f"{KEY_FILE} holds {len(key)} bytes, an SM2 key has {_SM2_NUMBER}")
    return key


# --- development certificates ---


def issue(
    company: str,
    name: str,
    algorithm: KeyKind,
    valid_from: datetime = VALID_FROM,
    valid_to: datetime = VALID_TO,
) -> Signer:
    """A new key with a certificate of its own signature, for development.

    ``company``: the code, which becomes the subject's common name; ``name`` its organisation.
    Times are aware; fractions of a second are cut off. Raises ValueError for a company code that
    is empty or too long, and for a validity that ends before it begins.
    """
    since, until = (t.astimezone(UTC).replace(microsecond=0) for t in (valid_from, valid_to))
    if until <= since:
        raise ValueError("the validity ends before it begins")
    if not 0 < len(company) <= NAME_MOST:
        raise ValueError(f"a company code has 1 to {NAME_MOST} characters")
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, company)]
    if name:
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, name[:NAME_MOST])
        attributes.insert(0, organisation)
    subject = x509.Name(attributes)
    serial = secrets.randbits(62) | 1 << 62
    make = _issue_rsa if algorithm == "rsa" else _issue_sm2
    return make(subject, serial, since, until)


def _extensions() -> list[tuple[x509.ExtensionType, bool]]:
    usage = dict.fromkeys(
        (
            *("key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign"),
            *("crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    signs = x509.KeyUsage(digital_signature=True, content_commitment=True, **usage)
    return [(x509.BasicConstraints(ca=False, path_length=None), True), (signs, True)]


def _issue_rsa(subject: x509.Name, serial: int, since: datetime, until: datetime) -> Signer:
    key = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), serial, since, until)
    for extension, critical in _extensions():
        builder = builder.add_extension(extension, critical)
    made = builder.sign(key, hashes.SHA256())
    return Signer(read_certificate(made.public_bytes(serialization.Encoding.DER)), key)


def _issue_sm2(subject: x509.Name, serial: int, since: datetime, until: datetime) -> Signer:
    public, private = gmssl_pyx.sm2_key_generate()
    name = asn1.decode_der(asn1.TLV, subject.public_bytes())
    signed = _Signed(algorithm=SM2_WITH_SM3)
    body = _ToBeSigned(
        version=2,
        serial=serial,
        signature=signed,
        issuer=name,
        validity=_Validity(since=_time(since), until=_time(until)),
        subject=name,
        public=_PublicKey(
            algorithm=_Algorithm(algorithm=EC_KEY, parameters=SM2_CURVE),
            key=asn1.BitString(b"\x04" + public, 0),
        ),
        extensions=[
            _Extension(oid=each.oid, critical=critical, value=each.public_bytes())
            for each, critical in _extensions()
        ],
    )
    signature = gmssl_pyx.sm2_sign(private, public, asn1.encode_der(body), SIGNER_ID)
    whole = _Certificate(body=body, algorithm=signed, signature=asn1.BitString(signature, 0))
    return Signer(read_certificate(asn1.encode_der(whole)), private)


def _time(at: datetime) -> asn1.UTCTime | asn1.GeneralizedTime:
    """As RFC 5280 §4.1.2.5 wants it: UTCTime through 2049."""
    return asn1.UTCTime(at) if at.year < 2050 else asn1.GeneralizedTime(at)


# --- PEM (RFC 7468) ---


def _armoured(label: str, der: bytes) -> str:
    text = base64.b64encode(der).decode("ascii")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def _unarmoured(label: str, pem: bytes) -> bytes:
    """The first such block of a PEM file. Raises NotUsable."""
    begin, end = f"-----BEGIN {label}-----".encode(), f"-----END {label}-----".encode()
    _, found, rest = pem.partition(begin)
    body, closed, _ = rest.partition(end)
    if not (found and closed):
        raise NotUsable(f"no {label} block in the PEM file")
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as problem:
        raise NotUsable(f"the {label} block is not base64: {problem}") from None
