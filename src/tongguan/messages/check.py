"""Every fault of every field of every document of a batch, from the catalogue, in whole columns.

A first pass asks of each column only whether anything is wrong with it; only rows that fail are
looked at again to say what. A column without a fault costs no more than its test.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import polars as pl

from tongguan import codes
from tongguan.messages.batch import FINDINGS, Batch
from tongguan.messages.catalogue import Condition, Field, MessageType, message_type

_KEY = ["message", "position"]
_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Checked:
    """A batch after checking.

    ``heads`` and ``lines`` as in the batch, typed: decimals (19, 5), whole numbers Int64, the
    rest String; an empty element is null, and so is a number that cannot be read. ``heads`` has
    the Boolean ``valid``: no error in the document. ``findings`` has the columns
    :data:`batch.FINDINGS`, in the order of messages, documents and lines; personal values are
    masked in ``actual``.
    """

    type: str
    edition: str
    heads: pl.DataFrame
    lines: pl.DataFrame
    findings: pl.DataFrame


def check(batch: Batch) -> Checked:
    """Check all documents of a batch against the catalogue.

    Rules: mandatory elements, lengths, types, forms, code lists, and the standard's demands that
    depend on other values (numbering of lines, bonded and direct import, second quantities).
    Findings carry ``message.field`` and the code that the type's receipts use for it.
    """
    kind = message_type(batch.type, batch.edition)
    lines = batch.lines.with_columns(_number("gnum").alias("#gnum")) if kind.line else batch.lines
    found = [
        batch.findings,
        *_field_faults(batch.heads, kind, kind.head_fields),
        *_field_faults(lines, kind, kind.line_fields),
        *_numbering(lines, kind),
        *(
            faults
            for condition in kind.conditions
            for faults in _conditional(condition, batch.heads, lines, kind)
        ),
    ]
    findings = _together(found)
    bad = findings.filter(pl.col("severity") == "error").select(_KEY).unique()
    heads = batch.heads.with_columns(_types(kind.head_fields))
    if bad.height:
        heads = heads.join(
            bad.with_columns(valid=False), on=_KEY, how="left", maintain_order="left"
        ).with_columns(pl.col("valid").fill_null(True))
    else:
        heads = heads.with_columns(valid=pl.lit(True))
    typed = batch.lines.with_columns(_types(kind.line_fields))
    return Checked(batch.type, batch.edition, heads, typed, findings)


def _together(found: list[pl.DataFrame]) -> pl.DataFrame:
    """One frame in document order; findings of a document keep the order of the catalogue."""
    kept = [frame for frame in found if frame.height]
    if not kept:
        return pl.DataFrame(schema=FINDINGS)
    return pl.concat(kept).sort(
        "message", "position", "gnum", nulls_last=False, maintain_order=True
    )


@cache
def _types(fields: tuple[Field, ...]) -> list[pl.Expr]:
    casts = []
    for one in fields:
        column = pl.col(one.name)
        if one.kind == "decimal":
            casts.append(column.cast(pl.Decimal(one.digits or 19, one.after), strict=False))
        elif one.kind == "integer":
            casts.append(_number(one.name))
        else:
            casts.append(pl.when(column != "").then(column).alias(one.name))
    return casts


def _number(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int64, strict=False)


# --- one field ---


@cache
def _tests(fields: tuple[Field, ...]) -> tuple[list[pl.Expr], list[pl.Expr]]:
    """For each field whether a value is wrong, and for some whether it is only doubtful."""
    wrong = [_wrong(one).any().alias(one.name) for one in fields]
    doubtful = [
        (pl.col(one.name) == "").any().alias("?" + one.name) for one in fields if _fragile(one)
    ]
    return wrong, doubtful


def _wrong(one: Field) -> pl.Expr:
    """Whether the value is missing or not what the catalogue says; null counts as no."""
    column = pl.col(one.name)
    content = _content(one, column)
    if one.required:
        missing = column.is_null()
        if one.least == 0 and one.kind == "text" and not one.pattern and one.allowed is None:
            return missing if content is None else missing | content
        return missing | (column == "") if content is None else missing | content
    if content is None:
        return pl.lit(False)
    return (column != "") & content


def _content(one: Field, column: pl.Expr) -> pl.Expr | None:
    """Whether a value that is there is wrong; on a mandatory element "" is wrong, too."""
    if one.allowed is not None:
        return ~column.is_in(list(one.allowed))
    if one.form == "word":
        bad = column != column.str.strip_chars()
        length = _length(one, column)
        return bad if length is None else bad | length
    if one.pattern:
        bad = ~column.str.contains(f"^(?:{one.pattern})$")
        if one.open_minimum:
            bad = bad | ~column.str.contains("[1-9]")
        if one.kind == "text" and not (one.form or "").startswith(("time", "day")):
            length = _length(one, column)
            return bad if length is None else bad | length
        return bad
    return _length(one, column)


def _length(one: Field, column: pl.Expr) -> pl.Expr | None:
    length = column.str.len_chars()
    if one.least == one.most:
        return length != one.least
    least = max(one.least, 1 if one.required and one.least else 0)
    if one.most is None:
        return length < least if least else None
    return (length > one.most) | (length < least) if least else length > one.most


def _fragile(one: Field) -> bool:
    """An optional element that the schema refuses when it is there but empty."""
    return not one.required and (one.least > 0 or one.kind in ("decimal", "integer"))


def _field_faults(
    frame: pl.DataFrame, kind: MessageType, fields: tuple[Field, ...]
) -> Iterable[pl.DataFrame]:
    if not frame.height or not fields:
        return
    wrong, doubtful = _tests(fields)
    answers = frame.select(*wrong, *doubtful).row(0, named=True)
    for one in fields:
        if answers[one.name]:
            yield _explain(frame.filter(_wrong(one)), kind, one)
        if answers.get("?" + one.name):
            empty = frame.filter(pl.col(one.name) == "")
            expected = "left out when there is no value: the schema refuses it empty"
            yield _findings(empty, kind, one.name, pl.lit(expected), pl.lit(""), "warning")


def _explain(rows: pl.DataFrame, kind: MessageType, one: Field) -> pl.DataFrame:
    column = pl.col(one.name)
    said = one.expectation
    expected = (
        pl.when(column.is_null() | (column == ""))
        .then(pl.lit(f"a value: {said}"))
        .when(column != column.str.strip_chars())
        .then(pl.lit(f"{said}; without the white space around it"))
        .otherwise(pl.lit(said))
    )
    return _findings(rows, kind, one.name, expected, _shown(one), "error")


def _shown(one: Field) -> pl.Expr:
    """The value as a finding shows it: shortened, and masked if it is personal."""
    column = pl.col(one.name)
    if one.personal:
        return mask(column)
    return (
        pl.when(column.str.len_chars() > _SHOWN)
        .then(pl.concat_str(column.str.slice(0, _SHOWN), pl.lit("…")))
        .otherwise(column)
    )


def mask(column: pl.Expr) -> pl.Expr:
    """A personal number with only its first three and last two characters left."""
    whole = pl.concat_str(column.str.slice(0, 3), pl.lit("***"), column.str.slice(-2))
    return pl.when(column.str.len_chars() > 8).then(whole).when(column != "").then(pl.lit("***"))


def _findings(
    rows: pl.DataFrame,
    kind: MessageType,
    name: str,
    expected: pl.Expr,
    actual: pl.Expr,
    severity: str,
) -> pl.DataFrame:
    return rows.select(
        *_KEY,
        (pl.col("#gnum") if "#gnum" in rows.columns else pl.lit(None, pl.Int64)).alias("gnum"),
        rule=pl.lit("message.field"),
        code=pl.lit(codes.rule("message.field").code(kind.kind)),
        severity=pl.lit(severity),
        field=pl.lit(name),
        expected=expected.cast(pl.String),
        actual=actual.cast(pl.String),
    )


# --- what depends on other values ---


def _numbering(lines: pl.DataFrame, kind: MessageType) -> Iterable[pl.DataFrame]:
    """Lines are numbered 1, 2, 3 … (CEB625: by the original list's numbers, each once)."""
    if kind.numbering is None or not lines.height:
        return
    if kind.numbering == "consecutive":
        start = (pl.struct(_KEY) != pl.struct(_KEY).shift(1)).fill_null(True)
        place = pl.int_range(pl.len(), dtype=pl.Int64)
        expected = place - pl.when(start).then(place).forward_fill() + 1
        if lines.select((expected == pl.col("#gnum")).all(ignore_nulls=False)).item():
            return
    repeated = pl.len().over([*_KEY, "#gnum"]) > 1
    rows = lines.filter(pl.col("#gnum").is_not_null() & repeated)
    yield _findings(rows, kind, "gnum", pl.lit("each number once"), pl.col("gnum"), "error")
    if kind.numbering == "consecutive":
        count = pl.len().over(_KEY)
        outside = (pl.col("#gnum") < 1) | (pl.col("#gnum") > count)
        said = pl.format("numbers from 1 to {}, one for each line", pl.col("#count"))
        rows = lines.with_columns(count.alias("#count")).filter(outside)
        yield _findings(rows, kind, "gnum", said, pl.col("gnum"), "error")
    else:
        rows = lines.filter(pl.col("#gnum") < 1)
        yield _findings(rows, kind, "gnum", pl.lit("1 or more"), pl.col("gnum"), "error")


def _conditional(
    condition: Condition, heads: pl.DataFrame, lines: pl.DataFrame, kind: MessageType
) -> Iterable[pl.DataFrame]:
    if condition.when:
        case = pl.all_horizontal(pl.col(n).is_in(list(v)) for n, v in condition.when)
        told = " and ".join(f"{n} is {' or '.join(v)}" for n, v in condition.when)
        heads = heads.filter(case)
        if not heads.height:
            return
    for name in condition.require:
        rows = heads.filter(_empty(name))
        said = pl.lit(f"a value when {told}: {condition.why}")
        yield _findings(rows, kind, name, said, pl.col(name), condition.severity)
    for name, value in condition.equal:
        rows = heads.filter((pl.col(name) != value) & (pl.col(name) != ""))
        said = pl.lit(f"{value} when {told}: {condition.why}")
        yield _findings(rows, kind, name, said, pl.col(name), condition.severity)
    for name in condition.require_lines:
        rows = lines.filter(_empty(name))
        if rows.height:
            rows = rows.join(heads.select(_KEY), on=_KEY, how="semi", maintain_order="left")
        said = pl.lit(f"a value when {told}: {condition.why}")
        yield _findings(rows, kind, name, said, pl.col(name), condition.severity)
    for name in condition.together:
        others = [_empty(other) for other in condition.together if other != name]
        rows = lines.filter(_empty(name) & ~pl.all_horizontal(others))
        said = pl.lit(f"a value, as {', '.join(condition.together)} go together: {condition.why}")
        yield _findings(rows, kind, name, said, pl.col(name), condition.severity)


def _empty(name: str) -> pl.Expr:
    return pl.col(name).fill_null("") == ""
