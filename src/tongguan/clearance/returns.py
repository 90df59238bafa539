"""Returns of released goods (CEB625, answered by CEB626), and their arrival on site.

A return is applied for within some days of the release and approved (399); it has its effect when
the goods are back, within some days of the release: then the tax of what came back is void and
the buyer's year, that of the list, holds less. Days are days in Asia/Shanghai, counted from the
day of release; which number of days holds is the law of the day of the application.

A line may come back in parts. What a part takes with it is its share by quantity of the line's
stored amounts: the share of all that is back by then, rounded half up, less what earlier parts
took, so that parts that make up a line take exactly the line.

Source: GACC notice 2020-45 (days, whole or part, tax not levied, the year adjusted); CEB
specification, CEB625 (original list, gnum, quantity at most that of the line), error −625209.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg

from tongguan import store
from tongguan.clearance import dossier, originals, steps, texts, writing
from tongguan.clearance import findings as f
from tongguan.clearance.findings import ERROR
from tongguan.clearance.intake import Body
from tongguan.clearance.kinds import KINDS
from tongguan.clearance.round import Round
from tongguan.clearance.settings import Settings
from tongguan.clearance.steps import CLOSED, PASSED, REFUSED

KIND = "return"
LINES = ("gnum", "gcode", "qty", "unit")
EXCHANGE = r"^exchange:(.+)$"
"""A note that links the return with the order that is sent in exchange."""
AMOUNTS = ("basis_fen", "duty_fen", "consumption_fen", "vat_fen", "parcel_tax_fen")


def deadline(released: date | None, settings: Settings, parameter: str) -> date | None:
    """The last day, for goods released on a day. parameter: returns.apply-days or arrive-days."""
    if released is None:
        return None
    return released + timedelta(days=int(settings.law.value(parameter).number))


def apply(
    conn: psycopg.Connection,
    part: Round,
    asked: pl.DataFrame,
    bodies: Mapping[str, Body],
    settings: Settings,
    batch_id: int,
) -> pl.DataFrame:
    """Approve the returns that may be; returns the findings about them (case = doc).

    asked: doc of accepted, current returns. What is approved counts against its list from now on.
    """
    pairs = _dated(originals.pairs(conn, KIND, asked, bodies), settings)
    lines = _lines(conn, pairs, bodies)
    findings = decide(pairs, lines, settings.day)
    good = pairs.join(f.faulty(findings), on="case", how="anti", maintain_order="left")
    if good.is_empty():
        return findings
    record = good.select(
        "released", "arrive_by", document_id="case", list_id="list.id", batch_id=pl.lit(batch_id)
    )
    store.copy(conn, "return_case", record)
    linked = good.select(return_id="case", order_no=pl.col("note").str.extract(EXCHANGE))
    linked = linked.drop_nulls()
    if linked.height:
        store.copy(conn, "return_exchange", linked)
    _ask(conn, lines.join(good.select("case"), on="case", how="semi"))
    return findings


def _dated(pairs: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """With released, apply_by, arrive_by (Date)."""
    released = pairs.select(steps.local("list.released_at").dt.date()).to_series().to_list()

    def days(parameter: str) -> pl.Series:
        found = [deadline(day, settings, parameter) for day in released]
        return pl.Series(found, dtype=pl.Date)

    return pairs.with_columns(
        released=pl.Series(released, dtype=pl.Date),
        apply_by=days("returns.apply-days"),
        arrive_by=days("returns.arrive-days"),
    )


_LINE: dict[str, Any] = {
    "list.id": pl.Int64,
    "gnum": pl.Int64,
    "list.gcode": pl.String,
    "list.qty": pl.Decimal(19, 5),
    "list.unit": pl.String,
    "list.asked": pl.Decimal(19, 5),
}
"""A line of a list. asked: what approved returns take of it; null: there is none yet."""


def _lines(
    conn: psycopg.Connection, pairs: pl.DataFrame, bodies: Mapping[str, Body]
) -> pl.DataFrame:
    """The lines of returns beside those of their lists: case, LINES, _LINE; null if not there."""
    ids = pairs.select("case", id="case")
    returned = dossier.body_lines(conn, KIND, ids, LINES, bodies)
    lists = pairs.select("list.id").drop_nulls().unique()
    source, values = store.unnest("k", lists)
    sql = f"""SELECT l.document_id AS "list.id", l.gnum, l.gcode AS "list.gcode",
            l.qty AS "list.qty", l.unit AS "list.unit", b.asked AS "list.asked"
        FROM {source} JOIN inventory_line l ON l.document_id = k."list.id"
        LEFT JOIN return_balance b ON b.list_id = l.document_id AND b.gnum = l.gnum"""
    listed = store.fetch(conn, sql, values, _LINE)
    named = returned.join(pairs.select("case", "list.id"), on="case", maintain_order="left")
    return named.join(listed, on=["list.id", "gnum"], how="left", maintain_order="left")


def _ask(conn: psycopg.Connection, lines: pl.DataFrame) -> None:
    """Take approved quantities off what is left, if it still is what the decision found."""
    asked = lines.group_by("list.id", "gnum").agg(
        pl.col("list.qty", "list.asked").first(), pl.col("qty").sum()
    )
    keys = {"list.id": "list_id", "list.qty": "whole", "list.asked": "before"}
    asked = asked.rename(keys).with_columns(pl.col("qty", "whole").cast(pl.Decimal(19, 5)))
    for statement, rows in (
        (_BEGIN, asked.filter(pl.col("before").is_null()).drop("before")),
        (_CONTINUE, asked.filter(pl.col("before").is_not_null()).drop("whole")),
    ):
        if rows.height:
            source, values = store.unnest("k", rows.sort("list_id", "gnum"))
            done = conn.execute(statement.format(source=source).encode(), values)
            writing.expect(done.rowcount, rows.height)


_BEGIN = """INSERT INTO return_balance (list_id, gnum, whole, asked, arrived)
    SELECT k.list_id, k.gnum, k.whole, k.qty, 0 FROM {source} ON CONFLICT DO NOTHING"""
_CONTINUE = """UPDATE return_balance b SET asked = b.asked + k.qty FROM {source}
    WHERE b.list_id = k.list_id AND b.gnum = k.gnum AND b.asked = k.before"""


# ── rules ───────────────────────────────────────────────────────────────────────────────────


def decide(asked: pl.DataFrame, lines: pl.DataFrame, day: date) -> pl.DataFrame:
    """All findings about returns applied for on a day: pure.

    asked: as from ``originals.pairs``, with released, apply_by, arrive_by. lines: case, LINES,
    _LINE. Quantities are taken in the order of the returns; a refused one takes nothing.
    """
    about = [
        originals.compared(asked, KIND),
        message_state(asked),
        return_late(asked, day),
        return_line(asked, lines),
    ]
    refused = f.faulty(f.together(about))
    return f.together([*about, return_quantity(asked, lines, refused)])


def message_state(asked: pl.DataFrame) -> pl.DataFrame:
    """message.state: the list is not released, so there is nothing to return."""
    return f.shaped(
        asked.filter(originals.theirs() & pl.col("released").is_null()).select(
            "case",
            expected=pl.lit("a released list"),
            actual=pl.format("status {}", "list.status"),
        ),
        rule="message.state",
        severity=ERROR,
        document=KIND,
        field="invtNo",
    )


def return_late(asked: pl.DataFrame, day: date) -> pl.DataFrame:
    """return.late: applied for after the last day."""
    return f.shaped(
        asked.filter(originals.theirs() & (pl.col("apply_by") < day)).select(
            "case",
            expected=pl.format("applied for by {}; released on {}", "apply_by", "released"),
            actual=pl.format("applied for on {}", pl.lit(day)),
        ),
        rule="return.late",
        severity=ERROR,
        document=KIND,
        field="appTime",
    )


def return_line(asked: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """return.line: the list has no line of that gnum and gcode."""
    theirs = asked.filter(originals.theirs()).select("case")
    other = pl.col("gcode").ne_missing(pl.col("list.gcode"))
    return f.shaped(
        lines.join(theirs, on="case", how="semi", maintain_order="left")
        .filter(other)
        .select(
            "case",
            "gnum",
            expected=pl.coalesce("list.gcode", pl.lit("a line of the list")),
            actual="gcode",
        ),
        rule="return.line",
        severity=ERROR,
        document=KIND,
        field="gcode",
    )


def return_quantity(
    asked: pl.DataFrame, lines: pl.DataFrame, refused: pl.DataFrame
) -> pl.DataFrame:
    """return.quantity: more than is left of the line, or counted in another unit.

    refused: case of returns that other rules refuse: they are judged, but take nothing.
    """
    theirs = asked.filter(originals.theirs()).select("case")
    known = lines.join(theirs, on="case", how="semi").filter(pl.col("list.qty").is_not_null())
    out = set(refused["case"])
    left: dict[tuple[int, int], Decimal] = {}
    rows: list[dict[str, Any]] = []
    for (case,), part in known.sort("case", "gnum").group_by("case", maintain_order=True):
        found = list(_quantity_findings(part, left))
        rows += found
        if not found and case not in out:
            for row in part.iter_rows(named=True):
                left[row["list.id"], row["gnum"]] -= row["qty"]
    frame = pl.DataFrame(rows, schema=f.SCHEMA)
    return f.shaped(
        frame.with_columns(
            rule=pl.lit("return.quantity"), severity=pl.lit(ERROR), document=pl.lit(KIND)
        )
    )


def _quantity_findings(
    part: pl.DataFrame, left: dict[tuple[int, int], Decimal]
) -> list[dict[str, Any]]:
    found = []
    for row in part.iter_rows(named=True):
        key = row["list.id"], row["gnum"]
        rest = left.setdefault(key, row["list.qty"] - (row["list.asked"] or Decimal(0)))
        place = {"case": row["case"], "gnum": row["gnum"]}
        if row["unit"] != row["list.unit"]:
            pair = {"field": "unit", "expected": row["list.unit"], "actual": row["unit"]}
            found.append(place | pair)
        elif row["qty"] > rest:
            expected = f"at most {plain(rest)} of {plain(row['list.qty'])}"
            pair = {"field": "qty", "expected": expected, "actual": plain(row["qty"])}
            found.append(place | pair)
    return found


def plain(quantity: Decimal) -> str:
    """A quantity without superfluous zeros.

    >>> plain(Decimal("20.00000"))
    '20'
    """
    return f"{quantity.normalize():f}"


# ── the goods are back ──────────────────────────────────────────────────────────────────────

_WAITING: dict[str, Any] = {
    **dict.fromkeys(("id", "message_id", "kind", "seq", "at", "status", "list_id"), pl.Int64),
    "released": pl.Date,
    "arrive_by": pl.Date,
}
"""An approved return, as ``steps.on`` takes it, with its list and its days."""


def share(amount_fen: int, before: Decimal, now: Decimal, whole: Decimal) -> int:
    """What the part of a line that comes back now takes of an amount of the line, in fen.

    before, now: what of the quantity ``whole`` was back before, and is back with this part.

    >>> [share(100, Decimal(n), Decimal(n + 1), Decimal(3)) for n in range(3)]
    [33, 34, 33]
    """

    def taken(back: Decimal) -> int:
        above, below = amount_fen * int(back * 100_000), int(whole * 100_000)
        return (2 * above + below) // (2 * below)

    return taken(now) - taken(before)


@dataclass(frozen=True, slots=True)
class Back:
    """What came back. amounts: columns of ``return_amount``; all_back: nothing of it is left."""

    amounts: pl.DataFrame
    restored_fen: int
    all_back: bool


def came_back(lines: pl.DataFrame, *, counted: bool) -> Back:
    """The shares of one return's lines: pure.

    lines: every line of the list: gnum, whole, arrived (before), qty (coming back now, 0: none),
    AMOUNTS of the line. counted: the list's value was taken off the buyer's year.
    """
    rows = []
    for row in lines.iter_rows(named=True):
        now = row["arrived"] + row["qty"]
        rows.append(
            {"gnum": row["gnum"], "qty": row["qty"]}
            | {name: share(row[name], row["arrived"], now, row["whole"]) for name in AMOUNTS}
        )
    schema: dict[str, Any] = {
        "gnum": pl.Int64,
        "qty": pl.Decimal(19, 5),
        **dict.fromkeys(AMOUNTS, pl.Int64),
    }
    amounts = pl.DataFrame(rows, schema=schema).filter(pl.col("qty") > 0)
    everything = lines.select((pl.col("arrived") + pl.col("qty") == pl.col("whole")).all()).item()
    return Back(amounts, int(amounts["basis_fen"].sum()) if counted else 0, bool(everything))


def known(conn: psycopg.Connection, key: str) -> pl.DataFrame:
    """The approved returns of a number, oldest first: _WAITING.

    key: copNo of the return, or orderNo, copNo or invtNo of its list (all its returns).
    """
    number = KINDS["inventory"].number
    sql = f"""SELECT d.id, d.message_id, d.kind, d.seq, d.at, d.status, r.list_id, r.released,
            r.arrive_by
        FROM return_case r JOIN document d ON d.id = r.document_id
        WHERE d.current AND (r.document_id IN (
            SELECT id FROM document WHERE kind = {KINDS[KIND].number} AND current
                AND key_b = %(key)s
        ) OR r.list_id IN (
            SELECT id FROM document WHERE kind = {number} AND current AND key_b = %(key)s
            UNION SELECT id FROM document WHERE kind = {number} AND cop_b = %(key)s
            UNION SELECT id FROM document WHERE invt_no = %(key)s
        )) ORDER BY d.id"""
    return store.fetch(conn, sql, {"key": key}, _WAITING)


def arrive(
    conn: psycopg.Connection, part: Round, key: str, settings: Settings, batch_id: int
) -> list[int]:
    """The goods of a return are on site: in time they count as back, too late they do not.

    Adds to the round the return's events, findings (return.arrived-late) and, in
    ``part.returned``, the tax that is void; gives the allowance back. Returns the ids of the
    returns of that key; those that arrived before are left as they are.
    """
    found = known(conn, key)
    waiting = found.filter(pl.col("status") == PASSED)
    late = waiting.filter(pl.col("arrive_by") < settings.day)
    _turn_away(conn, part, late, return_arrived_late(late, settings.day), settings)
    in_time = waiting.filter(pl.col("arrive_by") >= settings.day)
    for row in in_time.iter_rows(named=True):
        _receive(conn, part, row, settings, batch_id)
    said = pl.format(texts.CAME_BACK, pl.lit(settings.day), in_time["arrive_by"])
    closed = steps.on(in_time, 1, PASSED, CLOSED, settings.at_ms)
    part.events.append(closed.with_columns(info=said))
    return found["id"].to_list()


def overdue(conn: psycopg.Connection, part: Round, settings: Settings) -> None:
    """Approved returns whose goods have not come by the last day: refused, nothing comes back."""
    sql = f"""SELECT d.id, d.message_id, d.kind, d.seq, d.at, d.status, r.list_id, r.released,
            r.arrive_by
        FROM document d JOIN return_case r ON r.document_id = d.id
        WHERE d.kind = {KINDS[KIND].number} AND d.status = {PASSED} AND d.current
            AND r.arrive_by < %(day)s ORDER BY d.id"""
    late = store.fetch(conn, sql, {"day": settings.day}, _WAITING)
    _turn_away(conn, part, late, return_not_arrived(late), settings)


def return_arrived_late(late: pl.DataFrame, day: date) -> pl.DataFrame:
    """return.arrived-late: on site after the last day; both days are told. late: _WAITING."""
    return f.shaped(
        late.select(
            case="id",
            expected=pl.format("on site by {}; released on {}", "arrive_by", "released"),
            actual=pl.format("on site on {}", pl.lit(day)),
        ),
        rule="return.arrived-late",
        severity=ERROR,
        document=KIND,
    )


def return_not_arrived(late: pl.DataFrame) -> pl.DataFrame:
    """return.not-arrived: the last day is over and the goods are not on site. late: _WAITING."""
    return f.shaped(
        late.select(
            case="id",
            expected=pl.format("on site by {}; released on {}", "arrive_by", "released"),
            actual=pl.lit("not on site"),
        ),
        rule="return.not-arrived",
        severity=ERROR,
        document=KIND,
    )


def _turn_away(
    conn: psycopg.Connection,
    part: Round,
    late: pl.DataFrame,
    findings: pl.DataFrame,
    settings: Settings,
) -> None:
    """Approved returns that have no effect: 399 → 100; what they asked for is left again."""
    if late.is_empty():
        return
    said = texts.refusals(findings).select(document_id="case", said="info")
    back = steps.on(late, 1, PASSED, REFUSED, settings.at_ms)
    part.events.append(
        back.join(said, on="document_id", maintain_order="left")
        .with_columns(info="said")
        .select(*steps.EVENTS)
    )
    part.findings.append(findings)
    sql = """UPDATE return_balance b SET asked = b.asked - k.qty
        FROM (SELECT r.list_id, l.gnum, sum(l.qty) AS qty
            FROM return_case r JOIN return_line l ON l.document_id = r.document_id
            WHERE r.document_id = ANY(%s) GROUP BY r.list_id, l.gnum) k
        WHERE b.list_id = k.list_id AND b.gnum = k.gnum"""
    conn.execute(sql, (late["id"].to_list(),))


def _receive(
    conn: psycopg.Connection,
    part: Round,
    row: dict[str, Any],
    settings: Settings,
    batch_id: int,
) -> None:
    """One return is back: its share of tax and of the buyer's year."""
    conn.execute("SELECT FROM return_balance WHERE list_id = %s FOR UPDATE", (row["list_id"],))
    counted = _counted(conn, row["list_id"])
    back = came_back(_list_lines(conn, row["list_id"], row["id"]), counted=bool(counted))
    ids = {"document_id": pl.lit(row["id"]), "list_id": pl.lit(row["list_id"])}
    amounts = back.amounts.with_columns(**ids, batch_id=pl.lit(batch_id))
    store.copy(conn, "return_amount", amounts)
    source, values = store.unnest("k", back.amounts.select("gnum", "qty"))
    sql = f"""UPDATE return_balance b SET arrived = b.arrived + k.qty FROM {source}
        WHERE b.list_id = {row["list_id"]} AND b.gnum = k.gnum"""
    writing.expect(conn.execute(sql.encode(), values).rowcount, back.amounts.height)
    part.returned.append(
        back.amounts.select(
            "gnum",
            *AMOUNTS,
            document_id=pl.lit(row["list_id"], dtype=pl.Int64),
            return_id=pl.lit(row["id"], dtype=pl.Int64),
            all_back=pl.lit(back.all_back),
        )
    )
    if counted and back.restored_fen:
        credit = counted | {"fen": back.restored_fen, "by_id": row["id"]}
        frame = pl.DataFrame([credit | {"document_id": row["list_id"]}])
        writing.restore_allowances(conn, frame, settings.at_ms, batch_id)


