"""What falls due: bills summed into payments, paid, overdue, and the guarantee claimed.

Sources: GACC notice 2018-194 (payment on days 31 to 45 after release), 2022-61 (0.05 % for each
day after the last one, until it is paid); Customs Law art. 60 (after three months customs may
claim the guarantee). Every function can be called again for the same day and changes nothing then.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl
import psycopg

from tongguan import policy, store
from tongguan.finance import guarantees, ledger
from tongguan.finance.bills import UnknownBill
from tongguan.finance.books import MADE, SUMMARISED
from tongguan.finance.ledger import CUSTOMS, OUTSIDE, POSTED

SUMMARY: dict[str, Any] = {
    "number": pl.String,
    "guarantor": pl.String,
    "cycle": pl.String,
    "status": pl.String,
    **dict.fromkeys(("total_fen", "returned_fen", "fee_fen", "claimed_fen", "paid_fen"), pl.Int64),
    "refunded_fen": pl.Int64,
    "owed_fen": pl.Int64,
    "parcels": pl.Int64,
    "due_from": pl.Date,
    "due_to": pl.Date,
    "paid_at": pl.Int64,
    "reference": pl.String,
}
"""A payment. owed: total − returned + fee − claimed − paid; paid_fen null: unpaid."""

_OPEN = "s.status IN ('due', 'overdue')"
#: A bill as it was made, less what was taken back.
_NET = """b.total_fen - coalesce((SELECT sum(c.duty_fen + c.consumption_fen + c.vat_fen)
        FROM bill_correction c WHERE c.bill_id = b.id), 0)"""
#: The late fee up to a day: exact, half a fen up.
_FEE = """CASE WHEN %(day)s::date > s.due_to THEN
        div((s.total_fen - s.returned_fen)::numeric * (%(day)s::date - s.due_to) * %(ppm)s
            + 500000, 1000000)::bigint ELSE 0 END"""
_FACTS = """s.number, s.guarantor, s.cycle, s.status, s.total_fen, s.returned_fen, s.fee_fen,
    s.claimed_fen, s.paid_fen, s.refunded_fen, s.total_fen - s.returned_fen + s.fee_fen
        - s.claimed_fen - coalesce(s.paid_fen, 0) AS owed_fen, s.parcels::bigint, s.due_from,
    s.due_to, s.paid_at, s.reference"""


class PaymentDiffers(ValueError):  # noqa: N818 - what the payer must know
    """A payment that is not exactly what is owed. In fen; difference: given − expected."""

    def __init__(self, number: str, expected: int, given: int) -> None:
        self.expected, self.given, self.difference = expected, given, given - expected
        told = (f"{fen // 100}.{fen % 100:02d}" for fen in (expected, given, abs(self.difference)))
        owed, paid, gap = told
        side = "too much" if self.difference > 0 else "too little"
        super().__init__(f"{number} is paid with {owed} yuan, not {paid}: {gap} {side}")


class NotDue(ValueError):  # noqa: N818 - what the payer must know
    """There is nothing to pay: paid with another reference, void, or claimed in full."""


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment made; repeated: it was known already, nothing was changed."""

    number: str
    guarantor: str
    amount_fen: int
    fee_fen: int
    freed_fen: int
    repeated: bool


def summarise(
    conn: psycopg.Connection,
    day: date,
    batch_id: int,
    at_ms: int,
    withheld: pl.Series | None = None,
) -> pl.DataFrame:
    """Sum the bills that have fallen due by a day into payments, by guarantor and cycle.

    withheld: document ids of lists of which a return is under way; they stay as they are. A
    payment has the days of its bills, whenever it is made: a week without settlement gives the
    same payments as seven days with one. Returns the bills: bill_id, tax_no, document_id, invt_no,
    guarantor, collector, secured, status (2), number, total_fen, due_from, due_to, at.
    """
    # In one order, and before they are read: a correction under way is waited for and then seen.
    conn.execute(
        f"""SELECT count(*) FROM (SELECT 1 FROM bill
            WHERE status = {MADE} AND due_from <= %s ORDER BY id FOR UPDATE) locked""",
        (day,),
    )
    sql = f"""SELECT b.id AS bill_id, b.tax_no, b.document_id, b.invt_no, b.guarantor, b.collector,
            b.secured, b.cycle, b.due_from, b.due_to, ({_NET})::bigint AS total_fen
        FROM bill b WHERE b.status = {MADE} AND b.due_from <= %(day)s ORDER BY b.id"""
    due = store.fetch(conn, sql, {"day": day})
    if withheld is not None:
        due = due.filter(~pl.col("document_id").is_in(withheld.implode()))
    together = ["guarantor", "cycle", "due_from", "due_to"]
    sums = due.group_by(together, maintain_order=True).agg(
        total_fen=pl.col("total_fen").sum(), parcels=pl.len()
    )
    sums = sums.with_columns(
        id=pl.Series(store.numbers(conn, "summary_id", sums.height), dtype=pl.Int64)
    ).with_columns(
        number=pl.format(
            "JK{}{}",
            pl.col("due_from").dt.strftime("%Y%m%d"),
            pl.col("id").cast(pl.String).str.zfill(6),
        ),
        status=pl.lit("due"),
        batch_id=pl.lit(batch_id),
    )
    if sums.height:
        store.copy(conn, "summary", sums)
    told = due.join(
        sums.select(*together, "number", summary_id="id"), on=together, maintain_order="left"
    )
    _mark(conn, told)
    return told.with_columns(status=pl.lit(SUMMARISED, pl.Int64), at=pl.lit(at_ms, pl.Int64)).drop(
        "cycle", "summary_id"
    )


