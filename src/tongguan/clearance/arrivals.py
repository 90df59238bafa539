"""Parcels that arrive (CEB711) and parcels that were signed for (CEB513, status S).

Where arrivals are required, a direct-purchase list waits at 400 until an arrival list names its
waybill; then it is released. A waybill that was signed for closes its list (800 → 899). Either
may be told before the list is that far: it is kept in ``early`` until then, so that the order in
which documents come does not matter. Source: CEB specification, CEB711 (what came into the
supervised place) and CEB513 (S: signed for).
"""

from collections.abc import Mapping
from typing import Any

import polars as pl
import psycopg

from tongguan import store
from tongguan.clearance import steps
from tongguan.clearance.intake import Body
from tongguan.clearance.kinds import KINDS
from tongguan.clearance.round import Round
from tongguan.clearance.settings import Settings
from tongguan.clearance.steps import AWAITED, CLOSED, RELEASED

ARRIVED, SIGNED = KINDS["delivery"].number, KINDS["waybill-status"].number
SIGNED_FOR = "S"
WAY = ["way_a", "way_b"]
WORDS: dict[str, Any] = {"kind": pl.Int64, "way_a": pl.String, "way_b": pl.String}
"""Something told of a parcel. kind: ARRIVED or SIGNED; way: logisticsCode, logisticsNo."""
LISTS: dict[str, Any] = {
    **dict.fromkeys(("id", "message_id", "kind", "seq", "at", "status"), pl.Int64),
    **dict.fromkeys(WAY, pl.String),
}
"""A list of a waybill, as ``steps.on`` takes it."""


def words(received: pl.DataFrame, bodies: Mapping[str, Body]) -> pl.DataFrame:
    """What documents just received say of parcels: WORDS. received: id of documents."""
    if received.is_empty():
        return pl.DataFrame(schema=WORDS)
    way = {"way_a": pl.col("logisticsCode"), "way_b": pl.col("logisticsNo")}
    mine = received.select(doc="id")
    told = []
    if "delivery" in bodies:
        body = bodies["delivery"]
        assert body.lines is not None
        arrived = body.heads.join(mine, on="doc", how="semi").select("doc", "logisticsCode")
        named = arrived.join(body.lines.select("doc", "logisticsNo"), on="doc")
        told.append(named.select(kind=pl.lit(ARRIVED), **way))
    if "waybill-status" in bodies:
        heads = bodies["waybill-status"].heads.join(mine, on="doc", how="semi")
        signed = heads.filter(pl.col("logisticsStatus") == SIGNED_FOR)
        told.append(signed.select(kind=pl.lit(SIGNED), **way))
    return pl.concat([frame.cast(pl.Schema(WORDS)) for frame in told]).unique()


def apply(
    conn: psycopg.Connection,
    part: Round,
    lists: pl.DataFrame,
    told: pl.DataFrame,
    settings: Settings,
) -> None:
    """Release and close the lists of parcels that arrived and were signed for.

    lists: id, way_a, way_b of the lists that this round looked at. told: WORDS of this round.
    What is told of a parcel whose list is not that far is kept.
    """
    moved = _moved(part, lists)
    before = _early(conn, moved)
    everything = pl.concat([told, before]).unique()
    if everything.is_empty():
        return
    known = pl.concat([moved, _stored(conn, told)]).unique("id", maintain_order=True)
    known = known.sort("id")
    part.events += follow(known, everything, settings.at_ms)
    _keep(conn, everything, told, _done(known, everything), settings)


def follow(lists: pl.DataFrame, told: pl.DataFrame, at_ms: int) -> list[pl.DataFrame]:
    """The steps lists take for what is told of their parcels: pure. lists: LISTS; told: WORDS."""
    arrived, signed = (told.filter(pl.col("kind") == kind) for kind in (ARRIVED, SIGNED))
    waiting = lists.filter(pl.col("status") == AWAITED)
    opened = waiting.join(arrived, on=WAY, how="semi", maintain_order="left")
    out = lists.filter(pl.col("status") == RELEASED)
    return [
        steps.on(opened, 1, AWAITED, RELEASED, at_ms),
        steps.on(_of(opened, signed), 2, RELEASED, CLOSED, at_ms),
        steps.on(_of(out, signed), 1, RELEASED, CLOSED, at_ms),
    ]


