"""Personal data: sealed in the store, looked up by keyed digest, shown masked."""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tongguan.store.secret import KEY_BYTES, secret_key

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
        if len(key) != KEY_BYTES:
            raise ValueError(f"the data key must have {KEY_BYTES} bytes, not {len(key)}")
        self._seal_key = blake2b(key=key, person=b"tongguan seal").digest()
        self._digest_key = blake2b(key=key, person=b"tongguan digest").digest()
        self._secret_key = blake2b(key=key, person=b"tongguan secret").digest()
        self._salt = secrets.token_bytes(_SALT_BYTES)
        self._cipher = lru_cache(maxsize=1024)(self._derive)

    @classmethod
    def open(cls, home: Path) -> "Vault":
        """The vault with the key of $TONGGUAN_DATA_KEY (64 hex digits or base64), else of
        ``home/data.key``, which is made (mode 0600) if it is not there.

        Raises Unavailable if the key cannot be read, is not a key, or others may read its file.
        """
        return cls(secret_key(home, "data"))

    def __getstate__(self) -> dict[str, object]:
        """For another process of ours, which seals under a salt of its own. Never to be stored."""
        return {name: key for name, key in vars(self).items() if name.endswith("_key")}

    def __setstate__(self, keys: dict[str, object]) -> None:
        vars(self).update(keys)
        self._salt = secrets.token_bytes(_SALT_BYTES)
        self._cipher = lru_cache(maxsize=1024)(self._derive)

    def _derive(self, salt: bytes) -> AESGCM:
        key = blake2b(key=self._seal_key, salt=salt, digest_size=KEY_BYTES).digest()
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

    def secret(self, purpose: str, about: str) -> bytes:
        """32 bytes that nobody without the data key can compute, the same each time."""
        words = f"{purpose}\0{about}".encode()
        return blake2b(words, key=self._secret_key, digest_size=KEY_BYTES).digest()

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