def _mark(conn: psycopg.Connection, told: pl.DataFrame) -> None:
    sql = f"""UPDATE bill b SET status = {SUMMARISED}, summary_id = k.summary
        FROM unnest(%s::bigint[], %s::bigint[]) AS k(id, summary) WHERE b.id = k.id"""
    if told.height:
        conn.execute(sql, (told["bill_id"].to_list(), told["summary_id"].to_list()))


def overdue(conn: psycopg.Connection, law: policy.Law) -> pl.DataFrame:
    """Note what was not paid by its last day, with the late fee up to the law's day.

    Returns the payments that are overdue now and were not, or owe more than before (SUMMARY). A
    day before the one the fee was last counted to changes nothing.
    """
    given = _given(law)
    lock = f"""SELECT 1 FROM summary s WHERE {_OPEN} AND s.due_to < %(day)s
        AND (s.fee_day IS NULL OR s.fee_day < %(day)s) ORDER BY id FOR UPDATE"""
    conn.execute(lock, given)
    sql = f"""UPDATE summary s SET status = 'overdue', fee_fen = {_FEE}, fee_day = %(day)s
        WHERE {_OPEN} AND s.due_to < %(day)s AND (s.fee_day IS NULL OR s.fee_day < %(day)s)
        RETURNING {_FACTS}"""
    return store.fetch(conn, sql, given, SUMMARY).sort("number")


def _given(law: policy.Law) -> dict[str, Any]:
    return {"day": law.day, "ppm": law.value("settlement.late-fee").ppm}


def pay(
    conn: psycopg.Connection,
    number: str,
    amount_fen: int,
    reference: str,
    at_ms: int,
    batch_id: int,
    law: policy.Law,
) -> Payment:
    """Record the payment of exactly what is owed on the law's day, which is that of ``at_ms``.

    The late fee is counted to that day; what the guarantee held for these bills is free again.
    The same payment told twice is recorded once. Raises UnknownBill, NotDue, PaymentDiffers.
    """
    sql = f"""SELECT s.id, s.guarantor, s.status, s.paid_fen, s.reference, s.claimed_fen, s.fee_fen,
            s.total_fen - s.returned_fen AS tax_fen, {_FEE} AS late_fen
        FROM summary s WHERE s.number = %(number)s FOR UPDATE"""
    row = conn.execute(sql, _given(law) | {"number": number}).fetchone()
    if row is None:
        raise UnknownBill(f"no summary bill {number}")
    id_, guarantor, status, paid, known, claimed, fee, tax, late = row
    if status == "paid" and (paid, known) == (amount_fen, reference):
        return Payment(number, guarantor, amount_fen, fee, 0, repeated=True)
    # What was claimed was counted to the day of the claim; the rest is owed without further fee.
    fee = late if status in ("due", "overdue") else fee
    expected = tax + fee - claimed
    if status in ("paid", "void") or expected == 0:
        raise NotDue(f"nothing is owed on {number}: it is {status}")
    if amount_fen != expected:
        raise PaymentDiffers(number, expected, amount_fen)
    freed = _secured(conn, [id_])[id_] if status != "claimed" else 0
    _book(conn, guarantor, amount_fen, freed, reference, at_ms, batch_id)
    conn.execute(
        """UPDATE summary SET status = 'paid', fee_fen = %s, paid_fen = %s, paid_at = %s,
            reference = %s WHERE id = %s""",
        (fee, amount_fen, at_ms, reference, id_),
    )
    return Payment(number, guarantor, amount_fen, fee, freed, repeated=False)


