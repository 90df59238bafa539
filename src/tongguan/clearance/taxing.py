"""What becomes of the tax of lists: billed at release, freed when cancelled, taken back on return.

The bridge to finance/: the job says what happened to lists, finance keeps guarantees and bills.
Everything runs in the transaction of what happened.
"""

from collections.abc import Mapping

import polars as pl
import psycopg

from tongguan import finance, store
from tongguan.clearance import dossier, steps
from tongguan.clearance.intake import Body
from tongguan.clearance.kinds import KINDS
from tongguan.clearance.round import DECIDED, Round
from tongguan.clearance.settings import Settings
from tongguan.clearance.steps import AWAITED, RELEASED

BILLED_FROM_REGIME = ("retail-import", "general-trade")
"""Regimes whose tax is collected by the seller's side; parcel tax is not billed."""

_CODES = ("ebpCode", "ebcCode", "logisticsCode", "agentCode", "customsCode")


def follow(
    conn: psycopg.Connection,
    part: Round,
    receivers: pl.DataFrame,
    bodies: Mapping[str, Body],
    settings: Settings,
    batch_id: int,
) -> list[finance.notices.Notice]:
    """Do what a round's steps mean for tax; the CEB816 and CEB818 that tell it, in order.

    receivers: message_id, receiver, company of the round's messages. The round's documents and
    events are on their way into the database already.
    """
    told = [
        *_bill(conn, part, receivers, bodies, settings, batch_id),
        *_free(conn, part, settings, batch_id),
        *_take_back(conn, part, settings, batch_id),
    ]
    _watch(conn, part, settings, batch_id)
    return told


def _decided(conn: psycopg.Connection, part: Round, ids: pl.Series) -> pl.DataFrame:
    """DECIDED of lists, sorted by document_id: those of this round, and stored ones."""
    mine = pl.concat([pl.DataFrame(schema=DECIDED), *part.decided])
    here = mine.filter(pl.col("document_id").is_in(ids.implode()))
    others = ids.filter(~ids.is_in(here["document_id"].implode()))
    if others.len():
        source, values = store.unnest("k", others.alias("document_id").to_frame())
        sql = f"""SELECT t.* FROM {source} CROSS JOIN LATERAL (
                SELECT t.document_id, d.message_id, t.guarantor, t.buyer, t.regime, t.day,
                    t.hold_fen, t.duty_fen, t.consumption_fen, t.vat_fen, t.total_fen
                FROM decision t JOIN document d ON d.id = t.document_id
                WHERE t.document_id = k.document_id OFFSET 0) AS t"""
        here = pl.concat([here, store.fetch(conn, sql, values, DECIDED)])
    return here.sort("document_id")


def _watch(conn: psycopg.Connection, part: Round, settings: Settings, batch_id: int) -> None:
    """Warn of guarantees that this round brought to the warning share, or note their relief."""
    events = pl.concat([steps.none(), *part.events])
    holding = (pl.col("kind") == KINDS["inventory"].number) & pl.col("after").is_in(
        [AWAITED, RELEASED]
    )
    moved = [events.filter(holding), *part.cancelled, *part.returned]
    document = pl.col("document_id").cast(pl.Int64)
    ids = pl.concat([frame.select(document) for frame in moved])["document_id"].unique()
    codes = _decided(conn, part, ids).filter(pl.col("hold_fen") > 0)["guarantor"]
    if codes.len():
        store.settle(conn)
        finance.guarantees.watch(conn, codes, settings.law, settings.at_ms, batch_id)


def _bill(
    conn: psycopg.Connection,
    part: Round,
    receivers: pl.DataFrame,
    bodies: Mapping[str, Body],
    settings: Settings,
    batch_id: int,
) -> list[finance.notices.Notice]:
    """Bill the lists that were released, and post what their guarantees hold."""
    events = pl.concat([steps.none(), *part.events])
    is_release = (pl.col("kind") == KINDS["inventory"].number) & (pl.col("after") == RELEASED)
    released = events.filter(is_release).select("document_id", released_at="at")
    owing = _decided(conn, part, released["document_id"]).filter(
        pl.col("regime").is_in(BILLED_FROM_REGIME) & (pl.col("total_fen") > 0)
    )
    if owing.is_empty():
        return []
    owing = _numbered(conn, part, owing, bodies)
    owing = owing.join(released, on="document_id", maintain_order="left").join(
        receivers, on="message_id", how="left", maintain_order="left"
    )
    told: list[finance.notices.Notice] = []
    for day in owing["day"].unique().sort():
        mine = owing.filter(pl.col("day") == day).with_columns(
            secured=pl.col("hold_fen") > 0, collector=collector()
        )
        lines = _tax_lines(conn, part, mine["document_id"])
        bills = finance.make_bills(conn, mine, lines, settings.policy.on(day), batch_id)
        posted = bills.heads.filter("secured").select(
            "document_id", "bill_id", code="guarantor", amount_fen="total_fen", at="released_at"
        )
        _post(conn, posted, batch_id)
        told += finance.xml816(bills.heads.with_columns(at="released_at"), bills.lines)
    return told


def _post(conn: psycopg.Connection, posted: pl.DataFrame, batch_id: int) -> None:
    if posted.height:
        store.behind(conn, lambda conn: finance.ledger.within(conn, "post", posted, batch_id))


