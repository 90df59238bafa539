"""Reading: what good senders write in their many ways, and what hostile ones try."""

import base64
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongguan import messages
from tongguan.messages.columns import Columns

DOCUMENT_TYPES = [name for name in messages.types() if name not in ("DxpMsg", "DxpRep")]
Documents = Callable[..., tuple[pl.DataFrame, pl.DataFrame]]
Written = Callable[..., bytes]

XMLNS = b'xmlns="http://www.chinaport.gov.cn/ceb"'
ROOT = b'guid="4CDE1CFD-EDED-46B1-946C-B8022E42FC94" version="1.0" ' + XMLNS


@pytest.fixture
def order(documents: Documents, written: Written) -> bytes:
    return written("CEB311", *documents("CEB311", 3, 2))


def _columns(parsed: messages.Parsed) -> tuple[object, ...]:
    return parsed.heads, parsed.lines, parsed.transfer, parsed.guid, parsed.documents


@pytest.mark.parametrize("name", DOCUMENT_TYPES)
@pytest.mark.parametrize("edition", messages.EDITIONS)
def test_every_type_is_read_back(
    name: str, edition: str, documents: Documents, written: Written
) -> None:
    count = messages.message_type(name).documents_most or 7
    heads, lines = documents(name, count, 3, edition)
    parsed = messages.parse(written(name, heads, lines, edition), edition=edition)
    assert parsed.findings == []
    assert (parsed.type, parsed.edition, parsed.documents) == (name, edition, count)
    kind = messages.message_type(name, edition)
    for field in kind.head_fields:
        assert parsed.heads[field.name] == heads[field.name].to_list()
    for field in kind.line_fields:
        assert parsed.lines[field.name] == lines[field.name].to_list()
    if kind.line:
        assert parsed.lines["#position"] == lines["position"].to_list()


def test_frame_is_read(order: bytes) -> None:
    parsed = messages.parse(order)
    assert parsed.guid == "4CDE1CFD-EDED-46B1-946C-B8022E42FC94"
    assert (parsed.version, parsed.root, parsed.prefix) == ("1.0", "CEB311Message", "ceb")
    assert parsed.transfer["dxpId"] == "DXPENT0000000001"
    assert parsed.transfer["note"] is None
    assert not parsed.signed


@pytest.mark.parametrize("prefix", ["ceb", None, "n1", "报文", "x.y-z"])
def test_any_prefix_means_the_same(prefix: str | None, documents: Documents) -> None:
    heads, lines = documents("CEB311", 5, 2)
    transfer = {"copCode": "1", "copName": "x", "dxpMode": "DXP", "dxpId": "1"}
    fragments = messages.render("CEB311", heads, lines, prefix=prefix).to_list()
    guid = heads["guid"][0]
    data = messages.message("CEB311", fragments, guid, prefix=prefix, transfer=transfer)
    parsed = messages.parse(data)
    assert parsed.findings == []
    assert parsed.heads["orderNo"] == heads["orderNo"].to_list()
    assert parsed.prefix == prefix


@pytest.mark.parametrize(
    "declaration",
    [
        b'<?xml version="1.0" encoding="UTF-8"?>',
        b"<?xml version='1.0' encoding='utf-8' standalone='yes'?>\r\n",
        b'\xef\xbb\xbf<?xml version="1.0"?>',
        b"\xef\xbb\xbf",
        b"",
        b"<!-- made by a machine --><?robot no?>\n",
    ],
)
def test_beginnings(order: bytes, declaration: bytes) -> None:
    body = order.split(b"?>", 1)[1].strip()
    assert _columns(messages.parse(declaration + body)) == _columns(messages.parse(order))
    assert messages.parse(declaration + body).findings == []


@pytest.mark.parametrize("encoding", ["GB2312", "gbk", "GB18030"])
def test_gb_encodings_are_read_as_declared(
    encoding: str, documents: Documents, written: Written
) -> None:
    heads, lines = documents("CEB311", 2, 1)
    heads = heads.with_columns(consigneeAddress=pl.lit("杭州市文三路 1 号 镕"))
    text = written("CEB311", heads, lines).decode().replace("UTF-8", encoding, 1)
    parsed = messages.parse(text.encode("gb18030"))
    assert parsed.findings == []
    assert parsed.heads["consigneeAddress"] == ["杭州市文三路 1 号 镕"] * 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_refused_clearly(order: bytes, encoding: str) -> None:
    text = order.decode().replace("UTF-8", "UTF-16")
    _refused(text.encode(encoding), "UTF-8 or GB18030")


