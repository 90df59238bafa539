"""Three documents and the list: finding the documents that belong together.

Join keys: order (ebpCode, orderNo); payment (payCode, payTransactionId) as the order names them,
else by the order's own key; waybill (logisticsCode, logisticsNo). Only current documents at
status 2 take part: a draft does not, nor one that another list has matched.

A round is a set of newly accepted documents. It touches the lists in it and, in the database, the
waiting lists that one of its documents may complete.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl
import psycopg

from tongguan import messages, store
from tongguan.clearance.intake import Body
from tongguan.clearance.kinds import KINDS, Kind
from tongguan.clearance.models import head_table, line_table
from tongguan.clearance.rules import Dossiers
from tongguan.clearance.steps import ACCEPTED

Connection = psycopg.Connection | None
"""None: there is no database; documents are only those at hand."""

LIFE: dict[str, Any] = {
    "id": pl.Int64,
    "kind": pl.Int64,
    "message_id": pl.Int64,
    "key_a": pl.String,
    "key_b": pl.String,
    "ref_a": pl.String,
    "ref_b": pl.String,
    "way_a": pl.String,
    "way_b": pl.String,
    "seq": pl.Int64,
    "at": pl.Int64,
    "arrival": pl.Int64,
}
"""Life columns of a document that can take part; ``arrival`` orders those of this round (−1: it
was there before)."""

_STORED = """SELECT d.* FROM {keys} CROSS JOIN LATERAL (
        SELECT d.id, d.kind, d.message_id, d.key_a, d.key_b, d.ref_a, d.ref_b, d.way_a, d.way_b,
            d.seq, d.at, -1 AS arrival, d.status
        FROM document d WHERE {on} AND d.kind = {kind} AND d.current OFFSET 0
    ) AS d"""
"""Key by key (OFFSET 0 keeps it so): the planner, told that hardly any document is open, would
else hold every open one against every key."""
_ON = {
    "key": "d.key_b = k.b AND d.key_a = k.a",
    "ref": "d.ref_b = k.b AND d.ref_a = k.a AND d.status = 2",
    "way": "d.way_b = k.b AND d.way_a = k.a AND d.status = 2",
}

HEAD_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "order": (
        *("buyerName", "buyerTelephone", "buyerTelephone_digest", "buyerIdType"),
        *("buyerIdNumber", "buyerIdNumber_digest", "acturalPaid"),
    ),
    "payment": ("payerName", "payerIdNumber", "payerIdNumber_digest", "amountPaid"),
    "waybill": ("orderNo",),
    "inventory": (
        *("orderNo", "tradeMode", "freight", "insuredFee", "buyerIdType", "buyerName"),
        *("buyerTelephone", "buyerTelephone_digest", "buyerIdNumber", "buyerIdNumber_digest"),
        *("identity_valid", "customsCode", "assureCode"),
    ),
}
LINE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "order": ("gnum", "qty", "totalPrice"),
    "inventory": (
        *("gnum", "gcode", "qty", "unit", "qty1", "unit1", "qty2", "unit2", "price"),
        "totalPrice",
    ),
}
"""The elements of each document that the rules look at."""


@dataclass(frozen=True, slots=True)
class Complete:
    """Dossiers whose four documents are there.

    dossiers: what the rules look at. members: case, id, kind, message_id, seq, at, arrival of the
    four documents of each case.
    """

    dossiers: Dossiers
    members: pl.DataFrame

    def only(self, cases: pl.DataFrame) -> "Complete":
        """Those of some cases (column case)."""

        def chosen(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.join(cases, on="case", how="semi", maintain_order="left")

        if cases.height == self.dossiers.heads.height:
            return self
        parts = self.dossiers
        return Complete(
            Dossiers(chosen(parts.heads), chosen(parts.inventory_lines), chosen(parts.order_lines)),
            chosen(self.members),
        )


def _keyed(frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    return frame.filter(pl.col("kind") == KINDS[kind].number)


def _stored(conn: Connection, kind: str, by: str, keys: pl.DataFrame) -> pl.DataFrame:
    """Current documents of a kind at status 2 in the database, by one of their keys (a, b)."""
    keys = keys.select("a", "b").drop_nulls().unique().sort("b", "a")
    if conn is None or keys.is_empty():
        return pl.DataFrame(schema=LIFE)
    source, values = store.unnest("k", keys)
    sql = _STORED.format(keys=source, on=_ON[by], kind=KINDS[kind].number)
    found = store.fetch(conn, sql, values, {**LIFE, "status": pl.Int64})
    return found.filter(pl.col("status") == ACCEPTED).drop("status")


def _keys(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    return frame.select(a=f"{name}_a", b=f"{name}_b")


def waiting_lists(conn: Connection, fresh: pl.DataFrame) -> pl.DataFrame:
    """The lists in the database that a newly accepted order, payment or waybill may complete."""
    orders, payments = _keyed(fresh, "order"), _keyed(fresh, "payment")
    naming = _stored(conn, "order", "ref", _keys(payments, "key"))
    by_order = pl.concat([_keys(orders, "key"), _keys(payments, "ref"), _keys(naming, "key")])
    by_waybill = _keys(_keyed(fresh, "waybill"), "key")
    return pl.concat(
        [
            _stored(conn, "inventory", "ref", by_order),
            _stored(conn, "inventory", "way", by_waybill),
        ]
    ).unique("id", maintain_order=True)


def _found(
    conn: Connection, fresh: pl.DataFrame, kind: str, by: str, wanted: pl.DataFrame
) -> pl.DataFrame:
    """For wanted (list, a, b): the document of that key, from this round or the database."""
    here = _keyed(fresh, kind).with_columns(a=f"{by}_a", b=f"{by}_b")
    hit = wanted.join(here, on=["a", "b"])
    missing = wanted.join(hit.select("list"), on="list", how="anti")
    stored = _stored(conn, kind, by, missing).with_columns(a=f"{by}_a", b=f"{by}_b")
    both = pl.concat([hit, missing.join(stored, on=["a", "b"]).select(hit.columns)])
    # Two payments may name one order: the one that came last counts.
    return both.sort("list", "id").unique("list", keep="last", maintain_order=True)


def arriving(documents: pl.DataFrame, at_ms: int) -> pl.DataFrame:
    """LIFE columns of newly accepted documents (doc, case, message_id, keys)."""
    return documents.select(
        *(name for name in LIFE if name in documents.columns),
        id="doc",
        seq=pl.lit(1, dtype=pl.Int64),
        at=pl.lit(at_ms, dtype=pl.Int64),
        arrival="case",
    ).select(*LIFE)


def touched_lists(conn: Connection, fresh: pl.DataFrame) -> pl.DataFrame:
    """The lists a round may complete: its own, and waiting ones its documents belong to."""
    return pl.concat([_keyed(fresh, "inventory"), waiting_lists(conn, fresh)])


def ready_lists(conn: psycopg.Connection) -> pl.DataFrame:
    """Waiting lists whose order, payment and waybill are all in the database.

    In an undisturbed run there are none: a list is decided when its last document arrives. Two
    workers whose transactions overlap may each miss what the other brought.
    """
    number = {name: kind.number for name, kind in KINDS.items()}
    payment = f"SELECT FROM document p WHERE p.kind = {number['payment']} AND p.current"
    # Each key is looked up for itself: joined, all waiting lists would meet all waiting orders.
    sql = f"""SELECT {", ".join(f"d.{name}" for name in LIFE if name != "arrival")}, -1 AS arrival
        FROM document d
        CROSS JOIN LATERAL (
            SELECT o.ref_a, o.ref_b, o.status FROM document o WHERE o.kind = {number["order"]}
                AND o.key_b = d.ref_b AND o.key_a = d.ref_a AND o.current OFFSET 0) AS o
        CROSS JOIN LATERAL (
            SELECT w.status FROM document w WHERE w.kind = {number["waybill"]}
                AND w.key_b = d.way_b AND w.key_a = d.way_a AND w.current OFFSET 0) AS w
        WHERE d.kind = {number["inventory"]} AND d.current AND d.status = 2
            AND d.ref_b IS NOT NULL AND o.status = 2 AND w.status = 2
            AND CASE WHEN o.ref_a IS NULL OR o.ref_b IS NULL
                THEN EXISTS ({payment} AND p.ref_b = d.ref_b AND p.ref_a = d.ref_a
                    AND p.status = 2 OFFSET 0)
                ELSE EXISTS ({payment} AND p.key_b = o.ref_b AND p.key_a = o.ref_a
                    AND p.status = 2 OFFSET 0) END"""
    return store.fetch(conn, sql, None, LIFE)


def waiting_since(conn: psycopg.Connection, before_ms: int) -> pl.DataFrame:
    """Waiting lists whose last event is before a time (ms since 1970 UTC): LIFE columns."""
    sql = f"""SELECT {", ".join(name for name in LIFE if name != "arrival")}, -1 AS arrival
        FROM document WHERE kind = {KINDS["inventory"].number} AND current AND status = 2
        AND ref_b IS NOT NULL AND at < %(before)s ORDER BY id"""
    return store.fetch(conn, sql, {"before": before_ms}, LIFE)


def missing(
    conn: Connection, lists: pl.DataFrame, fresh: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Which documents each list still waits for: id, rule, document, field, expected, law.

    Looked for among ``fresh`` (LIFE) and in the database. A payment counts as there if the order
    names it and it came, or if it names the order.
    """
    fresh = pl.DataFrame(schema=LIFE) if fresh is None else fresh
    by_order = lists.select(list="id", a="ref_a", b="ref_b")
    by_waybill = lists.select(list="id", a="way_a", b="way_b")
    orders = _found(conn, fresh, "order", "key", by_order)
    names_payment = pl.col("ref_a").is_not_null() & pl.col("ref_b").is_not_null()
    named = orders.filter(names_payment).select("list", a="ref_a", b="ref_b")
    unnamed = by_order.join(named, on="list", how="anti")
    paid = [
        _found(conn, fresh, "payment", "key", named),
        _found(conn, fresh, "payment", "ref", unnamed),
    ]
    found = {
        "order": (orders, "orderNo", by_order),
        "payment": (pl.concat(paid), "payTransactionId", pl.concat([named, unnamed])),
        "waybill": (
            _found(conn, fresh, "waybill", "key", by_waybill),
            "logisticsNo",
            by_waybill,
        ),
    }
    return pl.concat(
        wanted.join(there, on="list", how="anti").select(
            id="list",
            rule=pl.lit(f"match.{kind}-missing"),
            document=pl.lit(kind),
            field=pl.lit(field),
            expected=pl.format("a declared {} of key {} {}", pl.lit(kind), "a", "b"),
            actual=pl.lit("none arrived"),
            law=pl.lit("GACC notice 2018-194: transaction, payment and logistics data go before"),
        )
        for kind, (there, field, wanted) in found.items()
    ).sort("id", maintain_order=True)


