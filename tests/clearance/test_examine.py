"""Checking without a database finds what clearing finds."""

from datetime import date
from typing import Any

from dossiers import (
    BO,
    Item,
    Paper,
    Window,
    inventory,
    order,
    packed,
    parcel,
    payment,
    waybill,
)

from tongguan import clearance, policy

LAW = policy.load().on(date(2022, 6, 1))


def examined(window: Window, *papers: Paper | bytes) -> clearance.Examined:
    return clearance.examine(window.write(packed(papers)), LAW)


def told(findings: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("rule", "code", "severity", "document", "field", "gnum", "expected", "actual", "law")
    return sorted(
        (tuple(found.get(name) for name in names) for found in findings if not ours(found)), key=str
    )


def ours(found: dict[str, Any]) -> bool:
    """What only a window with a database can say."""
    return bool(found["rule"].startswith(("party.", "guarantee.")))


STREAM = [
    *parcel(1),
    *[order(2), payment(2, amountPaid="1", payerName=BO.name), waybill(2), inventory(2)],
    *parcel(3, items=(Item("2600", "2"), Item("7", gcode="1901101099"))),
    *[order(4, acturalPaid="1"), inventory(5, packNo="2", buyerName=None)],
    *[order(6), waybill(6, orderNo="X"), payment(6), inventory(6, buyerTelephone=BO.phone)],
    *[order(7), order(7).again(), payment(8).changed(), waybill(9).draft(), inventory(9)],
    b"<no/>",
]


def test_check_and_clear_find_the_same(window: Window) -> None:
    found = examined(window, *STREAM)
    cleared = window.clear(*STREAM)
    there = told([f for line in cleared.lines for f in line["findings"]])
    assert told(found.facts()["findings"]) == there
    assert len(there) > 10
    assert found.errors == sum(1 for finding in there if finding[2] == "error")
    assert (found.files, found.documents, found.dossiers) == (len(packed(STREAM)), 23, 4)


def test_a_good_dossier_has_no_finding(window: Window) -> None:
    found = examined(window, *parcel())
    assert (found.documents, found.dossiers, found.errors) == (4, 1, 0)
    assert found.findings.height == 0


def test_findings_name_their_file_and_place(window: Window) -> None:
    found = examined(window, order(1), order(2), order(3, buyerName=None), b"\x00")
    rows = found.facts()["findings"]
    assert [(row["file"], row.get("position"), row.get("key")) for row in rows] == [
        ("0002.xml", None, None),
        ("0001.xml", 2, "O0000003"),
    ]


def test_a_lonely_list_waits(window: Window) -> None:
    found = examined(window, inventory())
    assert found.errors == 0
    assert found.findings["rule"].to_list() == [
        "match.order-missing",
        "match.payment-missing",
        "match.waybill-missing",
    ]


def test_the_law_is_that_of_the_day(window: Window) -> None:
    files = window.write(packed(parcel(items=(Item("3000"), Item("3000")))))
    built = policy.load()
    for day, errors in ((date(2018, 12, 31), []), (date(2019, 1, 1), ["limit.single"])):
        found = clearance.examine(files, built.on(day)).findings
        assert found.filter(severity="error")["rule"].to_list() == errors


def test_personal_numbers_are_masked(window: Window) -> None:
    found = examined(window, *parcel()[:3], inventory(buyerIdNumber=BO.number))
    assert BO.number not in str(found.facts())
    assert "***" in str(found.facts())
