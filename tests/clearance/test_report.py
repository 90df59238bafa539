"""The report: one line for every document, in the shape that is promised, in order of arrival."""

import json
from pathlib import Path

from dossiers import (
    Window,
    inventory,
    message,
    order,
    order_no,
    parcel,
    payment,
    rules,
    waybill,
)

from tongguan import clearance


def test_a_released_list_has_this_line(window: Window) -> None:
    line = window.clear(*parcel()).inventory
    number = line["key"].pop("invtNo")
    assert number.startswith("29922022I")
    assert line["key"].pop("preNo").startswith("B20220601")
    findings = line.pop("findings")
    assert line == {
        "document": "inventory",
        "key": {"ebcCode": "3301960S01", "orderNo": "O0000001", "copNo": "C0000001"},
        "status": 800,
        "history": [2, 120, 399, 800],
        "tax": {
            "duty": "0.00",
            "consumption": "0.00",
            "vat": "9.10",
            "total": "9.10",
            "basis": "retail-import",
        },
        "allowance": {"before": "0.00", "after": "100.00"},
    }
    assert all(found["severity"] == "warning" for found in findings)


def test_a_refused_list_has_no_tax_and_its_findings(window: Window) -> None:
    done = window.clear(order(), payment(amountPaid="99.5"), waybill(), inventory())
    line = done.inventory
    assert line["tax"] is None
    [found] = [f for f in line["findings"] if f["severity"] == "error"]
    law = found.pop("law")
    assert "194" in law
    assert found == {
        "rule": "match.amount",
        "code": "1332",
        "severity": "error",
        "document": "payment",
        "field": "amountPaid",
        "expected": "100.00",
        "actual": "99.50",
    }


def test_other_documents_have_key_status_history_and_findings(window: Window) -> None:
    done = window.clear(*parcel())
    keys = {
        "order": {"ebpCode": "3301960P01", "orderNo": "O0000001"},
        "payment": {"payCode": "3301960Y01", "payTransactionId": "T0000001"},
        "waybill": {"logisticsCode": "3301960L01", "logisticsNo": "L0000001"},
    }
    for kind, key in keys.items():
        line = done.one(kind)
        assert set(line) == {"document", "key", "status", "history", "findings"}
        assert (line["key"], line["status"], line["history"]) == (key, 120, [2, 120])


def test_lines_stand_in_order_of_arrival(window: Window) -> None:
    papers = [order(3), order(1), *parcel(2)[::-1], order(2).again(), b"<no/>", waybill(9)]
    done = window.clear(*papers)
    kinds = [line["document"] for line in done.lines]
    assert kinds == [
        *("order", "order", "inventory", "waybill", "payment", "order", "order", "message"),
        "waybill",
    ]
    numbers = [line["key"]["orderNo"] for line in done.all("order")]
    assert numbers == [order_no(n) for n in (3, 1, 2, 2)]


def test_a_waiting_list_says_what_it_waits_for(window: Window) -> None:
    line = window.clear(inventory()).inventory
    assert (line["status"], line["tax"], line["allowance"]) == (2, None, None)
    waits = [f for f in line["findings"] if f["rule"].startswith("match.")]
    assert [f["rule"] for f in waits] == [
        "match.order-missing",
        "match.payment-missing",
        "match.waybill-missing",
    ]
    assert all(f["severity"] == "warning" and f["law"] and f["actual"] for f in waits)
    assert "O0000001" in waits[0]["expected"]
    assert "L0000001" in waits[2]["expected"]


def test_the_report_tells_what_is_now(window: Window) -> None:
    early = message(inventory())
    assert window.clear(early).inventory["status"] == 2
    window.clear(*parcel()[:3])
    assert window.clear(early).inventory["status"] == 800


def test_the_table_shows_first_what_needs_a_look(window: Window) -> None:
    bad = [order(2), payment(2, amountPaid="1"), waybill(2), inventory(2)]
    done = window.clear(*parcel(1), *bad, inventory(3), order(4, buyerName=None), b"<no/>")
    with window.database.borrow() as conn:
        shown = clearance.finish(conn, done.run, None, 30)
    assert [line["status"] for line in shown.parcels] == [-999999, 100, -301008, 2, 800]
    assert shown.more == 0
    assert shown.errors
    counts = {(kind, status): n for kind, status, n in shown.outcomes.iter_rows()}
    assert counts["inventory", 800] == counts["inventory", 100] == counts["inventory", 2] == 1
    assert counts["order", -301008] == 1
    with window.database.borrow() as conn:
        short = clearance.finish(conn, done.run, None, 2)
    assert [line["status"] for line in short.parcels] == [-999999, 100]
    assert short.more == 2  # lists that are not shown


def test_no_error_is_found_where_there_is_none(window: Window) -> None:
    done = window.clear(*parcel(1), inventory(2))
    with window.database.borrow() as conn:
        assert not clearance.finish(conn, done.run, None, 30).errors


def test_an_empty_run_has_an_empty_report(window: Window, tmp_path: Path) -> None:
    done = window.clear()
    assert (done.lines, done.receipts, done.run.files) == ([], [], 0)


def test_every_line_is_json_without_escapes(window: Window) -> None:
    window.clear(order(buyerName=None))
    text = (window.folder / "report1.jsonl").read_text("utf-8")
    assert "\\u" not in text
    assert [json.loads(line)["document"] for line in text.splitlines()] == ["order"]


def test_a_hundred_messages_and_more_keep_their_order(window: Window) -> None:
    done = window.clear(*[order(n) for n in range(1, 421)], cut=True)
    assert [line["key"]["orderNo"] for line in done.lines] == [order_no(n) for n in range(1, 421)]
    assert all(rules(line) == [] for line in done.lines)
