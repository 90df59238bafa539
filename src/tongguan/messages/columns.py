"""The documents of one message, from elements to columns.

Values are taken by position: a DTD written from the catalogue says in C that every document is in
order; of an element that lacks optional ones a few names are looked at. A message that is not in
order is read by name, document by document, and what is wrong with each is told.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from itertools import islice
from operator import itemgetter
from threading import get_ident
from typing import Any, cast

from lxml import etree

from tongguan import codes
from tongguan.codes import Finding
from tongguan.messages.catalogue import Field, MessageType, message_type
from tongguan.messages.parsed import Limits, Parsed

Fault = tuple[str, str | None, str]


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Where the fields stand among the children of an element, and what is wrong with these.

    ``places`` has the place of each field, −1 where it is absent. ``probes`` are the (place, tag)
    on both sides of every gap. Among elements that are in order, how many fields were left out
    before a place can only grow from place to place: two shapes of equal length that agree at the
    probes are the same.
    """

    places: tuple[int, ...]
    full: bool
    faults: tuple[Fault, ...]
    probes: tuple[tuple[int, str], ...]

    def pick(self, texts: Sequence[str | None]) -> tuple[str | None, ...]:
        """The texts of the children in the order of the fields; None for absent ones."""
        if self.full:
            return tuple(texts)
        return tuple(texts[place] if place >= 0 else None for place in self.places)


@lru_cache(maxsize=4096)
def shape_of(name: str, edition: str, part: str, tags: tuple[str, ...]) -> Shape:
    """How children with these tags fill the part (head, line, block) of that message type."""
    kind = message_type(name, edition)
    fields = kind.fields(part)
    ranks = {f"{{{kind.namespace}}}{one.name}": rank for rank, one in enumerate(fields)}
    places = [-1] * len(fields)
    faults: list[Fault] = []
    last = -1
    for place, tag in enumerate(tags):
        name = tag.rpartition("}")[2]
        rank = ranks.get(tag)
        if rank is None:
            faults.append(("no such element here", name, name))
        elif places[rank] >= 0:
            faults.append(("once", "more than once", name))
        else:
            places[rank] = place
            if rank < last:
                faults.append((f"before {fields[last].name}", "after it", name))
            last = max(last, rank)
    full = places == list(range(len(fields))) and len(tags) == len(fields)
    return Shape(tuple(places), full, tuple(faults[:50]), _probes(places, tags))


def _probes(places: list[int], tags: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    there = [(rank, place) for rank, place in enumerate(places) if place >= 0]
    found: dict[int, str] = {}
    missing = 0
    for rank, place in there:
        if rank - place != missing:
            found.update({at: tags[at] for at in (place - 1, place) if at >= 0})
            missing = rank - place
    if there:
        found[there[-1][1]] = tags[there[-1][1]]
    return tuple(found.items())


_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}")
#: A DTD is asked about no more children of an element: telling an error takes time in their number.
_DTD_CHILDREN = 200
#: Counted in C. Elements that stand inside a value would each be an error of the DTD.
_elements = etree.XPath("count(//*)")
#: The texts of all leaves, in C. libxml2 joins the pieces of a text, so a leaf has one of them or,
#: if it is empty, none: where there are as many as leaves each has its own.
_texts = etree.XPath("*/*/*/text()", smart_strings=False)
_texts_flat = etree.XPath("*/*/text()", smart_strings=False)
_TOLD, _TOLD_IN_ALL = 50, 2000
_Row = list[str | None]
_Rows = list[_Row]


def local_name(element: etree._Element) -> str:
    """The name of an element without its namespace."""
    return etree.QName(element).localname


def first(element: etree._Element, count: int) -> list[etree._Element]:
    """At most so many of its children."""
    return list(islice(element, count))


def short(text: str | None) -> str | None:
    """A value as a finding shows it."""
    return text if text is None or len(text) <= 200 else text[:199] + "…"


