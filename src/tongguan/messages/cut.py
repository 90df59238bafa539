"""Cutting a message's bytes into its documents, so that one can be shown without the others."""

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from tongguan.messages.catalogue import message_type


@dataclass(frozen=True, slots=True)
class Cut:
    """The bytes of a message in pieces that, put together in this order, are the message.

    head: all before the first document. documents: each with what stands between it and the next.
    tail: what follows the last one. rest: the signature, if there is one, and the root's end.
    """

    head: bytes
    documents: tuple[bytes, ...]
    tail: bytes
    rest: bytes

    def alone(self, place: int) -> bytes:
        """A message of one of the documents only, without the signature over all of them."""
        return alone(self.head, self.documents[place], self.tail)


def alone(head: bytes, document: bytes, tail: bytes) -> bytes:
    """A message of one document from its pieces: the root that ``head`` opens is closed."""
    return head + document + tail + b"</" + _root(head) + b">"


def cut(data: bytes, name: str, documents: int) -> Cut | None:
    """Cut a message of a type that has so many documents; None if its bytes cannot be cut so.

    The bytes are taken as they are, in any encoding in which ASCII stays ASCII. What was cut was
    found by its tags only: whoever relies on a document reads it again with ``parse``.
    """
    opening, closing, signature = _tags(message_type(name).document)
    first = opening.search(data)
    if first is None:
        return None
    places = _found(data, data[first.start() : first.end() + 1], first.start())
    if len(places) != documents:
        places = [match.start() for match in opening.finditer(data)]
        if len(places) != documents:
            return None
    pieces = [data[a:b] for a, b in pairwise([*places, len(data)])]
    last = pieces[-1]
    ends = [match.end() for match in closing.finditer(last)]
    if not ends:
        return None
    pieces[-1], behind = last[: ends[-1]], last[ends[-1] :]
    signed = signature.search(behind)
    end = signed.start() if signed else behind.rfind(b"</")
    if end < 0 or not _root(data[: first.start()]):
        return None
    return Cut(data[: first.start()], tuple(pieces), behind[:end], behind[end:])


def _found(data: bytes, tag: bytes, start: int) -> list[int]:
    """Where a tag stands from a place on."""
    places = []
    while start >= 0:
        places.append(start)
        start = data.find(tag, start + len(tag))
    return places


@cache
def _tags(document: str) -> tuple[re.Pattern[bytes], re.Pattern[bytes], re.Pattern[bytes]]:
    prefix, name = rb"(?:[^\s<>/:!?]+:)?", document.encode()
    return (
        re.compile(b"<" + prefix + name + rb"(?=[\s/>])"),
        re.compile(b"</" + prefix + name + rb"\s*>"),
        re.compile(b"<" + prefix + rb"Signature(?=[\s/>])"),
    )


_ROOT = re.compile(rb"<((?:[^\s<>/:!?]+:)?\w+Message)[\s>]")


def _root(head: bytes) -> bytes:
    """The name of the root, with its prefix; empty if none is opened."""
    found = _ROOT.search(head)
    return found[1] if found else b""
