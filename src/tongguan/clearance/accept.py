"""Which declared documents are taken: duplicates, changes, deletions, stale messages.

Pure: documents in order of arrival and the current documents they meet go in; what becomes of
each comes out. A document that is alone with its key (nearly all) is decided by columns; only
documents that meet another one are walked through in order.

Source: CEB specification (appType 1 new, 2 change, 3 deletion) and its error tables: −301010 an
order of that number exists, −301009 none to change, −301011 its state forbids it, −301014 the
message is older than what is stored; re-sending is allowed once a list was refused (100).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from tongguan.clearance import findings as f
from tongguan.clearance.kinds import BY_NUMBER

NEW, CHANGE, DELETION = 1, 2, 3
CHANGEABLE = frozenset({2, 100})
"""Statuses at which a document may still be changed or deleted."""
RESENDABLE = frozenset({100})
"""Statuses after which the same key may be declared anew."""

KEY = ["kind", "key_a", "key_b"]
KEYLESS = pl.any_horizontal(pl.col("key_a", "key_b").is_null())
"""A document whose optional key element is absent meets no other."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What becomes of the documents.

    documents: doc; accepted (it is taken), current (it is now the document of its key).
    superseded: id of documents, stored before or in this batch, that are current no more.
    findings: case = doc.
    """

    documents: pl.DataFrame
    superseded: list[int]
    findings: pl.DataFrame


@dataclass(slots=True)
class _Holder:
    """The current document of a key while the documents of a batch pass by."""

    id: int
    status: int
    app_time: str
    released: bool = False


def accept(arrivals: pl.DataFrame, stored: pl.DataFrame) -> Accepted:
    """Decide for each arriving document whether it is taken.

    arrivals: doc, kind, key_a, key_b, app_type (Int), app_time, in order of arrival.
    stored: id, kind, key_a, key_b, status, app_time, released: the current documents of these
    keys; released: the number may be used anew (waybills after six months).
    """
    lonely = ((pl.len().over(KEY) == 1) | KEYLESS) & (pl.col("app_type") == NEW)
    marked = arrivals.with_columns(lonely=lonely).join(
        stored.select(*KEY, met=pl.lit(value=True)), on=KEY, how="left", maintain_order="left"
    )
    plain = marked.filter(pl.col("lonely") & pl.col("met").is_null())
    others = marked.filter(~pl.col("lonely") | pl.col("met").is_not_null())
    outcomes: dict[int, tuple[bool, bool]] = {}
    superseded: list[int] = []
    found: list[dict[str, Any]] = []
    if others.height:
        holders = {
            (row["kind"], row["key_a"], row["key_b"]): _Holder(
                row["id"], row["status"], row["app_time"], row["released"]
            )
            for row in stored.iter_rows(named=True)
        }
        for row in others.iter_rows(named=True):
            found.extend(_walk(row, holders, outcomes, superseded))
    walked = pl.DataFrame(
        [(doc, *outcome) for doc, outcome in outcomes.items()],
        schema={"doc": pl.Int64, "accepted": pl.Boolean, "current": pl.Boolean},
        orient="row",
    )
    documents = pl.concat(
        [plain.select("doc", accepted=pl.lit(value=True), current=pl.lit(value=True)), walked]
    )
    findings = f.shaped(pl.DataFrame(found, schema=f.SCHEMA)) if found else f.none()
    return Accepted(documents, superseded, findings)


def _walk(
    row: dict[str, Any],
    holders: dict[tuple[int, str, str], _Holder],
    outcomes: dict[int, tuple[bool, bool]],
    superseded: list[int],
) -> Iterator[dict[str, Any]]:
    key = (row["kind"], row["key_a"], row["key_b"])
    holder = holders.get(key)
    refusal = _refusal(row, holder)
    if refusal is not None:
        outcomes[row["doc"]] = (False, False)
        yield {"case": row["doc"], "severity": f.ERROR, "document": BY_NUMBER[row["kind"]].name} | (
            refusal
        )
        return
    if holder is not None:
        if holder.id in outcomes:
            outcomes[holder.id] = (True, False)
        else:
            superseded.append(holder.id)
    if row["app_type"] == DELETION:
        outcomes[row["doc"]] = (True, False)
        del holders[key]
    else:
        outcomes[row["doc"]] = (True, True)
        holders[key] = _Holder(row["doc"], 2, row["app_time"])


def _refusal(row: dict[str, Any], holder: _Holder | None) -> dict[str, Any] | None:
    """The finding that refuses a document that meets ``holder``, if one does."""
    if holder is None:
        if row["app_type"] == NEW:
            return None
        return message_absent(row)
    if row["app_type"] == NEW and holder.released:
        return None
    if row["app_type"] == NEW and holder.status not in RESENDABLE:
        return message_duplicate(row, holder)
    if row["app_time"] < holder.app_time:
        return message_stale(row, holder)
    if row["app_type"] != NEW and holder.status not in CHANGEABLE:
        return message_state(row, holder)
    return None


def message_absent(row: dict[str, Any]) -> dict[str, Any]:
    """message.absent: there is no document of that key to change or delete."""
    return {
        "rule": "message.absent",
        "field": BY_NUMBER[row["kind"]].key[1],
        "expected": "a declared document of this key",
        "actual": row["key_b"],
    }


def message_duplicate(row: dict[str, Any], holder: _Holder) -> dict[str, Any]:
    """message.duplicate: a document of that key is declared already and was not refused."""
    return {
        "rule": "message.duplicate",
        "field": BY_NUMBER[row["kind"]].key[1],
        "expected": f"a new key; this one is declared since {holder.app_time}, "
        f"status {holder.status}",
        "actual": row["key_b"],
    }


def message_stale(row: dict[str, Any], holder: _Holder) -> dict[str, Any]:
    """message.stale: the message was written before the one that is stored."""
    return {
        "rule": "message.stale",
        "field": "appTime",
        "expected": f"not before {holder.app_time}",
        "actual": row["app_time"],
    }


def message_state(row: dict[str, Any], holder: _Holder) -> dict[str, Any]:
    """message.state: the document has gone too far to be changed or deleted."""
    return {
        "rule": "message.state",
        "field": "appType",
        "expected": "a document at status 2 or 100",
        "actual": f"status {holder.status}",
    }
