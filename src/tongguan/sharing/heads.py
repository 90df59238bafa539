"""Signed tree heads: how many leaves the log has, their root, when, said by whom.

What is signed is the text of a checkpoint (C2SP tlog-checkpoint): the origin, the size, the root
in base64, and a line with the time, signed as a note (C2SP signed-note) with Ed25519. So any
program that reads such logs can follow ours. Ed25519 (RFC 8032): 64 bytes and 40 µs a signature,
and no random number that could give the key away.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from tongguan import store

_ED25519 = b"\x01"
KEY_BYTES, SIGNATURE_BYTES, HASH_BYTES = 32, 64, 32
_FIELDS = ("origin", "size", "root", "time", "key", "public", "signature")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Malformed(ValueError):  # noqa: N818 - what is wrong with it
    """A file is not written as evidence is written."""


class Signer:
    """Holds the evidence key. Safe to share between threads and after a fork."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    @classmethod
    def open(cls, home: Path) -> "Signer":
        """The signer with the key of $TONGGUAN_EVIDENCE_KEY (64 hex digits or base64), else of
        ``home/evidence.key``, which is made (mode 0600) if it is not there.

        Raises store.Unavailable if the key cannot be read, is not a key, or others may read it.
        """
        return cls(store.secret_key(home, "evidence"))

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def is_signed(data: bytes, signature: bytes, public: bytes) -> bool:
    """Whether a signature over data is that of a public key."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def key_id(origin: str, public: bytes) -> str:
    """The id of a key under the name of its log, as in a signed note: 8 hex digits."""
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519 + public).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Head:
    """A signed tree head. origin: the name of the log. at_ms: milliseconds since 1970 UTC."""

    origin: str
    size: int
    root: bytes
    at_ms: int
    public: bytes
    signature: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        root = base64.b64encode(self.root).decode("ascii")
        return f"{self.origin}\n{self.size}\n{root}\ntime {time_text(self.at_ms)}\n"

    @property
    def note(self) -> str:
        """The head as a signed note."""
        signed = bytes.fromhex(self.key_id) + self.signature
        signature = base64.b64encode(signed).decode("ascii")
        return f"{self.text}\n— {self.origin} {signature}\n"

    @property
    def key_id(self) -> str:
        return key_id(self.origin, self.public)

    @property
    def is_signed(self) -> bool:
        return is_signed(self.text.encode(), self.signature, self.public)

    def facts(self) -> dict[str, Any]:
        """The head as JSON values; bytes in hex."""
        return {
            "origin": self.origin,
            "size": self.size,
            "root": self.root.hex(),
            "time": time_text(self.at_ms),
            "key": self.key_id,
            "public": self.public.hex(),
            "signature": self.signature.hex(),
        }


def signed(origin: str, size: int, root: bytes, at_ms: int, signer: Signer) -> Head:
    """A head of these facts, signed."""
    unsigned = Head(origin, size, root, at_ms, signer.public, b"")
    signature = signer.sign(unsigned.text.encode())
    return Head(origin, size, root, at_ms, signer.public, signature)


def time_text(at_ms: int) -> str:
    """A time as a head says it: ISO 8601, UTC, milliseconds."""
    at = _EPOCH + timedelta(milliseconds=at_ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_ms(text: str) -> int:
    """The milliseconds of a time that ``time_text`` wrote. Raises ValueError for any other."""
    at_ms = (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
    if time_text(at_ms) != text:
        raise ValueError(f"{text!r} is not a time such as {time_text(0)}")
    return at_ms


def unhex(text: Any, count: int, where: str) -> bytes:
    """So many bytes in hex, small letters only. Raises Malformed."""
    try:
        found = bytes.fromhex(text)
    except (TypeError, ValueError):
        found = b""
    if len(found) != count or found.hex() != text:
        raise Malformed(f"{where} is not {count} bytes in hex")
    return found


def head_from(facts: Any) -> Head:
    """The head that ``Head.facts`` wrote. Raises Malformed; says nothing of its signature."""
    if not isinstance(facts, dict) or set(facts) != set(_FIELDS):
        raise Malformed(f"a head has {', '.join(_FIELDS)} and nothing else")
    origin, size, at = facts["origin"], facts["size"], facts["time"]
    if not isinstance(origin, str) or not origin.isascii() or not origin.isprintable():
        raise Malformed("the origin of a head is a word")
    if type(size) is not int or size < 0:
        raise Malformed("the size of a head is a number from 0 up")
    try:
        at_ms = time_ms(at)
    except (TypeError, ValueError):
        raise Malformed(f"{at!r} is not a time of a head") from None
    head = Head(
        origin,
        size,
        unhex(facts["root"], HASH_BYTES, "root"),
        at_ms,
        unhex(facts["public"], KEY_BYTES, "public"),
        unhex(facts["signature"], SIGNATURE_BYTES, "signature"),
    )
    if facts["key"] != head.key_id:
        raise Malformed(f"the id of that key is {head.key_id}, not {facts['key']!r}")
    return head


def public_text(origin: str, public: bytes) -> str:
    """A log's public key as a line (C2SP signed-note, verifier key)."""
    data = base64.b64encode(_ED25519 + public).decode("ascii")
    return f"{origin}+{key_id(origin, public)}+{data}"


def public_from(text: str) -> tuple[str, bytes]:
    """Origin and public key of a line that ``public_text`` wrote. Raises Malformed."""
    origin, _, rest = text.strip().partition("+")
    try:
        data = base64.b64decode(rest.partition("+")[2], validate=True)
    except ValueError:
        data = b""
    if len(data) != 1 + KEY_BYTES or public_text(origin, data[1:]) != text.strip():
        raise Malformed("not a public key: it looks like NAME+ID+KEY, in one line")
    return origin, data[1:]
