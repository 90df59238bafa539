"""Where each document stands, from receipts in whatever order and however often they come."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tongguan import messages
from tongguan.client.answers import Receipt

FAMILIES = {"CEB816": "CEB816", "CEB818": "CEB816"}
"""Receipts that answer no document of the sender's: tax bills and what becomes of them."""
RELEASED = frozenset({800, 899})
REFUSED = 100

Key = tuple[str, tuple[tuple[str, str], ...]]
"""The type of a document and the elements of its key."""


def key_of(receipt: Receipt) -> Key:
    """Which document a receipt is about.

    The elements of the key are those the standard names for the receipt's type; where it names
    none, or the receipt has none of them (a refused message), the receipt stands for itself.
    """
    type_ = messages.message_type(receipt.message)
    family = type_.answers or FAMILIES.get(receipt.message, receipt.message)
    named = tuple((name, receipt.key[name]) for name in type_.key if receipt.key.get(name))
    return family, named or (("cursor", receipt.cursor),)


def place_of(cursor: str) -> tuple[int, int]:
    """A cursor as it is ordered.

    >>> place_of("7.2") < place_of("7.10") < place_of("11.1")
    True
    """
    position, _, place = cursor.partition(".")
    return int(position), int(place or 0)


@dataclass(slots=True)
class Document:
    """One document: all receipts about it, by their cursor."""

    type: str
    key: dict[str, str]
    receipts: dict[str, Receipt] = field(default_factory=dict)

    @property
    def last(self) -> Receipt:
        """The receipt that says where it stands: the one of the last cursor."""
        return self.receipts[max(self.receipts, key=place_of)]

    @property
    def status(self) -> int | None:
        return self.last.status

    @property
    def info(self) -> str | None:
        return self.last.info

    @property
    def history(self) -> list[int | None]:
        """Every status it had, in order."""
        return [self.receipts[cursor].status for cursor in sorted(self.receipts, key=place_of)]

    @property
    def numbers(self) -> dict[str, str]:
        """Every number a receipt gave it (orderNo, preNo, invtNo …), as the last one has it."""
        found: dict[str, str] = {}
        for cursor in sorted(self.receipts, key=place_of):
            found |= self.receipts[cursor].key
        return {name: found[name] for name in sorted(found) if not name.endswith("Code")}

    @property
    def released(self) -> bool:
        return self.status in RELEASED

    @property
    def refused(self) -> bool:
        """Whether it was sent back, for its form (below 0) or by a rule (100)."""
        return self.status is not None and (self.status < 0 or self.status == REFUSED)


@dataclass(slots=True)
class Parcels:
    """What receipts say of documents.

    Adding receipts is taking the union of sets: any order and any repetition leads to the same
    state. The order in which they happened is that of their cursors.
    """

    documents: dict[Key, Document] = field(default_factory=dict)

    def add(self, receipts: Iterable[Receipt]) -> None:
        """Take receipts in; ones that are there already change nothing."""
        for receipt in receipts:
            key = key_of(receipt)
            if key not in self.documents:
                self.documents[key] = Document(key[0], dict(key[1]))
            known = self.documents[key].receipts
            # The xml stands with the first entry of an answer only: keep it if it ever came.
            if receipt.cursor not in known or _says_more(receipt, known[receipt.cursor]):
                known[receipt.cursor] = receipt

    def find(self, number: str) -> list[Document]:
        """The documents with a number in their key or in a receipt about them."""
        return [each for each in self if number in each.numbers.values()]

    def __iter__(self) -> Iterator[Document]:
        """The documents in order of their keys."""
        return (self.documents[key] for key in sorted(self.documents))

    def __len__(self) -> int:
        return len(self.documents)

    def facts(self) -> list[dict[str, Any]]:
        """The documents as JSON values: type, key, status, history."""
        return [
            {"type": each.type, "key": each.key, "status": each.status, "history": each.history}
            for each in self
        ]


def _says_more(new: Receipt, old: Receipt) -> bool:
    return (new.xml is not None, new.proof is not None) > (
        old.xml is not None,
        old.proof is not None,
    )
