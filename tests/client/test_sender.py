"""Building messages: what the window parses again, signed, and refused before it leaves."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from dossiers import PLATFORM, order

from tongguan import messages
from tongguan.client import Sender

PAPER = order()
TYPE = messages.message_type("CEB311")
HEAD = {field.name: PAPER.head.get(field.name) for field in TYPE.head_fields}
LINES = [{field.name: line.get(field.name) for field in TYPE.line_fields} for line in PAPER.lines]
DOCUMENT = {name: value for name, value in HEAD.items() if value is not None} | {"lines": LINES}
SENDER = Sender(PLATFORM[0], PLATFORM[1], "DXPENT0000000001")


def test_what_was_built_reads_as_it_was_given() -> None:
    [data] = SENDER.build("CEB311", [DOCUMENT], subscribes=["DXPENT0000000002"])
    parsed = messages.parse(data)
    assert parsed.transfer["copCode"] == PLATFORM[0]
    assert parsed.subscribes[0]["dxpAddress"] == "DXPENT0000000002"
    for name, value in DOCUMENT.items():
        if name != "lines":
            assert parsed.heads[name] == [value]
    assert parsed.lines["itemName"] == [line["itemName"] for line in PAPER.lines]


def test_numbers_keep_their_digits_and_floats_are_refused() -> None:
    [data] = SENDER.build("CEB311", [DOCUMENT | {"goodsValue": Decimal("100.10"), "discount": 0}])
    parsed = messages.parse(data)
    assert (parsed.heads["goodsValue"], parsed.heads["discount"]) == (["100.10"], ["0"])
    with pytest.raises(TypeError, match="binary float"):
        SENDER.build("CEB311", [DOCUMENT | {"goodsValue": 100.1}])


def test_a_hundred_documents_share_a_message_each_with_an_id() -> None:
    bare = {name: value for name, value in DOCUMENT.items() if name != "guid"}
    made = SENDER.build("CEB311", [bare | {"orderNo": f"O{n}"} for n in range(230)])
    parsed = [messages.parse(data) for data in made]
    assert [each.documents for each in parsed] == [100, 100, 30]
    guids = {guid for each in parsed for guid in each.heads["guid"]}
    assert len(guids) == 230
    assert all(str(guid).isupper() for guid in guids)


def test_with_a_key_every_message_is_signed() -> None:
    day = datetime(2022, 1, 1, tzinfo=UTC), datetime(2022, 12, 31, tzinfo=UTC)
    signer = messages.issue(PLATFORM[0], PLATFORM[1], "rsa", *day)
    signing = Sender(SENDER.code, SENDER.name, SENDER.dxp_id, signer)
    [data] = signing.build("CEB311", [DOCUMENT])
    assert messages.parse(data).signed
    assert messages.diagnose(data).verdict == "verifies"


def test_all_that_the_standard_refuses_is_told_before_anything_is_sent() -> None:
    bad = DOCUMENT | {"currency": "156", "orderNo": "x" * 61}
    with pytest.raises(ValueError, match="orderNo") as caught:
        SENDER.build("CEB311", [DOCUMENT, bad])
    assert "document 2, currency: expected" in str(caught.value)
    with pytest.raises(ValueError, match="no element actualPaid"):
        SENDER.build("CEB311", [DOCUMENT | {"actualPaid": "1"}])
    with pytest.raises(messages.UnknownType):
        SENDER.build("CEB999", [DOCUMENT])
