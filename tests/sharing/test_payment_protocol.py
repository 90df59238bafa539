"""The interface of notice 2018-179: its texts, what of them is signed, what may stand in them."""

import csv
import json
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uploads import HEAD, NOW, ORDER, body, by_hand, signer

from tongguan import codes
from tongguan.sharing.payment_data import protocol
from tongguan.sharing.payment_data.protocol import FORMS, Unreadable

KEY = signer()
SESSION = "0A1B2C3D-0000-4000-8000-000000000001"
HEAD_TEXT = protocol.json_text(HEAD)
LISTS_TEXT = protocol.json_text([ORDER])


def verified(data: bytes) -> tuple[int, str] | None:
    found = protocol.verified_form(protocol.read_upload(data), KEY.certificate.verifies)
    return None if found is None else (FORMS.index(found[0]), found[1])


def test_the_elements_are_those_of_the_interface_in_their_order(shared: Path) -> None:
    with (shared / "ceb" / "fields.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["message"] == "CUSTOMS179"]
    node = next(name for name, value in rows[0].items() if value in ("openReq", "structure"))
    parts = {"payExchangeInfoHead": "head", "payExchangeInfoLists": "order", "goodsInfo": "goods"}
    values = [list(row.values()) for row in rows]
    assert node
    for theirs, ours in parts.items():
        named = [value[2] for value in values if value[1] == theirs]
        assert [field.name for field in protocol.fields()[ours]] == named


def test_a_request_is_a_form_with_one_object() -> None:
    form = protocol.OpenRequest("O1", SESSION, NOW).form()
    [text] = parse_qs(form.decode())["openReq"]
    assert text == f'{{"orderNo":"O1","sessionID":"{SESSION}","serviceTime":{NOW}}}'
    assert protocol.read_open_request(form) == protocol.OpenRequest("O1", SESSION, NOW)


def test_the_signed_text_is_that_of_working_platforms() -> None:
    text = FORMS[0].text("S", '{"a":"b"}', "[]", "1544519952469")
    assert text == (
        '"sessionID":"S"||"payExchangeInfoHead":"{"a":"b"}"'
        '||"payExchangeInfoLists":"[]"||"serviceTime":"1544519952469"'
    )


def test_an_upload_reads_as_it_was_written() -> None:
    upload = protocol.read_upload(body(SESSION, KEY))
    assert upload.head == {**HEAD, "totalAmount": Decimal("100.1")}
    assert upload.orders == [ORDER]
    assert '"totalAmount":100.1,' in upload.head_text
    assert upload.certificate_no == KEY.certificate.serial
    assert protocol.problems(upload) == []


@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
@pytest.mark.parametrize("n", range(len(FORMS)))
def test_every_way_of_writing_the_signed_text_verifies_and_is_told(n: int, hash_name: str) -> None:
    text = FORMS[n].text(SESSION, HEAD_TEXT, LISTS_TEXT, str(NOW))
    name = FORMS[n].lists_name
    data = by_hand(SESSION, KEY, text, HEAD_TEXT, LISTS_TEXT, name, hash_name)
    assert verified(data) == (n, hash_name)


def test_sm2_verifies() -> None:
    key = signer("sm2")
    found = protocol.verified_form(
        protocol.read_upload(body(SESSION, key)), key.certificate.verifies
    )
    assert found is not None


def test_white_space_between_tokens_and_json_in_a_string_change_nothing() -> None:
    signed = FORMS[0].text(SESSION, HEAD_TEXT, LISTS_TEXT, str(NOW))
    spaced = json.dumps(json.loads(HEAD_TEXT), ensure_ascii=False, indent=2)
    assert verified(by_hand(SESSION, KEY, signed, spaced, LISTS_TEXT)) == (0, "sha1")
    quoted = by_hand(SESSION, KEY, signed, json.dumps(HEAD_TEXT), json.dumps(LISTS_TEXT))
    assert verified(quoted) == (0, "sha1")
    assert protocol.read_upload(quoted).orders == [ORDER]


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("100.1,", "100.2,"),
        ('"T1"', '"T2"'),
        ("O1", "O2"),
        (SESSION, SESSION[:-1] + "2"),
        (str(NOW), str(NOW + 1)),
        ("奶粉", "奶 粉"),
    ],
)
def test_one_value_changed_and_the_signature_fails(was: str, becomes: str) -> None:
    [text] = parse_qs(body(SESSION, KEY).decode())["payExInfoStr"]
    assert was in text
    changed = urlencode({"payExInfoStr": text.replace(was, becomes, 1)}).encode()
    assert verified(changed) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is there 0 times"),
        (b"\xff", "not a form"),
        (b"other=1", "needs payExInfoStr once, it is there 0 times"),
        (b"payExInfoStr=1&payExInfoStr=2", "it is there 2 times"),
        (b"payExInfoStr=%7B", "payExInfoStr"),
        (b"payExInfoStr=" + b"%5B" * 400_000, "at most 1048576 bytes"),
        (b"payExInfoStr=" + b"[" * 100_000, "payExInfoStr"),
    ],
)
def test_what_is_no_upload_is_unreadable(data: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        protocol.read_upload(data)


@pytest.mark.parametrize(
    ("head", "lists", "why"),
    [
        ('{"a":1,"a":2}', "[]", "a is there twice"),
        ("[]", "[]", "payExchangeInfoHead is no JSON object"),
        ("{}", "{}", "no list of objects"),
        ("{}", "[1]", "no list of objects"),
        ('{"a":NaN}', "[]", "payExInfoStr"),
        ('"{"', "[]", "payExchangeInfoHead"),
    ],
)
def test_what_two_readers_could_read_differently_is_unreadable(
    head: str, lists: str, why: str
) -> None:
    with pytest.raises(Unreadable, match=why):
        protocol.read_upload(by_hand(SESSION, KEY, "", head, lists))


@given(st.binary(max_size=200))
def test_whatever_bytes_come_are_read_or_unreadable(data: bytes) -> None:
    for form in (data, b"payExInfoStr=" + data, urlencode({"payExInfoStr": data}).encode()):
        for read in (protocol.read_upload, protocol.read_open_request):
            try:
                read(form)
            except Unreadable:
                continue


WRONG = [
    ({"totalAmount": Decimal("1.000001")}, "head", "totalAmount"),
    ({"totalAmount": "100"}, "head", "totalAmount"),
    ({"totalAmount": Decimal(0)}, "head", "totalAmount"),
    ({"totalAmount": True}, "head", "totalAmount"),
    ({"currency": "156"}, "head", "currency"),
    ({"verDept": "9"}, "head", "verDept"),
    ({"tradingTime": "20220230101500"}, "head", "tradingTime"),
    ({"payTransactionId": ""}, "head", "payTransactionId"),
    ({"payTransactionId": 7}, "head", "payTransactionId"),
    ({"initalRequest": "x" * 8001}, "head", "initalRequest"),
    ({"note": "\0"}, "head", "note"),
    ({"orderNo": "x" * 61}, "order", "orderNo"),
    ({"goodsInfo": []}, "order", "goodsInfo"),
    ({"goodsInfo": "milk"}, "order", "goodsInfo"),
    ({"goodsInfo": ["milk"]}, "order", "goodsInfo[0]"),
    ({"goodsInfo": [{"gname": "奶粉"}]}, "order", "itemLink"),
]


@pytest.mark.parametrize(("change", "part", "field"), WRONG)
def test_a_field_that_does_not_fit_is_named(change: dict, part: str, field: str) -> None:
    head = HEAD | (change if part == "head" else {})
    order = ORDER | (change if part == "order" else {})
    [problem] = protocol.problems(protocol.read_upload(body(SESSION, KEY, head, [order])))
    assert problem.field.endswith(field)


def test_all_fields_that_do_not_fit_are_named_at_once_without_what_they_hold() -> None:
    secret = "安娜 13900000001"
    head = HEAD | {"verDept": secret, "currency": secret}
    found = protocol.problems(protocol.read_upload(body(SESSION, KEY, head, [])))
    assert len(found) == 3
    assert secret not in "".join(map(str, found))


def test_the_answers_are_those_the_interface_allows() -> None:
    table = codes.table("payment_data_answer")
    reasons = [entry.more["reason"] for entry in table]
    assert len(set(reasons)) == len(reasons)
    for entry in table:
        assert entry.code in ("10000", "20000") or 20001 <= int(entry.code) <= 21000
    assert protocol.answer("taken", 5) == {
        "code": "10000",
        "message": "上传成功",
        "total": 0,
        "serviceTime": 5,
    }
