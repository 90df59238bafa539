"""The rule message.signature: whether a message is signed, by whom, and whether that holds.

``required``: a message must be signed. ``checked``: a signature that is there must verify, one
that is absent is remarked on. ``ignored``: not looked at. A signature that fails refuses all
documents of its message, each with the code of its kind.

Verifying needs no database and is done while a batch is prepared; whose the certificate is, and
whether it is valid at the time of the clearing, is asked in the transaction that records it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import psycopg

from tongguan import codes, messages
from tongguan.clearance import findings as f
from tongguan.clearance.intake import Incoming
from tongguan.clearance.settings import Settings, Signatures
from tongguan.sharing import certificates, registry

RULE = "message.signature"
ABSENT, CERTIFICATE, SENDER = "ds:Signature", "ds:X509Certificate", "copCode"

Found = Sequence[Sequence[codes.Finding]]
"""What is said of each message of a batch, in their order."""


def judge(conn: psycopg.Connection, incoming: Sequence[Incoming], settings: Settings) -> Found:
    """message.signature of each message, by the registry as the transaction sees it."""
    if settings.signatures == "ignored":
        return [[] for _ in incoming]
    signed = [one.signature.certificate for one in incoming if one.signature is not None]
    known = certificates.filed(conn, (each.fingerprint for each in signed if each is not None))
    senders = [one.parsed.transfer.get("copCode") for one in incoming if one.signature]
    mains = registry.main_codes(conn, pl.Series(senders, dtype=pl.String)) if senders else {}
    return [
        [
            *about(message, settings.signatures),
            *_of_registry(message, known, mains, settings),
        ]
        for message in incoming
    ]


def about(message: Incoming, mode: Signatures) -> Sequence[codes.Finding]:
    """What can be said of a message's signature without asking anyone."""
    parsed = message.parsed
    if mode == "ignored" or parsed.refused:
        return ()
    if not parsed.signed:
        severity: codes.Severity = "error" if mode == "required" else "warning"
        return (_finding(parsed.kind, ABSENT, "a signature", "none", severity),)
    if message.signature is None:
        raise ValueError(f"the signature of {message.name} was not verified")
    return message.signature.findings


def in_time(message: Incoming, at: datetime) -> Sequence[codes.Finding]:
    """Whether the certificate of a message is valid, as the certificate itself says."""
    certificate = message.signature.certificate if message.signature else None
    if certificate is None:
        return ()
    since, until = certificate.valid_from, certificate.valid_to
    if since <= at < until + timedelta(seconds=1):
        return ()
    expected = f"a certificate valid at {at.astimezone(UTC).isoformat(timespec='seconds')}"
    actual = f"{certificate.serial}, valid from {since.isoformat()} to {until.isoformat()}"
    return (_finding(message.parsed.kind, CERTIFICATE, expected, actual),)


def _of_registry(
    message: Incoming,
    known: Mapping[str, certificates.Filed],
    mains: Mapping[str, str],
    settings: Settings,
) -> list[codes.Finding]:
    """Whether the certificate is the sender's, and counts at that time."""
    certificate = message.signature.certificate if message.signature else None
    if certificate is None or message.parsed.refused:
        return []
    kind, sender = message.parsed.kind, message.parsed.transfer.get("copCode") or ""
    found = list(in_time(message, settings.at))
    filed = known.get(certificate.fingerprint)
    if filed is None:
        severity: codes.Severity = "error" if settings.registry == "closed" else "warning"
        expected = f"a certificate filed for {sender}"
        actual = f"{certificate.serial}, not filed"
        return [*found, _finding(kind, CERTIFICATE, expected, actual, severity)]
    if filed.company != mains.get(sender, sender):
        actual = f"{filed.serial}, filed for another company"
        found.append(_finding(kind, SENDER, f"a certificate of {sender}", actual))
    if filed.revoked_at is not None and filed.revoked_at <= settings.at_ms:
        actual = f"{filed.serial}, revoked since {certificates.shown(filed.revoked_at)}"
        found.append(_finding(kind, CERTIFICATE, "a certificate that counts", actual))
    return found


def _finding(
    kind: str, field: str, expected: str, actual: str, severity: codes.Severity = "error"
) -> codes.Finding:
    code = codes.rule(RULE).code(kind, field)
    return codes.Finding(
        rule=RULE,
        severity=severity,
        document=kind,
        field=field,
        expected=expected,
        actual=actual,
        law=messages.SIGNATURE_LAW,
        code=code,
    )


def remarks(found: Found) -> list[list[codes.Finding]]:
    """The warnings, which stand once with the message."""
    return [[one for one in each if one.severity == f.WARNING] for each in found]


def refusals(documents: pl.DataFrame, found: Found) -> pl.DataFrame:
    """The errors, one for each document of the message (case = doc)."""
    rows = [
        {"message": place}
        | {name: getattr(one, name) for name in f.SCHEMA if name not in ("case", "document")}
        for place, each in enumerate(found)
        for one in each
        if one.severity == f.ERROR
    ]
    if not rows:
        return f.none()
    schema: dict[str, Any] = {"message": pl.Int64, **f.SCHEMA}
    errors = pl.DataFrame(rows, schema={k: v for k, v in schema.items() if k not in _FILLED})
    names = {number: kind for kind, number in codes.KINDS.items()}
    touched = documents.select(
        "message",
        case="doc",
        document=pl.col("kind").replace_strict(names, return_dtype=pl.String),
    )
    return f.shaped(touched.join(errors, on="message", maintain_order="left_right"))


_FILLED = ("case", "document")


def standing(documents: pl.DataFrame, refused: pl.DataFrame) -> pl.DataFrame:
    """The documents, those that ``refused`` names no longer valid."""
    cases = refused["case"].unique()
    return documents.with_columns(valid=pl.col("valid") & ~pl.col("doc").is_in(cases.implode()))
