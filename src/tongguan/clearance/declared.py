"""What an order and its payment say, for whoever asks the platform for the original payment."""

from dataclasses import dataclass
from decimal import Decimal

import psycopg

from tongguan.clearance.kinds import KINDS

ORDER, PAYMENT = KINDS["order"].number, KINDS["payment"].number


@dataclass(frozen=True, slots=True)
class DeclaredPayment:
    """An order's payment as it was declared. amount: yuan, of the payment, else of the order."""

    platform: str
    order_no: str
    pay_code: str | None
    transaction: str | None
    amount: Decimal


def declared_payments(conn: psycopg.Connection, order_no: str) -> list[DeclaredPayment]:
    """The payments of the orders of that number, one for each platform that has such an order."""
    sql = f"""SELECT d.key_a, d.key_b, coalesce(p.key_a, d.ref_a), coalesce(p.key_b, d.ref_b),
            coalesce(h."amountPaid", o."acturalPaid")
        FROM document d JOIN order_head o ON o.document_id = d.id
        LEFT JOIN LATERAL (
            SELECT p.id, p.key_a, p.key_b FROM document p WHERE p.kind = {PAYMENT} AND p.current
                AND ((p.key_a, p.key_b) = (d.ref_a, d.ref_b)
                    OR d.ref_b IS NULL AND (p.ref_a, p.ref_b) = (d.key_a, d.key_b))
            ORDER BY p.id DESC LIMIT 1
        ) p ON true
        LEFT JOIN payment_head h ON h.document_id = p.id
        WHERE d.kind = {ORDER} AND d.current AND d.key_b = %s ORDER BY d.key_a"""
    return [DeclaredPayment(*row) for row in conn.execute(sql.encode(), (order_no,))]