def test_comments_cdata_and_entities_never_shorten_a_value(order: bytes) -> None:
    for inside, value in {
        b"A<!-- c -->B": "AB",
        b"<!-- c -->AB": "AB",
        b"A<?p?>B<!---->C": "ABC",
        b"<![CDATA[A&B]]>C": "A&BC",
        b"A<![CDATA[]]><![CDATA[<B>]]>": "A<B>",
        b"A&amp;&#66;&lt;": "A&B<",
    }.items():
        data = order.replace(b"<ceb:orderNo>O1<", b"<ceb:orderNo>" + inside + b"<")
        parsed = messages.parse(data)
        assert parsed.findings == []
        assert parsed.heads["orderNo"] == ["O0", value, "O2"]
        # As many pieces of text too many as empty elements: nothing moves to a neighbour.
        parsed = messages.parse(data.replace(b"<ceb:note>A1777777</ceb:note>", b"<ceb:note/>", 1))
        assert parsed.findings == []
        assert parsed.heads["orderNo"] == ["O0", value, "O2"]
        assert (parsed.heads["note"] + parsed.lines["note"]).count("") == 1


def test_an_element_inside_a_value_is_a_finding(order: bytes) -> None:
    data = order.replace(b"<ceb:orderNo>O1<", b"<ceb:orderNo>O<b>1</b>1<")
    parsed = messages.parse(data)
    assert [(f.position, f.field, f.rule) for f in parsed.findings] == [
        (1, "orderNo", "message.field")
    ]
    assert parsed.heads["orderNo"][::2] == ["O0", "O2"]


def test_absent_and_empty_are_told_apart(order: bytes) -> None:
    data = order.replace(b"<ceb:note>A1777777</ceb:note>", b"", 1)
    data = data.replace(b"<ceb:note>A1777777</ceb:note>", b"<ceb:note/>", 1)
    parsed = messages.parse(data)
    assert parsed.findings == []
    both = parsed.heads["note"] + parsed.lines["note"]
    assert both.count(None) == 1
    assert both.count("") == 1


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (b"<ceb:orderNo>O1</ceb:orderNo>", b"<ceb:orderNo>O1</ceb:orderNo>" * 2, "orderNo"),
        (b"<ceb:orderNo>O1</ceb:orderNo>", b"<ceb:ordersNo>O1</ceb:ordersNo>", "ordersNo"),
        (b"<ceb:orderNo>O1</ceb:orderNo>", b'<orderNo xmlns="urn:x">O1</orderNo>', "orderNo"),
        (b"<ceb:orderNo>O1</ceb:orderNo>", b"stray<ceb:orderNo>O1</ceb:orderNo>", "OrderHead"),
        (b"<ceb:orderNo>O1</ceb:orderNo>", b"<ceb:note/><ceb:orderNo>O1</ceb:orderNo>", "orderNo"),
    ],
)
def test_a_structural_fault_spoils_its_own_document_only(
    order: bytes, old: bytes, new: bytes, field: str
) -> None:
    parsed = messages.parse(order.replace(old, new))
    assert not parsed.refused
    assert parsed.findings
    assert {f.position for f in parsed.findings} == {1}
    assert field in {f.field for f in parsed.findings}
    assert {(f.rule, f.code, f.document) for f in parsed.findings} == {
        ("message.field", "-301008", "order")
    }
    assert parsed.heads["orderNo"][::2] == ["O0", "O2"]
    checked = messages.check(messages.collect([parsed])["CEB311"])
    assert checked.heads["valid"].to_list() == [True, False, True]


def test_lines_are_bounded(documents: Documents, written: Written) -> None:
    parsed = messages.parse(written("CEB311", *documents("CEB311", 2, 99)))
    assert parsed.findings == []
    parsed = messages.parse(written("CEB311", *documents("CEB311", 2, 100)))
    assert [(f.position, f.field, f.actual) for f in parsed.findings] == [
        (0, "OrderList", "100 lines"),
        (1, "OrderList", "100 lines"),
    ]
    heads, lines = documents("CEB311", 2, 1)
    parsed = messages.parse(written("CEB311", heads, lines.filter(pl.col("position") == 0)))
    assert [(f.position, f.actual) for f in parsed.findings] == [(1, "0 lines")]


