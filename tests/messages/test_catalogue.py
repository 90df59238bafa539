"""The catalogue against itself and against the official schemas."""

from pathlib import Path

import pytest
from lxml import etree

from tongguan import codes, messages
from tongguan.messages.catalogue import FORMS, Node

ALL = [(name, edition) for name in messages.types() for edition in messages.EDITIONS]
XS = "{http://www.w3.org/2001/XMLSchema}"


def test_all_import_messages_and_envelopes_are_there() -> None:
    both_ways = ("31", "41", "51", "62", "71")
    numbers = {"513", "514", "623", "624", "625", "626", "816", "818", "900"}
    numbers |= {f"{group}{last}" for group in both_ways for last in "12"}
    assert set(messages.types()) == {*(f"CEB{n}" for n in numbers), "DxpMsg", "DxpRep"}


@pytest.mark.parametrize(("name", "edition"), ALL)
def test_every_type_is_consistent(name: str, edition: str) -> None:
    kind = messages.message_type(name, edition)
    names = [field.name for field in kind.head_fields]
    line_names = [field.name for field in kind.line_fields]
    assert len(set(names)) == len(names)
    assert len(set(line_names)) == len(line_names)
    assert set(kind.key) <= set(names)
    for field in (*kind.head_fields, *kind.line_fields):
        assert field.zh
        assert field.en
        assert field.form is None or field.form in FORMS
        if field.allowed is not None:
            assert field.allowed
            assert all(len(code) <= (field.most or 99) for code in field.allowed)
    for condition in kind.conditions:
        told = {*condition.require, *dict(condition.when), *dict(condition.equal)}
        assert told <= set(names)
        assert {*condition.require_lines, *condition.together} <= set(line_names)
    if kind.receipt:
        assert messages.message_type(kind.receipt, edition).answers == name


@pytest.mark.parametrize("kind", codes.KINDS)
def test_every_document_kind_is_a_type(kind: str) -> None:
    assert messages.message_type(f"CEB{codes.KINDS[kind]}").kind == kind


def test_editions_differ_where_the_schemas_do() -> None:
    """Source: XSD 2018 and 202205, InventoryList: itemNo 30 and 20, tradeCountry 3 and 1..3."""

    def fields(name: str, edition: str) -> tuple[messages.Field, ...]:
        kind = messages.message_type(name, edition)
        return (*kind.head_fields, *kind.line_fields)

    differing = {
        (name, new.name, new.notation, old.notation)
        for name in messages.types()
        for new, old in zip(fields(name, "202205"), fields(name, "2018"), strict=True)
        if new.notation != old.notation or new.occurs != old.occurs
    }
    assert differing == {
        ("CEB621", "itemNo", "C..20", "C..30"),
        ("CEB621", "tradeCountry", "C1..3", "C3"),
    }


@pytest.mark.parametrize("name", ["CEB999", "Order", "CEB303", "shared", "../catalogue/CEB311"])
def test_an_unknown_type_says_what_there_is(name: str) -> None:
    with pytest.raises(messages.UnknownType, match="CEB311"):
        messages.message_type(name)


def test_an_unknown_edition_says_what_there_is() -> None:
    with pytest.raises(messages.UnknownType, match="202205, 2018"):
        messages.message_type("CEB311", "2016")


@pytest.mark.parametrize("edition", messages.EDITIONS)
def test_structure_is_that_of_the_official_schema(shared: Path, edition: str) -> None:
    """Every element, its order, occurrence and facets."""
    for name in messages.types():
        if name.startswith("Dxp"):
            continue
        official = _official(shared / "ceb/xsd" / edition / "import.xsd", f"{name}Message")
        ours = _official_of_text(messages.xsd(name, edition), f"{name}Message")
        assert ours == official, name


def _official(path: Path, root: str) -> list[tuple[str, ...]]:
    return _walk(etree.parse(path).getroot(), root)


def _official_of_text(text: str, root: str) -> list[tuple[str, ...]]:
    return _walk(etree.fromstring(text.encode()), root)


def _walk(schema: etree._Element, root: str) -> list[tuple[str, ...]]:
    """(path, occurrence, base, facets) of every element below the root, in order."""
    rows: list[tuple[str, ...]] = []

    def visit(element: etree._Element, path: str) -> None:
        occurs = f"{element.get('minOccurs', '1')}..{element.get('maxOccurs', '1')}"
        if element.tag == f"{XS}any" and "xmldsig" in element.get("namespace", ""):
            rows.append((f"{path}/Signature", occurs))
            return
        reference = element.get("ref", "")
        if reference.startswith("ds:"):
            rows.append((f"{path}/Signature", occurs))
            return
        if element.get("type", "").endswith("XMLElement"):
            rows.append((f"{path}/{element.get('name')}", occurs, "xml"))
            return
        if reference:
            name = reference.split(":")[1]
            element = schema.find(f"{XS}element[@name='{name}']")
        path = f"{path}/{element.get('name')}"
        base = element.find(f"{XS}simpleType/{XS}restriction")
        if base is not None or element.get("type"):
            facets = sorted(
                f"{f.tag[len(XS) :]}={f.get('value')}" for f in ([] if base is None else base)
            )
            facets = [f for f in facets if f != "minLength=0"]
            kind = element.get("type") or base.get("base")
            rows.append((path, occurs, kind, *facets, element.get("fixed", "")))
            return
        if element.find(f"{XS}complexType/{XS}sequence/{XS}any[@namespace='##any']") is not None:
            rows.append((path, occurs, "xml"))
            return
        rows.append((path, occurs))
        for child in element.find(f"{XS}complexType/{XS}sequence"):
            visit(child, path)

    visit(schema.find(f"{XS}element[@name='{root}']"), "")
    return rows


def test_trees_of_envelopes_hold_what_the_platform_documents() -> None:
    tree = messages.message_type("DxpMsg").tree
    assert [child.name for child in tree.children] == ["TransInfo", "Data", "AddInfo"]
    transport = tree.children[0]
    assert isinstance(transport, Node)
    assert [child.name for child in transport.children] == [
        "CopMsgId",
        "SenderId",
        "ReceiverIds",
        "CreatTime",
        "MsgType",
    ]
