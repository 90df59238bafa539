"""Writing a batch down: columns to rows, by COPY where rows are new.

Events are written before the documents they belong to: the database checks that each document is
where its last event says. What nothing reads before the round is over is written behind
(``store.behind``); who reads what another round wrote settles first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import psycopg

from tongguan import finance, policy, store
from tongguan.clearance import findings as f
from tongguan.clearance import steps
from tongguan.clearance.decide import Decisions, Standing
from tongguan.clearance.intake import Body, Incoming, stored_rows
from tongguan.clearance.kinds import KINDS
from tongguan.clearance.models import head_table, line_table
from tongguan.clearance.settings import Settings
from tongguan.codes import Finding

DOCUMENT_COLUMNS = (
    *("id", "kind", "message_id", "position", "key_a", "key_b", "ref_a", "ref_b"),
    *("way_a", "way_b", "cop_a", "cop_b", "guid", "app_type", "app_time", "status", "seq"),
    *("at", "current", "pre_no", "invt_no"),
)
DECISION_AMOUNTS = (
    *("value_fen", "duty_fen", "consumption_fen", "vat_fen", "total_fen", "counted_fen"),
    *("used_before_fen", "used_after_fen"),
)
TAX_LINE_AMOUNTS = (
    *("goods_fen", "charges_fen", "basis_fen", "duty_fen", "consumption_fen", "vat_fen"),
    "parcel_tax_fen",
)


class Conflict(psycopg.errors.SerializationFailure):
    """Another worker changed what this transaction had read; it must run anew."""


def write_batch(conn: psycopg.Connection, batch_id: int, settings: Settings) -> None:
    conn.execute("INSERT INTO batch (id, at) VALUES (%s, %s)", (batch_id, settings.at_ms))


def prefer_keys(conn: psycopg.Connection) -> None:
    """Let this transaction find rows by their keys.

    It asks for some thousand documents among all there are. The planner, which takes a read by
    key for dear, would rather read the whole table, dearer with every parcel that is stored.
    """
    conn.execute(
        "SELECT set_config(s.name, s.value, true) FROM unnest(%s::text[], %s::text[]) "
        "AS s(name, value)",
        (list(BY_KEY), list(BY_KEY.values())),
    )


BY_KEY = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "random_page_cost": "1.1",
}
"""Settings of the planner under which some thousand keys are looked up one by one."""


def write_owed(conn: psycopg.Connection, batch_id: int) -> None:
    """Remember that the receipts of a batch have not become files yet."""
    conn.execute("UPDATE batch SET owed = true WHERE id = %s", (batch_id,))


def write_sent(conn: psycopg.Connection, batch_ids: Sequence[int]) -> None:
    """The receipts of these batches have become files."""
    conn.execute("UPDATE batch SET owed = false WHERE owed AND id = ANY(%s)", (list(batch_ids),))


def write_messages(
    conn: psycopg.Connection, incoming: Sequence[Incoming], ids: list[int], batch_id: int
) -> None:
    rows = (
        (
            *(id_, batch_id, message.digest, message.name, parsed.type, parsed.edition),
            *(parsed.guid, parsed.transfer.get("copCode"), message.company),
            *(parsed.transfer.get("dxpId"), parsed.signed),
            *(0 if parsed.refused else parsed.documents, parsed.refused, message.sealed),
        )
        for id_, message in zip(ids, incoming, strict=True)
        for parsed in (message.parsed,)
    )
    store.copy_behind(conn, "message", store.encode_binary(_MESSAGE, rows))


_MESSAGE = {
    **dict.fromkeys(("id", "batch_id"), pl.Int64),
    **dict.fromkeys(("digest", "name", "type", "edition", "guid"), pl.String),
    **dict.fromkeys(("sender", "company", "receiver"), pl.String),
    "signed": pl.Boolean,
    "documents": pl.Int32,
    "refused": pl.Boolean,
    "sealed": pl.Binary,
}
"""Columns of the table of messages, and their types."""


def write_bodies(conn: psycopg.Connection, bodies: Mapping[str, Body], good: pl.DataFrame) -> None:
    """Heads and lines of documents that keep their form; a refused one keeps its sealed message."""
    for body in bodies.values():
        kept = good.filter(pl.col("kind") == body.kind.number).select("doc")
        if kept.is_empty():
            continue
        heads, lines = stored_rows(body, kept)
        store.copy_behind(conn, head_table(body.kind), heads)
        if lines is not None:
            store.copy_behind(conn, line_table(body.kind), lines)


def write_superseded(conn: psycopg.Connection, ids: list[int]) -> None:
    """Let documents give up their key; they keep their status and their history."""
    if not ids:
        return
    sql = "UPDATE document SET current = false WHERE id = ANY(%s) AND current"
    expect(conn.execute(sql, (sorted(ids),)).rowcount, len(ids))


def write_documents(
    conn: psycopg.Connection,
    documents: pl.DataFrame,
    events: pl.DataFrame,
    invt: pl.DataFrame,
    batch_id: int,
) -> None:
    """Write events, then the documents at their last one: new ones by COPY, stored by UPDATE."""
    if events.is_empty():
        return
    # In the order of their key: the server need not sort them to see that each continues its
    # history, and its index grows at the end.
    ordered = events.drop("message_id").sort("document_id", "seq")
    store.copy_behind(conn, "event", ordered.with_columns(batch_id=pl.lit(batch_id)))
    last = steps.last(events).select("id", "seq", "status", "at")
    last = last.join(invt, on="id", how="left", maintain_order="left")
    if documents.height:
        new = documents.rename({"doc": "id"}).join(last, on="id", maintain_order="left")
        store.copy_behind(conn, "document", new.select(DOCUMENT_COLUMNS))
        last = last.join(new.select("id"), on="id", how="anti", maintain_order="left")
    if last.is_empty():
        return
    before = events.group_by("document_id").agg(old=pl.col("seq").min() - 1)
    moved = last.join(before, left_on="id", right_on="document_id").sort("id")
    source, values = store.unnest("k", moved)
    sql = f"""UPDATE document d SET status = k.status, seq = k.seq, at = k.at,
            invt_no = coalesce(k.invt_no, d.invt_no)
        FROM {source} WHERE d.id = k.id AND d.seq = k.old AND d.current"""
    _expect_behind(conn, sql, values, moved.height)


def write_decisions(
    conn: psycopg.Connection,
    members: pl.DataFrame,
    decisions: Decisions,
    standing: Standing,
    law: policy.Law,
    at_ms: int,
    batch_id: int,
) -> None:
    """What was decided, from what, under which law; and what it takes of the buyers' year.

    members: case, id, kind: the four documents of each case.
    """
    names = {KINDS[kind].number: f"{kind}_id" for kind in ("order", "payment", "waybill")}
    names[KINDS["inventory"].number] = "document_id"
    ids = members.select(
        "case", "id", kind=pl.col("kind").replace_strict(names, return_dtype=pl.String)
    ).pivot(on="kind", index="case", values="id")
    heads = decisions.heads.with_columns(pl.col("case").cast(pl.Int64)).join(ids, on="case")
    heads = _with_guarantee(heads.sort("case"), standing)
    frame = heads.select(
        "document_id",
        pl.lit(batch_id).alias("batch_id"),
        pl.lit(law.day).alias("day"),
        pl.lit(law.hash).alias("policy"),
        *("order_id", "payment_id", "waybill_id", "buyer", "regime", "refused", "eligible"),
        *("guarantor", "hold_fen", "guarantee_free_fen", "guarantee_state"),
        *DECISION_AMOUNTS,
    )
    store.copy_behind(conn, "decision", frame)
    lines = decisions.lines.with_columns(pl.col("case").cast(pl.Int64)).join(
        heads.select("case", "document_id"), on="case", maintain_order="left"
    )
    store.copy_behind(conn, "tax_line", lines.select("document_id", "gnum", *TAX_LINE_AMOUNTS))
    held = heads.select("document_id", code="guarantor", amount_fen="hold_fen", at=pl.lit(at_ms))
    finance.ledger.within(conn, "hold", held, batch_id)
    _write_allowances(conn, decisions, law)
    uses = heads.filter(pl.col("counted_fen") > 0)
    _write_entries(
        conn,
        uses.select("buyer", "document_id", fen="counted_fen"),
        at_ms,
        batch_id,
        year=pl.lit(law.day.year),
        what=pl.lit("use"),
        by_id=pl.lit(None, dtype=pl.Int64),
    )


def _with_guarantee(heads: pl.DataFrame, standing: Standing) -> pl.DataFrame:
    """What each list found of its guarantee when its turn came, so that it can be explained.

    guarantee_state: none, open, frozen, or required where a closed registry asks for one.
    """
    states = standing.guarantees
    assert states is not None
    absent = "none" if standing.opened_registry else "required"
    known = states.select(
        guarantor="code",
        at_first=pl.when("known").then("free_fen"),
        guarantee_state=pl.when(~pl.col("known"))
        .then(pl.lit(absent))
        .when("frozen")
        .then(pl.lit("frozen"))
        .otherwise(pl.lit("open")),
    )
    before = (pl.col("hold_fen").cum_sum() - pl.col("hold_fen")).over("guarantor")
    return heads.join(known, on="guarantor", how="left", maintain_order="left").with_columns(
        guarantee_free_fen=pl.col("at_first") - before
    )


def _write_entries(
    conn: psycopg.Connection, entries: pl.DataFrame, at_ms: int, batch_id: int, **more: pl.Expr
) -> None:
    """Debits and credits of buyers' years: buyer, year, document_id, fen, what, by_id."""
    if entries.height:
        stamped = entries.with_columns(at=pl.lit(at_ms), batch_id=pl.lit(batch_id), **more)
        store.copy_behind(conn, "allowance_entry", stamped)


