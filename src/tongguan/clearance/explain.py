"""Explaining a parcel by deciding it again, and failing loudly if the answer differs.

What a decision used is stored: its documents, the hash of its policy, its day, what the buyer's
year held. ``explain`` builds the same dossier and the same law, calls the same ``decide``, and
compares every amount and every finding with the record.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg

from tongguan import policy
from tongguan.clearance import dossier, lawbook
from tongguan.clearance.decide import Decisions, decide
from tongguan.clearance.kinds import KINDS
from tongguan.clearance.recorded import MEMBERS, PAPERS, Record, differences, recorded
from tongguan.clearance.report import document_lines
from tongguan.clearance.rules import Dossiers


class UnknownKey(LookupError):  # noqa: N818 - a look-up that found nothing
    """No document has that number."""


class Differs(RuntimeError):  # noqa: N818 - what happened
    """Deciding again gave another answer than the one recorded; ``differences`` lists them all."""

    def __init__(self, differences: list[str]) -> None:
        super().__init__(
            "the recomputed decision is not the recorded one:\n  " + "\n  ".join(differences)
        )
        self.differences = differences


@dataclass(frozen=True, slots=True)
class Compared:
    """One pair of values that had to be equal, personal ones masked."""

    rule: str
    left: str
    left_value: str | None
    right: str
    right_value: str | None
    equal: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """documents: report lines with ``events`` of the list and its documents, oldest first.

    compared, steps, day, policy_hash: of the decision, where there is one.
    """

    documents: list[dict[str, Any]]
    compared: list[Compared]
    steps: tuple[policy.Step, ...]
    day: date | None = None
    policy_hash: str | None = None

    def facts(self) -> dict[str, Any]:
        """The explanation as JSON values."""
        return {
            "documents": self.documents,
            "compared": [asdict(pair) for pair in self.compared],
            "day": self.day.isoformat() if self.day else None,
            "policy": self.policy_hash,
            "derivation": [_step_facts(step) for step in self.steps],
        }


def _step_facts(step: policy.Step) -> dict[str, Any]:
    return {
        "item": step.gnum,
        "what": step.what,
        "zh": step.zh,
        "en": step.en,
        "formula": step.formula,
        "value": step.value,
        "basis": [
            asdict(basis) | {"since": basis.since.isoformat() if basis.since else None}
            for basis in step.basis
        ],
    }


COMPARED: tuple[tuple[str, str, str], ...] = (
    ("match.buyer-name", "order.buyerName", "inventory.buyerName"),
    ("match.buyer-phone", "order.buyerTelephone", "inventory.buyerTelephone"),
    ("match.buyer-id", "order.buyerIdType", "inventory.buyerIdType"),
    ("match.buyer-id", "order.buyerIdNumber", "inventory.buyerIdNumber"),
    ("match.payer", "order.buyerName", "payment.payerName"),
    ("match.payer", "order.buyerIdNumber", "payment.payerIdNumber"),
    ("match.amount", "order.acturalPaid", "payment.amountPaid"),
    ("match.waybill-order", "inventory.orderNo", "waybill.orderNo"),
)


def explain(
    conn: psycopg.Connection, key: str, companies: Sequence[str] | None = None
) -> list[Explanation]:
    """Everything about the parcels that carry a number (orderNo, copNo or invtNo), newest last.

    companies: only parcels of which one of them has sent a document. Raises UnknownKey; Differs
    if a decision cannot be reproduced; lawbook.UnknownPolicy.
    """
    lists = _sent_by(conn, lists_of(conn, key), companies)
    if lists:
        return [_explanation(conn, list_id) for list_id in lists]
    others = _sent_by(conn, others_of(conn, key), companies)
    if not others:
        raise UnknownKey(
            f"no document has the number {key!r}: give an orderNo, copNo, invtNo, "
            "logisticsNo or payTransactionId as it stands in the message"
        )
    return [Explanation(document_lines(conn, others), [], ())]


def lists_of(conn: psycopg.Connection, key: str) -> list[int]:
    """The declaration lists that carry a number, oldest first."""
    sql = """SELECT id FROM document WHERE kind = %(kind)s AND current AND key_b = %(key)s
        UNION SELECT id FROM document WHERE kind = %(kind)s AND NOT current AND key_b = %(key)s
        UNION SELECT id FROM document WHERE kind = %(kind)s AND cop_b = %(key)s
        UNION SELECT id FROM document WHERE invt_no = %(key)s ORDER BY id"""
    params = {"kind": KINDS["inventory"].number, "key": key}
    return [row[0] for row in conn.execute(sql, params)]


def _sent_by(
    conn: psycopg.Connection, ids: list[int], companies: Sequence[str] | None
) -> list[int]:
    """Documents that these companies sent, or of whose parcel they sent a document."""
    if companies is None or not ids:
        return ids
    sql = """SELECT k.id FROM unnest(%(ids)s::bigint[]) WITH ORDINALITY AS k (id, place)
        WHERE EXISTS (
            SELECT FROM document d JOIN message m ON m.id = d.message_id
            LEFT JOIN decision t ON t.document_id = k.id
            WHERE d.id IN (k.id, t.order_id, t.payment_id, t.waybill_id)
                AND m.company = ANY(%(companies)s))
        ORDER BY k.place"""
    asked = {"ids": ids, "companies": list(companies)}
    return [row[0] for row in conn.execute(sql, asked)]


def others_of(conn: psycopg.Connection, key: str) -> list[int]:
    """The documents of any kind that carry a number, oldest first."""
    sql = """SELECT id FROM document WHERE kind = ANY(%s) AND current AND key_b = %s
        UNION SELECT id FROM document WHERE NOT current AND key_b = %s ORDER BY id"""
    numbers = [kind.number for kind in KINDS.values()]
    return [row[0] for row in conn.execute(sql, (numbers, key, key))]


def _explanation(conn: psycopg.Connection, list_id: int) -> Explanation:
    record = recorded(conn, list_id)
    if record is None:
        return Explanation(document_lines(conn, [list_id]), [], ())
    kinds = [KINDS[name].number for name in (*PAPERS, "inventory")]
    members = pl.DataFrame(
        {"case": [0] * 4, "id": [*record.papers, list_id], "kind": kinds}, schema=MEMBERS
    )
    dossiers = dossier.assemble(conn, members, {})
    law = lawbook.by_hash(conn, record.policy).on(record.day)
    decisions = decide(dossiers, law, record.standing(record.buyer))
    found = differences(record, decisions)
    if found:
        raise Differs(found)
    lines = document_lines(conn, [*record.papers, list_id])
    return explained(lines, dossiers, decisions, law, record)


def explained(
    lines: list[dict[str, Any]],
    dossiers: Dossiers,
    decisions: Decisions,
    law: policy.Law,
    record: Record,
) -> Explanation:
    """The explanation of one decision. lines: of its documents, as from ``document_lines``."""
    steps = policy.explain(decisions.assessment, 0, law)
    return Explanation(lines, _compared(dossiers.heads), steps, record.day, record.policy)


def _compared(heads: pl.DataFrame) -> list[Compared]:
    row = heads.row(0, named=True)

    def value(name: str) -> str | None:
        found = row[name]
        if isinstance(found, Decimal):
            return f"{found:f}".rstrip("0").ljust(f"{found:f}".index(".") + 3, "0")
        return None if found is None else str(found)

    def same(left: str, right: str) -> bool:
        hashed = f"{left}_digest" in row and f"{right}_digest" in row
        suffix = "_digest" if hashed else ""
        return bool(row[left + suffix] == row[right + suffix])

    return [
        Compared(rule, left, value(left), right, value(right), same(left, right))
        for rule, left, right in COMPARED
    ]
