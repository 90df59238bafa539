"""Checking messages without a database: every finding, and the decision they would meet.

The same columns, rules and kernel as clearing; what is not among the files does not exist, and
the buyers' year is empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from tongguan import messages, policy
from tongguan.clearance import dossier, steps
from tongguan.clearance import findings as f
from tongguan.clearance.accept import accept
from tongguan.clearance.decide import decide
from tongguan.clearance.intake import Batch, Incoming, Privacy, Source, prepare, read
from tongguan.clearance.kinds import KINDS

IN_MEMORY = Privacy(seal=lambda data: b"", digest=lambda column: column)
"""Nothing is kept, so nothing need be sealed or hashed."""


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
    found: Sequence[Source], law: policy.Law, limits: messages.Limits | None = None
) -> Examined:
    """All findings of the documents in these files, alone and as dossiers."""
    limits = limits or messages.Limits()
    batch = prepare(read(found, limits), lambda digests: set(), IN_MEMORY, limits)
    documents = batch.documents.with_columns(doc="case")
    declared = documents.filter(pl.col("valid") & (pl.col("app_status") == steps.DECLARED))
    no_documents = pl.DataFrame(schema={**_STORED})
    taken = accept(declared, no_documents)
    fresh = declared.join(taken.documents.filter("accepted", "current"), on="doc")
    life = fresh.select(
        *(name for name in dossier.LIFE if name in fresh.columns),
        id="doc",
        message_id=pl.col("message"),
        seq=pl.lit(1, dtype=pl.Int64),
        at=pl.lit(0, dtype=pl.Int64),
        arrival="case",
    ).select(*dossier.LIFE)
    bodies = {
        name: type(body)(
            body.kind,
            body.heads.with_columns(doc="case"),
            None if body.lines is None else body.lines.with_columns(doc="case"),
        )
        for name, body in batch.bodies.items()
    }
    lists = dossier.touched_lists(None, life)
    complete = dossier.complete(None, lists, life, bodies)
    parts = [batch.findings, taken.findings]
    if complete is not None:
        used = pl.DataFrame(schema={"buyer": pl.String, "used_fen": pl.Int64})
        decided = decide(complete.dossiers, law, used).findings
        ids = complete.members.filter(pl.col("kind") == KINDS["inventory"].number)
        named = decided.join(ids.select("case", "id"), on="case", maintain_order="left")
        parts.append(f.shaped(named.drop("case").rename({"id": "case"})))
    missing = dossier.missing(None, lists, life).rename({"id": "case"})
    parts.append(f.shaped(missing, severity=f.WARNING))
    return Examined(
        files=len(found),
        documents=documents.height,
        dossiers=0 if complete is None else complete.dossiers.heads.height,
        findings=_placed(batch, documents, f.together(parts)),
    )


_STORED: dict[str, Any] = {
    "id": pl.Int64,
    "kind": pl.Int64,
    "key_a": pl.String,
    "key_b": pl.String,
    "status": pl.Int64,
    "app_time": pl.String,
    "released": pl.Boolean,
}


def _placed(batch: Batch, documents: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """Findings with their file, place and key, those about whole messages first."""
    names = pl.DataFrame(
        {"file": [message.name for message in batch.incoming]}, schema={"file": pl.String}
    ).with_row_index("message")
    places = documents.select("case", "message", "position", key=pl.col("key_b")).join(
        names.with_columns(pl.col("message").cast(pl.Int64)), on="message"
    )
    about = findings.join(places, on="case", how="left", maintain_order="left")
    whole = _about_messages(batch.incoming)
    shown = ["file", "position", "key", *f.SCHEMA]
    return f.with_codes(pl.concat([whole.select(shown), about.select(shown)]))


def _about_messages(incoming: Sequence[Incoming]) -> pl.DataFrame:
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
        for found in message.parsed.findings
        if found.position is None
    ]
    schema: dict[str, Any] = {"file": pl.String, "position": pl.Int64, "key": pl.String, **f.SCHEMA}
    return pl.DataFrame(rows, schema=schema)
