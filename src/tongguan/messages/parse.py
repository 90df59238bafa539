"""Read a message from bytes to columns: one secure parse, nothing executed, nothing fetched.

The tree is built by libxml2 without DTD, entities, network or huge nodes; a DOCTYPE is refused
before it sees one. ``columns.py`` takes the values from the tree.
"""

import base64
import binascii
import re
import threading
from collections.abc import Iterable
from typing import Any, cast

from lxml import etree

from tongguan import codes
from tongguan.codes import Finding
from tongguan.messages.catalogue import (
    Field,
    MessageType,
    Node,
    export_types,
    message_type,
    namespaces,
    types,
)
from tongguan.messages.columns import Columns, first, local_name, shape_of, short
from tongguan.messages.parsed import Limits, Parsed
from tongguan.messages.signature import SIGNATURE_TAG, Problem, take

_DEFAULT = Limits()


class _Refused(Exception):  # noqa: N818 - it never leaves this file
    def __init__(self, expected: str, actual: str | None, element: str | None = None) -> None:
        super().__init__(expected)
        self.expected, self.actual, self.element = expected, actual, element


def parse(
    data: bytes,
    limits: Limits = _DEFAULT,
    edition: str = "202205",
    *,
    signed_form: bool = False,
    columns: bool = True,
) -> Parsed:
    """Read one message, plain or in a DxpMsg. Never raises on bad input; see :class:`Parsed`.

    ``signed_form``: also take from a signed message what :func:`verify` needs. ``columns``: read
    the documents; without them only what concerns the message as a whole is known of it, and said
    the same, at a third of the cost.
    Raises UnknownType only for an edition that does not exist.
    """
    parsed = Parsed(bytes=len(data), edition=edition)
    message_type("CEB311", edition)
    try:
        root = tree(data, limits)
        if _is_envelope(root):
            parsed.envelope, data = _unwrap(root, edition, limits)
            parsed.inner = data
            root = tree(data, limits)
        _read(parsed, root, edition, limits, signed_form=signed_form, columns=columns)
        if parsed.form is not None and has_instructions(data):
            parsed.form.problems.append(NO_INSTRUCTION)
    except _Refused as refused:
        _refuse(parsed, [refused])
    return parsed


def _refuse(parsed: Parsed, reasons: Iterable[_Refused]) -> None:
    parsed.refused = True
    parsed.heads, parsed.lines, parsed.form = {}, {}, None
    kind = parsed.kind
    parsed.findings = [
        Finding(
            rule="message.format",
            severity="error",
            document=kind,
            field=reason.element,
            expected=reason.expected,
            actual=short(reason.actual),
            code=codes.rule("message.format").code(kind),
        )
        for reason in reasons
    ]


# --- bytes to tree ---

_DECLARATION = re.compile(rb"<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']([^\"'>]{1,400})[\"']")
_OPENING = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml\s[^>]{0,400}?\?>")
_GB = frozenset(("gb2312", "gbk", "gb18030", "cp936", "gb_2312-80", "euc-cn"))
_UTF8 = frozenset(("utf-8", "utf8", "us-ascii", "ascii"))
_PROLOG_ITEMS = 100

_local = threading.local()


def _parser() -> etree.XMLParser:
    """This thread's parser: libxml2 parsers cannot be used by two threads at once."""
    parser: etree.XMLParser | None = getattr(_local, "parser", None)
    if parser is None:
        parser = _local.parser = new_parser()
    return parser


def new_parser(*, instructions: bool = False, comments: bool = False) -> etree.XMLParser:
    """A parser that executes nothing and fetches nothing; it drops what it is not told to keep."""
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
        remove_comments=not comments,
        remove_pis=not instructions,
        collect_ids=False,
    )


def has_instructions(data: bytes) -> bool:
    """Whether a well-formed message holds processing instructions, which ours drops.

    Canonical XML keeps them: they would be signed, and make no difference to any value.
    """
    declared = _OPENING.match(data)
    behind = declared.end() if declared else 0
    # One character is looked for ten times as fast as two of which the first is everywhere.
    if data.find(b"?", behind) < 0 or data.find(b"<?", behind) < 0:
        return False
    root = etree.fromstring(_utf8(data), new_parser(instructions=True))
    beside = (*root.itersiblings(), *root.itersiblings(preceding=True))
    return any(item.tag is etree.PI for item in (*beside, *root.iter(etree.PI)))


NO_INSTRUCTION = Problem(
    "ds:Reference",
    "no processing instruction in what is signed",
    "one: it is part of the canonical form and of no value",
)


