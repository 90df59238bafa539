"""Writing: the prescribed order, every text unharmed, nothing invented."""

from collections.abc import Callable
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from tongguan import messages

Documents = Callable[..., tuple[pl.DataFrame, pl.DataFrame]]
Written = Callable[..., bytes]

#: Characters XML 1.0 can hold (section 2.2 of the recommendation).
XML_TEXT = st.text(
    st.one_of(
        st.sampled_from("\t\n\r&<>\"' ]"),
        st.characters(min_codepoint=0x20, max_codepoint=0xD7FF),
        st.characters(min_codepoint=0xE000, max_codepoint=0xFFFD),
        st.characters(min_codepoint=0x10000, max_codepoint=0x10FFFF),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(XML_TEXT, min_size=3, max_size=3), note=XML_TEXT)
def test_any_text_comes_back(
    texts: list[str], note: str, documents: Documents, written: Written
) -> None:
    heads, lines = documents("CEB311", 3, 2)
    heads = heads.with_columns(buyerName=pl.Series(texts), note=pl.lit(note))
    lines = lines.with_columns(itemName=pl.lit(texts[0] + "]]>"))
    parsed = messages.parse(written("CEB311", heads, lines))
    assert parsed.findings == []
    assert parsed.heads["buyerName"] == texts
    assert parsed.heads["note"] == [note] * 3
    assert parsed.lines["itemName"] == [texts[0] + "]]>"] * 6


@settings(max_examples=50, deadline=None)
@given(text=XML_TEXT)
def test_any_text_of_the_transfer_block_comes_back(text: str, documents: Documents) -> None:
    fragments = messages.render("CEB411", documents("CEB411")[0]).to_list()
    transfer = {"copCode": "1", "copName": text, "dxpMode": "DXP", "dxpId": "1", "note": text}
    data = messages.message("CEB411", fragments, "G" * 36, transfer=transfer)
    assert messages.parse(data).transfer == transfer


@pytest.mark.parametrize("edition", messages.EDITIONS)
@pytest.mark.parametrize("name", [n for n in messages.types() if not n.startswith("Dxp")])
def test_written_messages_satisfy_their_schema(
    name: str, edition: str, documents: Documents, written: Written
) -> None:
    data = written(name, *documents(name, 1, 2, edition), edition)
    schema = etree.XMLSchema(etree.fromstring(messages.xsd(name, edition).encode()))
    valid = schema.validate(etree.fromstring(data))
    if messages.message_type(name, edition).signature_required:
        assert not valid
        assert "xmldsig" in str(schema.error_log)
    else:
        assert valid, schema.error_log


def test_receipts_have_no_prefix_and_enterprise_messages_have_ceb(
    documents: Documents, written: Written
) -> None:
    assert b"<InventoryReturn><guid>" in written("CEB622", *documents("CEB622"))
    assert b"<ceb:Order><ceb:OrderHead><ceb:guid>" in written("CEB311", *documents("CEB311"))


def test_numbers_are_written_plainly(documents: Documents) -> None:
    heads, _ = documents("CEB411", 6)
    amounts = ["129.00", "0", "0.00001", "100", "12345678901234.12345", "-5.10"]
    heads = heads.with_columns(
        amountPaid=pl.Series([Decimal(a) for a in amounts], dtype=pl.Decimal(19, 5)),
        payerIdType=pl.Series([1] * 6, dtype=pl.Int64),
    )
    written = messages.render("CEB411", heads).to_list()
    said = [text.split("amountPaid>")[1].split("</ceb:")[0] for text in written]
    assert said == ["129", "0", "0.00001", "100", "12345678901234.12345", "-5.1"]
    assert "<ceb:payerIdType>1</ceb:payerIdType>" in written[0]
    whole = heads.with_columns(amountPaid=pl.Series([Decimal(100)] * 6, dtype=pl.Decimal(19, 0)))
    assert "<ceb:amountPaid>100</ceb:amountPaid>" in messages.render("CEB411", whole)[0]
    as_given = heads.with_columns(amountPaid=pl.lit("129.00"))
    assert "<ceb:amountPaid>129.00</ceb:amountPaid>" in messages.render("CEB411", as_given)[0]


def test_a_binary_float_is_never_written(documents: Documents) -> None:
    heads = documents("CEB411")[0].with_columns(amountPaid=pl.lit(129.0))
    with pytest.raises(TypeError, match="amountPaid"):
        messages.render("CEB411", heads)


def test_null_leaves_optional_elements_out_and_empties_mandatory_ones(documents: Documents) -> None:
    heads = documents("CEB411", 2)[0].with_columns(
        telephone=pl.Series([None, ""], dtype=pl.String),
        payerName=pl.Series([None, "x"], dtype=pl.String),
    )
    first, second = messages.render("CEB411", heads.drop("note", "ebpName"))
    assert "telephone" not in first
    assert "<ceb:payerName></ceb:payerName>" in first
    assert "<ceb:telephone></ceb:telephone>" in second
    assert "note" not in first
    assert "<ceb:ebpName></ceb:ebpName>" in first


def test_lines_follow_their_document_in_the_order_of_their_numbers(documents: Documents) -> None:
    heads, lines = documents("CEB311", 3, 12)
    lines = lines.with_columns(itemName=pl.format("{}-{}", "position", "gnum"))
    shuffled = lines.sample(fraction=1.0, shuffle=True, seed=4)
    assert messages.render("CEB311", heads, shuffled).equals(
        messages.render("CEB311", heads, lines)
    )
    reverse = messages.render("CEB311", heads.reverse(), shuffled)
    assert reverse.reverse().equals(messages.render("CEB311", heads, lines))
    by_row = lines.rename({"position": "document"}).drop("message")
    plain = heads.drop("message", "position")
    assert messages.render("CEB311", plain, by_row).equals(messages.render("CEB311", heads, lines))


def test_lines_of_no_document_are_an_error(documents: Documents) -> None:
    heads, lines = documents("CEB311", 3, 1)
    with pytest.raises(ValueError, match="no document"):
        messages.render("CEB311", heads.head(2), lines)


@pytest.mark.parametrize("bad", ["\x00", "\x0b", "\x1f", "\ufffe", "\uffff"])
def test_characters_that_xml_cannot_hold_are_an_error(bad: str, documents: Documents) -> None:
    heads = documents("CEB411", 2)[0].with_columns(note=pl.Series(["x", f"a{bad}b"]))
    with pytest.raises(ValueError, match="cannot hold"):
        messages.render("CEB411", heads)
    with pytest.raises(ValueError, match="cannot hold"):
        messages.message("CEB412", ["<x/>"], bad)


def test_no_documents_no_fragments(documents: Documents) -> None:
    heads, lines = documents("CEB311", 1, 1)
    assert messages.render("CEB311", heads.head(0), lines.head(0)).to_list() == []


def test_counts_are_kept(documents: Documents) -> None:
    one = messages.render("CEB412", documents("CEB412")[0]).to_list()
    assert messages.parse(messages.message("CEB412", one * 100, "G" * 36)).documents == 100
    transfer = {"copCode": "1", "copName": "x", "dxpMode": "DXP", "dxpId": "1"}
    for name, fragments, keep in [
        ("CEB412", one * 101, {}),
        ("CEB412", [], {}),
        ("CEB412", one, {"transfer": transfer}),
        ("CEB900", one * 2, {}),
        ("CEB411", one, {}),
        ("CEB411", one, {"transfer": transfer, "subscribes": [transfer] * 6}),
        ("CEB711", one * 2, {"transfer": transfer}),
    ]:
        with pytest.raises(ValueError, match=f"{name} takes"):
            messages.message(name, fragments, "G" * 36, **keep)


def test_an_original_message_is_quoted_whole(documents: Documents) -> None:
    original = '<?xml version="1.0"?>\r\n<a b="c">&amp;<![CDATA[x]]></a>'
    heads = documents("CEB900")[0].with_columns(oriBizMessage=pl.lit(original))
    data = messages.message("CEB900", messages.render("CEB900", heads).to_list(), "G" * 36)
    assert messages.parse(data).heads["oriBizMessage"] == [original]


def test_an_envelope_keeps_to_its_catalogue() -> None:
    time = "2022-06-01T09:30:00"
    for receivers, sender, created, additional in [
        ([], "s", time, None),
        (["r"] * 6, "s", time, None),
        (["r"], "", time, None),
        (["r"], "s" * 17, time, None),
        (["r"], "s", time, {"FileName": ""}),
        (["r"], "s", time, {"Stranger": "x"}),
        (["r"], "s", time, {"BizKey": {"Key": []}}),
        (["r"], "s", time, {"IsText": {}}),
    ]:
        with pytest.raises(ValueError, match=r":|no"):
            messages.envelope(b"x", "1", sender, receivers, created, "x", additional)
