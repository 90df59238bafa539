"""TLS: the gateway ends it itself, and with an authority every client must show a certificate."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from processes import Process, free_port

from tongguan import store
from tongguan.window import running, supervising


def certificates(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """An authority, and a certificate of it for localhost with its key."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)])
        for each in (f"authority of {name}", name)
    ]
    today = datetime.now(UTC)
    paths = [folder / f"{name}-{part}.pem" for part in ("authority", "own", "key")]
    for own in (False, True):
        made = (
            x509.CertificateBuilder()
            .subject_name(names[own])
            .issuer_name(names[0])
            .public_key(keys[own].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - timedelta(days=1))
            .not_valid_after(today + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .add_extension(x509.BasicConstraints(ca=not own, path_length=None), True)
            .sign(keys[0], hashes.SHA256())
        )
        paths[own].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths[2].write_bytes(keys[1].private_bytes(*form, serialization.NoEncryption()))
    return paths[0], paths[1], paths[2]


@pytest.mark.parametrize("mutual", [False, True])
def test_only_who_may_speaks_to_a_gateway_with_tls(
    database: store.Database, tmp_path: Path, mutual: bool
) -> None:
    running.prepare(database)
    ours, theirs = certificates(tmp_path, "window"), certificates(tmp_path, "client")
    port = free_port()
    words = ["gateway", "--port", str(port)]
    words += ["--tls-certificate", str(ours[1]), "--tls-key", str(ours[2])]
    words += ["--tls-clients", str(theirs[0])] if mutual else []
    environment = {"DATABASE_URL": database.url, "TONGGUAN_HOME": str(tmp_path)}
    gateway = Process(words, environment, tmp_path, "gateway")
    try:
        supervised = None
        while supervised is None:
            assert gateway.process.poll() is None, gateway.log
            supervised = supervising.health(("127.0.0.1", port), "/health/ready", secure=True)
        assert (supervised == {}) == mutual
        trusting = ssl.create_default_context(cafile=str(ours[0]))
        address = f"https://localhost:{port}/health/ready"
        if mutual:
            with pytest.raises(httpx.TransportError):
                httpx.get(address, verify=trusting)
            trusting.load_cert_chain(*theirs[1:])
        assert httpx.get(address, verify=trusting).json()["process"] == gateway.process.pid
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://localhost:{port}/health/ready")
        assert gateway.stop() == 0
    finally:
        gateway.kill()
