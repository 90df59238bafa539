"""The gate: whether a message may come in at all, before it is stored.

What is wrong with single documents is found when the message is recorded; here only what concerns
it as a whole: whether it is a message, and whether the key that brings it may speak for the
company that it names as its sender.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl
import psycopg

from tongguan import clearance, codes, messages
from tongguan.sharing import registry
from tongguan.window.answers import Finding
from tongguan.window.trouble import Turned


@dataclass(frozen=True, slots=True)
class Seen:
    """What the gate saw of a message. refused: it is none, ``findings`` say why."""

    documents: int
    sender: str | None
    refused: bool
    findings: list[Finding]


def look(data: bytes, limits: messages.Limits) -> Seen:
    """Read a message as the worker will, but for its documents."""
    parsed = clearance.read_message(data, limits, columns=False)
    if parsed.refused:
        whole = [finding for finding in parsed.findings if finding.position is None]
        return Seen(0, None, True, [told(finding) for finding in whole])
    return Seen(parsed.documents, parsed.transfer.get("copCode"), False, [])


def told(finding: codes.Finding) -> Finding:
    """A finding as it stands in answers."""
    kind = finding.document if finding.document in codes.KINDS else "order"
    return Finding(
        rule=finding.rule,
        code=finding.code or codes.rule(finding.rule).code(kind),
        severity=finding.severity,
        document=finding.document,
        field=finding.field,
        gnum=finding.gnum,
        expected=finding.expected,
        actual=finding.actual,
        law=finding.law,
    )


def check_sender(
    conn: psycopg.Connection, company: str, senders: Sequence[str | None], day: date
) -> None:
    """That a company may send what these companies (copCode) are the senders of.

    Its own messages, and those of whoever has given it a mandate for the day. Raises Turned (403).
    """
    others = sorted({sender or "" for sender in senders} - {company})
    others = [other for other in others if other not in codes_of(conn, company)] if others else []
    if not others:
        return
    pairs = pl.DataFrame({"principal": others, "agent": [company] * len(others)})
    bare = registry.without_mandate(conn, pairs, day)["principal"].to_list()
    if not bare:
        return
    findings = [
        Finding(
            rule="party.mandate",
            code=codes.rule("party.mandate").code("order"),
            severity="error",
            document="message",
            field="copCode",
            expected=f"{company}, or a company that has given it a mandate for {day}",
            actual=sender or None,
        )
        for sender in bare
    ]
    raise Turned(
        403,
        f"the key is of {company}, which may not send for {', '.join(bare) or 'nobody'}: use a key "
        "of the company in copCode, or have its mandate recorded (tongguan company mandate)",
        findings=findings,
    )


def codes_of(conn: psycopg.Connection, company: str) -> list[str]:
    """All codes of a company that is filed under this one."""
    sql = "SELECT credit_code FROM company WHERE code = %s AND credit_code IS NOT NULL"
    return [company, *(row[0] for row in conn.execute(sql, (company,)))]


def refusal_status() -> int:
    """The status of a message that is refused as a whole, as in a report line."""
    return int(codes.rule("message.format").code("order"))


def stored_findings(findings: Any) -> list[Finding]:
    """Findings as the queue keeps them."""
    return [Finding(**each) for each in findings]
