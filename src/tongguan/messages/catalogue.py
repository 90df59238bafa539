"""The message standard as data: what each message holds, in order, and what each value may be.

One file per message type stands in ``catalogue/``; ``catalogue/shared.yaml`` holds what several
have in common and says how the rows are written. Everything else in this room is derived from
the values here: the parser, the checker, the builder, the schema and the documentation.

Source: customs message standard for the import system, editions 202205 and 2018 (see the files).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from tongguan import codes

EDITIONS = ("202205", "2018")
SIGNATURE_NAMESPACE = "http://www.w3.org/2000/09/xmldsig#"

#: Real times and the other forms of a value, as patterns that Python and Polars both read.
_DAY = (
    r"(?:[0-9]{4}(?:(?:0[13578]|1[02])(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)(?:0[1-9]|[12][0-9]|30)|02(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)0229)"
)
_TIME = r"(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]"
FORMS: Mapping[str, tuple[str, str]] = {
    "day8": (_DAY, "a real day as YYYYMMDD"),
    "time14": (_DAY + _TIME, "a real time as YYYYMMDDhhmmss"),
    "time17": (_DAY + _TIME + "[0-9]{3}", "a real time as YYYYMMDDhhmmssSSS"),
    "digits": ("[0-9]+", "digits only"),
    "whole": ("-?[0-9]{1,9}", "a whole number"),
    "word": (r"\S(?s:.*\S)?", "no white space around it"),
}

Kind = Literal[
    "text", "decimal", "integer", "base64", "date", "datetime", "id", "empty", "xml", "any"
]

_NOTATION = re.compile(
    r"C(?P<exact>[0-9]+)$|C(?P<least>[0-9]*)\.\.(?P<most>[0-9]*)$|N(?P<digits>[0-9]+),(?P<after>[0-9]+)$"
    r"|N(?P<whole>[0-9]*)$|(?P<other>base64|date|datetime|id|empty|xml|any)$"
)


@dataclass(frozen=True, slots=True)
class Field:
    """One element (or attribute) that holds a value.

    ``least`` and ``most`` count characters (``most`` None: no end); ``digits`` all digits of a
    number (None: that of xs:int), ``after`` those behind the point; ``minimum`` is the smallest
    value, or with ``open_minimum`` the value it must exceed. ``occurs`` is (least, most) in its
    parent. ``notation`` is the standard's own way to write the type. ``differs`` says, where the
    editions disagree, what the other ones have.
    """

    name: str
    notation: str
    kind: Kind
    zh: str
    en: str
    occurs: tuple[int, int | None] = (1, 1)
    least: int = 0
    most: int | None = None
    digits: int | None = None
    after: int = 0
    form: str | None = None
    values: tuple[str, ...] | None = None
    table: str | None = None
    fixed: str | None = None
    minimum: int | None = None
    open_minimum: bool = False
    personal: bool = False
    note: str | None = None
    attributes: tuple["Field", ...] = ()
    differs: tuple[tuple[str, str], ...] = ()

    @property
    def required(self) -> bool:
        """Whether the element must be there."""
        return self.occurs[0] > 0

    @property
    def allowed(self) -> frozenset[str] | None:
        """The only values it may have: fixed, listed here, or those of its code table."""
        if self.fixed is not None:
            return frozenset((self.fixed,))
        if self.values is not None:
            return frozenset(self.values)
        return codes.table(self.table).codes if self.table else None

    @property
    def pattern(self) -> str | None:
        """A pattern the whole value must match, for Python's ``re`` and for Polars; or None.

        A decimal has at most ``digits - after`` digits before the point: stricter than
        xs:totalDigits, as the tables' N19,5 is read, and what a Decimal(19, 5) can hold.
        """
        if self.kind == "decimal":
            sign = r"\+?" if self.minimum is not None else "[+-]?"
            before = (self.digits or 0) - self.after
            return rf"{sign}0*[0-9]{{1,{before}}}(?:\.[0-9]{{1,{self.after}}}0*)?"
        if self.kind == "integer":
            return rf"[+-]?[0-9]{{1,{self.digits or 9}}}"
        return FORMS[self.form][0] if self.form else None

    @property
    def expectation(self) -> str:
        """What the value has to be, in words."""
        listed = (self.fixed,) if self.fixed is not None else self.values
        table = f"one of codes of table {self.table}" if self.table else ""
        if listed:
            only = ", ".join(listed)
            return f"{table} ({only})" if table else f"one of {only}" if listed[1:] else only
        said = [self._measure()]
        if self.minimum is not None:
            said.append(f"{'more than' if self.open_minimum else 'not less than'} {self.minimum}")
        if self.form:
            said.append(FORMS[self.form][1])
        return ", ".join([*said, table] if table else said)

    def _measure(self) -> str:
        if self.kind == "decimal":
            before = (self.digits or 0) - self.after
            return (
                f"a decimal with at most {self.digits} digits, {before} before and "
                f"{self.after} after the point, without exponent"
            )
        if self.kind == "integer":
            return f"a whole number of at most {self.digits or 9} digits"
        if self.kind != "text":
            return {"base64": "base64", "date": "a day", "datetime": "a time"}.get(self.kind, "XML")
        if self.least == self.most:
            return f"a text of exactly {self.most} character{'' if self.most == 1 else 's'}"
        if self.most is None:
            return "a text"
        return f"a text of {self.least} to {self.most} characters"

    def accepts(self, value: str) -> bool:
        """Whether one value (not None) is good. Columns are checked by :func:`check.check`."""
        if not self.least <= len(value) <= (len(value) if self.most is None else self.most):
            return False
        if not value:
            return True
        if self.pattern and not re.fullmatch(self.pattern, value):
            return False
        return self.allowed is None or value in self.allowed


@dataclass(frozen=True, slots=True)
class Node:
    """An element that holds elements; ``most`` None: without end."""

    name: str
    least: int
    most: int | None
    zh: str
    en: str
    children: tuple["Node | Field", ...]
    attributes: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """A demand that depends on other values of the document.

    When every element of ``when`` has one of its values (no ``when``: always), the elements of
    ``require`` (head) and ``require_lines`` must be filled, those of ``equal`` have that value,
    and of ``together`` (lines) all or none be filled.
    """

    why: str
    severity: Literal["error", "warning"] = "error"
    when: tuple[tuple[str, tuple[str, ...]], ...] = ()
    require: tuple[str, ...] = ()
    require_lines: tuple[str, ...] = ()
    equal: tuple[tuple[str, str], ...] = ()
    together: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageType:
    """One message type in one edition.

    ``document`` is the element of one document; ``head`` the element with its head fields (the
    same as ``document`` where nothing stands between); ``line`` the element of its lines, if it
    has any. ``documents_most`` and ``lines_most`` None: without end. ``key`` names the elements
    that identify a document; ``receipt`` the type that answers, ``answers`` the type answered.
    ``blocks`` are the elements behind the documents. Envelopes have only ``tree``.
    """

    type: str
    edition: str
    kind: str
    zh: str
    en: str
    sender: str
    source: str
    root: str
    namespace: str
    prefix: str | None
    attributes: tuple[Field, ...]
    document: str
    documents_most: int | None
    head: str
    head_fields: tuple[Field, ...]
    line: str | None
    lines_most: int | None
    numbering: Literal["consecutive", "unique"] | None
    line_fields: tuple[Field, ...]
    blocks: tuple[Node, ...]
    signature: Literal["required", "optional", "none"]
    key: tuple[str, ...]
    receipt: str | None
    answers: str | None
    conditions: tuple[Condition, ...]
    tree: Node

    @property
    def signature_required(self) -> bool:
        """Whether the schema asks for a ds:Signature."""
        return self.signature == "required"

    @property
    def flat(self) -> bool:
        """Whether the head fields stand directly in the document element."""
        return self.head == self.document

    def fields(self, part: str) -> tuple[Field, ...]:
        """The fields of the head, of a line, or of one of the elements behind the documents."""
        if part == self.head:
            return self.head_fields
        if part == self.line:
            return self.line_fields
        block = next(node for node in self.blocks if node.name == part)
        return tuple(child for child in block.children if isinstance(child, Field))


class UnknownType(LookupError):  # noqa: N818 - a look-up that found nothing
    """No such message type or edition in the catalogue."""


@cache
def message_type(name: str, edition: str = "202205") -> MessageType:
    """The message type ``CEB621`` (or its root, ``CEB621Message``) as that edition has it.

    Raises UnknownType, naming what there is.
    """
    if edition not in EDITIONS:
        raise UnknownType(f"no edition {edition!r}; there are {', '.join(EDITIONS)}")
    short = name.removesuffix("Message")
    if short not in types():
        raise UnknownType(f"no message type {name!r}; there are {', '.join(types())}")
    return _build(_read(short), edition)


@cache
def types() -> tuple[str, ...]:
    """The names of all message types in the catalogue, in order."""
    folder = files(__package__) / "catalogue"
    names = (entry.name.removesuffix(".yaml") for entry in folder.iterdir())
    return tuple(sorted(name for name in names if name != "shared"))


@cache
def namespaces() -> Mapping[str, str]:
    """The namespaces of the standard: ceb, dxp."""
    spaces: Mapping[str, str] = _read("shared")["namespaces"]
    return spaces


@cache
def export_types() -> frozenset[str]:
    """Types of the export family: known, not yet taken."""
    return frozenset(_read("shared")["export"])


@cache
def _read(name: str) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (files(__package__) / "catalogue" / f"{name}.yaml").read_text("utf-8")
    rows: dict[str, Any] = yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader
    return rows


def _build(rows: dict[str, Any], edition: str) -> MessageType:
    space = rows.get("namespace", "ceb")
    enterprise = rows["signature"] != "none"
    attributes = rows.get("attributes") or _read("shared")["attributes"]
    head = rows.get("head", {"name": "", "fields": []})
    line = rows.get("lines", {"fields": []})
    documents = rows.get("documents", {"name": "", "most": None})
    head_fields = tuple(_field(row, edition) for row in head["fields"])
    line_fields = tuple(_field(row, edition) for row in line["fields"])
    attribute_fields = tuple(_field(row, edition) for row in attributes)
    blocks = _blocks(edition) if enterprise and space == "ceb" else ()
    documents_most, lines_most = _count(documents["most"]), _count(line.get("most"))
    if "tree" in rows:
        children: tuple[Node | Field, ...] = tuple(_branch(row, edition) for row in rows["tree"])
    else:
        body: tuple[Node | Field, ...] = head_fields
        if head["name"] != documents["name"]:
            body = (Node(head["name"], 1, 1, "", "", head_fields),)
        if line_fields:
            body = (*body, Node(line["name"], 1, lines_most, "", "", line_fields))
        children = (Node(documents["name"], 1, documents_most, "", "", body), *blocks)
    root = rows["type"] + ("Message" if space == "ceb" else "")
    return MessageType(
        type=rows["type"],
        edition=edition,
        kind=rows["kind"],
        zh=rows["zh"],
        en=rows["en"],
        sender=rows["sender"],
        source=rows["source"],
        root=root,
        namespace=namespaces()[space],
        prefix=space if enterprise else None,
        attributes=attribute_fields,
        document=documents["name"],
        documents_most=documents_most,
        head=head["name"],
        head_fields=head_fields,
        line=line.get("name"),
        lines_most=lines_most,
        numbering=line.get("numbering"),
        line_fields=line_fields,
        blocks=blocks,
        signature=rows["signature"],
        key=tuple(rows.get("key", ())),
        receipt=rows.get("receipt"),
        answers=rows.get("answers"),
        conditions=tuple(_condition(row) for row in rows.get("conditions", ())),
        tree=Node(root, 1, 1, rows["zh"], rows["en"], children, attribute_fields),
    )


def _blocks(edition: str) -> tuple[Node, ...]:
    return tuple(
        Node(
            name,
            *_occurs(row["occurs"]),
            row["zh"],
            row["en"],
            tuple(_field(field, edition) for field in row["fields"]),
        )
        for name, row in _read("shared")["blocks"].items()
    )


def _branch(row: Any, edition: str) -> Node | Field:
    children = _read("shared")["trees"][row["use"]] if "use" in row else row.get("children")
    if children is None:
        return _field(row, edition)
    name, least, most = _name(row)
    below = tuple(_branch(child, edition) for child in children)
    return Node(name, least, most, row["zh"], row["en"], below)


def _field(row: str | dict[str, Any], edition: str) -> Field:
    own = {"name": row} if isinstance(row, str) else row
    name, least, most = _name(own)
    # Attributes, blocks and envelopes bring their whole definition; the rest take it from the
    # library and say only what differs.
    library = {} if "zh" in own and "type" in own else _read("shared")["fields"].get(name, {})
    merged = {**library, **own}
    differs = tuple(
        (other, str(merged[other].get("type", merged["type"])))
        for other in EDITIONS
        if other in merged and other != edition
    )
    if not differs and edition in merged:
        differs = ((EDITIONS[0], str(merged["type"])),)
    merged = {**merged, **merged.get(edition, {})}
    return Field(
        name=name,
        notation=merged["type"],
        **_measures(merged["type"], least > 0),
        zh=merged["zh"],
        en=merged["en"],
        occurs=(least, most),
        form=merged.get("form"),
        values=tuple(merged["codes"]) if "codes" in merged else None,
        table=merged.get("table"),
        fixed=merged.get("fixed"),
        minimum=merged.get("above", merged.get("least")),
        open_minimum="above" in merged,
        personal=merged.get("personal", False),
        note=merged.get("note"),
        attributes=tuple(_field(child, edition) for child in merged.get("attributes", ())),
        differs=differs,
    )


def _measures(notation: str, required: bool) -> dict[str, Any]:
    found = _NOTATION.match(notation)
    if not found:
        raise ValueError(f"the catalogue has a type nobody knows: {notation!r}")
    if found["exact"]:
        return {"kind": "text", "least": int(found["exact"]), "most": int(found["exact"])}
    if found["most"] is not None:
        least = int(found["least"]) if found["least"] else int(required)
        return {"kind": "text", "least": least, "most": int(found["most"] or 0) or None}
    if found["digits"]:
        return {"kind": "decimal", "digits": int(found["digits"]), "after": int(found["after"])}
    if found["whole"] is not None:
        return {"kind": "integer", "digits": int(found["whole"]) if found["whole"] else None}
    return {"kind": found["other"]}


def _name(row: dict[str, Any]) -> tuple[str, int, int | None]:
    name: str = row["name"]
    if name.endswith("?"):
        return name[:-1], 0, 1
    return name, *_occurs(row.get("occurs", "1"))


def _occurs(text: str) -> tuple[int, int | None]:
    least, _, most = text.partition("..")
    return int(least), _count(most or least)


def _count(most: str | int | None) -> int | None:
    return None if most in (None, "unbounded") else int(most)


def _condition(row: dict[str, Any]) -> Condition:
    return Condition(
        why=row["why"],
        severity=row.get("severity", "error"),
        when=tuple((name, tuple(values)) for name, values in row.get("when", {}).items()),
        require=tuple(row.get("require", ())),
        require_lines=tuple(row.get("require_lines", ())),
        equal=tuple(row.get("equal", {}).items()),
        together=tuple(row.get("together", ())),
    )
