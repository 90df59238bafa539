"""The algorithms that a signature of the standard may name, and how things are hashed.

Source: CEB specification 202205 §6 (sm2-sm3 and rsa-sha1, their addresses under chinaport.gov.cn)
and 2018 §6 (SHA-1 with RSA, SHA-256 with RSA); the addresses of RFC 9231. A port is known to take
SM2 under the address of the W3C's family, with a SHA-1 digest (observed 2023).
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import gmssl_pyx

KeyKind = Literal["rsa", "sm2"]

C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_W3C = "http://www.w3.org/2000/09/xmldsig#"
_CHINAPORT = "http://www.chinaport.gov.cn/2022/04/xmldsig#"


@dataclass(frozen=True, slots=True)
class Method:
    """How the signature value is made: with which kind of key, over which hash."""

    name: str
    key: KeyKind
    hash: str
    weak: bool = False


SIGNATURES: Mapping[str, Method] = MappingProxyType(
    {
        _CHINAPORT + "sm2-sm3": Method("sm2-sm3", "sm2", "sm3"),
        _W3C + "sm2-sm3": Method("sm2-sm3", "sm2", "sm3"),
        _W3C + "rsa-sha1": Method("rsa-sha1", "rsa", "sha1", weak=True),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256": Method("rsa-sha256", "rsa", "sha256"),
    }
)
"""SignatureMethod by address."""

DIGESTS: Mapping[str, str] = MappingProxyType(
    {
        _CHINAPORT + "sm3": "sm3",
        _W3C + "sm3": "sm3",
        _W3C + "sha1": "sha1",
        "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    }
)
"""DigestMethod by address: the hash it names."""

WEAK_DIGESTS = frozenset({"sha1"})
RSA_BITS_LEAST, RSA_BITS_STRONG, RSA_BITS_MOST = 1024, 2048, 8192
"""A key outside is refused; one below the second is accepted and flagged (the 2018 edition has
1024)."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A pair of addresses that messages are signed with."""

    signature: str
    digest: str

    @property
    def method(self) -> Method:
        return SIGNATURES[self.signature]


SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "rsa-sha256": Scheme(
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            "http://www.w3.org/2001/04/xmlenc#sha256",
        ),
        "rsa-sha1": Scheme(_W3C + "rsa-sha1", _W3C + "sha1"),
        "sm2-sm3": Scheme(_CHINAPORT + "sm2-sm3", _CHINAPORT + "sm3"),
        "sm2-sm3-w3c": Scheme(_W3C + "sm2-sm3", _W3C + "sha1"),
    }
)
"""What a sender may choose by name; the first of a kind of key is its default."""


def scheme_for(key: KeyKind) -> str:
    """The scheme that a key of a kind signs with unless another one is named."""
    return next(name for name, scheme in SCHEMES.items() if scheme.method.key == key)


_SM3_IN_OPENSSL = "sm3" in hashlib.algorithms_available


def digest(name: str, parts: Iterable[bytes | memoryview]) -> bytes:
    """The hash (sha1, sha256, sm3) of the parts, one after the other."""
    if name == "sm3" and not _SM3_IN_OPENSSL:
        return bytes(gmssl_pyx.sm3_hash(b"".join(parts)))
    hashing = hashlib.new(name, usedforsecurity=False)
    for part in parts:
        hashing.update(part)
    return hashing.digest()