def _refused(data: bytes, expected: str) -> messages.Parsed:
    start = time.process_time()
    parsed = messages.parse(data)
    assert time.process_time() - start < 2
    assert parsed.refused
    assert parsed.heads == {}
    assert {f.rule for f in parsed.findings} == {"message.format"}
    assert expected in (parsed.findings[0].expected or "")
    return parsed


def test_a_message_of_over_100_documents_is_refused(documents: Documents, written: Written) -> None:
    data = written("CEB411", *documents("CEB411", 100))
    one = data[data.index(b"<ceb:Payment>") : data.index(b"</ceb:Payment>") + 14]
    assert messages.parse(data).documents == 100
    parsed = _refused(data.replace(one, one + one, 1), "at most 100 documents")
    assert parsed.findings[0].actual == "101 documents"
    assert parsed.guid == "4CDE1CFD-EDED-46B1-946C-B8022E42FC94"
    assert parsed.type == "CEB411"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b' version="1.0" xmlns', b" xmlns", "1 to 10 characters"),
        (b'guid="4', b'guid="', "exactly 36"),
        (b"<ceb:dxpMode>DXP<", b"<ceb:dxpMode>MQ1<", "DXP"),
        (b"chinaport.gov.cn/ceb", b"chinaport.gov.cn/CEB", "namespace"),
        (b"CEB311Message", b"CEB399Message", "a message of the standard"),
        (b"CEB311Message", b"CEB303Message", "an import message"),
        (b"</ceb:Order><ceb:BaseT", b"</ceb:Order><x/><ceb:BaseT", "elements of the standard"),
        (b"</ceb:CEB311Message>", b"", "well-formed"),
        (b"</ceb:orderNo>", b"</ceb:orderno>", "well-formed"),
    ],
)
def test_what_refuses_a_whole_message(order: bytes, old: bytes, new: bytes, expected: str) -> None:
    assert old in order
    _refused(order.replace(old, new), expected)


def test_transfer_must_be_there_once(order: bytes) -> None:
    start, end = order.index(b"<ceb:BaseTransfer>"), order.index(b"</ceb:CEB311Message>")
    block = order[start:end]
    _refused(order.replace(block, b""), "one of it")
    _refused(order.replace(block, block + block), "one of it")


def test_signature_counts_only_at_the_end(order: bytes) -> None:
    signature = b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>'
    end = b"</ceb:CEB311Message>"
    signed = messages.parse(order.replace(end, signature + end))
    assert signed.signed
    assert signed.findings == []
    _refused(order.replace(b"<ceb:BaseTransfer>", signature + b"<ceb:BaseTransfer>"), "last child")


def test_a_missing_signature_is_no_matter_of_format(documents: Documents, written: Written) -> None:
    assert messages.message_type("CEB621").signature_required
    assert not messages.parse(written("CEB621", *documents("CEB621"))).refused


