"""Tariff editions: tables of ten-digit codes with their rates, and what they say on a day.

The project ships a starter table (``tariffs/``): its own selection and names, the facts of the
2026 edition. ``read_tariff`` takes a full table (columns of DESIGN.md §6, or the headings of the
official spreadsheets). Rates are integers of parts per million: 130000 is 13 %.

Cells: an empty ``mfn_pct`` or ``general_pct`` means unknown (a specific duty that a percentage
cannot say): the row loads, and a full-rate tax on it is unknown, never zero. An empty
``consumption_tax`` means none, unless the same table writes ``0`` for none elsewhere: then the
empty cell is the one it does not know. A form not understood is reported in
``TariffEdition.findings``; its code is left out of the law, so that it counts as unknown.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import polars as pl

from tongguan import codes
from tongguan.policy.parameter import builtin
from tongguan.policy.tables import Column, Row, TableError, TableErrors, read

MILLION = 1_000_000
NO_TAX = (0, 0, None)

SCHEMA: dict[str, Any] = {
    "code": pl.String,
    "name_zh": pl.String,
    "name_en": pl.String,
    "unit1": pl.String,
    "unit2": pl.String,
    "mfn_ppm": pl.Int64,
    "general_ppm": pl.Int64,
    "interim_ppm": pl.Int64,
    "vat_class": pl.String,
    "vat_fixed_ppm": pl.Int64,
    "ct_class": pl.String,
    "ct_fixed_ppm": pl.Int64,
    "ct_specific_micro": pl.Int64,
    "ct_unit": pl.String,
    "ct_known": pl.Boolean,
    "parcel_tier": pl.Int64,
    "as_of": pl.Date,
    "confirmed": pl.Boolean,
    "source": pl.String,
}
"""Columns of an edition. ``vat_class``/``ct_class`` name the dated rate that a row follows
(``standard``, ``reduced``; ``cosmetics``, ``watches``), else the ``_fixed_`` column holds it;
``ct_specific_micro``: millionths of a yuan per ``ct_unit`` (unit code: 035 kilogram, 095 litre)."""


# --- consumption tax ------------------------------------------------------------------------

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)\s*[%％]")
_ZERO = re.compile(r"0(?:\.0+)?\s*[%％]?")
_SPECIFIC = re.compile(
    r"(\d{1,6}(?:\.\d{1,6})?)\s*(?:CNY|RMB|yuan|元)\s*[/／每]\s*(\S+)", re.IGNORECASE
)
_PER = {  # unit as written -> (unit code, how many of that unit code it is)
    "kg": ("035", 1),
    "千克": ("035", 1),
    "公斤": ("035", 1),
    "t": ("035", 1000),
    "吨": ("035", 1000),
    "l": ("095", 1),
    "升": ("095", 1),
}


def parse_consumption_tax(text: str) -> tuple[int, int, str | None] | None:
    """A consumption-tax cell as (ppm, millionths of a yuan per unit, unit code or None).

    Understood: ``""``, ``0``, ``15%``, ``0.2495 CNY/L``, ``20% + 1 CNY/kg`` and the official
    ``20%+1元/公斤``, ``1.52元/升``, ``240元/吨``. None: a form that is not understood.
    """
    text = text.strip()
    if not text or _ZERO.fullmatch(text):
        return NO_TAX
    ppm, specific, unit = 0, 0, None
    seen: set[str] = set()
    for part in re.split(r"\s*[+＋]\s*", text):
        if (found := _PERCENT.fullmatch(part)) and "percent" not in seen:
            seen.add("percent")
            ppm = _exact(found[1], 10_000)
            if ppm >= MILLION:  # the tax is inside its own basis: P·c/(1−c) has no value at 100 %
                return None
        elif (found := _SPECIFIC.fullmatch(part)) and "specific" not in seen:
            seen.add("specific")
            per = _PER.get(found[2].lower())
            if per is None:
                return None
            unit, size = per
            amount = Decimal(found[1]) * MILLION / size
            if amount != int(amount):
                return None
            specific = int(amount)
        else:
            return None
    return ppm, specific, unit


def format_consumption_tax(ppm: int, specific_micro: int, unit: str | None) -> str:
    """The canonical form of a consumption tax: ``0``, ``15%``, ``20% + 1 CNY/kg``."""
    parts = []
    if ppm:
        parts.append(f"{_plain(Decimal(ppm) / 10_000)}%")
    if specific_micro:
        per = {"035": "kg", "095": "L"}[str(unit)]
        parts.append(f"{_plain(Decimal(specific_micro) / MILLION)} CNY/{per}")
    return " + ".join(parts) or "0"


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


def _exact(text: str, scale: int) -> int:
    return int(Decimal(text) * scale)


# --- cells ----------------------------------------------------------------------------------

_RATE = re.compile(r"(\d{1,4}(?:\.\d{1,4})?)\s*[%％]?")


def _code(text: str) -> str:
    code = text.replace(".", "")
    if not re.fullmatch(r"[0-9]{10}", code):
        raise ValueError("a code of ten digits")
    return code


def _name(text: str) -> str:
    if not text:
        raise ValueError("a name")
    return text


def _rate(text: str) -> int | None:
    if not text:
        return None
    found = _RATE.fullmatch(text)
    if not found:
        raise ValueError("a percentage such as 6.5, or nothing")
    return _exact(found[1], 10_000)


def _vat(text: str) -> int | None:
    ppm = _rate(text)
    if ppm is not None and (ppm >= MILLION or 0 < ppm < 10_000):  # 0.13 is meant as 13
        raise ValueError("a percentage such as 13")
    return ppm


@cache
def _units() -> dict[str, str]:
    table = codes.table("unit")
    by_name = {e.name_zh: e.code for e in table.rows} | {"公斤": "035"}
    return by_name | {code: code for code in table.codes}


def _unit(text: str) -> str | None:
    if not text or text in ("无", "/", "-"):
        return None
    code = _units().get(text)
    if code is None:
        raise ValueError("a customs unit, by code (035) or name (千克)")
    return code


def _choice(*choices: str) -> Any:
    def read_choice(text: str) -> str | None:
        if text and text not in choices:
            raise ValueError(f"one of {', '.join(choices)}, or nothing")
        return text or None

    return read_choice


def _tier(text: str) -> int | None:
    if text and text not in ("1", "2", "3", "4"):
        raise ValueError("a parcel-tax tier 1 to 4, or nothing")
    return int(text) if text else None


def _as_of(text: str) -> date | None:
    """A day, a month or a year; its first day counts."""
    if not text:
        return None
    parts = (text[:10] + "-01-01")[:10] if len(text) == 4 else (text[:10] + "-01")[:10]
    try:
        return date.fromisoformat(parts)
    except ValueError:
        raise ValueError("a day, month or year such as 2026-01") from None


def _truth(text: str) -> bool:
    if text not in ("true", "false", ""):
        raise ValueError("true or false")
    return text != "false"


def _text(text: str) -> str:
    return text


COLUMNS = (
    Column("code", ("商品编码", "商品编号", "税则号列", "税号", "HS编码"), _code, width=10),
    Column("name_zh", ("商品名称", "货品名称", "品名", "名称"), _name),
    Column("name_en", ("英文名称",), _text, required=False),
    Column("unit1", ("第一单位", "法定第一单位", "第一法定单位", "计量单位"), _unit, width=3),
    Column("unit2", ("第二单位", "法定第二单位", "第二法定单位"), _unit, required=False, width=3),
    Column("mfn_pct", ("最惠国税率", "最惠国税率(%)", "进口最惠国税率", "最惠国"), _rate),
    Column(
        "general_pct", ("普通税率", "普通税率(%)", "进口普通税率", "普通"), _rate, required=False
    ),
    Column(
        "interim_pct",
        ("暂定税率", "进口暂定税率", "暂定税率(%)", "最惠国暂定税率"),
        _rate,
        required=False,
    ),
    Column("vat_pct", ("增值税率", "增值税税率", "增值税率(%)", "增值税"), _vat, required=False),
    Column("vat_class", (), _choice("standard", "reduced"), required=False),
    Column("consumption_tax", ("消费税率", "消费税税率", "消费税率(%)", "消费税"), _text),
    Column("ct_class", (), _choice("cosmetics", "watches", "none"), required=False),
    Column("parcel_tier", (), _tier, required=False),
    Column("as_of", ("数据日期",), _as_of, required=False),
    Column("confirmed", (), _truth, required=False),
    Column("source", ("来源",), _text, required=False),
)


# --- editions -------------------------------------------------------------------------------


@dataclass(frozen=True)
class TariffEdition:
    """One table of codes in force from ``effective``.

    ``frame`` has the columns of ``SCHEMA``, sorted by code; ``findings`` the consumption-tax
    cells that were not understood; ``starter`` marks the project's own partial table.
    """

    name: str
    effective: date
    frame: pl.DataFrame
    findings: tuple[TableError, ...] = ()
    starter: bool = False

    @cached_property
    def hash(self) -> str:
        """sha256 over day and content, whatever file they came from."""
        text = self.frame.write_csv()
        return hashlib.sha256(f"{self.effective}\n{text}".encode()).hexdigest()

    def to_bytes(self) -> bytes:
        """The edition as one Parquet file."""
        about = {
            "name": self.name,
            "effective": self.effective.isoformat(),
            "findings": json.dumps(
                [[f.line, f.column, f.expected, f.actual] for f in self.findings]
            ),
            "starter": json.dumps(self.starter),
        }
        out = io.BytesIO()
        self.frame.write_parquet(out, metadata=about)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "TariffEdition":
        """The edition that ``to_bytes`` wrote."""
        about = pl.read_parquet_metadata(io.BytesIO(data))
        findings = tuple(TableError(*fields) for fields in json.loads(about["findings"]))
        return cls(
            about["name"],
            date.fromisoformat(about["effective"]),
            pl.read_parquet(io.BytesIO(data)),
            findings,
            json.loads(about["starter"]),
        )


VAT_CLASSES = {"standard": "vat.standard", "reduced": "vat.reduced"}
CONSUMPTION_CLASSES = {
    "cosmetics": "consumption-tax.cosmetics",
    "watches": "consumption-tax.watches",
}
"""Classes of rows and the parameter whose history they follow; ``<parameter>-headings`` lists the
four-digit headings of a class of consumption tax."""


@cache
def _class_of_heading() -> dict[str, str]:
    return {
        heading: name
        for name, parameter in CONSUMPTION_CLASSES.items()
        for value in builtin()[f"{parameter}-headings"].values
        for heading in value.codes
    }


def read_tariff(
    path: Path | str, effective: date, name: str | None = None, starter: bool = False
) -> TariffEdition:
    """A tariff table from a CSV or XLSX file.

    ``vat_pct`` equal to the standard or reduced rate of the row's ``as_of`` day (without one, of
    ``effective``) follows that class's history, any other stays as it is; so does consumption tax
    under the headings of cosmetics and watches. Raises TableErrors with every bad cell at once.
    """
    path = Path(path)
    rows = read(path, COLUMNS, key=("code",))
    unrated = [
        r for r in rows if r.values.get("vat_pct") is None and r.values.get("vat_class") is None
    ]
    if unrated:
        expected = "a percentage such as 13"
        raise TableErrors(path.name, [TableError(r.line, "vat_pct", expected, "") for r in unrated])
    zero_written = any(_ZERO.fullmatch(r.values["consumption_tax"]) for r in rows)
    findings: list[TableError] = []
    records = [_record(row, effective, zero_written, findings) for row in rows]
    frame = pl.DataFrame(records, schema=SCHEMA, orient="row").sort("code")
    return TariffEdition(name or path.stem, effective, frame, tuple(findings), starter)


def _record(
    row: Row, effective: date, zero_written: bool, findings: list[TableError]
) -> tuple[Any, ...]:
    cell = row.values.get
    as_of = cell("as_of") or effective
    vat_class, vat_ppm = cell("vat_class"), cell("vat_pct")
    if vat_class is None:
        vat_class = _matching(VAT_CLASSES, as_of, vat_ppm)
    tax_text = row.values["consumption_tax"]
    tax = None if not tax_text and zero_written else parse_consumption_tax(tax_text)
    if tax is None:
        expected = "a form such as 0, 15%, 0.2495 CNY/L or 20% + 1 CNY/kg"
        findings.append(TableError(row.line, "consumption_tax", expected, tax_text))
    ppm, specific, unit = tax or NO_TAX
    ct_class = cell("ct_class") or (
        _class_of_heading().get(row.values["code"][:4]) if ppm else None
    )
    if ct_class == "none":
        ct_class = None
    follows = ct_class is not None and _rate_on(CONSUMPTION_CLASSES[ct_class], as_of) == ppm
    return (
        row.values["code"],
        row.values["name_zh"],
        cell("name_en") or "",
        row.values["unit1"],
        cell("unit2"),
        row.values["mfn_pct"],
        cell("general_pct"),
        cell("interim_pct"),
        vat_class,
        None if vat_class else vat_ppm,
        ct_class,
        None if follows else ppm,
        specific,
        unit,
        tax is not None,
        cell("parcel_tier"),
        as_of,
        cell("confirmed") is not False,
        cell("source") or "",
    )


def _matching(classes: dict[str, str], day: date, ppm: int | None) -> str | None:
    """The class whose rate on that day is exactly this one, if any."""
    return next((name for name, p in classes.items() if _rate_on(p, day) == ppm), None)


@cache
def _rate_on(parameter: str, day: date) -> int | None:
    value = builtin()[parameter].on(day)
    return None if value is None else value.ppm


@cache
def starter() -> TariffEdition:
    """The project's own table of the codes retail import trades most, facts of 2026-01-01."""
    (path,) = (Path(__file__).parent / "tariffs").glob("*.csv")
    return read_tariff(path, date.fromisoformat(path.stem[-10:]), starter=True)


def in_force(editions: Iterable[TariffEdition], day: date) -> TariffEdition:
    """The edition that serves a day.

    The latest loaded one that is in force; where none is, the starter table, also before its own
    day (its rows then count as unconfirmed): a loaded table is what its user wants to be used.
    """
    loaded = [e for e in editions if not e.starter and e.effective <= day]
    if loaded:
        return max(loaded, key=lambda e: e.effective)
    return next(e for e in editions if e.starter)
