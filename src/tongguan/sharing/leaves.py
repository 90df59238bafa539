"""What a leaf of the evidence log says of a message or a receipt, so that parts can be shown alone.

A leaf holds the digests of the parts, that of a receipt also its number. Whoever shows one document
shows it with the digests of the others, and nobody learns what those say. A receipt's documents
each have a random guid, so their digests cannot be guessed; of a message that came from outside
each part is hashed behind a *blind*, 16 bytes that only the window can compute again, from a secret
of that message.
"""

import hashlib
from collections.abc import Sequence

from tongguan import messages
from tongguan.sharing.merkle import leaf_hash

MESSAGE_LABEL = b"tongguan message 1\n"
RECEIPT_LABEL = b"tongguan receipt 1\n"
BLIND_BYTES = 16
ORIGINAL, FRAME, REST, FIRST_DOCUMENT = range(4)
"""The parts of a message: the SHA-256 of its bytes as they came, what stands around its documents
(``framed``), its signature and end, then the documents."""


def framed(head: bytes, tail: bytes) -> bytes:
    """What stands around the documents, as one part."""
    return len(head).to_bytes(8, "big") + head + tail


def unframed(frame: bytes) -> tuple[bytes, bytes]:
    """Head and tail of a frame. Raises ValueError if it is none."""
    length = int.from_bytes(frame[:8], "big")
    if not length <= len(frame) - 8:
        raise ValueError("the frame is cut off")
    return frame[8 : 8 + length], frame[8 + length :]


def shown_alone(parts: Sequence[bytes], position: int) -> bytes:
    """A message of one of the documents of a message, from its parts."""
    return alone(*unframed(parts[FRAME]), parts[FIRST_DOCUMENT + position])


def alone(head: bytes, tail: bytes, document: bytes) -> bytes:
    """A message of one document; without a head the document is the message."""
    return messages.alone(head, document, tail) if head else document


def message_parts(data: bytes, original: bytes, parsed: messages.Parsed) -> list[bytes]:
    """The parts of a message. original: SHA-256 of ``data``.

    A message that was refused, or whose bytes cannot be cut, has one document: all of it.
    """
    inner = data if parsed.inner is None else parsed.inner
    whole = None
    if not parsed.refused and parsed.type is not None:
        whole = messages.cut(inner, parsed.type, parsed.documents)
    if whole is None:
        return [original, framed(b"", b""), b"", inner]
    return [original, framed(whole.head, whole.tail), whole.rest, *whole.documents]


def blinds(secret: bytes, count: int) -> list[bytes]:
    """The blinds of the parts of a message."""
    stream = hashlib.shake_256(secret).digest(BLIND_BYTES * count)
    return [stream[n : n + BLIND_BYTES] for n in range(0, len(stream), BLIND_BYTES)]


def digest(blind: bytes, part: bytes) -> bytes:
    """The digest of a part; of a receipt's without a blind."""
    return hashlib.sha256(blind + part).digest()


def blinded(parts: Sequence[bytes], secret: bytes) -> list[bytes]:
    """The digests of the parts of a message."""
    sha256 = hashlib.sha256
    return [
        sha256(blind + part).digest()
        for blind, part in zip(blinds(secret, len(parts)), parts, strict=True)
    ]


def message_leaf(digests: Sequence[bytes]) -> bytes:
    """The leaf hash of a message, from the digests of its parts."""
    return leaf_hash(MESSAGE_LABEL + b"".join(digests))


def receipt_digests(xml: bytes, type_: str, documents: int) -> list[bytes]:
    """The digests of the parts of a receipt: its frame, then its documents."""
    whole = messages.cut(xml, type_, documents)
    if whole is None:
        raise ValueError(f"a {type_} of this window must have {documents} documents")
    frame = framed(whole.head, whole.tail + whole.rest)
    return [digest(b"", part) for part in (frame, *whole.documents)]


def receipt_leaf(number: int, digests: Sequence[bytes]) -> bytes:
    """The leaf hash of a receipt, from its number and the digests of its parts."""
    return leaf_hash(RECEIPT_LABEL + number.to_bytes(8, "big") + b"".join(digests))