def _numbered(
    conn: psycopg.Connection, part: Round, lists: pl.DataFrame, bodies: Mapping[str, Body]
) -> pl.DataFrame:
    """Lists (document_id, …) with their invt_no and the codes of who takes part."""
    ids = lists.select(id="document_id").with_row_index("case")
    codes = dossier.body_heads(conn, "inventory", ids, _CODES, bodies).drop("case")
    schema = {"id": pl.Int64, "invt_no": pl.String}
    numbers = pl.concat([pl.DataFrame(schema=schema), *part.invt])
    others = ids.join(numbers, on="id", how="anti").select("id")
    if others.height:
        source, values = store.unnest("k", others)
        sql = f"SELECT id, invt_no FROM {source} JOIN document USING (id)"
        numbers = pl.concat([numbers, store.fetch(conn, sql, values, schema)])
    numbered = codes.join(numbers, on="id", maintain_order="left")
    return lists.join(
        numbered.rename({"id": "document_id"}), on="document_id", maintain_order="left"
    )


def collector() -> pl.Expr:
    """Who collects the tax: the guarantor if it is platform, logistics firm or declarant of the
    list, else its declarant (GACC notice 2018-194)."""
    may = pl.concat_list("ebpCode", "logisticsCode", "agentCode")
    return pl.when(may.list.contains(pl.col("guarantor"))).then("guarantor").otherwise("agentCode")


def _tax_lines(conn: psycopg.Connection, part: Round, ids: pl.Series) -> pl.DataFrame:
    """finance.bills.LINES of lists: those of this round, and stored ones."""
    mine = pl.concat([pl.DataFrame(schema=finance.bills.LINES), *part.tax_lines])
    here = mine.filter(pl.col("document_id").is_in(ids.implode()))
    others = ids.filter(~ids.is_in(here["document_id"].implode()))
    if others.len():
        source, values = store.unnest("k", others.alias("document_id").to_frame())
        sql = f"""SELECT l.* FROM {source} CROSS JOIN LATERAL (
                SELECT t.document_id, t.gnum::bigint AS gnum, l.gcode,
                    t.basis_fen AS tax_price_fen, t.duty_fen, t.consumption_fen, t.vat_fen
                FROM tax_line t JOIN inventory_line l USING (gnum)
                WHERE t.document_id = k.document_id AND l.document_id = k.document_id OFFSET 0
            ) AS l"""
        here = pl.concat([here, store.fetch(conn, sql, values, finance.bills.LINES)])
    return here.sort("document_id", "gnum")


def addressed(conn: psycopg.Connection, bills: pl.DataFrame) -> pl.DataFrame:
    """Bills with the receiver and the company of their list's receipts."""
    source, values = store.unnest("k", bills.select(pl.col("document_id").unique()))
    sql = f"""SELECT k.document_id, m.receiver, m.company FROM {source} CROSS JOIN LATERAL (
            SELECT m.receiver, m.company FROM document d JOIN message m ON m.id = d.message_id
            WHERE d.id = k.document_id OFFSET 0) AS m"""
    schema = {"document_id": pl.Int64, "receiver": pl.String, "company": pl.String}
    return bills.join(
        store.fetch(conn, sql, values, schema), on="document_id", how="left", maintain_order="left"
    )


def _free(
    conn: psycopg.Connection, part: Round, settings: Settings, batch_id: int
) -> list[finance.notices.Notice]:
    """Give back what guarantees hold for cancelled lists."""
    gone = [frame.select("document_id") for frame in part.cancelled]
    if not gone:
        return []
    source, values = store.unnest("k", pl.concat(gone).unique())
    sql = f"""SELECT document_id, guarantor AS code, hold_fen AS amount_fen
        FROM {source} JOIN decision USING (document_id) WHERE hold_fen > 0 ORDER BY document_id"""
    schema = {"document_id": pl.Int64, "code": pl.String, "amount_fen": pl.Int64}
    held = store.fetch(conn, sql, values, schema).with_columns(at=pl.lit(settings.at_ms))
    finance.ledger.within(conn, "void", held, batch_id)
    return []


def _take_back(
    conn: psycopg.Connection, part: Round, settings: Settings, batch_id: int
) -> list[finance.notices.Notice]:
    """Take tax of returned goods off its bill: void (818) what is all back, correct the rest."""
    if not part.returned:
        return []
    back = pl.concat(part.returned)
    bills = finance.bills.of_documents(conn, back["document_id"].unique())
    lines = back.join(bills.heads.select("bill_id", "document_id"), on="document_id")
    if lines.is_empty():
        return []
    whole = lines.filter("all_back").select("bill_id", document_id="return_id").unique("bill_id")
    partly = lines.filter(~pl.col("all_back"))
    told: list[finance.notices.Notice] = []
    at, stamp = settings.at_ms, pl.lit(settings.at_ms)
    # First the parts: a bill that is void has nothing left to correct.
    if partly.height:
        taken = partly.select(
            *("bill_id", "gnum", "duty_fen", "consumption_fen", "vat_fen"),
            tax_price_fen="basis_fen",
            document_id="return_id",
        )
        net = finance.correct(conn, taken, at, batch_id)
        told += finance.xml816(addressed(conn, net.heads).with_columns(at=stamp), net.lines)
    if whole.height:
        void = finance.void(conn, whole, at, batch_id)
        told += finance.xml818(addressed(conn, void.heads).with_columns(at=stamp))
    return told
