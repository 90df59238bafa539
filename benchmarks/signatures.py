"""What verifying a signature costs, beside the bare work: canonical form, digest, verification.

On a message of the twin with 100 orders, CPU of one message: *extra*, what a signed message costs
more than the same one read without its signature; *limit*, the canonical form by libxml2 of a tree
that is there already, its digest and one verification by the library, in a bare loop; and their
ratio. SM2 is verified by GmSSL, RSA by OpenSSL; the verification alone stands beside.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gmssl_pyx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree

from tongguan import messages, twin

ROUNDS = 30
DOCUMENTS = 100


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least CPU time of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def main(scale: int) -> None:
    """Measure each scheme and print a line for it; ``scale`` changes nothing."""
    del scale
    with tempfile.TemporaryDirectory(prefix="tg-bench-") as folder:
        data = orders(Path(folder))
    print("scheme        documents   read  extra  limit  ratio  verification  (ms a message)")
    for name, scheme in messages.SCHEMES.items():
        signer = messages.issue("3301960P01", "", scheme.method.key)
        signed = messages.sign(data, signer, name)
        read = cpu_seconds(lambda signed=signed: messages.parse(signed.message))
        whole = cpu_seconds(lambda signed=signed: verified(signed.message))
        verify = verification(signer, signed, scheme.method.hash)
        digest = messages.DIGESTS[scheme.digest]
        bare = cpu_seconds(lambda s=signed, d=digest, v=verify: limit(tree(s.message), d, v))
        bare -= cpu_seconds(lambda s=signed: tree(s.message))
        alone = cpu_seconds(verify)
        extra = whole - read
        print(
            f"{name:13} {DOCUMENTS:9} {read * 1e3:6.2f} {extra * 1e3:6.2f} {bare * 1e3:6.2f} "
            f"{extra / bare:6.2f} {alone * 1e3:13.3f}"
        )


def orders(folder: Path) -> bytes:
    """A message of 100 orders, all by one platform of the twin."""
    twin.write(folder, seed=1, parcels=2000, faults=0, documents_per_message=DOCUMENTS)
    found = (path.read_bytes() for path in sorted(folder.glob("messages/*-CEB311.xml")))
    return next(data for data in found if messages.parse(data).documents == DOCUMENTS)


def verified(data: bytes) -> messages.Verified:
    """As clearing reads a signed message."""
    parsed = messages.parse(data, signed_form=True)
    assert parsed.form is not None
    found = messages.verify(parsed.form, parsed.kind)
    assert found.verifies
    return found


def tree(data: bytes) -> etree._Element:
    return etree.fromstring(data)


def limit(root: etree._Element, digest: str, verify: Callable[[], object]) -> None:
    """What nobody can leave out."""
    hashlib.new(digest, etree.tostring(root, method="c14n")).digest()
    verify()


def verification(
    signer: messages.Signer, signed: messages.Signed, hash_name: str
) -> Callable[[], object]:
    """One verification by the library, with its key read beforehand."""
    data, signature = signed.signed_info, signed.signature
    if signer.certificate.algorithm == "rsa":
        key = x509.load_der_x509_certificate(signer.certificate.der).public_key()
        kind = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}[hash_name]()
        return lambda: key.verify(signature, data, padding.PKCS1v15(), kind)
    public, private = gmssl_pyx.sm2_key_generate()
    der = gmssl_pyx.sm2_sign(private, public, data)
    return lambda: gmssl_pyx.sm2_verify(public, data, der)


if __name__ == "__main__":
    main(0)
