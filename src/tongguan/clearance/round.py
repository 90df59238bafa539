"""What one round writes: the shape that everything which follows from documents adds to."""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

DECIDED: dict[str, Any] = {
    **dict.fromkeys(("document_id", "message_id"), pl.Int64),
    **dict.fromkeys(("guarantor", "buyer", "regime"), pl.String),
    "day": pl.Date,
    **dict.fromkeys(("hold_fen", "duty_fen", "consumption_fen", "vat_fen", "total_fen"), pl.Int64),
}
"""What was decided about lists, as far as bills and guarantees ask."""


@dataclass(slots=True)
class Round:
    """What one round writes.

    documents: the new documents with ``current``. events: ``steps.EVENTS``. findings:
    ``findings.SCHEMA``, case = document id. invt: id, invt_no of lists received.

    For the guarantee and the tax bills:
    decided: ``DECIDED`` of the lists decided in this round. tax_lines: ``finance.bills.LINES``.
    cancelled: document_id of lists whose holds are void.
    returned: document_id (the list), return_id, gnum, basis_fen, duty_fen, consumption_fen,
    vat_fen, parcel_tax_fen to be taken off the list's bill; all_back: nothing of the list is left.
    """

    documents: pl.DataFrame
    events: list[pl.DataFrame] = field(default_factory=list)
    findings: list[pl.DataFrame] = field(default_factory=list)
    invt: list[pl.DataFrame] = field(default_factory=list)
    decided: list[pl.DataFrame] = field(default_factory=list)
    tax_lines: list[pl.DataFrame] = field(default_factory=list)
    cancelled: list[pl.DataFrame] = field(default_factory=list)
    returned: list[pl.DataFrame] = field(default_factory=list)