def restore_allowances(
    conn: psycopg.Connection, back: pl.DataFrame, at_ms: int, batch_id: int
) -> None:
    """Give back what lists took of the year they took it from.

    back: document_id (the list), by_id (the cancellation or return), buyer, year, fen > 0.
    """
    if back.is_empty():
        return
    sums = back.group_by("buyer", "year").agg(pl.col("fen").sum()).sort("buyer", "year")
    source, values = store.unnest("k", sums)
    sql = f"""UPDATE allowance a SET used_fen = a.used_fen - k.fen
        FROM {source} WHERE a.buyer = k.buyer AND a.year = k.year"""
    expect(conn.execute(sql, values).rowcount, sums.height)
    _write_entries(conn, back, at_ms, batch_id, what=pl.lit("restore"))


def _write_allowances(conn: psycopg.Connection, decisions: Decisions, law: policy.Law) -> None:
    """Move the buyers' years on, if they still are where the decision found them.

    Of two workers that meet at a buyer the second waits, finds the year moved and runs anew.
    """
    moved = (
        decisions.heads.filter(pl.col("counted_fen") > 0)
        .group_by("buyer")
        .agg(before=pl.col("used_before_fen").min(), after=pl.col("used_after_fen").max())
        .sort("buyer")
    )
    if moved.is_empty():
        return
    limit = law.value("retail-import.limit-annual").fen
    year = law.day.year
    for statement, rows in (
        (_BEGIN_YEAR, moved.filter(pl.col("before") == 0)),
        (_CONTINUE_YEAR, moved.filter(pl.col("before") > 0)),
    ):
        if rows.height:
            source, values = store.unnest("k", rows)
            sql = statement.format(source=source, year=year, limit=limit)
            _expect_behind(conn, sql, values, rows.height)


