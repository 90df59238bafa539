"""Checking messages without a database: every finding, and the decision they would meet.

The same columns, rules and kernel as clearing; what is not among the files does not exist, and
the buyers' year is empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from tongguan import messages, policy
from tongguan.clearance import dossier, signatures, steps
from tongguan.clearance import findings as f
from tongguan.clearance.accept import accept
from tongguan.clearance.decide import Standing, decide
from tongguan.clearance.intake import Batch, Desk, Incoming, Source, prepare, read
from tongguan.clearance.kinds import KINDS
from tongguan.clearance.rounds import MET
from tongguan.clearance.settings import Signatures

IN_MEMORY = Desk(
    known=lambda digests: set(),
    seal=lambda data: b"",
    digest=lambda column: column,
    secret=lambda digest: b"",
    ids=lambda count: list(range(count)),
    pre_numbers=lambda count: [""] * count,
)
"""Nothing is kept, so nothing need be sealed, hashed or numbered for good."""


@dataclass(frozen=True, slots=True)
class Examined:
    """findings: file, position, key, findings.SCHEMA, code. dossiers: how many were complete."""

    files: int
    documents: int
    dossiers: int
    findings: pl.DataFrame

    @property
    def errors(self) -> int:
        return self.findings.filter(pl.col("severity") == f.ERROR).height

    def facts(self) -> dict[str, Any]:
        """The findings as JSON values."""
        return {
            "files": self.files,
            "documents": self.documents,
            "dossiers": self.dossiers,
            "errors": self.errors,
            "findings": [
                {name: value for name, value in row.items() if value is not None and name != "case"}
                for row in self.findings.iter_rows(named=True)
            ],
        }


def examine(
    found: Sequence[Source],
    law: policy.Law,
    limits: messages.Limits | None = None,
    mode: Signatures = "checked",
    at: datetime | None = None,
) -> Examined:
    """All findings of the documents in these files, alone and as dossiers.

    Signatures are verified, their certificates held to the time ``at`` if one is given. Whose they
    are is known to a registry only.
    """
    limits = limits or messages.Limits()
    batch = prepare(read(found, limits), IN_MEMORY, limits, mode)
    whole = _about_messages(batch.incoming, mode, at)
    documents = batch.documents
    declared = documents.filter(pl.col("valid") & (pl.col("app_status") == steps.DECLARED))
    taken = accept(declared, pl.DataFrame(schema=MET))
    fresh = declared.join(taken.documents.filter("accepted", "current"), on="doc")
    life = dossier.arriving(fresh.with_columns(message_id="message"), 0)
    lists = dossier.touched_lists(None, life)
    complete = dossier.complete(None, lists, life, batch.bodies)
    form = batch.findings.join(documents.select("case", "doc"), on="case", maintain_order="left")
    parts = [f.shaped(form.drop("case").rename({"doc": "case"})), taken.findings]
    if complete is not None:
        used = pl.DataFrame(schema={"buyer": pl.String, "used_fen": pl.Int64})
        decided = decide(complete.dossiers, law, Standing(used)).findings
        ids = complete.members.filter(pl.col("kind") == KINDS["inventory"].number)
        named = decided.join(ids.select("case", "id"), on="case", maintain_order="left")
        parts.append(f.shaped(named.drop("case").rename({"id": "case"})))
    missing = dossier.missing(None, lists, life).rename({"id": "case"})
    parts.append(f.shaped(missing, severity=f.WARNING))
    return Examined(
        files=len(found),
        documents=documents.height,
        dossiers=0 if complete is None else complete.dossiers.heads.height,
        findings=_placed(batch, documents, f.together(parts), whole),
    )


def _placed(
    batch: Batch, documents: pl.DataFrame, findings: pl.DataFrame, whole: pl.DataFrame
) -> pl.DataFrame:
    """Findings with their file, place and key, those about whole messages first."""
    names = pl.DataFrame(
        {"file": [message.name for message in batch.incoming]}, schema={"file": pl.String}
    ).with_row_index("message")
    places = documents.select("message", "position", case="doc", key="key_b").join(
        names.with_columns(pl.col("message").cast(pl.Int64)), on="message"
    )
    about = findings.join(places, on="case", how="left", maintain_order="left")
    shown = ["file", "position", "key", *f.SCHEMA]
    return f.with_codes(pl.concat([whole.select(shown), about.select(shown)]))


def _asked(message: Incoming, mode: Signatures) -> bool:
    """A message may be checked before it is signed: that it is not is said where it must be."""
    return message.parsed.signed or mode == "required"


def _about_messages(
    incoming: Sequence[Incoming], mode: Signatures, at: datetime | None
) -> pl.DataFrame:
    rows = [
        {
            "file": message.name,
            "rule": found.rule,
            "severity": found.severity,
            "document": found.document,
            "field": found.field,
            "expected": found.expected,
            "actual": found.actual,
            "law": found.law,
        }
        for message in incoming
        for found in (
            *message.parsed.findings,
            *(signatures.about(message, mode) if _asked(message, mode) else ()),
            *(() if at is None else signatures.in_time(message, at)),
        )
        if found.position is None
    ]
    schema: dict[str, Any] = {"file": pl.String, "position": pl.Int64, "key": pl.String, **f.SCHEMA}
    return pl.DataFrame(rows, schema=schema)
