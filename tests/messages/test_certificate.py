"""Certificates and keys: made, kept, read again; openssl reads them too; what is refused."""

import pickle
import shutil
import stat
import subprocess
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tongguan import messages

SINCE = datetime(2022, 6, 1, 8, 30, tzinfo=UTC)
UNTIL = datetime(2051, 6, 1, 8, 30, tzinfo=UTC)
"""Past 2049, where certificates write the year in four digits."""


@pytest.fixture(scope="module", params=["rsa", "sm2"])
def signer(request: pytest.FixtureRequest) -> messages.Signer:
    return messages.issue("3302695961", "海棠国际贸易有限公司", request.param, SINCE, UNTIL)


def test_a_certificate_says_whose_it_is_and_from_when_to_when(signer: messages.Signer) -> None:
    made = signer.certificate
    assert made.common_name == "3302695961"
    read = x509.load_der_x509_certificate(made.der)
    assert read.subject.rfc4514_string() == "CN=3302695961,O=海棠国际贸易有限公司"
    assert read.issuer == read.subject
    assert (made.valid_from, made.valid_to) == (SINCE, UNTIL)
    assert made.bits == {"rsa": 2048, "sm2": 256}[made.algorithm]
    assert made.serial == f"{int(made.serial, 16):x}"


def test_what_is_kept_is_what_is_read(signer: messages.Signer, tmp_path: Path) -> None:
    signer.save(tmp_path / "keys")
    read = messages.Signer.load(tmp_path / "keys")
    assert read.certificate == signer.certificate
    signature = read.sign(b"data", "sha256")
    assert signer.certificate.verifies(signature, b"data", "sha256")
    assert not signer.certificate.verifies(signature, b"date", "sha256")
    assert stat.S_IMODE((tmp_path / "keys" / "key.pem").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        signer.save(tmp_path / "keys")
    der = tmp_path / "certificate.der"
    der.write_bytes(signer.certificate.der)
    assert messages.read_certificate_file(der) == signer.certificate


def test_a_certificate_goes_to_another_process(signer: messages.Signer) -> None:
    there = pickle.loads(pickle.dumps(signer.certificate))
    assert there == signer.certificate
    assert there.verifies(signer.sign(b"said", "sha256"), b"said", "sha256")


def test_openssl_reads_them(signer: messages.Signer, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("CERTIFICATES ARE NOT READ BY A SECOND IMPLEMENTATION: no openssl here")
    signer.save(tmp_path)
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"

    def call(*arguments: str | Path) -> str:
        done = subprocess.run([openssl, *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    assert "OK" in call("verify", "-CAfile", certificate, certificate), "its signature verifies"
    public = call("x509", "-in", certificate, "-noout", "-pubkey")
    assert public == call("pkey", "-in", key, "-pubout"), "the key is that of the certificate"
    end = call("x509", "-in", certificate, "-noout", "-enddate")
    assert end.strip() == "notAfter=Jun  1 08:30:00 2051 GMT"


def test_a_signature_never_verifies_by_another_key(signer: messages.Signer) -> None:
    other = messages.issue("3302695961", "", signer.certificate.algorithm, SINCE, UNTIL)
    signature = other.sign(b"data", "sha256")
    assert not signer.certificate.verifies(signature, b"data", "sha256")


@given(st.binary(max_size=80))
def test_no_bytes_are_taken_for_an_sm2_signature(junk: bytes) -> None:
    assert not SM2.certificate.verifies(junk, b"data", "sm3")


SM2 = messages.issue("3302695961", "", "sm2", SINCE, UNTIL)


@pytest.mark.parametrize("junk", [bytes(64), b"\xff" * 64, bytes(63) + b"\1", b"\x30\x00"])
def test_extreme_numbers_are_no_sm2_signature(junk: bytes) -> None:
    assert not SM2.certificate.verifies(junk, b"data", "sm3")


def elsewhere(key: object) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "3302695961")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 77, SINCE, UNTIL)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no certificate"),
        (b"\x30\x03\x02\x01\x01", "no certificate"),
        (elsewhere(ec.generate_private_key(ec.SECP256R1())), "another curve than SM2"),
        (elsewhere(ed25519.Ed25519PrivateKey.generate()), "neither RSA nor SM2"),
    ],
    ids=["nothing", "no certificate", "P-256", "Ed25519"],
)
def test_other_certificates_are_not_usable(data: bytes, said: str) -> None:
    with pytest.raises(messages.NotUsable, match=said):
        messages.read_certificate(data)


@given(st.integers(0, len(SM2.certificate.der) - 1), st.integers(1, 255))
def test_a_damaged_certificate_is_read_or_refused(place: int, flip: int) -> None:
    der = bytearray(SM2.certificate.der)
    der[place] ^= flip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cryptography warns of odd serial numbers
        try:
            read = messages.read_certificate(bytes(der))
        except messages.NotUsable:
            return
    assert read.der == bytes(der)


def test_a_key_that_is_not_the_certificates_is_found_out(
    signer: messages.Signer, tmp_path: Path
) -> None:
    signer.save(tmp_path / "a")
    messages.issue("3302695961", "", signer.certificate.algorithm, SINCE, UNTIL).save(
        tmp_path / "b"
    )
    shutil.copy(tmp_path / "b" / "key.pem", tmp_path / "a" / "key.pem")
    with pytest.raises(messages.NotUsable, match="not that of the certificate"):
        messages.Signer.load(tmp_path / "a")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "PRIVATE KEY|private key"),
        ("-----BEGIN PRIVATE KEY-----\n%%\n-----END PRIVATE KEY-----\n", "base64|private key"),
        ("-----BEGIN PRIVATE KEY-----\nMAMCAQE=\n-----END PRIVATE KEY-----\n", "private key"),
    ],
    ids=["empty", "no base64", "no key"],
)
def test_what_is_no_key_is_said(
    signer: messages.Signer, tmp_path: Path, key: str, said: str
) -> None:
    signer.save(tmp_path)
    (tmp_path / "key.pem").write_text(key)
    with pytest.raises(messages.NotUsable, match=said):
        messages.Signer.load(tmp_path)


def test_a_key_of_another_kind_is_said(signer: messages.Signer, tmp_path: Path) -> None:
    signer.save(tmp_path)
    kind = "sm2" if signer.certificate.algorithm == "rsa" else "rsa"
    other = messages.issue("3302695961", "", kind, SINCE, UNTIL)
    (tmp_path / "key.pem").write_text(other.key_pem())
    with pytest.raises(messages.NotUsable, match=r"key\.pem"):
        messages.Signer.load(tmp_path)


def test_a_private_key_is_not_shown(signer: messages.Signer) -> None:
    assert "_private" not in repr(signer)
    assert "BEGIN" not in repr(signer)


@pytest.mark.parametrize(
    ("company", "since", "until", "said"),
    [
        ("3302695961", UNTIL, SINCE, "ends before it begins"),
        ("", SINCE, UNTIL, "company code"),
        ("1" * 65, SINCE, UNTIL, "company code"),
    ],
)
def test_what_cannot_be_issued_is_said(
    company: str, since: datetime, until: datetime, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        messages.issue(company, "", "sm2", since, until)
