"""Cutting a message into its documents: nothing is lost, and each can be read alone."""

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongguan import messages

Documents = Callable[..., tuple[pl.DataFrame, pl.DataFrame]]
Written = Callable[..., bytes]
IMPORT = [
    name
    for name in messages.types()
    if messages.message_type(name).tree.children and name not in ("DxpMsg", "DxpRep")
]


def put_together(found: messages.Cut) -> bytes:
    return b"".join((found.head, *found.documents, found.tail, found.rest))


def columns(parsed: messages.Parsed, position: int) -> tuple[dict, dict]:
    """The values of one document."""
    heads = {name: values[position] for name, values in parsed.heads.items()}
    mine = [n for n, at in enumerate(parsed.lines.get("#position", ())) if at == position]
    lines = {name: [values[n] for n in mine] for name, values in parsed.lines.items()}
    lines.pop("#position", None)
    return heads, lines


def check_alone(data: bytes, parsed: messages.Parsed) -> messages.Cut:
    assert not parsed.refused, parsed.findings
    found = messages.cut(data, parsed.type, parsed.documents)
    assert found is not None
    assert put_together(found) == data
    for place in range(parsed.documents):
        single = messages.parse(found.alone(place))
        assert not single.refused, single.findings
        assert single.documents == 1
        assert columns(single, 0) == columns(parsed, place)
        assert single.transfer == parsed.transfer
    return found


@pytest.mark.parametrize("name", IMPORT)
def test_each_document_of_each_type_can_be_read_alone(
    name: str, documents: Documents, written: Written
) -> None:
    most = messages.message_type(name).documents_most or 3
    data = written(name, *documents(name, min(most, 3)))
    check_alone(data, messages.parse(data))


def test_a_signature_belongs_to_no_document(documents: Documents, written: Written) -> None:
    data = written("CEB621", *documents("CEB621", 2))
    end = b"</ceb:CEB621Message>"
    signature = b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"></ds:Signature>'
    signed = data.replace(end, signature + end)
    assert signed != data
    parsed = messages.parse(signed)
    assert parsed.signed
    found = check_alone(signed, parsed)
    assert found.rest == signature + end
    assert not messages.parse(found.alone(0)).signed


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda d: d.replace(b"><", b">\n  <"), id="lines between"),
        pytest.param(
            lambda d: d.replace(b"<ceb:Order>", b"<ceb:Order >", 1), id="a space in a tag"
        ),
        pytest.param(lambda d: d.replace(b"</ceb:Order>", b"</ceb:Order\n>"), id="in the end tag"),
        pytest.param(
            lambda d: d.replace(b"ceb:", b"").replace(b"xmlns:ceb", b"xmlns"), id="default"
        ),
        pytest.param(
            lambda d: d.replace(b"ceb:", b"c-1.x:").replace(b":ceb=", b":c-1.x="), id="odd"
        ),
        pytest.param(lambda d: b"\xef\xbb\xbf" + d, id="mark"),
        pytest.param(lambda d: d.replace(b"<ceb:Order>", b"<!-- <x> --><ceb:Order>"), id="comment"),
        pytest.param(
            lambda d: d.replace("杭州".encode(), "<![CDATA[杭州]]>".encode()), id="character data"
        ),
        pytest.param(
            lambda d: d.decode().replace('"UTF-8"', '"GBK"').encode("gb18030"),
            id="another encoding",
        ),
    ],
)
def test_other_ways_of_writing_are_cut_as_well(
    change: Callable[[bytes], bytes], documents: Documents, written: Written
) -> None:
    heads, lines = documents("CEB311", 3)
    heads = heads.with_columns(buyerName=pl.lit("杭州某某"))
    data = change(written("CEB311", heads, lines))
    check_alone(data, messages.parse(data))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda d: d.replace(b"<ceb:Order>", b"<!--<ceb:Order>--><ceb:Order>", 1), id="comment"
        ),
        pytest.param(lambda d: d.replace(b"<ceb:Order>", b"<ceb:Ordre>"), id="no document"),
        pytest.param(lambda d: d.partition(b"</ceb:Order>")[0], id="cut off"),
        pytest.param(lambda d: b"", id="empty"),
    ],
)
def test_what_does_not_show_its_documents_is_not_cut(
    change: Callable[[bytes], bytes], documents: Documents, written: Written
) -> None:
    data = written("CEB311", *documents("CEB311", 2))
    assert messages.cut(change(data), "CEB311", 2) is None
    assert messages.cut(data, "CEB311", 3) is None


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(1, 3))
def test_any_bytes_are_cut_whole_or_not_at_all(noise: bytes, count: int) -> None:
    data = b"<a>" + b"<Order>" + noise + b"</Order>" + noise + b"</a>"
    found = messages.cut(data, "CEB311", count)
    assert found is None or (put_together(found) == data and len(found.documents) == count)