def complete(
    conn: Connection,
    lists: pl.DataFrame,
    fresh: pl.DataFrame,
    bodies: Mapping[str, Body],
) -> Complete | None:
    """The dossiers that are complete now; None if there is none.

    lists: LIFE columns of the lists to look at (``touched_lists`` or ``ready_lists``).
    fresh: LIFE columns of the round's newly accepted current documents (``id`` = document id).
    bodies: this round's typed documents by kind, with ``doc``.
    """
    if lists.is_empty():
        return None
    by_order = lists.select(list="id", a="ref_a", b="ref_b")
    orders = _found(conn, fresh, "order", "key", by_order)
    waybills = _found(conn, fresh, "waybill", "key", lists.select(list="id", a="way_a", b="way_b"))
    names_payment = pl.col("ref_a").is_not_null() & pl.col("ref_b").is_not_null()
    named = orders.filter(names_payment).select("list", a="ref_a", b="ref_b")
    unnamed = orders.filter(~names_payment).select("list", "a", "b")
    payments = pl.concat(
        [
            _found(conn, fresh, "payment", "key", named),
            _found(conn, fresh, "payment", "ref", unnamed),
        ]
    )
    owned = [lists.with_columns(list="id"), orders, payments, waybills]
    members = pl.concat([frame.select("list", *LIFE) for frame in owned])
    full = (pl.len().over("list") == len(owned)).alias("full")
    members = members.filter(full)
    # One order, payment or waybill serves one list: the first that is complete.
    cases = _exclusive(members)
    if cases.is_empty():
        return None
    members = members.join(cases, on="list").sort("case", "kind")
    return Complete(assemble(conn, members, bodies), members.drop("list"))