class Columns:
    """Fills heads and lines of one message; the faults it meets go to the message's findings."""

    def __init__(
        self, parsed: Parsed, kind: MessageType, root: etree._Element, limits: Limits
    ) -> None:
        self.parsed, self.kind, self.root = parsed, kind, root
        self.lines_most = (kind.lines_most or limits.endless) if kind.line else 0
        self.head_tag = f"{{{kind.namespace}}}{kind.head}"
        self.line_tag = f"{{{kind.namespace}}}{kind.line}"
        self.heads: list[tuple[str | None, ...]] = []
        self.lines: list[tuple[str | None, ...]] = []
        self.positions: list[int] = []
        self.told: dict[int, int] = {}

    def read(self, documents: list[etree._Element], rest: list[etree._Element]) -> None:
        head_fields, line_fields = self.kind.head_fields, self.kind.line_fields
        if self._in_order(documents, rest):
            return
        self.positions = []
        for position, document in enumerate(documents):
            self._slow(position, document)
        self.parsed.heads = _transpose(head_fields, self.heads)
        if self.kind.line:
            columns: dict[str, list[Any]] = {**_transpose(line_fields, self.lines)}
            self.parsed.lines = {**columns, "#position": self.positions}

    def _in_order(self, documents: list[etree._Element], rest: list[etree._Element]) -> bool:
        """Take the values by position if a grammar says that every document is in order."""
        spaces = _spaces(self.root)
        if spaces is None or len(documents) > _DTD_CHILDREN:
            return False
        children = [list(document) for document in documents]
        heads, lines = documents, []
        counts = [0] * len(documents)
        if not self.kind.flat:
            counts = [len(each) - 1 for each in children]
            if max(counts) > min(self.lines_most, _DTD_CHILDREN) or min(counts) < 0:
                return False
            heads = [each[0] for each in children]
            lines = [line for each in children for line in each[1:]]
        self.positions = [place for place, count in enumerate(counts) for _ in range(count)]
        sizes = list(map(len, heads)), list(map(len, lines))
        if max(sizes[0]) > len(self.kind.head_fields):
            return False
        if lines and max(sizes[1]) > len(self.kind.line_fields):
            return False
        leaves = sum(sizes[0]) + sum(sizes[1])
        above = 1 + len(documents) + (0 if self.kind.flat else len(heads) + len(lines))
        for one in rest:
            self.root.remove(one)
        try:
            if _elements(self.root) != above + leaves:
                return False
            grammar = _grammar(get_ident(), self.kind.type, self.kind.edition, spaces)
            if not grammar.validate(self.root):
                return False
            texts = (_texts_flat if self.kind.flat else _texts)(self.root)
        finally:
            self.root.extend(rest)
        found = cast(_Row, texts)
        rows = _rows(found, sizes, counts) if len(found) == leaves else (None, None)
        self.parsed.heads = self._by_position(heads, rows[0], self.kind.head)
        if self.kind.line:
            columns: dict[str, list[Any]] = {**self._by_position(lines, rows[1], self.kind.line)}
            self.parsed.lines = {**columns, "#position": self.positions}
        return True

    def _by_position(
        self, elements: list[etree._Element], rows: _Rows | None, part: str
    ) -> dict[str, list[str | None]]:
        """Columns of elements that are known to be in order but may lack optional ones.

        rows: the texts of each element's children, None where they have yet to be looked at.
        Of those with as many children, a shape seen before is the right one if the names at its
        probes are. Elements of one shape are turned into columns together.
        """
        fields = self.kind.fields(part)
        if rows is None:
            rows = [[one.text for one in element] for element in elements]
        known: dict[int, list[Shape]] = {}
        groups: dict[Shape | None, tuple[list[int], _Rows]] = {}
        for place, row in enumerate(rows):
            size = len(row)
            shape = None
            if size != len(fields):
                shape = self._shape(elements[place], part, known.setdefault(size, []))
            group = groups.get(shape)
            if group is None:
                group = groups[shape] = ([], [])
            group[0].append(place)
            group[1].append(row)
        return _columns(fields, list(groups.items()), len(elements))

    def _shape(self, element: etree._Element, part: str, known: list[Shape]) -> Shape:
        for shape in known:
            for place, tag in shape.probes:
                if element[place].tag != tag:
                    break
            else:
                return shape
        tags = tuple([one.tag for one in element])
        known.insert(0, shape_of(self.kind.type, self.kind.edition, part, tags))
        return known[0]

    # The rest reads documents by name and reports what is wrong with them.

    def _slow(self, position: int, document: etree._Element) -> None:
        if self.kind.flat:
            self.heads.append(self._row(position, document, None))
            return
        children = first(document, self.lines_most + 17)
        heads = [one for one in children if one.tag == self.head_tag]
        lines = [one for one in children if one.tag == self.line_tag] if self.kind.line else []
        self._arrangement(position, document, children, heads, lines)
        if heads:
            self.heads.append(self._row(position, heads[0], None))
        else:
            self.heads.append((None,) * len(self.kind.head_fields))
        for place, line in enumerate(lines[: self.lines_most], 1):
            self.lines.append(self._row(position, line, place))
            self.positions.append(position)

    def _arrangement(
        self,
        position: int,
        document: etree._Element,
        children: list[etree._Element],
        heads: list[etree._Element],
        lines: list[etree._Element],
    ) -> None:
        """Head once and first, then the lines, nothing else."""
        kind = self.kind
        if len(heads) != 1:
            self._fault(position, ("one", str(len(heads)), kind.head), None)
        elif children[0] is not heads[0]:
            self._fault(position, ("first", "not first", kind.head), None)
        for one in children:
            if one.tag not in (self.head_tag, self.line_tag):
                name = local_name(one)
                self._fault(position, ("no such element here", name, name), None)
                break
        if kind.line:
            count = max(len(lines), len(document) - 1 if len(document) > len(children) else 0)
            if not 1 <= count <= self.lines_most:
                expected = f"1 to {self.lines_most} lines"
                self._fault(position, (expected, f"{count} lines", kind.line), None)
        self._stray(position, document, children, kind.document, None)

    def _row(
        self, position: int, element: etree._Element, place: int | None
    ) -> tuple[str | None, ...]:
        kind = self.kind
        part, size = (
            (kind.head, len(kind.head_fields))
            if place is None
            else (kind.line or "", len(kind.line_fields))
        )
        children = first(element, 4 * size)
        tags = tuple([one.tag for one in children])
        shape = shape_of(kind.type, kind.edition, part, tags)
        for fault in shape.faults:
            self._fault(position, fault, place)
        if len(element) > len(children):
            fault = (f"at most {size} elements", str(len(element)), part)
            self._fault(position, fault, place)
        self._stray(position, element, children, part, place)
        for one in children:
            if len(one):
                name = local_name(one)
                self._fault(position, ("text only", "elements inside it", name), place)
        return shape.pick([one.text or "" for one in children])

    def _stray(
        self,
        position: int,
        element: etree._Element,
        children: list[etree._Element],
        name: str,
        place: int | None,
    ) -> None:
        texts = [element.text, *[one.tail for one in children]]
        stray = "".join([text for text in texts if text]).strip()
        if stray:
            self._fault(position, ("elements only", "text between them", name), place)

    def _fault(self, position: int, fault: Fault, place: int | None) -> None:
        """Tell a fault: of one document so many, of a hostile message at least one each."""
        told = self.told[position] = self.told.get(position, 0) + 1
        if told > (_TOLD if len(self.parsed.findings) < _TOLD_IN_ALL else 1):
            return
        expected, actual, name = fault
        self.parsed.findings.append(
            Finding(
                rule="message.field",
                severity="error",
                document=self.kind.kind,
                field=name,
                expected=expected,
                actual=short(actual),
                gnum=place,
                code=codes.rule("message.field").code(self.kind.kind),
                position=position,
            )
        )