def tree(data: bytes, limits: Limits) -> etree._Element:
    """The root of a message, without comments and processing instructions."""
    if len(data) > limits.bytes:
        raise _Refused(f"a message of at most {limits.bytes} bytes", f"{len(data)} bytes")
    text = _utf8(data)
    _no_doctype(text)
    for what, sign, most in (("tags", b"<", limits.tags), ("equals signs", b"=", limits.equals)):
        count = text.count(sign) if len(text) > most else 0
        if count > most:
            raise _Refused(f"a message of at most {most} {what}", f"{count} {what}")
    try:
        root = etree.fromstring(text, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _Refused("well-formed XML", str(error)) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise _Refused("no DOCTYPE", "a DOCTYPE")
    return root


def _utf8(data: bytes) -> bytes:
    """The same text in UTF-8; GB encodings as declared, GB2312 read as its superset GB18030."""
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    if not data[:64].strip() and not data.strip():
        raise _Refused("an XML message", "nothing")
    if data[:2] in (b"\xfe\xff", b"\xff\xfe") or b"\0" in data[:4]:
        raise _Refused("UTF-8 or GB18030 text", "UTF-16, UTF-32 or no text at all")
    declared = _DECLARATION.match(data)
    encoding = declared[1].decode("ascii", "replace").lower() if declared else "utf-8"
    if encoding in _UTF8:
        return data
    if encoding not in _GB:
        raise _Refused("encoding UTF-8, GB2312, GBK or GB18030", encoding)
    try:
        return data.decode("gb18030").encode("utf-8")
    except UnicodeDecodeError as error:
        raise _Refused(f"text in {encoding}", f"byte {error.start} is not") from None


def _no_doctype(text: bytes) -> None:
    """Refuse a DOCTYPE before libxml2 sees it. Behind the root one cannot stand."""
    position = 0
    for _ in range(_PROLOG_ITEMS):
        position = text.find(b"<", position)
        if position < 0:
            return
        opening = text[position : position + 9]
        if opening.startswith(b"<!DOCTYPE"):
            raise _Refused("no DOCTYPE", "a DOCTYPE")
        if opening.startswith(b"<!--"):
            end = text.find(b"-->", position + 4)
        elif opening.startswith(b"<?"):
            end = text.find(b"?>", position + 2)
        else:
            return
        if end < 0:
            return
        position = end
    raise _Refused("the root element near the beginning", "too much before it")


# --- envelope ---


def _is_envelope(root: etree._Element) -> bool:
    return bool(root.tag == f"{{{namespaces()['dxp']}}}DxpMsg")


def message_bytes(data: bytes, limits: Limits = _DEFAULT) -> bytes:
    """The text of a message in UTF-8, out of the envelope it may be in; of no message, nothing."""
    try:
        root = tree(data, limits)
        if _is_envelope(root):
            _, data = _unwrap(root, "202205", limits)
        return _utf8(data)
    except _Refused:
        return b""


def _unwrap(root: etree._Element, edition: str, limits: Limits) -> tuple[dict[str, Any], bytes]:
    kind = message_type("DxpMsg", edition)
    values = _values(root, kind.tree, kind.namespace, limits)
    data = values.pop("Data", None)
    if not isinstance(data, str):
        raise _Refused("one Data element in the DxpMsg", None, "Data")
    try:
        inner = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _Refused("base64", str(error), "Data") from None
    values["ver"], values["Id"] = root.get("ver"), root.get("Id")
    return values, inner


def _values(element: etree._Element, node: Node, space: str, limits: Limits) -> dict[str, Any]:
    """Values of a nested element: text, a dict for an element, a list where it may repeat."""
    found: dict[str, Any] = {}
    tags = {f"{{{space}}}{child.name}": child for child in node.children}
    for child in first(element, limits.endless):
        what = tags.get(child.tag)
        if what is None:
            continue
        value: Any = child.text or ""
        if isinstance(what, Node):
            value = _values(child, what, space, limits)
        elif what.attributes:
            value = {"text": value, **{a.name: child.get(a.name) for a in what.attributes}}
        most = what.most if isinstance(what, Node) else what.occurs[1]
        if most == 1:
            found.setdefault(what.name, value)
        else:
            found.setdefault(what.name, []).append(value)
    return found


# --- message ---


def _read(
    parsed: Parsed,
    root: etree._Element,
    edition: str,
    limits: Limits,
    *,
    signed_form: bool,
    columns: bool,
) -> None:
    name = etree.QName(root)
    parsed.root, parsed.prefix = name.localname, root.prefix
    kind = _recognise(name.namespace, name.localname, edition)
    parsed.type = kind.type
    if kind.type == "DxpRep":
        _responses(parsed, root, kind, limits)
        return
    parsed.guid, parsed.version = root.get("guid"), root.get("version")
    documents, rest = _split(root, kind, limits)
    parsed.documents = len(documents)
    reasons = [*_attribute_faults(root, kind), *_frame(parsed, rest, kind)]
    if reasons:
        _refuse(parsed, reasons)
        return
    if signed_form and parsed.signed:
        # Before the columns: reading them moves the blocks, which may cost namespaces.
        parsed.form = take(root, rest[-1])
    if columns:
        Columns(parsed, kind, root, limits).read(documents, rest)


def _recognise(space: str | None, name: str, edition: str) -> MessageType:
    short = name.removesuffix("Message")
    if short in export_types():
        raise _Refused("an import message", f"{name}: an export message, not yet taken")
    if short not in types() or message_type(short).root != name:
        raise _Refused("a message of the standard as root", name)
    kind = message_type(short, edition)
    if space != kind.namespace:
        raise _Refused(f"namespace {kind.namespace}", space or "none", name)
    if short == "DxpMsg":
        raise _Refused("a message inside the envelope", "another envelope")
    return kind


def _responses(parsed: Parsed, root: etree._Element, kind: MessageType, limits: Limits) -> None:
    """DxpRep: one document for each Response, its own values only."""
    responses = _values(root, kind.tree, kind.namespace, limits).get("Response", [])
    node = next(child for child in kind.tree.children if child.name == "Response")
    names = [child.name for child in cast(Node, node).children if isinstance(child, Field)]
    parsed.documents = len(responses)
    parsed.heads = {name: [one.get(name) for one in responses] for name in names}


def _split(
    root: etree._Element, kind: MessageType, limits: Limits
) -> tuple[list[etree._Element], list[etree._Element]]:
    """The document elements, and what stands behind them."""
    tag = f"{{{kind.namespace}}}{kind.document}"
    most = kind.documents_most or limits.endless
    if len(root) > most:
        # Counted in C: a hostile message has millions.
        count = int(cast(float, root.xpath("count(*[local-name()=$n])", n=kind.document)))
        if count > most:
            raise _Refused(f"at most {most} documents", f"{count} documents", kind.document)
        if len(root) > count + 16:
            raise _Refused("the elements of the standard", "many others", kind.root)
    children = list(root)
    end = next((i for i, child in enumerate(children) if child.tag != tag), len(children))
    if not end:
        raise _Refused("at least one document", "none", kind.document)
    return children[:end], children[end:]


def _attribute_faults(root: etree._Element, kind: MessageType) -> list[_Refused]:
    return [
        _Refused(attribute.expectation, value, "@" + attribute.name)
        for attribute in kind.attributes
        for value in (root.get(attribute.name),)
        if value is None or not attribute.accepts(value)
    ]


def _frame(parsed: Parsed, rest: list[etree._Element], kind: MessageType) -> list[_Refused]:
    """Read what stands behind the documents: transfer, subscriptions, extension, signature.

    The signature must be last; whether there must be one is a matter of the signatures mode.
    """
    reasons: list[_Refused] = []
    if rest and kind.signature != "none" and rest[-1].tag == SIGNATURE_TAG:
        parsed.signed = True
        rest = rest[:-1]
    tags = {f"{{{kind.namespace}}}{node.name}": node for node in kind.blocks}
    last, counts = -1, dict.fromkeys(tags, 0)
    order = list(tags)
    for element in rest:
        if element.tag == SIGNATURE_TAG and kind.signature != "none":
            expected = "one Signature, as the last child of the root"
            reasons.append(_Refused(expected, "one at another place", "ds:Signature"))
            continue
        if element.tag not in tags:
            reasons.append(_Refused("the elements of the standard", local_name(element)))
            continue
        rank = order.index(element.tag)
        if rank < last:
            reasons.append(_Refused("the order of the standard", None, order[rank].split("}")[1]))
        last = rank
        counts[element.tag] += 1
        node = tags[element.tag]
        values, faults = _block(element, node, kind)
        reasons.extend(faults)
        if node.name == "BaseTransfer":
            parsed.transfer = values
        elif node.name == "BaseSubscribe":
            parsed.subscribes.append(values)
        else:
            parsed.extend = values
    for tag, count in counts.items():
        node = tags[tag]
        if not node.least <= count <= (node.most or count):
            expected = f"{node.least} to {node.most}" if node.least != node.most else "one"
            reasons.append(_Refused(f"{expected} of it", str(count), node.name))
    return reasons


def _block(
    element: etree._Element, node: Node, kind: MessageType
) -> tuple[dict[str, str | None], list[_Refused]]:
    fields = kind.fields(node.name)
    children = first(element, 4 * len(fields))
    shape = shape_of(kind.type, kind.edition, node.name, tuple([one.tag for one in children]))
    texts = [_content(child) for child in children]
    values = dict(zip((one.name for one in fields), shape.pick(texts), strict=True))
    reasons = [_Refused(expected, actual, name) for expected, actual, name in shape.faults]
    for one in fields:
        value = values[one.name]
        if value is None and not one.required:
            continue
        if value is None or (one.kind != "xml" and not one.accepts(value)):
            reasons.append(_Refused(one.expectation, value, f"{node.name}.{one.name}"))
    return values, reasons


def _content(element: etree._Element) -> str:
    """Text of a leaf; the XML inside one that holds XML."""
    if not len(element):
        return element.text or ""
    return (element.text or "") + "".join(
        etree.tostring(child, encoding="unicode") for child in element
    )
