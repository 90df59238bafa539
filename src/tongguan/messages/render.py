"""Write documents and messages: whole columns to XML in the order the catalogue prescribes."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal
from xml.sax.saxutils import escape as escape_text

import polars as pl

from tongguan.messages.catalogue import Field, MessageType, Node, message_type

#: Characters that XML 1.0 cannot hold in any way.
_ILLEGAL = r"[\x00-\x08\x0b\x0c\x0e-\x1f]|\ufffe|\uffff"
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
#: What makes a text need escaping; a lone ">" does not.
_SPECIAL = ("&", "<", "]]>", "\r")
_ATTRIBUTE_ESCAPES = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;", '"': "&quot;"}

#: "auto" takes the prefix that messages of the type have: ceb for enterprises, none for customs.
Prefix = Literal["auto"] | str | None


def render(
    name: str,
    heads: pl.DataFrame,
    lines: pl.DataFrame | None = None,
    edition: str = "202205",
    prefix: Prefix = "auto",
) -> pl.Series:
    """One XML fragment (String) for each row of ``heads``, in their order.

    Columns are named as the elements; others are ignored, absent ones count as null. String
    columns are written as they are, Decimals without exponent and trailing zeros, integers as
    digits. Null leaves an optional element out and makes a mandatory one empty. ``lines`` are
    joined by the columns ``message`` and ``position`` as far as both frames have them, else by
    ``document``, the 0-based row of ``heads``; they are written in the order of ``gnum``.

    Raises ValueError where a value holds a character XML cannot hold, or lines belong to no
    document; TypeError for columns of another type (a binary float is never money).
    """
    kind = message_type(name, edition)
    lead = _lead(kind, prefix)
    body = _elements(heads, kind.head_fields, lead)
    if not kind.flat:
        body = pl.concat_str(pl.lit(f"<{lead}{kind.head}>"), body, pl.lit(f"</{lead}{kind.head}>"))
    parts = [pl.lit(f"<{lead}{kind.document}>"), body]
    frame = heads
    if kind.line:
        frame = _with_lines(heads, lines, kind, lead)
        parts.append(pl.col("#lines").fill_null(""))
    parts.append(pl.lit(f"</{lead}{kind.document}>"))
    return frame.select(pl.concat_str(parts).alias("fragment")).to_series()


def _lead(kind: MessageType, prefix: Prefix) -> str:
    chosen = kind.prefix if prefix == "auto" else prefix
    return f"{chosen}:" if chosen else ""


def _elements(frame: pl.DataFrame, fields: tuple[Field, ...], lead: str) -> pl.Expr:
    unsafe = _unsafe(frame, fields)
    parts: list[pl.Expr] = []
    pending = ""
    for one in fields:
        opening, closing = f"<{lead}{one.name}>", f"</{lead}{one.name}>"
        if one.name not in frame.columns:
            pending += opening + closing if one.required else ""
            continue
        text = _text(frame[one.name], unsafe)
        if one.required or not frame[one.name].null_count():
            # Neighbouring tags become one literal: fewer pieces to join for each row.
            parts += [pl.lit(pending + opening), text.fill_null("")]
            pending = closing
        else:
            whole = pl.concat_str(pl.lit(opening), text, pl.lit(closing))
            parts += [pl.lit(pending), whole.fill_null("")]
            pending = ""
    return pl.concat_str([*parts, pl.lit(pending)])


def _unsafe(frame: pl.DataFrame, fields: tuple[Field, ...]) -> list[str]:
    """What has to be escaped somewhere in the frame: seldom anything, so rows are asked whole."""
    texts = [one.name for one in fields if frame.schema.get(one.name) == pl.String]
    if not texts:
        return []
    rows = frame.select(pl.concat_str(texts, separator=" ", ignore_nulls=True)).to_series()
    if rows.str.contains(_ILLEGAL).any():
        raise ValueError("a value holds a character that XML cannot hold")
    return [what for what in _SPECIAL if rows.str.contains(what, literal=True).any()]


def _text(column: pl.Series, unsafe: list[str]) -> pl.Expr:
    expression = pl.col(column.name)
    if column.dtype == pl.String:
        if any(column.str.contains(what, literal=True).any() for what in unsafe):
            return expression.str.replace_many(_ESCAPES)
        return expression
    if isinstance(column.dtype, pl.Decimal):
        text = expression.cast(pl.String)
        if column.dtype.scale:
            return text.str.strip_chars_end("0").str.strip_chars_end(".")
        return text
    if column.dtype.is_integer() or column.dtype == pl.Null:
        return expression.cast(pl.String)
    raise TypeError(f"{column.name}: {column.dtype} cannot be written; give text or a decimal")


def _with_lines(
    heads: pl.DataFrame, lines: pl.DataFrame | None, kind: MessageType, lead: str
) -> pl.DataFrame:
    if lines is None or not lines.height:
        return heads.with_columns(pl.lit("").alias("#lines"))
    keys = [key for key in ("message", "position") if key in heads and key in lines]
    if not keys:
        keys = ["document"]
        heads = heads.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("document"))
        lines = lines.with_columns(pl.col("document").cast(pl.Int64))
    body = _elements(lines, kind.line_fields, lead)
    written = lines.select(
        *keys,
        pl.col("gnum").cast(pl.Int64, strict=False).alias("#gnum"),
        pl.concat_str(pl.lit(f"<{lead}{kind.line}>"), body, pl.lit(f"</{lead}{kind.line}>")).alias(
            "#lines"
        ),
    )
    written = written.sort([*keys, "#gnum"], maintain_order=True)
    joined = written.group_by(keys, maintain_order=True).agg(pl.col("#lines").str.join(""))
    if joined.join(heads, on=keys, how="anti").height:
        raise ValueError(f"{kind.type}: there are lines that belong to no document")
    return heads.join(joined, on=keys, how="left", maintain_order="left")


def message(
    name: str,
    fragments: Sequence[str],
    guid: str,
    version: str = "1.0",
    prefix: Prefix = "auto",
    transfer: Mapping[str, str | None] | None = None,
    subscribes: Sequence[Mapping[str, str | None]] = (),
    extend: Mapping[str, str | None] | None = None,
    edition: str = "202205",
) -> bytes:
    """A whole message, UTF-8, of fragments that :func:`render` wrote with the same prefix.

    ``transfer`` is the BaseTransfer that enterprise messages must have, ``subscribes`` up to 5
    BaseSubscribe; ``extend`` an ExtendMessage whose ``Message`` is XML and written as it is.
    The message is not signed.

    Raises ValueError for too many or no documents, or a transfer block missing or unwanted.
    """
    kind = message_type(name, edition)
    given = {
        "BaseTransfer": [transfer] if transfer is not None else [],
        "BaseSubscribe": list(subscribes),
        "ExtendMessage": [extend] if extend is not None else [],
    }
    lead = _lead(kind, prefix)
    blocks = {node.name: node for node in kind.blocks}
    body = list(fragments)
    for block, values in given.items():
        node = blocks.get(block)
        least, most = (node.least, node.most) if node else (0, 0)
        if not least <= len(values) <= (most or 0):
            raise ValueError(f"{name} takes {least} to {most} {block}, not {len(values)}")
        if node:
            body += [_block(node, one, lead) for one in values]
    return _framed(kind, "".join(body).encode(), len(fragments), guid, version, lead)


def joined(name: str, fragments: bytes, documents: int, guid: str) -> bytes:
    """``message`` of a type without blocks, of so many fragments that stand in one text, UTF-8."""
    kind = message_type(name)
    return _framed(kind, fragments, documents, guid, "1.0", _lead(kind, "auto"))


def _framed(
    kind: MessageType, body: bytes, documents: int, guid: str, version: str, lead: str
) -> bytes:
    most = kind.documents_most
    if not documents or (most is not None and documents > most):
        raise ValueError(f"{kind.type} takes 1 to {most} documents, not {documents}")
    space = f'xmlns:{lead[:-1]}="{kind.namespace}"' if lead else f'xmlns="{kind.namespace}"'
    attributes = f'guid="{attribute(guid)}" version="{attribute(version)}" {space}'
    opening = f'<?xml version="1.0" encoding="UTF-8"?>\n<{lead}{kind.root} {attributes}>'
    return b"".join((opening.encode(), body, f"</{lead}{kind.root}>".encode()))


def _block(node: Node, values: Mapping[str, str | None], lead: str) -> str:
    parts = []
    for one in node.children:
        assert isinstance(one, Field)
        value = values.get(one.name)
        if value is None and not one.required:
            continue
        text = value or ""
        inner = text if one.kind == "xml" else escape(text)
        parts.append(f"<{lead}{one.name}>{inner}</{lead}{one.name}>")
    return f"<{lead}{node.name}>{''.join(parts)}</{lead}{node.name}>"


def escape(text: str) -> str:
    """Text as it stands in an element. Raises ValueError if XML cannot hold it."""
    if re.search(_ILLEGAL, text):
        raise ValueError("a value holds a character that XML cannot hold")
    return escape_text(text, {"\r": "&#13;"})


def attribute(text: str) -> str:
    """Text as it stands in an attribute. Raises ValueError if XML cannot hold it."""
    if re.search(_ILLEGAL, text):
        raise ValueError("a value holds a character that XML cannot hold")
    return escape_text(text, _ATTRIBUTE_ESCAPES)