def _book(
    conn: psycopg.Connection,
    guarantor: str,
    amount_fen: int,
    freed_fen: int,
    reference: str,
    at_ms: int,
    batch_id: int,
) -> None:
    rows = [(OUTSIDE, CUSTOMS, amount_fen)]
    if freed_fen:
        rows.append((f"guarantee/{guarantor}{POSTED}", f"guarantee/{guarantor}", freed_fen))
    frame = pl.DataFrame(rows, schema=["debit", "credit", "amount_fen"], orient="row")
    constants = {"batch_id": batch_id, "at": at_ms, "what": "pay", "reference": reference}
    ledger.move(conn, frame.with_columns(pl.lit(v).alias(n) for n, v in constants.items()))


def _secured(conn: psycopg.Connection, ids: list[int]) -> dict[int, int]:
    """What guarantees hold for the bills of payments, in fen. Of locked payments only."""
    sql = f"""SELECT b.summary_id, sum({_NET})::bigint FROM bill b
        WHERE b.summary_id = ANY(%s) AND b.secured GROUP BY b.summary_id"""
    return dict.fromkeys(ids, 0) | dict(conn.execute(sql, (ids,)).fetchall())


def enforce(conn: psycopg.Connection, law: policy.Law, at_ms: int, batch_id: int) -> pl.DataFrame:
    """Claim the guarantee for what is overdue longer than settlement.enforce-after-days.

    The tax comes from what is posted for it, the late fee from what is free, as far as that
    reaches; older payments first. What was never secured, and what of the fee the guarantee does
    not cover, stays owed. Returns the payments claimed (SUMMARY).
    """
    given = _given(law) | {"after": int(law.value("settlement.enforce-after-days").number)}
    sql = f"""SELECT s.id, s.number, s.guarantor, {_FEE} AS fee_fen FROM summary s
        WHERE {_OPEN} AND %(day)s::date - s.due_to > %(after)s ORDER BY s.id FOR UPDATE"""
    late = store.fetch(conn, sql, given)
    secured = _secured(conn, late["id"].to_list())
    late = late.with_columns(
        tax_fen=pl.Series([secured[one] for one in late["id"]], dtype=pl.Int64)
    ).filter(pl.col("tax_fen") > 0)
    if late.is_empty():
        return pl.DataFrame(schema=SUMMARY)
    free = guarantees.states(conn, late["guarantor"]).select("free_fen", guarantor="code")
    late = late.join(free, on="guarantor", maintain_order="left")
    before = (pl.col("fee_fen").cum_sum() - pl.col("fee_fen")).over("guarantor")
    left = pl.max_horizontal(pl.col("free_fen") - before, pl.lit(0, pl.Int64))
    late = late.with_columns(of_fee_fen=pl.min_horizontal("fee_fen", left))
    _claim(conn, late, at_ms, batch_id)
    sql = f"""UPDATE summary s SET status = 'claimed', fee_fen = k.fee, fee_day = %(day)s,
            claimed_fen = k.claimed
        FROM unnest(%(id)s::bigint[], %(fee)s::bigint[], %(claimed)s::bigint[])
            AS k(id, fee, claimed)
        WHERE s.id = k.id RETURNING {_FACTS}"""
    params = {
        "day": law.day,
        "id": late["id"].to_list(),
        "fee": late["fee_fen"].to_list(),
        "claimed": (late["tax_fen"] + late["of_fee_fen"]).to_list(),
    }
    return store.fetch(conn, sql, params, SUMMARY).sort("number")


def _claim(conn: psycopg.Connection, late: pl.DataFrame, at_ms: int, batch_id: int) -> None:
    parts = [
        late.select("number", amount_fen=fen, debit=ledger.account(pl.col("guarantor"), part))
        for fen, part in (("tax_fen", POSTED), ("of_fee_fen", ledger.FREE))
    ]
    claims = pl.concat(parts).filter(pl.col("amount_fen") > 0).rename({"number": "reference"})
    constants = {"batch_id": batch_id, "at": at_ms, "what": "claim", "credit": CUSTOMS}
    ledger.move(conn, claims.with_columns(pl.lit(v).alias(n) for n, v in constants.items()))


def summaries(conn: psycopg.Connection, asked: pl.Series) -> pl.DataFrame:
    """The facts of payments by their numbers (SUMMARY); unknown numbers are left out."""
    source, values = store.unnest("k", pl.DataFrame({"number": asked}, {"number": pl.String}))
    sql = f"SELECT {_FACTS} FROM {source} JOIN summary s USING (number) ORDER BY s.id"
    return store.fetch(conn, sql, values, SUMMARY)