_BEGIN_YEAR = """INSERT INTO allowance AS a (buyer, year, used_fen, limit_fen)
    SELECT k.buyer, {year}, k.after, {limit} FROM {source}
    ON CONFLICT (buyer, year) DO UPDATE
    SET used_fen = excluded.used_fen, limit_fen = excluded.limit_fen WHERE a.used_fen = 0"""
_CONTINUE_YEAR = """UPDATE allowance a SET used_fen = k.after, limit_fen = {limit} FROM {source}
    WHERE a.buyer = k.buyer AND a.year = {year} AND a.used_fen = k.before"""


def write_findings(
    conn: psycopg.Connection, findings: pl.DataFrame, message_of: pl.DataFrame
) -> None:
    """Findings about documents. findings: case = doc; message_of: doc, message_id."""
    if findings.is_empty():
        return
    frame = f.with_codes(findings).join(
        message_of, left_on="case", right_on="doc", maintain_order="left"
    )
    _copy_findings(conn, frame.rename({"case": "document_id"}))


def _copy_findings(conn: psycopg.Connection, frame: pl.DataFrame) -> None:
    # A line may call itself any number: one that no integer holds is shown as a value only.
    number = pl.col("gnum").cast(pl.Int32, strict=False)
    store.copy_behind(conn, "finding", frame.with_columns(number).select(*FINDING_COLUMNS))


