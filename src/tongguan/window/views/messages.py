"""Handing messages in, and asking how far they are."""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http.multipartparser import MultiPartParserError

from tongguan import clearance
from tongguan.window import answers, gate, submissions, tracing
from tongguan.window.clock import iso
from tongguan.window.submissions import HandedIn, Kept
from tongguan.window.trouble import Turned, not_found, over
from tongguan.window.views.request import Asked

TYPES = frozenset({"application/xml", "text/xml", "application/octet-stream"})
FORM = "multipart/form-data"


def hand_in(asked: Asked) -> answers.Answer:
    """Make messages durable, then answer each: accepted, or refused as a whole."""
    kind = (asked.request.content_type or "").lower()
    if kind == FORM:
        files = list(_files(asked))
        given = _handed_in(asked, files)
        found = [_answer(kept, name) for kept, (name, _) in zip(given, files, strict=True)]
        return answers.Several(
            messages=[
                {"http_status": each.status_code} | msgspec.to_builtins(each) for each in found
            ]
        )
    if kind not in TYPES:
        raise Turned(
            415, f"Content-Type application/xml or {FORM} is expected, not {kind or 'nothing'}"
        )
    [kept] = _handed_in(asked, [("", asked.request.body)])
    return _answer(kept, "")


def _files(asked: Asked) -> Iterator[tuple[str, bytes]]:
    """The files of a form, in their order. Raises Turned (400, 413)."""
    try:
        files = [file for _, each in asked.request.FILES.lists() for file in each]
    except (MultiPartParserError, SuspiciousOperation, BadRequest) as problem:
        raise Turned(400, f"this is not a form of files: {problem}") from None
    most = asked.gateway.limits.messages
    if not files:
        raise Turned(400, "the form has no files: send each message as a file of the form")
    if len(files) > most:
        raise over(413, "messages", most, len(files), "messages in one request")
    for file in files:
        yield str(file.name or ""), file.read()


def _handed_in(asked: Asked, files: list[tuple[str, bytes]]) -> list[Kept]:
    """Look at messages, and make them durable: all of them, or if one may not be sent none."""
    most = asked.gateway.limits.message_bytes
    for _, data in files:
        if len(data) > most:
            raise over(413, "message_bytes", most, len(data), "bytes in a message")
    limits = asked.gateway.message_limits
    with asked.gateway.desks:
        seen = [gate.look(data, limits) for _, data in files]
        messages = [_message(asked, data, it) for (_, data), it in zip(files, seen, strict=True)]
    senders = [each.sender for each in seen if not each.refused]
    gate.check_sender(asked.conn, asked.company, senders, asked.day)
    kept = asked.gateway.committer.hand_in(messages)
    for each, message in zip(kept, messages, strict=True):
        outcome = "again" if each.again else "refused" if each.findings else "accepted"
        asked.gateway.metrics.messages.labels(outcome).inc()
        asked.gateway.metrics.message_bytes.inc(message.size)
    return kept


def _message(asked: Asked, data: bytes, seen: gate.Seen) -> HandedIn:
    assert asked.caller is not None
    findings = msgspec.json.encode(seen.findings).decode() if seen.refused else None
    return HandedIn(
        asked.company,
        asked.caller.key_id,
        hashlib.sha256(data).hexdigest(),
        seen.documents,
        # PostgreSQL's JSON holds no NUL; a quoted one is shown as the replacement character.
        None if findings is None else findings.replace("\\u0000", "\ufffd"),
        asked.at_ms,
        len(data),
        asked.gateway.vault.seal(pa.compress(data, codec="zstd", asbytes=True)),
        tracing.here(),
    )


def _answer(kept: Kept, name: str) -> answers.Accepted | answers.Refused:
    if kept.findings is None:
        return answers.Accepted(id=kept.id, sha256=kept.digest, documents=kept.documents)
    return answers.Refused(
        id=kept.id,
        sha256=kept.digest,
        key={"file": name or kept.id},
        status=gate.refusal_status(),
        findings=gate.stored_findings(kept.findings),
    )


def look_up(asked: Asked, id: str) -> answers.Submission:
    """How far a message of the caller's company is."""
    found = submissions.standing(asked.conn, asked.company, id)
    if found is None:
        raise not_found(f"message {id}")
    report: list[dict[str, Any]] = []
    if found.state == "done":
        report = list(clearance.report_lines(asked.conn, [("", found.digest)]))
    return answers.Submission(
        id=found.id,
        sha256=found.digest,
        documents=found.documents,
        received=iso(found.at_ms),
        state=found.state,
        findings=found.findings or [],
        report=report,
    )
