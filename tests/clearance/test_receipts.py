"""Receipts: what every sender is told, in the standard's shape, order and numbering."""

import re
from collections import defaultdict
from pathlib import Path

import pytest
from dossiers import (
    PLATFORM,
    SELLER,
    Cleared,
    Item,
    Window,
    arrival,
    identity,
    inventory,
    message,
    order,
    parcel,
    payment,
    signed_for,
    waybill,
)
from lxml import etree

from tongguan import messages

FILE_NAME = re.compile(r"\d{12}-CEB\d{3}\.xml")
INFO = re.compile(r"(\[Code:[^;\[\]]+;Desc:[^\[\]]+\])+")


@pytest.fixture
def day(window: Window) -> Cleared:
    """A run that asks for every kind of receipt, refusals of each sort among them."""
    return window.clear(
        *parcel(1),
        *[order(2), payment(2, amountPaid="1", payerName="别人"), waybill(2), inventory(2)],
        order(3, buyerName=None),
        payment(4, amountPaid="x"),
        waybill(5, packNo="2"),
        inventory(6, packNo="2"),
        inventory(7).draft(),
        order(1).again(),
        signed_for(1),
        arrival(1),
        b"<unknown>&amp; ]]> </unknown>",
        *parcel(8, items=(Item("5000.01"),)),
    )


def test_every_kind_of_receipt_is_there(day: Cleared) -> None:
    kinds = {name.split("-")[1] for name, _ in day.receipts}
    assert kinds == {f"CEB{number}.xml" for number in (312, 412, 512, 514, 622, 712, 816, 900)}
    assert all(FILE_NAME.fullmatch(name) for name, _ in day.receipts)
    assert day.run.receipts == len(day.receipts)


def test_receipts_keep_to_the_schema_of_the_catalogue(day: Cleared) -> None:
    schemas = {}
    for name, data in day.receipts:
        type_ = name[13:19]
        if type_ not in schemas:
            schemas[type_] = etree.XMLSchema(etree.fromstring(messages.xsd(type_).encode()))
        assert schemas[type_].validate(etree.fromstring(data)), schemas[type_].error_log


def test_receipts_keep_to_the_official_schema(day: Cleared, shared: Path) -> None:
    schema = etree.XMLSchema(etree.parse(shared / "ceb" / "xsd" / "202205" / "import.xsd"))
    for name, data in day.receipts:
        root = etree.fromstring(data)
        assert schema.validate(root), (name, schema.error_log)
        assert root.nsmap == {None: "http://www.chinaport.gov.cn/ceb"}


def history(day: Cleared) -> dict[tuple[str, ...], list[dict[str, str | None]]]:
    """The returns of each document, in the order of the files."""
    keys = {
        "CEB312": ("ebpCode", "orderNo"),
        "CEB412": ("payCode", "payTransactionId"),
        "CEB512": ("logisticsCode", "logisticsNo"),
        "CEB514": ("logisticsCode", "logisticsNo"),
        "CEB622": ("ebcCode", "copNo"),
        "CEB712": ("operatorCode", "copNo"),
    }
    told = defaultdict(list)
    for back in day.returns():
        if back["type"] in keys:
            told[(back["type"], *(back[name] for name in keys[back["type"]]))].append(back)
    return told


def statuses(day: Cleared, type_: str, number: str) -> list[str]:
    [found] = [
        [back["returnStatus"] for back in backs]
        for key, backs in history(day).items()
        if key[0] == type_ and key[-1] == number
    ]
    return found


def test_every_step_is_told(day: Cleared) -> None:
    assert statuses(day, "CEB622", "C0000001") == ["2", "120", "399", "800", "899"]
    assert statuses(day, "CEB622", "C0000002") == ["2", "100"]
    assert statuses(day, "CEB622", "C0000006") == ["-621001"]
    assert statuses(day, "CEB622", "C0000007") == ["1"]
    assert sorted(statuses(day, "CEB312", "O0000001")) == ["-301010", "120", "2"]
    assert statuses(day, "CEB412", "T0000002") == ["2"]
    assert statuses(day, "CEB412", "T0000004") == ["-401009"]
    assert statuses(day, "CEB512", "L0000001") == ["2", "120"]
    assert statuses(day, "CEB514", "L0000001") == ["2", "120"]
    assert statuses(day, "CEB712", "A0000001") == ["2", "120"]


def test_time_increases_with_every_step_of_a_document(day: Cleared) -> None:
    for key, backs in history(day).items():
        if key == ("CEB312", "3301960P01", "O0000001"):
            continue  # two documents of one number: the order, and its duplicate
        times = [str(back["returnTime"]) for back in backs]
        assert all(re.fullmatch(r"20220601120000\d{3}", time) for time in times)
        assert times == sorted(set(times)), key