def _counted(conn: psycopg.Connection, list_id: int) -> dict[str, Any]:
    """Buyer and year the list's value was taken from; empty if it was not counted."""
    sql = """SELECT buyer, extract(year FROM day)::int FROM decision
        WHERE document_id = %s AND counted_fen > 0"""
    found = conn.execute(sql, (list_id,)).fetchone()
    return {} if found is None else {"buyer": found[0], "year": found[1]}


def _list_lines(conn: psycopg.Connection, list_id: int, return_id: int) -> pl.DataFrame:
    """As ``came_back`` takes them."""
    amounts = ", ".join(f"t.{name}" for name in AMOUNTS)
    sql = f"""SELECT l.gnum, l.qty AS whole, coalesce(b.arrived, 0)::numeric(19,5) AS arrived,
            coalesce(r.qty, 0)::numeric(19,5) AS qty, {amounts}
        FROM inventory_line l
        JOIN tax_line t ON t.document_id = l.document_id AND t.gnum = l.gnum
        LEFT JOIN return_balance b ON b.list_id = l.document_id AND b.gnum = l.gnum
        LEFT JOIN return_line r ON r.document_id = %(return)s AND r.gnum = l.gnum
        WHERE l.document_id = %(list)s ORDER BY l.gnum"""
    decimal = pl.Decimal(19, 5)
    schema: dict[str, Any] = {"gnum": pl.Int64, "whole": decimal, "arrived": decimal}
    schema |= {"qty": decimal, **dict.fromkeys(AMOUNTS, pl.Int64)}
    return store.fetch(conn, sql, {"list": list_id, "return": return_id}, schema)
