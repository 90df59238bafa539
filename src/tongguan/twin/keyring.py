"""The development keys with which the companies of a twin sign."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tongguan import messages
from tongguan.twin.zone import Firm


@dataclass(slots=True)
class Keyring:
    """A key and certificate of each firm, below ``folder``/CODE; those that lie there are used.

    New ones are random, whatever the seed of the twin.
    """

    folder: Path
    kind: messages.KeyKind
    _signers: dict[str, messages.Signer] = field(default_factory=dict)

    def sign(self, data: bytes, firm: Firm) -> bytes:
        """A message signed by its sender. Raises ValueError where a key of another kind lies."""
        return messages.sign(data, self._of(firm)).message

    def _of(self, firm: Firm) -> messages.Signer:
        if firm.code not in self._signers:
            folder = self.folder / firm.code
            if folder.exists():
                signer = messages.Signer.load(folder)
            else:
                signer = messages.issue(firm.code, firm.name, self.kind)
                signer.save(folder)
            if signer.certificate.algorithm != self.kind:
                raise ValueError(f"{folder} holds another key than {self.kind}")
            self._signers[firm.code] = signer
        return self._signers[firm.code]


def spoil(data: bytes, field: str) -> bytes:
    """A signed message in which one thing no longer fits: ds:DigestValue or ds:SignatureValue."""
    if field == "ds:DigestValue":
        return data.replace(b"<ceb:BaseTransfer>", b" <ceb:BaseTransfer>", 1)
    tag = b"<ds:SignatureValue>"
    place = data.index(tag) + len(tag)
    other = b"B" if data[place : place + 1] == b"A" else b"A"
    return data[:place] + other + data[place + 1 :]
