"""Messages that were handed in to the window: prepared for recording like files, but owned.

Who handed a message in is known by its key; a message that is refused as a whole names nobody, so
its CEB900 goes there. Such a message is its sender's alone: the same bytes from two senders are
two messages, each with an answer.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg
import pyarrow as pa

from tongguan import messages, store
from tongguan.clearance import dossier
from tongguan.clearance.intake import Batch, Desk, Incoming, prepare, read_message, received
from tongguan.clearance.record import sweep
from tongguan.clearance.settings import Settings, Signatures
from tongguan.codes import Finding


@dataclass(frozen=True, slots=True)
class Handed:
    """One message. name: what it is called; sender: the company of the key that brought it;
    refused: why it is refused as a whole, or None; sealed: its bytes, packed (zstd) and sealed, if
    they are."""

    name: str
    data: bytes
    sender: str
    refused: Sequence[Finding] | None = None
    sealed: bytes | None = None


def unpacked(sealed: bytes, size: int, vault: store.Vault) -> bytes:
    """The bytes of a message that was packed (zstd) and sealed. size: how many they are."""
    data: bytes = pa.decompress(vault.unseal(sealed), size, codec="zstd", asbytes=True)
    return data


def prepare_handed(
    handed: Sequence[Handed], desk: Desk, limits: messages.Limits, signatures: Signatures
) -> Batch:
    """``intake.prepare`` of messages that were handed in; those refused as a whole come last."""
    good = [(each.name, each.data) for each in handed if each.refused is None]
    sealed = {each.name: each.sealed for each in handed if each.sealed is not None}
    batch = prepare(good, desk, limits, signatures, sealed)
    turned = [turned_away(each, desk, limits) for each in handed if each.refused is not None]
    known = desk.known([message.digest for message in turned])
    new = {message.digest: message for message in turned if message.digest not in known}
    return replace(batch, incoming=[*batch.incoming, *new.values()])


def turned_away(each: Handed, desk: Desk, limits: messages.Limits) -> Incoming:
    """A message that is refused as a whole, for the reasons given."""
    parsed = read_message(each.data, limits)
    parsed.refused, parsed.findings = True, list(each.refused or ())
    parsed.heads, parsed.lines, parsed.transfer = {}, {}, {}
    digest = hashlib.sha256(each.data).hexdigest()
    read = received(each.name, each.data, digest, parsed, desk, each.sealed)
    return replace(read, digest=f"{digest}:{each.sender}", sender=each.sender)


def catch_up(database: store.Database, under: Settings) -> list[str | None]:
    """Decide lists whose documents came with batches that overlapped; whom receipts were told.

    Of two workers at once, one with the list and one with its order, neither saw the other.
    """

    def work(conn: psycopg.Connection) -> list[str | None]:
        if dossier.ready_lists(conn).is_empty():
            return []
        return sweep(conn, under).companies

    return store.transact(database, work)