FINDING_COLUMNS = (
    *("document_id", "message_id", "rule", "code", "severity", "document", "field", "gnum"),
    *("expected", "actual", "law"),
)


def write_message_findings(
    conn: psycopg.Connection,
    incoming: Sequence[Incoming],
    ids: list[int],
    remarks: Sequence[Sequence[Finding]],
) -> None:
    """Findings about whole messages: what is wrong with their form; and remarks on each."""
    rows = []
    for message, message_id, more in zip(incoming, ids, remarks, strict=True):
        about = [found for found in message.parsed.findings if found.position is None]
        rows += [
            {
                "message_id": message_id,
                "rule": found.rule,
                "severity": found.severity,
                "document": found.document,
                "field": found.field,
                "gnum": found.gnum,
                "expected": found.expected,
                "actual": found.actual,
                "law": found.law,
            }
            for found in (*about, *more)
        ]
    if rows:
        schema: dict[str, Any] = {
            "message_id": pl.Int64,
            **{k: v for k, v in f.SCHEMA.items() if k != "case"},
        }
        frame = f.with_codes(pl.DataFrame(rows, schema=schema))
        frame = frame.with_columns(document_id=pl.lit(None, dtype=pl.Int64))
        _copy_findings(conn, frame)


def _expect_behind(conn: psycopg.Connection, sql: str, values: list[str], expected: int) -> None:
    """Change so many rows, behind the caller."""
    store.behind(conn, lambda conn: expect(conn.execute(sql.encode(), values).rowcount, expected))


def expect(rows: int, expected: int) -> None:
    if rows != expected:
        raise Conflict(f"{expected - rows} of {expected} rows were changed by another worker")


def receivers(
    conn: psycopg.Connection,
    wanted: pl.Series,
    incoming: Sequence[Incoming],
    ids: Sequence[int],
) -> pl.DataFrame:
    """message_id, receiver (dxpId), company of messages: those that just came in, and stored."""
    schema = {"message_id": pl.Int64, "receiver": pl.String, "company": pl.String}
    known = [message.parsed.transfer.get("dxpId") for message in incoming]
    whose = [message.company for message in incoming]
    here = pl.DataFrame(
        {"message_id": list(ids), "receiver": known, "company": whose}, schema=schema
    )
    others = wanted.filter(~wanted.is_in(here["message_id"].implode()))
    if others.is_empty():
        return here
    source, values = store.unnest("k", others.alias("id").to_frame())
    sql = f"SELECT id AS message_id, receiver, company FROM {source} JOIN message USING (id)"
    return pl.concat([here, store.fetch(conn, sql, values, schema)])


def numbers_of(
    conn: psycopg.Connection, ids: pl.Series, documents: pl.DataFrame, invt: pl.DataFrame
) -> pl.DataFrame:
    """id, pre_no, invt_no of documents: those of this batch from its columns, others stored.

    invt: id, invt_no of lists that have just been numbered.
    """
    schema = {"id": pl.Int64, "pre_no": pl.String, "invt_no": pl.String}
    here = documents.select("pre_no", id="doc", invt_no=pl.lit(None, dtype=pl.String)).select(
        *schema
    )
    others = ids.filter(~ids.is_in(here["id"].implode()))
    if others.len():
        source, values = store.unnest("k", others.alias("id").to_frame())
        sql = f"SELECT id, pre_no, invt_no FROM {source} JOIN document USING (id)"
        here = pl.concat([here, store.fetch(conn, sql, values, schema)])
    return here.join(
        invt.rename({"invt_no": "given"}), on="id", how="left", maintain_order="left"
    ).select("id", "pre_no", invt_no=pl.coalesce("given", "invt_no"))
