"""The report: what became of every document, one JSON object a line.

Shape: document, key, status, history, findings; for a list also tax and allowance; for a message
that was refused as a whole ``document`` is ``message`` and the key its file.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import psycopg

from tongguan import codes, store
from tongguan.clearance import dossier
from tongguan.clearance.kinds import BY_NUMBER, KINDS
from tongguan.clearance.service import Run
from tongguan.clearance.steps import REFUSED

LINES_AT_ONCE = 20_000
KEY_COLUMNS = {
    "order": (("ebpCode", "key_a"), ("orderNo", "key_b")),
    "payment": (("payCode", "key_a"), ("payTransactionId", "key_b")),
    "waybill": (("logisticsCode", "key_a"), ("logisticsNo", "key_b")),
    "waybill-status": (("logisticsCode", "key_a"), ("logisticsNo", "key_b")),
    "inventory": (
        ("ebcCode", "key_a"),
        ("orderNo", "key_b"),
        ("copNo", "cop_b"),
        ("preNo", "pre_no"),
        ("invtNo", "invt_no"),
    ),
    "cancellation": (("agentCode", "key_a"), ("copNo", "key_b"), ("preNo", "pre_no")),
    "return": (("agentCode", "key_a"), ("copNo", "key_b"), ("preNo", "pre_no")),
    "delivery": (("operatorCode", "key_a"), ("copNo", "key_b"), ("preNo", "pre_no")),
}


def money(fen: int) -> str:
    """Fen as yuan with two decimals.

    >>> money(4760)
    '47.60'
    """
    return f"{Decimal(fen) / 100:.2f}"


def lines(conn: psycopg.Connection, digests: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Report lines of the documents of messages (name, digest), in order of arrival."""
    for start in range(0, len(digests), LINES_AT_ONCE // 100):
        part = digests[start : start + LINES_AT_ONCE // 100]
        sql = "SELECT id, refused, name, digest FROM message WHERE digest = ANY(%s)"
        rows = {row[3]: row for row in conn.execute(sql, ([d for _, d in part],))}
        ids = [rows[digest][0] for _, digest in part if digest in rows]
        documents = _documents(conn, ids)
        about = _message_findings(conn, ids)
        for name, digest in part:
            message_id, refused, *_ = rows[digest]
            if refused:
                yield _message_line(name, about.get(message_id, []))
            for line in documents.get(message_id, []):
                yield {**line, "findings": about.get(message_id, []) + line["findings"]}


def document_lines(conn: psycopg.Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Report lines of single documents, in the order given, each with its ``events``."""
    found = dict(_lines_where(conn, "d.id = ANY(%s)", list(ids)))
    sql = "SELECT document_id, after, at, info FROM event WHERE document_id = ANY(%s) ORDER BY seq"
    events: dict[int, list[dict[str, Any]]] = {}
    for id_, after, at, info in conn.execute(sql, (list(ids),)):
        events.setdefault(id_, []).append({"status": after, "at": at, "info": info})
    return [found[id_][1] | {"events": events.get(id_, [])} for id_ in ids]


def _documents(conn: psycopg.Connection, message_ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    grouped: dict[int, list[dict[str, Any]]] = {}
    for _, (message_id, line) in _lines_where(conn, "d.message_id = ANY(%s)", message_ids):
        grouped.setdefault(message_id, []).append(line)
    return grouped


def _lines_where(
    conn: psycopg.Connection, condition: str, ids: list[int]
) -> Iterator[tuple[int, tuple[int, dict[str, Any]]]]:
    """(document id, (message id, report line)) of the documents of a condition, by message."""
    sql = f"""SELECT d.id, d.message_id, d.kind, d.key_a, d.key_b, d.cop_b, d.pre_no, d.invt_no,
            d.status, d.current,
            (SELECT array_agg(e.after ORDER BY e.seq) FROM event e WHERE e.document_id = d.id),
            t.duty_fen, t.consumption_fen, t.vat_fen, t.total_fen, t.regime,
            t.used_before_fen, t.used_after_fen, t.refused
        FROM document d LEFT JOIN decision t ON t.document_id = d.id
        WHERE {condition} ORDER BY d.message_id, d.position"""
    rows = conn.execute(sql, (ids,)).fetchall()
    findings = _findings(conn, [row[0] for row in rows])
    waiting = _waiting(conn, rows)
    for row in rows:
        kind = BY_NUMBER[row[2]].name
        values = dict(zip(("key_a", "key_b", "cop_b", "pre_no", "invt_no"), row[3:8], strict=True))
        line: dict[str, Any] = {
            "document": kind,
            "key": {name: values[column] for name, column in KEY_COLUMNS[kind] if values[column]},
            "status": row[8],
            "history": row[10],
        }
        if kind == "inventory":
            line |= _decision(row)
        line["findings"] = findings.get(row[0], []) + waiting.get(row[0], [])
        yield row[0], (row[1], line)


def _decision(row: tuple[Any, ...]) -> dict[str, Any]:
    if row[11] is None:
        return {"tax": None, "allowance": None}
    duty, consumption, vat, total = (money(fen) for fen in row[11:15])
    refused = row[18] or row[8] == REFUSED
    return {
        "tax": None
        if refused
        else {
            "duty": duty,
            "consumption": consumption,
            "vat": vat,
            "total": total,
            "basis": row[15],
        },
        "allowance": {"before": money(row[16]), "after": money(row[17])},
    }


_FINDING = "rule, code, severity, document, field, gnum, expected, actual, law"


def _finding(row: tuple[Any, ...]) -> dict[str, Any]:
    names = _FINDING.split(", ")
    return {name: value for name, value in zip(names, row, strict=True) if value is not None}


def _findings(conn: psycopg.Connection, ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    sql = f"SELECT document_id, {_FINDING} FROM finding WHERE document_id = ANY(%s)"
    found: dict[int, list[dict[str, Any]]] = {}
    for id_, *row in conn.execute(sql, (ids,)):
        found.setdefault(id_, []).append(_finding(tuple(row)))
    return found


def _message_findings(conn: psycopg.Connection, ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    sql = f"""SELECT message_id, {_FINDING} FROM finding
        WHERE message_id = ANY(%s) AND document_id IS NULL"""
    found: dict[int, list[dict[str, Any]]] = {}
    for id_, *row in conn.execute(sql, (ids,)):
        found.setdefault(id_, []).append(_finding(tuple(row)))
    return found


def _waiting(
    conn: psycopg.Connection, rows: Sequence[tuple[Any, ...]]
) -> dict[int, list[dict[str, Any]]]:
    """What lists that wait still wait for, as warnings."""
    ids = [r[0] for r in rows if r[2] == KINDS["inventory"].number and r[8] == 2 and r[9]]
    if not ids:
        return {}
    columns = ", ".join(name for name in dossier.LIFE if name != "arrival")
    sql = f"SELECT {columns}, -1 AS arrival FROM document WHERE id = ANY(%(ids)s)"
    lists = store.fetch(conn, sql, {"ids": ids}, dossier.LIFE)
    found: dict[int, list[dict[str, Any]]] = {}
    for row in dossier.missing(conn, lists).iter_rows(named=True):
        names = ("rule", "document", "field", "expected", "actual", "law")
        line = {"rule": row["rule"], "code": row["rule"], "severity": "warning"}
        found.setdefault(row["id"], []).append(line | {name: row[name] for name in names})
    return found


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run shows at its end.

    outcomes: kind, status, documents. parcels: report lines that need a look first; more: how
    many are not among them. errors: whether any document or message carries an error.
    """

    outcomes: pl.DataFrame
    parcels: list[dict[str, Any]]
    more: int
    errors: bool


def finish(conn: psycopg.Connection, run: Run, report: Path | None, most: int) -> Finished:
    """Write the report file, if one is wanted, and gather what is shown."""
    if report is not None:
        with report.open("w", encoding="utf-8") as file:
            for line in lines(conn, run.digests):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    counted = outcomes(conn, run.digests)
    parcels = int(counted.filter(pl.col("kind") == "inventory")["documents"].sum())
    shown = _first_looks(conn, [digest for _, digest in run.digests], most)
    lists = [line for line in shown if line["document"] == "inventory"]
    return Finished(counted, shown, parcels - len(lists), _any_error(conn, run.digests))


_FIRST_LOOKS = """SELECT d.id FROM document d JOIN message m ON m.id = d.message_id
    WHERE m.digest = ANY(%s) AND (d.kind IN (621, 623, 625) OR d.status < 0)
    ORDER BY CASE WHEN d.status = 100 OR d.status < 0 THEN 0 WHEN d.status < 800 THEN 1 ELSE 2 END,
        d.id LIMIT %s"""


def _first_looks(conn: psycopg.Connection, digests: list[str], most: int) -> list[dict[str, Any]]:
    """Refused documents, then what waits, then what is done; messages refused whole first.

    Lists, and the cancellations and returns of lists: what a person declares and wants to know.
    """
    sql = """SELECT id, name FROM message WHERE digest = ANY(%s) AND refused ORDER BY id LIMIT %s"""
    refused: dict[int, str] = dict(conn.execute(sql, (digests, most)).fetchall())
    about = _message_findings(conn, list(refused))
    whole = [_message_line(name, about.get(id_, [])) for id_, name in refused.items()]
    ids = [row[0] for row in conn.execute(_FIRST_LOOKS, (digests, most - len(whole)))]
    return whole + document_lines(conn, ids)


def _any_error(conn: psycopg.Connection, digests: Sequence[tuple[str, str]]) -> bool:
    sql = """SELECT EXISTS (SELECT FROM finding f JOIN message m ON m.id = f.message_id
        WHERE m.digest = ANY(%s) AND f.severity = 'error')"""
    row = conn.execute(sql, ([digest for _, digest in digests],)).fetchone()
    return bool(row and row[0])


def _message_line(name: str, findings: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "document": "message",
        "key": {"file": name},
        "status": int(codes.rule("message.format").code("order")),
        "history": [],
        "findings": findings,
    }


def outcomes(conn: psycopg.Connection, digests: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """How many documents of these messages stand where: kind, status, documents."""
    sql = """SELECT d.kind, d.status, count(*) AS documents FROM document d
        JOIN message m ON m.id = d.message_id WHERE m.digest = ANY(%(digests)s)
        GROUP BY d.kind, d.status ORDER BY d.kind, d.status"""
    schema = {"kind": pl.Int64, "status": pl.Int64, "documents": pl.Int64}
    frame = store.fetch(conn, sql, {"digests": [d for _, d in digests]}, schema)
    names = {number: kind.name for number, kind in BY_NUMBER.items()}
    return frame.with_columns(kind=pl.col("kind").replace_strict(names, return_dtype=pl.String))