def _of(lists: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    return lists.join(told, on=WAY, how="semi", maintain_order="left")


def _done(lists: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """Which words have had their effect: an arrival for any list that is known here, a signature
    for one that is released by now."""
    arrived = told.filter(pl.col("kind") == ARRIVED)
    gone = pl.concat([lists.filter(pl.col("status") != AWAITED), _of(lists, arrived)])
    signed = told.filter(pl.col("kind") == SIGNED)
    return pl.concat([_of(arrived, lists), _of(signed, gone)])


def _moved(part: Round, lists: pl.DataFrame) -> pl.DataFrame:
    """The lists that this round brought to 400 or 800: LISTS."""
    last = steps.last(pl.concat([steps.none(), *part.events]))
    far = pl.col("kind") == KINDS["inventory"].number
    reached = last.filter(far & pl.col("status").is_in([AWAITED, RELEASED]))
    ways = lists.select("id", *WAY)
    return reached.join(ways, on="id", maintain_order="left").select(*LISTS)


def _early(conn: psycopg.Connection, moved: pl.DataFrame) -> pl.DataFrame:
    """What was told before of parcels whose lists have just got that far: WORDS."""
    none = pl.DataFrame(schema=WORDS)
    row = conn.execute("SELECT EXISTS (SELECT FROM early)").fetchone()
    if moved.is_empty() or not (row and row[0]):
        return none
    source, values = store.unnest("k", moved.select(*WAY).unique())
    sql = f"""SELECT e.kind, e.way_a, e.way_b FROM {source}
        JOIN early e ON e.way_b = k.way_b AND e.way_a = k.way_a"""
    return store.fetch(conn, sql, values, WORDS)


def _stored(conn: psycopg.Connection, told: pl.DataFrame) -> pl.DataFrame:
    """The lists in the database that matched these waybills and are at 400 or beyond: LISTS."""
    if told.is_empty():
        return pl.DataFrame(schema=LISTS)
    source, values = store.unnest("k", told.select(*WAY).unique())
    sql = f"""SELECT d.id, d.message_id, d.kind, d.seq, d.at, d.status, k.way_a, k.way_b
        FROM {source} JOIN document w ON w.kind = {KINDS["waybill"].number} AND w.current
            AND w.key_b = k.way_b AND w.key_a = k.way_a
        JOIN decision t ON t.waybill_id = w.id AND NOT t.refused
        JOIN document d ON d.id = t.document_id AND d.current
            AND d.status IN ({AWAITED}, {RELEASED}, {CLOSED})"""
    return store.fetch(conn, sql, values, LISTS)


def _keep(
    conn: psycopg.Connection,
    everything: pl.DataFrame,
    told: pl.DataFrame,
    done: pl.DataFrame,
    settings: Settings,
) -> None:
    """Remember what has had no effect yet, forget what has."""
    columns = list(WORDS)
    new = told.join(done, on=columns, how="anti").unique().sort(*columns)
    if new.height:
        source, values = store.unnest("k", new)
        sql = f"""INSERT INTO early (kind, way_a, way_b, at)
            SELECT k.kind, k.way_a, k.way_b, {settings.at_ms} FROM {source}
            ON CONFLICT DO NOTHING"""
        conn.execute(sql.encode(), values)
    old = everything.join(done, on=columns, how="semi").sort(*columns)
    if old.height:
        source, values = store.unnest("k", old)
        sql = f"""DELETE FROM early e USING {source}
            WHERE e.kind = k.kind AND e.way_b = k.way_b AND e.way_a = k.way_a"""
        conn.execute(sql.encode(), values)


def kept(conn: psycopg.Connection, since_ms: int) -> pl.DataFrame:
    """What was told and still waits for its list: WORDS. What is older than a time is forgotten:
    the carrier may have used the number anew."""
    conn.execute("DELETE FROM early WHERE at < %s", (since_ms,))
    return store.fetch(conn, "SELECT kind, way_a, way_b FROM early", None, WORDS)


def arrive(conn: psycopg.Connection, part: Round, key: str, settings: Settings) -> list[int]:
    """A direct-purchase parcel is on site: its list, if it waits at 400, is released.

    key: orderNo, copNo, invtNo or logisticsNo. Returns the ids of the lists of that key that are
    at 400 or beyond.
    """
    number = KINDS["inventory"].number
    sql = f"""SELECT d.id, d.message_id, d.kind, d.seq, d.at, d.status, d.way_a, d.way_b
        FROM document d WHERE d.status IN ({AWAITED}, {RELEASED}, {CLOSED}) AND d.id IN (
            SELECT id FROM document WHERE kind = {number} AND current AND key_b = %(key)s
            UNION SELECT id FROM document WHERE kind = {number} AND current AND cop_b = %(key)s
            UNION SELECT id FROM document WHERE invt_no = %(key)s
            UNION SELECT t.document_id FROM document w JOIN decision t ON t.waybill_id = w.id
                WHERE w.kind = {KINDS["waybill"].number} AND w.current AND w.key_b = %(key)s
        ) ORDER BY d.id"""
    found = store.fetch(conn, sql, {"key": key}, LISTS)
    waiting = found.filter(pl.col("status") == AWAITED)
    told = waiting.select(*WAY, kind=pl.lit(ARRIVED, dtype=pl.Int64)).select(*WORDS)
    everything = pl.concat([told, _early(conn, waiting)]).unique()
    part.events += follow(waiting, everything, settings.at_ms)
    _keep(conn, everything, told, _done(waiting, everything), settings)
    return found["id"].to_list()