def _rows(
    texts: _Row, sizes: tuple[list[int], list[int]], counts: list[int]
) -> tuple[_Rows, _Rows]:
    """The texts of each head and of each line. sizes: how many each has, of heads and of lines;
    counts: how many lines follow each head."""
    heads: _Rows = []
    lines: _Rows = []
    end = line = 0
    for size, count in zip(sizes[0], counts, strict=True):
        start, end = end, end + size
        heads.append(texts[start:end])
        for _ in range(count):
            start, end = end, end + sizes[1][line]
            lines.append(texts[start:end])
            line += 1
    return heads, lines


def _transpose(
    fields: tuple[Field, ...], rows: list[tuple[str | None, ...]]
) -> dict[str, list[str | None]]:
    """Rows that were read by name to columns."""
    if not rows:
        return {one.name: [] for one in fields}
    return {
        one.name: list(column) for one, column in zip(fields, zip(*rows, strict=True), strict=True)
    }


def _columns(
    fields: tuple[Field, ...],
    groups: list[tuple[Shape | None, tuple[list[int], _Rows]]],
    count: int,
) -> dict[str, list[str | None]]:
    """Rows that were read by position, grouped by shape, to columns in the order they stood in.

    Read so, an empty element is None; an absent one has no place in its group.
    """
    columns: list[list[str | None]] = [[] for _ in fields]
    for shape, (_, rows) in groups:
        found = list(zip(*rows, strict=True))
        places = range(len(fields)) if shape is None else shape.places
        for column, place in zip(columns, places, strict=True):
            if place < 0:
                column += [None] * len(rows)
            elif None in found[place]:
                column += [text or "" for text in found[place]]
            else:
                column += found[place]
    if len(groups) > 1:
        stood = [place for _, (places, _) in groups for place in places]
        back = sorted(range(count), key=stood.__getitem__)
        if count > 1:
            sort = itemgetter(*back)
            columns = [list(sort(column)) for column in columns]
    return {one.name: column for one, column in zip(fields, columns, strict=True)}


