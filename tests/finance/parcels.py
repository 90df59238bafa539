"""Released parcels for the tests of bills, made of their taxes and posted as the job does."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import psycopg

from tongguan import finance, policy, store
from tongguan.finance import bills, guarantees, ledger

POLICY = policy.load()
SHANGHAI = ZoneInfo("Asia/Shanghai")

Taxes = tuple[int, int, int]


def ms(text: str) -> int:
    """A time in Asia/Shanghai, such as 2022-06-01T10:00, in ms since 1970 UTC."""
    at = datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)
    return (at - datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))) // timedelta(milliseconds=1)


def law(day: str) -> policy.Law:
    return POLICY.on(date.fromisoformat(day))


def guarantee(conn: psycopg.Connection, code: str = "G1", fen: int = 1_000_000) -> None:
    guarantees.open_guarantee(conn, code, "deposit", fen, 1, 1)


def parts(conn: psycopg.Connection, code: str = "G1") -> tuple[int, int, int]:
    """Free, pending and posted."""
    facts = guarantees.show(conn, code)
    return facts["free_fen"], facts["pending_fen"], facts["posted_fen"]


def balance(conn: psycopg.Connection, account: str) -> int:
    found = ledger.balances(conn, pl.Series([account]))
    return found["balance_fen"].sum()


def release(
    conn: psycopg.Connection,
    at: str,
    parcels: dict[int, list[Taxes]],
    guarantor: str = "G1",
    secured: bool = True,
    under: policy.Law | None = None,
) -> bills.Bills:
    """Release lists: document id -> duty, consumption tax and VAT of each line, in fen."""
    rows = [
        (document, n, f"330410{n:04d}", 100 * sum(taxes), *taxes)
        for document, lines in parcels.items()
        for n, taxes in enumerate(lines, 1)
    ]
    lines = pl.DataFrame(rows, schema=bills.LINES, orient="row")
    heads = lines.group_by("document_id", maintain_order=True).agg(
        pl.col("duty_fen", "consumption_fen", "vat_fen").sum()
    )
    released = heads.with_columns(
        total_fen=pl.sum_horizontal("duty_fen", "consumption_fen", "vat_fen"),
        invt_no=pl.format("53162022I{}", pl.col("document_id").cast(pl.String).str.zfill(9)),
        guarantor=pl.lit(guarantor),
        collector=pl.lit("E1"),
        buyer=pl.lit("1:aa"),
        secured=pl.lit(secured),
        released_at=pl.lit(ms(at)),
    )
    made = finance.make_bills(conn, released, lines, under or law(at[:10]), 1)
    store.settle(conn)
    held = made.heads.filter("secured").select(
        "document_id", "bill_id", code="guarantor", amount_fen="total_fen", at="released_at"
    )
    ledger.within(conn, "hold", held, 1)
    ledger.within(conn, "post", held, 1)
    return made
