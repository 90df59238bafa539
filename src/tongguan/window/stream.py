"""The receipts of a company, as entries behind a cursor.

The order is that of the evidence log: a receipt has a position once its batch is committed, and
positions become visible in their order, so whoever has read up to one never misses one before it.
A receipt message tells of up to 100 documents; each is an entry of its own. The cursor of an entry
is ``position.place``, places count from 1; ``position`` alone stands behind all its entries, and
``0.0`` before everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from tongguan import messages, store
from tongguan.clearance import ZONE
from tongguan.sharing import evidence
from tongguan.window.answers import Receipt

KEYS = (
    *("ebpCode", "ebcCode", "orderNo", "payCode", "payTransactionId", "logisticsCode"),
    *("logisticsNo", "agentCode", "operatorCode", "copNo", "preNo", "invtNo", "taxNo"),
    *("entDutyNo", "oriCopMsgId", "oriMessageType"),
)
"""Elements of a return that say which document it is about."""
STATUSES = ("returnStatus", "status")
BEGINNING = (0, 0)
ALL = 999
"""The place behind all entries of a position."""
CHANNEL = "tongguan_receipt"
"""Told whenever receipts have got their positions."""


@dataclass(frozen=True, slots=True)
class Message:
    """A receipt message of the stream. proof: of its leaf under the last head."""

    position: int
    id: int
    type: str
    documents: int
    xml: bytes
    proof: dict[str, Any]


def after(
    conn: psycopg.Connection,
    vault: store.Vault,
    companies: Sequence[str],
    cursor: tuple[int, int],
    limit: int,
    proofs: bool = True,
) -> list[Message]:
    """The next receipt messages of a company (by its codes) behind a cursor.

    A message of which the cursor stands between two entries is the first of them.
    """
    position, place = cursor
    begin = position if place == ALL else position - 1
    found = evidence.receipts_after(conn, companies, begin, limit + 1)
    if found and found[0].position == position and place >= found[0].documents:
        del found[0]
    del found[limit:]
    if not found:
        return []
    proof = evidence.proofs_of(conn, [each.position for each in found]) if proofs else {}
    return [
        Message(
            each.position,
            each.id,
            each.type,
            each.documents,
            (each.xml or "").encode() if each.sealed is None else vault.unseal(each.sealed),
            proof.get(each.position, {}),
        )
        for each in found
    ]


def entries(message: Message, cursor: tuple[int, int]) -> list[Receipt]:
    """The entries of a receipt message that are behind a cursor; the first has xml and proof."""
    parsed = messages.parse(message.xml, messages.Limits(bytes=1 << 30))
    heads = parsed.heads
    count = len(next(iter(heads.values()), []))
    behind = cursor[1] if cursor[0] == message.position else 0
    found = []
    for place in range(behind, count):
        values = {name: column[place] for name, column in heads.items()}
        first = place == behind
        found.append(
            Receipt(
                cursor=f"{message.position}.{place + 1}",
                receipt=message.id,
                message=message.type,
                key={name: value for name in KEYS if (value := values.get(name))},
                status=_status(values),
                info=values.get("returnInfo"),
                time=_time(values.get("returnTime")),
                xml=message.xml.decode() if first else None,
                proof=message.proof if first else None,
            )
        )
    return found


def _status(values: dict[str, str | None]) -> int | None:
    text = next((values[name] for name in STATUSES if values.get(name)), None)
    return None if text is None else int(text)


def _time(text: str | None) -> str | None:
    """returnTime (YYYYMMDDhhmmssSSS in Asia/Shanghai) as ISO 8601."""
    if not text:
        return None
    at = datetime.strptime(text.ljust(17, "0"), "%Y%m%d%H%M%S%f")  # noqa: DTZ007 - it has no zone
    return at.replace(tzinfo=ZONE).isoformat(timespec="milliseconds")


def next_cursor(found: Sequence[Message], cursor: tuple[int, int]) -> str:
    """Where to go on behind these messages."""
    if found:
        return f"{found[-1].position}.{found[-1].documents}"
    position, place = cursor
    return str(position) if place == ALL else f"{position}.{place}"


def end(conn: psycopg.Connection) -> str:
    """The cursor behind all there is."""
    head = evidence.head(conn)
    return f"{head.size - 1}" if head is not None else "0.0"