def _exclusive(members: pl.DataFrame) -> pl.DataFrame:
    """Number the dossiers in order of completion; drop one whose document an earlier one took."""
    order = (
        members.group_by("list")
        .agg(completed=pl.col("arrival").max())
        .sort("completed", "list")
        .with_row_index("case")
        .select("list", case=pl.col("case").cast(pl.Int64))
    )
    ranked = members.join(order, on="list")
    taken = ranked.filter(pl.col("case") > pl.col("case").min().over("id"))
    return order.join(taken.select("list").unique(), on="list", how="anti").sort("case")


def assemble(conn: Connection, members: pl.DataFrame, bodies: Mapping[str, Body]) -> Dossiers:
    """The columns the rules look at. members: case, id, kind; four documents a case."""
    heads = members.select("case").unique().sort("case")
    for kind, columns in HEAD_COLUMNS.items():
        ids = _keyed(members, kind).select("case", "id")
        found = body_heads(conn, kind, ids, columns, bodies).drop("id")
        heads = heads.join(
            found.rename({name: f"{kind}.{name}" for name in columns}),
            on="case",
            how="left",
            maintain_order="left",
        )
    lines = {
        kind: body_lines(conn, kind, _keyed(members, kind).select("case", "id"), columns, bodies)
        for kind, columns in LINE_COLUMNS.items()
    }
    return Dossiers(heads, lines["inventory"], lines["order"])


