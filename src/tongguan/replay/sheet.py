"""The answer as one table (CSV): every rule, tax, month, zone, company and tariff code."""

import polars as pl

from tongguan.replay import answer
from tongguan.replay.answer import yuan
from tongguan.replay.service import Replayed
from tongguan.replay.tally import NEWLY_REFUSED, NO_LONGER_REFUSED

COLUMNS = (
    *("section", "key", "name", "parcels", "lines", "changed", NEWLY_REFUSED, NO_LONGER_REFUSED),
    *("lost_yuan", "tax_base_yuan", "tax_draft_yuan"),
)
"""lines: of goods lines are counted. lost_yuan: the value of what is newly refused. Empty: does not
apply."""


def sheet(replayed: Replayed) -> str:
    """CSV with a head, COLUMNS, sections in the order total, rule, tax, month, zone, company,
    goods."""
    tables = replayed.tally.tables
    facts = replayed.facts
    taxes = facts["tax"]
    rows: list[dict[str, object]] = [
        {
            "section": "total",
            **{name: facts[name] for name in ("parcels", "changed")},
            "tax_base_yuan": taxes["base"],
            "tax_draft_yuan": taxes["draft"],
        }
    ]
    for rule, moved in facts["by_rule"].items():
        rows.append({"section": "rule", "key": rule, **moved})
    rows += [
        {
            "section": "tax",
            "key": tax,
            "tax_base_yuan": each["base"],
            "tax_draft_yuan": each["draft"],
        }
        for tax, each in facts["tax_by_kind"].items()
    ]
    for section, key, table in (
        ("month", "month", tables["by_month"]),
        ("zone", "zone", tables["by_zone"]),
        ("company", "seller", answer.companies(replayed.tally)),
        ("goods", "gcode", answer.goods(replayed.tally, replayed.question)),
    ):
        rows += [_row(section, key, row) for row in table.iter_rows(named=True)]
    text = pl.DataFrame(
        [{name: _cell(row.get(name)) for name in COLUMNS} for row in rows],
        schema=dict.fromkeys(COLUMNS, pl.String),
    )
    return text.write_csv()


def _cell(value: object) -> str | None:
    """A value as text. A name that a spreadsheet would take for a formula gets a quote before."""
    if value is None:
        return None
    text = str(value)
    return f"'{text}" if text[:1] in _FORMULA and not isinstance(value, int) else text


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _row(section: str, key: str, row: dict[str, object]) -> dict[str, object]:
    lost = row.get("lost_fen")
    return {
        "section": section,
        "key": row[key],
        "name": row.get("name"),
        **{name: row.get(name) for name in ("parcels", "lines")},
        **{name: row[name] for name in ("changed", NEWLY_REFUSED, NO_LONGER_REFUSED)},
        "lost_yuan": None if lost is None else yuan(int(str(lost))),
        "tax_base_yuan": yuan(int(str(row["tax_base_fen"]))),
        "tax_draft_yuan": yuan(int(str(row["tax_draft_fen"]))),
    }