def test_time_increases_although_the_clock_stands_still_or_goes_back(window: Window) -> None:
    first = window.clear(order(), waybill(), inventory())
    second = window.clear(payment(), at="2022-06-01T11:00:00+08:00")
    times = [str(back["returnTime"]) for day in (first, second) for back in day.returns("CEB622")]
    assert len(times) == 4
    assert times == sorted(set(times))


def test_files_are_in_causal_order(day: Cleared) -> None:
    """What customs received together is told before what follows from it."""
    place = {}
    for n, (name, data) in enumerate(day.receipts):
        for back in messages.parse(data).heads.get("returnStatus", []):
            place.setdefault((name[13:19], back), []).append(n)
    assert max(place["CEB622", "2"]) < min(place["CEB622", "120"])
    for type_ in ("CEB312", "CEB412", "CEB512"):
        assert max(place[type_, "2"]) < min(place["CEB622", "800"])
        assert max(place[type_, "120"]) < min(place["CEB622", "399"])
    assert max(place["CEB622", "399"]) < min(place["CEB622", "800"])


def test_numbers_have_the_forms_of_the_standard(day: Cleared) -> None:
    lists = day.returns("CEB622")
    assert all(re.fullmatch(r"B20220601\d{9}", str(back["preNo"])) for back in lists)
    assert len({back["preNo"] for back in lists}) == len({back["copNo"] for back in lists})
    for back in lists:
        if int(str(back["returnStatus"])) >= 120:
            assert re.fullmatch(r"29922022I\d{9}", str(back["invtNo"]))
        else:
            assert back["invtNo"] is None
    numbers = {back["copNo"]: back["invtNo"] for back in lists if back["invtNo"]}
    assert numbers.keys() == {"C0000001", "C0000008"}
    assert len(set(numbers.values())) == 2
    assert all(re.fullmatch(r"B20220601\d{9}", str(b["preNo"])) for b in day.returns("CEB712"))


def test_the_number_of_a_list_is_of_the_office_and_year_of_its_decision(window: Window) -> None:
    window.clear(*parcel()[:3], inventory(customsCode="4612"), at="2021-12-31T23:00:00+08:00")
    [(number,)] = window.rows("SELECT invt_no FROM document WHERE kind = 621")
    assert re.fullmatch(r"46122021I\d{9}", number)


def test_a_number_that_the_sender_gave_is_kept(window: Window) -> None:
    own = "B20220531000000042"
    done = window.clear(*parcel()[:3], inventory(preNo=own))
    assert {back["preNo"] for back in done.returns("CEB622")} == {own}


def test_what_is_said_has_the_real_shape(day: Cleared, window: Window) -> None:
    said = {
        (b["type"], b.get("returnStatus"), b.get("copNo")): b.get("returnInfo")
        for b in day.returns()
    }
    guid = window.rows("SELECT guid FROM document WHERE kind = 411 AND status = 120 ORDER BY id")
    infos = [b["returnInfo"] for b in day.returns("CEB412")]
    assert f"新增申报成功[{guid[0][0]}]" in infos
    accepted = "清单新增申报成功[电商企业编码：3301960S01订单编号：O0000001]"
    assert said["CEB622", "2", "C0000001"] == accepted
    assert said["CEB622", "120", "C0000001"] == "[Code:1800;Desc:逻辑校验通过]"
    assert said["CEB622", "800", "C0000001"] == "[Code:2600;Desc:放行]"
    refusal = str(said["CEB622", "100", "C0000002"])
    assert INFO.fullmatch(refusal)
    assert re.findall(r"\[Code:([^;]+);", refusal) == ["1327", "1332"]
    assert "应为:100.00,实为:1.00" in refusal
    assert INFO.fullmatch(str(said["CEB622", "-621001", "C0000006"]))
    assert "电子口岸已暂存" in str(said["CEB622", "1", "C0000007"])


def test_the_single_limit_stands_in_the_text_of_a_100(window: Window) -> None:
    done = window.clear(*parcel(items=(Item("5001"), Item("1"))))
    [back] = [b for b in done.returns("CEB622") if b["returnStatus"] == "100"]
    assert str(back["returnInfo"]).startswith("[Code:-621005;Desc:")


def test_a_change_and_a_deletion_are_called_so(window: Window) -> None:
    first = order()
    done = window.clear(first, first.changed(), first.deleted(20))
    words = [str(back["returnInfo"]).split("[")[0] for back in done.returns("CEB312")]
    assert words == ["新增申报成功", "变更申报成功", "删除申报成功"]


def test_identifiers_are_new_and_of_their_own(day: Cleared) -> None:
    own = [str(back["guid"]) for back in day.returns()]
    own += [etree.fromstring(data).get("guid") for _, data in day.receipts]
    assert len(own) == len(set(own))
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", g) for g in own)