def _bombs() -> dict[str, bytes]:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    lol = f'<!DOCTYPE x [<!ENTITY a0 "ha">{entities}]><x>&a11;</x>'.encode()
    few = b"<Order><OrderHead/>" + b"<OrderList/>" * 80_000 + b"</Order>"
    line = b"<OrderList>" + b"<x/>" * 60 + b"</OrderList>"
    return {
        "nothing": b"",
        "100 MB of nothing": bytes(100 << 20),
        "white space": b" " * (5 << 20),
        "noise": random.Random(1).randbytes(1 << 20),
        "an empty zip": b"PK\x05\x06" + bytes(18),
        "laughs": lol,
        "laughs behind comments": b"<?xml version='1.0'?>" + b"<!-- -->" * 50 + lol,
        "laughs far behind": b"<!---->" * 500_000 + lol,
        "a file": b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]><x>&f;</x>',
        "a parameter": b'<!DOCTYPE x [<!ENTITY % p SYSTEM "http://0.0.0.0/x">%p;]><x/>',
        "a million deep": b"<a>" * 1_000_000 + b"</a>" * 1_000_000,
        "a long name": b"<" + b"a" * (15 << 20) + b"/>",
        "a long text": b"<a>" + b"a" * (15 << 20) + b"</a>",
        "many attributes": b"<a " + b" ".join(b'a%d=""' % n for n in range(199_000)) + b"/>",
        "many documents": b"<CEB311Message "
        + ROOT
        + b">"
        + b"<Order/>" * 550_000
        + b"</CEB311Message>",
        "many strangers": b"<CEB311Message "
        + ROOT
        + b">"
        + b"<a/>" * 550_000
        + b"</CEB311Message>",
        "many lines": b"<CEB311Message " + ROOT + b">" + few + b"</CEB311Message>",
        "many faults": b"<CEB311Message "
        + ROOT
        + b">"
        + (b"<Order>" + line * 99 + b"</Order>") * 100
        + b"</CEB311Message>",
        "too many tags": b"<CEB900Message "
        + ROOT
        + b">"
        + b"<a/>" * 2_000_000
        + b"</CEB900Message>",
        "too many attributes": b"<a " + b" ".join(b'a%d=""' % n for n in range(300_000)) + b"/>",
        "an unknown entity": b"<a>&nbsp;</a>",
        "a NUL": b"<a>\0</a>",
        "utf-7": b'<?xml version="1.0" encoding="UTF-7"?><a/>',
        "not gb": b'<?xml version="1.0" encoding="GBK"?><a>\xff\xff</a>',
        "not utf-8": b"<a>\xff</a>",
        "bad base64": b'<DxpMsg xmlns="http://www.chinaport.gov.cn/dxp"><Data>*</Data></DxpMsg>',
        "no data": b'<DxpMsg xmlns="http://www.chinaport.gov.cn/dxp"/>',
    }


BOMBS = _bombs()


@pytest.mark.parametrize("name", BOMBS)
def test_hostile_input_is_a_finding_in_time(name: str) -> None:
    _refused(BOMBS[name], "")


def test_faults_of_a_hostile_message_are_told_in_bounds(order: bytes) -> None:
    """Every bad document has a finding; no document has them without end."""
    strangers = b"<x/>" * 300
    data = order.replace(b"<ceb:orderNo>", strangers + b"<ceb:orderNo>")
    parsed = messages.parse(data)
    assert {f.position for f in parsed.findings} == {0, 1, 2}
    assert len(parsed.findings) < 200


def test_truncation_anywhere_is_a_finding(order: bytes) -> None:
    for end in range(0, len(order) - 1, 10):
        assert messages.parse(order[:end]).refused, end


def test_an_envelope_is_opened(order: bytes) -> None:
    data = messages.envelope(
        order,
        "copy-7",
        "DXPENT0000000001",
        ["DXPEDCCEB0000002"],
        "2022-06-01T09:30:00",
        "CEB311Message",
    )
    parsed = messages.parse(data)
    assert _columns(parsed) == _columns(messages.parse(order))
    assert parsed.envelope is not None
    assert parsed.envelope["TransInfo"]["CopMsgId"] == "copy-7"
    assert parsed.envelope["TransInfo"]["ReceiverIds"] == {"ReceiverId": ["DXPEDCCEB0000002"]}
    assert parsed.bytes == len(data)
    _refused(messages.envelope(data, "c", "s", ["r"], "2022-06-01T09:30:00", "x"), "inside")


def test_limits_hold_inside_an_envelope(order: bytes) -> None:
    data = messages.envelope(order, "c", "s", ["r"], "2022-06-01T09:30:00", "x")
    assert not messages.parse(data, messages.Limits(bytes=len(data))).refused
    assert messages.parse(data, messages.Limits(bytes=len(data) - 1)).refused
    assert messages.parse(order, messages.Limits(tags=10)).refused