_Spaces = tuple[tuple[str, str], ...]


def _spaces(root: etree._Element) -> tuple[str, _Spaces, tuple[str, ...]] | None:
    """Prefix, namespace declarations and attributes of the root, as a DTD can say them."""
    declared = tuple(sorted((prefix or "", uri) for prefix, uri in root.nsmap.items()))
    prefixes = {uri: prefix for prefix, uri in declared if prefix}
    names = []
    for key in root.attrib:
        space, _, name = str(key).rpartition("}")
        names.append(f"{prefixes.get(space[1:], '')}:{name}" if space else name)
    plain = all(_PREFIX.fullmatch(prefix) or not prefix for prefix, _ in declared)
    printable = all(uri.isprintable() and not set(uri) & set('"&<%') for _, uri in declared)
    if not (plain and printable and all(map(_ATTRIBUTE.fullmatch, names))):
        return None
    return root.prefix or "", declared, tuple(sorted(names))


_ATTRIBUTE = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_.-]{0,30}:)?[A-Za-z_][A-Za-z0-9_.-]{0,40}")


@lru_cache(maxsize=512)
def _grammar(
    thread: int,
    name: str,
    edition: str,
    spaces: tuple[str, _Spaces, tuple[str, ...]],
) -> etree.DTD:
    """A DTD that accepts the documents of a message if all their parts are in order.

    A DTD is completed while it is first used, so each ``thread`` has its own. Any element may be
    absent. DTDs know names, not namespaces: therefore the namespaces of the root are declared on
    it and nowhere else, so that no prefix can mean another thing further in.
    """
    kind = message_type(name, edition)
    prefix, declared, attributes = spaces
    lead = f"{prefix}:" if prefix else ""
    leaves = dict.fromkeys(one.name for one in (*kind.head_fields, *kind.line_fields))
    parts = [f"<!ELEMENT {lead}{leaf} (#PCDATA)>" for leaf in leaves]
    parts.append(f"<!ELEMENT {lead}{kind.root} ({lead}{kind.document}+)>")
    if not kind.flat:
        lines = f",{lead}{kind.line}+" if kind.line else ""
        parts.append(f"<!ELEMENT {lead}{kind.document} ({lead}{kind.head}{lines})>")
    parts.append(f"<!ELEMENT {lead}{kind.head} ({_model(lead, kind.head_fields)})>")
    if kind.line:
        parts.append(f"<!ELEMENT {lead}{kind.line} ({_model(lead, kind.line_fields)})>")
    names = [f"xmlns:{space}" if space else "xmlns" for space, _ in declared]
    parts.extend(
        f"<!ATTLIST {lead}{kind.root} {attribute} CDATA #IMPLIED>"
        for attribute in (*names, *attributes)
    )
    return etree.DTD(StringIO("".join(parts)))


def _model(lead: str, fields: tuple[Field, ...]) -> str:
    return ",".join(f"{lead}{one.name}?" for one in fields)
