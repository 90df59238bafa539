"""The XML schema of a message type, written from the catalogue.

It stands alone: nothing is imported. What it cannot say of ds:Signature (an element of another
namespace) it leaves to whoever verifies the signature; that there is one, and where, it says.
"""

from tongguan.messages.catalogue import SIGNATURE_NAMESPACE, Field, Node, message_type
from tongguan.messages.render import attribute

_INDENT = "  "


def xsd(name: str, edition: str = "202205") -> str:
    """The schema of one message type as text (XML Schema 1.0). Raises UnknownType."""
    kind = message_type(name, edition)
    lines = [*_element(kind.tree, kind.signature), *_named(kind.tree)]
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"',
            f'    xmlns="{kind.namespace}" targetNamespace="{kind.namespace}"',
            '    elementFormDefault="qualified" attributeFormDefault="unqualified">',
            f"{_INDENT}<xs:annotation>",
            f'{_INDENT * 2}<xs:documentation xml:lang="zh">{attribute(kind.zh)} '
            f"{kind.type} {edition}</xs:documentation>",
            f'{_INDENT * 2}<xs:documentation xml:lang="en">{attribute(kind.en)} '
            f"{kind.type} {edition}</xs:documentation>",
            f"{_INDENT}</xs:annotation>",
            *(_INDENT + line for line in lines),
            "</xs:schema>",
            "",
        ]
    )


def _element(node: Node, signature: str = "none") -> list[str]:
    body: list[str] = []
    for child in node.children:
        body += _element(child) if isinstance(child, Node) else _leaf(child)
    if signature != "none":
        least = ' minOccurs="0"' if signature == "optional" else ""
        body.append(f'<xs:any namespace="{SIGNATURE_NAMESPACE}" processContents="lax"{least}/>')
    # The root is declared on its own, where a count has no place.
    occurs = "" if node.attributes else _occurs(node.least, node.most)
    return [
        f'<xs:element name="{node.name}"{occurs}>',
        *_annotation(node),
        f"{_INDENT}<xs:complexType>",
        f"{_INDENT * 2}<xs:sequence>",
        *(_INDENT * 3 + line for line in body),
        f"{_INDENT * 2}</xs:sequence>",
        *(_INDENT * 2 + line for one in node.attributes for line in _attribute(one)),
        f"{_INDENT}</xs:complexType>",
        "</xs:element>",
    ]


def _leaf(one: Field) -> list[str]:
    fixed = f' fixed="{attribute(one.fixed)}"' if one.fixed is not None else ""
    opening = f'<xs:element name="{one.name}"{_occurs(*one.occurs)}{fixed}>'
    inside = _annotation(one)
    if one.kind == "xml":
        inside += _complex(['<xs:any namespace="##any" processContents="skip" minOccurs="0"/>'])
    elif one.attributes:
        inside += _with_attributes(one)
    elif one.kind != "any":
        inside += [_INDENT + line for line in _simple(one)]
    return [opening, *inside, "</xs:element>"]


def _complex(body: list[str]) -> list[str]:
    return [
        f"{_INDENT}<xs:complexType>",
        f"{_INDENT * 2}<xs:sequence>",
        *(_INDENT * 3 + line for line in body),
        f"{_INDENT * 2}</xs:sequence>",
        f"{_INDENT}</xs:complexType>",
    ]


def _with_attributes(one: Field) -> list[str]:
    """A text with attributes extends the named type of its text; one without has none."""
    attributes = [line for each in one.attributes for line in _attribute(each)]
    if one.kind != "empty":
        attributes = [
            "<xs:simpleContent>",
            f'{_INDENT}<xs:extension base="{one.name}">',
            *(_INDENT * 2 + line for line in attributes),
            f"{_INDENT}</xs:extension>",
            "</xs:simpleContent>",
        ]
    return [
        f"{_INDENT}<xs:complexType>",
        *(_INDENT * 2 + line for line in attributes),
        f"{_INDENT}</xs:complexType>",
    ]


def _named(node: Node) -> list[str]:
    """Types that need a name: those of texts with attributes."""
    found: list[str] = []
    for child in node.children:
        if isinstance(child, Node):
            found += _named(child)
        elif child.attributes and child.kind != "empty":
            found += _simple(child, f' name="{child.name}"')
    return found


def _attribute(one: Field) -> list[str]:
    use = "required" if one.required else "optional"
    fixed = f' fixed="{attribute(one.fixed)}"' if one.fixed is not None else ""
    return [
        f'<xs:attribute name="{one.name}" use="{use}"{fixed}>',
        *_annotation(one),
        *(_INDENT + line for line in _simple(one)),
        "</xs:attribute>",
    ]


def _simple(one: Field, name: str = "") -> list[str]:
    base, facets = _facets(one)
    inside = [f'{_INDENT * 2}<xs:{facet} value="{value}"/>' for facet, value in facets]
    return [
        f"<xs:simpleType{name}>",
        f'{_INDENT}<xs:restriction base="xs:{base}">',
        *inside,
        f"{_INDENT}</xs:restriction>",
        "</xs:simpleType>",
    ]


def _facets(one: Field) -> tuple[str, list[tuple[str, int]]]:
    if one.kind == "decimal":
        return "decimal", [("totalDigits", one.digits or 0), ("fractionDigits", one.after)]
    if one.kind == "integer":
        return "int", [("totalDigits", one.digits)] if one.digits else []
    if one.kind != "text":
        names = {"base64": "base64Binary", "date": "date", "datetime": "dateTime", "id": "ID"}
        return names[one.kind], []
    if one.least == one.most:
        return "string", [("length", one.least)]
    facets = [("minLength", one.least)] if one.least else []
    return "string", facets if one.most is None else [*facets, ("maxLength", one.most)]


def _occurs(least: int, most: int | None) -> str:
    lower = f' minOccurs="{least}"' if least != 1 else ""
    if most == 1:
        return lower
    return f'{lower} maxOccurs="{"unbounded" if most is None else most}"'


def _annotation(what: Node | Field) -> list[str]:
    if not what.zh:
        return []
    return [
        f"{_INDENT}<xs:annotation>",
        f'{_INDENT * 2}<xs:documentation xml:lang="zh">{attribute(what.zh)}</xs:documentation>',
        f'{_INDENT * 2}<xs:documentation xml:lang="en">{attribute(what.en)}</xs:documentation>',
        f"{_INDENT}</xs:annotation>",
    ]