def test_a_platform_answer_is_recognised() -> None:
    data = b"""<DxpRep xmlns="http://www.chinaport.gov.cn/dxp" ver="1.0"><RecevierId>a</RecevierId>
    <Response><ResponseCode>1001</ResponseCode><NoticeTime>2022-06-01</NoticeTime></Response>
    </DxpRep>"""
    parsed = messages.parse(data)
    assert (parsed.type, parsed.documents, parsed.refused) == ("DxpRep", 1, False)
    assert parsed.heads["ResponseCode"] == ["1001"]
    assert messages.collect([parsed]) == {}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_reading_by_position_and_by_name_agree(
    seed: int, documents: Documents, written: Written
) -> None:
    """Optional elements left out at random, values empty at random: both ways read the same."""
    chance = random.Random(seed)
    name = chance.choice(["CEB311", "CEB621", "CEB622", "CEB711", "CEB511"])
    kind = messages.message_type(name)
    heads, lines = documents(name, 1 if name == "CEB711" else chance.randrange(1, 6), 4)

    def thin(frame: pl.DataFrame, fields: tuple[messages.Field, ...]) -> pl.DataFrame:
        odds = chance.choice([0.02, 0.2, 0.6])
        columns = {}
        for field in fields:
            gone = [None] if not field.required else [""]
            columns[field.name] = [
                chance.choice([*gone, ""]) if chance.random() < odds else f"{field.name}{row}"
                for row in range(frame.height)
            ]
        if "gnum" in columns:
            columns["gnum"] = frame["gnum"].to_list()
        return frame.with_columns(**{n: pl.Series(v, dtype=pl.String) for n, v in columns.items()})

    heads, lines = thin(heads, kind.head_fields), thin(lines, kind.line_fields)
    data = written(name, heads, lines)
    fast = messages.parse(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Columns, "_in_order", lambda *_: False)
        slow = messages.parse(data)
    assert fast.findings == slow.findings == []
    assert _columns(fast) == _columns(slow)
    assert fast.heads == {f.name: heads[f.name].to_list() for f in kind.head_fields}
    for field in kind.line_fields:
        assert fast.lines[field.name] == lines[field.name].to_list()


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_give_an_answer(data: bytes) -> None:
    assert messages.parse(data).refused


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_damage_gives_an_answer(seed: int, documents: Documents, written: Written) -> None:
    chance = random.Random(seed)
    name = chance.choice(["CEB311", "CEB622", "CEB621"])
    data = bytearray(written(name, *documents(name, 4, 2)))
    if chance.random() < 0.2:
        data = bytearray(messages.envelope(bytes(data), "c", "s", ["r"], "2022-06-01T00:00:00", ""))
    for _ in range(chance.randrange(1, 5)):
        place, end = sorted(chance.randrange(len(data)) for _ in range(2))
        what = chance.randrange(4)
        if what == 0:
            del data[place : min(end, place + 200)]
        elif what == 1:
            data[place:place] = data[end : end + 200]
        elif what == 2:
            data[place] = chance.randrange(256)
        else:
            data[place:place] = chance.choice([b"<", b"&", b"<!--", b"]]>", b"<![CDATA[", b"\0"])
    parsed = messages.parse(bytes(data))
    assert parsed.refused or parsed.type == name
    for batch in messages.collect([parsed]).values():
        messages.check(batch)


def test_data_of_an_envelope_may_be_broken_into_lines(order: bytes) -> None:
    data = messages.envelope(order, "c", "s", ["r"], "2022-06-01T09:30:00", "x")
    plain = base64.b64encode(order)
    broken = base64.encodebytes(order)
    assert _columns(messages.parse(data.replace(plain, broken))) == _columns(messages.parse(order))


def test_threads_read_side_by_side(documents: Documents, written: Written) -> None:
    data = [written(name, *documents(name, 1, 2)) for name in DOCUMENT_TYPES]
    alone = [_columns(messages.parse(one)) for one in data]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda one: _columns(messages.parse(one)), data * 20))
    assert together == alone * 20


FAULTS_OF_THE_WHOLE = {
    "none": (b"", b""),
    "a field has another name": (b"orderNo>", b"orderNumber>"),
    "two transfers": (b"</ceb:BaseTransfer>", b"</ceb:BaseTransfer><ceb:BaseTransfer/>"),
    "no document": (b"ceb:Order>", b"ceb:Odor>"),
    "an unknown root": (b"CEB311Message", b"CEB399Message"),
    "cut": (b"</ceb:CEB311Message>", b""),
}


@pytest.mark.parametrize("fault", FAULTS_OF_THE_WHOLE)
def test_what_is_said_of_a_whole_message_does_not_need_its_documents(
    fault: str, order: bytes
) -> None:
    data = order.replace(*FAULTS_OF_THE_WHOLE[fault])
    read, looked = messages.parse(data), messages.parse(data, columns=False)
    assert read.refused == (fault not in ("none", "a field has another name"))
    assert (looked.refused, looked.documents) == (read.refused, read.documents)
    assert looked.transfer == read.transfer
    assert looked.findings == [found for found in read.findings if found.position is None]
    assert looked.heads == {}