def test_a_receipt_goes_to_the_sender_of_the_document(window: Window) -> None:
    window.clear(*parcel())
    rows = window.rows("SELECT DISTINCT type, receiver FROM receipt ORDER BY type")
    assert rows == [
        ("CEB312", "DXPENT3301960P01"),
        ("CEB412", "DXPENT3301960Y01"),
        ("CEB512", "DXPENT3301960L01"),
        ("CEB622", "DXPENT3301960D01"),
        ("CEB816", "DXPENT3301960D01"),  # the tax bill of the list
    ]


def test_at_most_a_hundred_returns_share_a_receipt(window: Window) -> None:
    papers = [order(n) for n in range(1, 231)]
    done = window.clear(*papers)
    sizes = [messages.parse(data).documents for _, data in done.receipts]
    assert sizes == [100, 100, 30]
    told = [back["orderNo"] for back in done.returns("CEB312")]
    assert told == [paper.head["orderNo"] for paper in papers]


def test_a_refused_message_is_quoted(window: Window) -> None:
    original = message(order())[:-30].decode()
    done = window.clear(original.encode(), b"\x00\x01\xff]]>\xe4\xb8")
    first, second = done.returns("CEB900")
    assert first["oriBizMessage"] == original
    assert first["returnStatus"] == "-999999"
    assert INFO.fullmatch(str(first["returnInfo"])) or "[Code:message.format" in str(
        first["returnInfo"]
    )
    assert second["oriMessageType"] == "Unknown"
    assert "]]>" in str(second["oriBizMessage"])


def test_a_refused_message_says_its_own_type_and_number(window: Window) -> None:
    guid = "4CDE1CFD-EDED-46B1-946C-B8022E42FC94"
    many = message(*[order(n) for n in range(1, 101)], guid=guid)
    start, end = many.index(b"<ceb:Order>"), many.index(b"</ceb:Order>") + len(b"</ceb:Order>")
    done = window.clear(many[:start] + many[start:end] + many[start:])
    [back] = done.returns("CEB900")
    assert back["oriMessageType"] == "CEB311Message"
    assert back["oriCopMsgId"] == guid


def test_what_is_stored_is_what_was_written(day: Cleared, window: Window) -> None:
    rows = window.rows("SELECT id, type, xml, sealed FROM receipt ORDER BY id")
    stored = [
        (f"{id_:012d}-{type_}.xml", xml.encode() if xml else window.vault.unseal(sealed))
        for id_, type_, xml, sealed in rows
    ]
    assert stored == day.receipts


def test_a_second_run_writes_the_missing_files_only(window: Window, tmp_path: Path) -> None:
    files = [message(paper) for paper in parcel()]
    folder = tmp_path / "receipts"
    first = window.clear(*files, receipts=folder)
    assert len(first.receipts) > 4
    names = [name for name, _ in first.receipts]
    (folder / names[0]).unlink()
    times = {name: (folder / name).stat().st_mtime_ns for name in names[1:]}
    second = window.clear(*files, receipts=folder)
    assert second.receipts == first.receipts
    assert times == {name: (folder / name).stat().st_mtime_ns for name in names[1:]}


def test_too_long_and_strange_values_still_make_a_valid_receipt(window: Window) -> None:
    strange = order(orderNo="长" * 300, ebpCode="<&>\"'" * 9, buyerName="]]>")
    done = window.clear(strange)
    schema = etree.XMLSchema(etree.fromstring(messages.xsd("CEB312").encode()))
    [(_, data)] = done.receipts
    assert schema.validate(etree.fromstring(data)), schema.error_log


def test_no_receipt_shows_a_personal_number(window: Window) -> None:
    number, phone = identity("19660606", 77), "13912345678"
    done = window.clear(
        *parcel()[:3],
        inventory(buyerIdNumber=number, buyerTelephone=phone),
        order(2, buyerIdNumber=number + "9" * 60, buyerTelephone=phone * 4),
    )
    told = "".join(data.decode() for _, data in done.receipts)
    assert number not in told
    assert phone not in told
    assert "***" in told


def test_companies_behind_one_address_get_receipts_of_their_own(window: Window) -> None:
    """Whose a receipt is follows the company, not the address that a message names."""
    ours = message(order(1), dxpId="DXPENT0000000001")
    theirs = message(order(2), dxpId="DXPENT0000000001", copCode=SELLER[0])
    window.clear(ours, theirs)
    rows = window.rows("SELECT receiver, company, documents FROM receipt ORDER BY company")
    assert rows == [
        ("DXPENT0000000001", PLATFORM[0], 1),
        ("DXPENT0000000001", SELLER[0], 1),
    ]
