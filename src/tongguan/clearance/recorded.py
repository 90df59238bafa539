"""A decision as it was recorded: what it used, and every amount and finding it gave.

Deciding again from what it used must give the same; ``explain`` does that from the database,
``verify`` from an evidence pack.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl
import psycopg

from tongguan import finance
from tongguan.clearance.decide import Decisions, Standing
from tongguan.clearance.writing import DECISION_AMOUNTS, TAX_LINE_AMOUNTS

PAPERS = ("order", "payment", "waybill")
"""The documents that a list is decided with."""
MEMBERS: dict[str, Any] = {"case": pl.Int64, "id": pl.Int64, "kind": pl.Int64}
DECIDED_BY = r"^(match|buyer|goods|limit)\.|^guarantee\.insufficient$"
"""Rules that come out of ``decide`` (an amount beyond reckoning is a message.field error); the
others were found at intake."""
OUTCOME = ("regime", "refused", "eligible", "hold_fen", *DECISION_AMOUNTS)
LINE = ("gnum", *TAX_LINE_AMOUNTS)
FINDING = ("rule", "document", "field", "gnum", "expected", "actual")


@dataclass(frozen=True, slots=True)
class Record:
    """papers: ids of the PAPERS. buyer: the keyed hash. outcome: OUTCOME; lines: LINE of each
    line; findings: FINDING of each that the decision made.
    """

    papers: tuple[int, int, int]
    buyer: str
    day: date
    policy: str
    used_before_fen: int
    guarantor: str | None
    guarantee_free_fen: int | None
    guarantee_state: str
    outcome: tuple[Any, ...]
    lines: tuple[tuple[int, ...], ...]
    findings: frozenset[tuple[Any, ...]]

    def standing(self, buyer: str) -> Standing:
        """What the decision found. buyer: whose year it is, as the dossier has it."""
        used = pl.DataFrame(
            {"buyer": [buyer], "used_fen": [self.used_before_fen]},
            schema={"buyer": pl.String, "used_fen": pl.Int64},
        )
        states = pl.DataFrame(
            {
                "code": [self.guarantor],
                "known": [self.guarantee_free_fen is not None],
                "frozen": [self.guarantee_state == "frozen"],
                "free_fen": [self.guarantee_free_fen],
                "amount_fen": [None],
            },
            schema=finance.guarantees.STATES,
        )
        return Standing(used, states, self.guarantee_state != "required")

    def facts(self) -> dict[str, Any]:
        """The record as JSON values, without what only a database can use (papers, buyer)."""
        return {
            "day": self.day.isoformat(),
            "policy": self.policy,
            "used_before_fen": self.used_before_fen,
            "guarantor": self.guarantor,
            "guarantee_free_fen": self.guarantee_free_fen,
            "guarantee_state": self.guarantee_state,
            "outcome": dict(zip(OUTCOME, self.outcome, strict=True)),
            "lines": [dict(zip(LINE, line, strict=True)) for line in self.lines],
            "findings": [
                dict(zip(FINDING, found, strict=True)) for found in sorted(self.findings, key=str)
            ],
        }

    @classmethod
    def of(cls, facts: dict[str, Any]) -> "Record":
        """The record whose facts these are. Raises KeyError, TypeError or ValueError."""
        return cls(
            papers=(0, 0, 0),
            buyer="",
            day=date.fromisoformat(facts["day"]),
            policy=facts["policy"],
            used_before_fen=facts["used_before_fen"],
            guarantor=facts["guarantor"],
            guarantee_free_fen=facts["guarantee_free_fen"],
            guarantee_state=facts["guarantee_state"],
            outcome=tuple(facts["outcome"][name] for name in OUTCOME),
            lines=tuple(tuple(line[name] for name in LINE) for line in facts["lines"]),
            findings=frozenset(
                tuple(found[name] for name in FINDING) for found in facts["findings"]
            ),
        )


def recorded(conn: psycopg.Connection, list_id: int) -> Record | None:
    """What was recorded of the decision about a list; None if there is none."""
    columns = ", ".join(
        (
            *("order_id", "payment_id", "waybill_id", "buyer", "day", "policy"),
            *("used_before_fen", "guarantor", "guarantee_free_fen", "guarantee_state", *OUTCOME),
        )
    )
    sql = f"SELECT {columns} FROM decision WHERE document_id = %s"
    row = conn.execute(sql, (list_id,)).fetchone()
    if row is None:
        return None
    sql = f"SELECT {', '.join(LINE)} FROM tax_line WHERE document_id = %s ORDER BY gnum"
    lines = conn.execute(sql, (list_id,)).fetchall()
    sql = f"""SELECT {", ".join(FINDING)} FROM finding WHERE document_id = %s
        AND (rule ~ %s AND rule !~ '-missing$' OR rule = 'message.field' AND severity = 'error')"""
    findings = conn.execute(sql, (list_id, DECIDED_BY)).fetchall()
    order_id, payment_id, waybill_id, buyer, day, digest, used, guarantor, free, state = row[:10]
    return Record(
        papers=(order_id, payment_id, waybill_id),
        buyer=buyer,
        day=day,
        policy=digest,
        used_before_fen=used,
        guarantor=guarantor,
        guarantee_free_fen=free,
        guarantee_state=state,
        outcome=row[10:],
        lines=tuple(lines),
        findings=frozenset(findings),
    )


def differences(record: Record, decisions: Decisions) -> list[str]:
    """Every amount, the regime, the outcome and every finding that is not as recorded."""
    now = decisions.heads.row(0, named=True)
    found = [
        f"{name}: recorded {was}, recomputed {now[name]}"
        for name, was in zip(OUTCOME, record.outcome, strict=True)
        if was != now[name]
    ]
    stored = {line[0]: line for line in record.lines}
    lines = {row[0]: row for row in decisions.lines.select(LINE).iter_rows()}
    found += [
        f"line {gnum}: recorded {stored.get(gnum)}, recomputed {lines.get(gnum)}"
        for gnum in sorted(stored.keys() | lines.keys())
        if stored.get(gnum) != lines.get(gnum)
    ]
    decided = pl.col("rule").str.contains(DECIDED_BY) | (pl.col("rule") == "message.field")
    told = set(decisions.findings.filter(decided).select(FINDING).iter_rows())
    return [
        *found,
        *(f"recorded only: {row}" for row in sorted(record.findings - told, key=str)),
        *(f"recomputed only: {row}" for row in sorted(told - record.findings, key=str)),
    ]