@cache
def _schema(kind: Kind, columns: tuple[str, ...]) -> dict[str, Any]:
    """The types of elements as the catalogue has them; the window's own columns are added."""
    message = messages.message_type(kind.message)
    special = {"decimal": pl.Decimal(19, 5), "integer": pl.Int64}
    types = {
        field.name: special.get(field.kind, pl.String)
        for field in (*message.line_fields, *message.head_fields)
    }
    types["identity_valid"] = pl.Boolean
    return {name: types.get(name, pl.String) for name in columns}


def body_heads(
    conn: Connection,
    kind: str,
    ids: pl.DataFrame,
    columns: tuple[str, ...],
    bodies: Mapping[str, Body],
) -> pl.DataFrame:
    """case, id and some head elements of documents, from this round or the database."""
    return _body(
        conn, KINDS[kind], head_table(KINDS[kind]), ids, columns, _here(bodies, kind, lines=False)
    )


def body_lines(
    conn: Connection,
    kind: str,
    ids: pl.DataFrame,
    columns: tuple[str, ...],
    bodies: Mapping[str, Body],
) -> pl.DataFrame:
    """case and some line elements of documents, sorted by case and gnum."""
    found = _body(
        conn, KINDS[kind], line_table(KINDS[kind]), ids, columns, _here(bodies, kind, lines=True)
    )
    return found.drop("id").sort("case", "gnum")


def _here(bodies: Mapping[str, Body], kind: str, *, lines: bool) -> pl.DataFrame | None:
    body = bodies.get(kind)
    if body is None:
        return None
    return body.lines if lines else body.heads


def _body(
    conn: Connection,
    kind: Kind,
    table: str,
    ids: pl.DataFrame,
    columns: tuple[str, ...],
    here: pl.DataFrame | None,
) -> pl.DataFrame:
    schema = _schema(kind, columns)
    empty = pl.DataFrame(schema={"id": pl.Int64} | schema)
    found = empty if here is None else here.select(pl.col("doc").alias("id"), *columns)
    found = found.cast(pl.Schema(schema))
    hit = ids.join(found, on="id")
    missing = ids.join(hit.select("id"), on="id", how="anti")
    if conn is None or missing.is_empty():
        return hit
    names = ", ".join(f'b."{name}"' for name in columns)
    source, values = store.unnest("k", missing.select("id"))
    sql = f"SELECT k.id, {names} FROM {source} JOIN {table} b ON b.document_id = k.id"
    stored = store.fetch(conn, sql, values, {"id": pl.Int64} | schema)
    return pl.concat([hit, missing.join(stored, on="id").select(hit.columns)])
