"""Personal data: sealed in the store, looked up by keyed digest, shown masked."""

import base64
import binascii
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tongguan.store.home import make_home
from tongguan.store.trouble import Unavailable, environment

_KEY_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12
_FORM = b"\x01"
_HEAD = len(_FORM) + _SALT_BYTES + _NONCE_BYTES
_HIDDEN = "*"


class SealBroken(ValueError):  # noqa: N818 - what happened to the seal
    """Sealed bytes do not open: changed, cut, bound to something else, or another key's."""


class Vault:
    """Holds the data key. Safe to share between threads and after a fork.

    Sealed bytes are: 1 byte form, 16 bytes salt, 12 bytes nonce, ciphertext, 16 bytes tag
    (AES-256-GCM, NIST SP 800-38D). Each Vault seals under its own key, derived from the data key
    and a random salt, so random nonces stay far below the 2**32 that one key may see, however long
    the data key lives.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise ValueError(f"the data key must have {_KEY_BYTES} bytes, not {len(key)}")
        self._seal_key = blake2b(key=key, person=b"tongguan seal").digest()
        self._digest_key = blake2b(key=key, person=b"tongguan digest").digest()
        self._salt = secrets.token_bytes(_SALT_BYTES)
        self._cipher = lru_cache(maxsize=1024)(self._derive)

    @classmethod
    def open(cls, home: Path) -> "Vault":
        """The vault with the key of $TONGGUAN_DATA_KEY (64 hex digits or base64), else of
        ``home/data.key``, which is made (mode 0600) if it is not there.

        Raises Unavailable if the key cannot be read, is not a key, or others may read its file.
        """
        if given := os.environ.get("TONGGUAN_DATA_KEY"):
            return cls(_decode(given, "TONGGUAN_DATA_KEY"))
        path = home / "data.key"
        with environment():
            if not path.exists():
                make_home(home)
                _make_key(path)
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise Unavailable(f"others may read the data key: chmod 600 {path}")
            return cls(_decode(path.read_text("ascii"), str(path)))

    def _derive(self, salt: bytes) -> AESGCM:
        key = blake2b(key=self._seal_key, salt=salt, digest_size=_KEY_BYTES).digest()
        return AESGCM(key)

    def seal(self, data: bytes, about: bytes = b"") -> bytes:
        """``data`` encrypted. It opens only with the same ``about`` (such as the row's key)."""
        nonce = os.urandom(_NONCE_BYTES)
        return b"".join(
            (_FORM, self._salt, nonce, self._cipher(self._salt).encrypt(nonce, data, about))
        )

    def unseal(self, sealed: bytes, about: bytes = b"") -> bytes:
        """The data that ``seal`` was given. Raises SealBroken."""
        salt = sealed[len(_FORM) : len(_FORM) + _SALT_BYTES]
        nonce = sealed[_HEAD - _NONCE_BYTES : _HEAD]
        if sealed[: len(_FORM)] != _FORM or len(nonce) != _NONCE_BYTES:
            raise SealBroken("these are not sealed data")
        try:
            return self._cipher(salt).decrypt(nonce, sealed[_HEAD:], about)
        except InvalidTag:
            raise SealBroken("sealed data were changed, or belong to another key or row") from None

    def digest(self, values: Iterable[str | None]) -> list[str | None]:
        """A keyed digest (BLAKE2b, 32 hex digits) of each value; None stays None.

        Equal values have equal digests under one data key; without the key they tell nothing. The
        caller decides what is equal (an identity number's x and X are not, here).
        """
        listed = list(values)
        known: dict[str | None, str | None] = {
            value: self._digest(value) for value in set(listed) if value is not None
        }
        return [known.get(value) for value in listed]

    def _digest(self, value: str) -> str:
        return blake2b(value.encode(), key=self._digest_key, digest_size=16).hexdigest()

    @staticmethod
    def mask(kind: str, value: str | None) -> str | None:
        """What may be shown of ``value``; hidden characters become ``*``.

        ``identity``: first 3 and last 4 (an 18-digit number hides district, birth date and
        sequence); ``phone``: first 3 and last 4; ``name``: first character; ``address``: first 6
        characters. A value too short to hide four characters (a name: one) keeps only its first
        one. Raises ValueError for any other kind.
        """
        if kind not in _MASKS:
            raise ValueError(f"no mask for {kind!r}; there are: {', '.join(sorted(_MASKS))}")
        return None if value is None else _MASKS[kind](value)


def _edges(first: int, last: int) -> Callable[[str], str]:
    def masked(value: str) -> str:
        hidden = len(value) - first - last
        if hidden < min(first + last, 4):
            return (
                value[:1] + _HIDDEN * (len(value) - 1) if len(value) > 1 else _HIDDEN * len(value)
            )
        return value[:first] + _HIDDEN * hidden + (value[-last:] if last else "")

    return masked


_MASKS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "identity": _edges(3, 4),
        "phone": _edges(3, 4),
        "name": _edges(1, 0),
        "address": _edges(6, 0),
    }
)


def _decode(text: str, where: str) -> bytes:
    text = text.strip()
    try:
        key = (
            bytes.fromhex(text)
            if len(text) == 2 * _KEY_BYTES
            else base64.b64decode(text, validate=True)
        )
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != _KEY_BYTES:
        raise Unavailable(
            f"{where} is not a data key: {_KEY_BYTES} bytes as hex or base64 are wanted"
        )
    return key


def _make_key(path: Path) -> None:
    """Makes the key file whole or not at all; of two processes, one wins and both use its key."""
    fresh = path.with_name(f".data.key.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            return
    finally:
        fresh.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
