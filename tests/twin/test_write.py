"""Files: the same for the same seed, readable, of the size asked for."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import date
from fractions import Fraction

import clerk
import polars as pl
import pytest

from tongguan import messages, twin

SCRIPT = """
import sys
from datetime import date
from pathlib import Path
from tongguan import twin
twin.write(Path(sys.argv[1]), seed=int(sys.argv[2]), parcels=300, faults="0.2",
           day=date(2022, 6, 1), positive_list=True)
"""


def digest(folder):
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def test_the_same_seed_makes_the_same_bytes_in_every_process(tmp_path):
    for name, seed, hashing in (("a", "1", "0"), ("b", "1", "4711"), ("c", "2", "0")):
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / name), seed],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            check=True,
        )
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


@pytest.mark.parametrize("day", [date(2019, 1, 1), date(2022, 6, 1), date(2026, 3, 1)])
def test_messages_of_faultless_parcels_have_no_finding_at_all(tmp_path, day):
    twin.write(tmp_path, seed=1, parcels=400, faults=0, day=day)
    parsed = [messages.parse(p.read_bytes()) for p in (tmp_path / "messages").iterdir()]
    assert [f for one in parsed for f in one.findings] == []
    for batch in messages.collect(parsed).values():
        checked = messages.check(batch)
        assert checked.findings.height == 0
        assert checked.heads.height == 400
        assert checked.heads["appTime"].str.starts_with(f"{day:%Y%m%d}").all()
    told = clerk.expected(tmp_path)
    assert Counter(f["status"] for f in told) == {800: 400, 120: 1200}


def test_a_benchmark_stream_is_full_messages_in_the_order_of_their_kinds(tmp_path):
    summary = twin.write(
        tmp_path, seed=2, parcels=2000, faults=0, documents_per_message=100, shuffle=False
    )
    assert summary.documents == 8000
    assert summary.files <= 80 + 15  # one message of each sender may be short of its hundred
    sizes = [messages.parse(p.read_bytes()).documents for p in (tmp_path / "messages").iterdir()]
    assert sum(sizes) == 8000
    assert sizes.count(100) >= 70


def test_a_shuffled_stream_brings_lists_before_their_orders(tmp_path):
    twin.write(tmp_path, seed=2, parcels=300, faults=0)
    documents, _ = clerk.read(tmp_path / "messages")
    arrival = {d.key: n for n, d in enumerate(documents)}
    early = sum(
        arrival["inventory", d.head["ebcCode"], d.head["orderNo"]] < arrival[d.key]
        for d in documents
        if d.kind == "order"
    )
    assert 60 < early < 240


def test_documents_are_written_in_many_ways(tmp_path):
    twin.write(tmp_path, seed=3, parcels=3000, faults="0.05", documents_per_message=20)
    files = [p.read_bytes() for p in sorted((tmp_path / "messages").iterdir())]
    assert any(b'encoding="GB18030"' in data[:60] for data in files)
    assert any(b"DxpMsg" in data[:100] for data in files)
    assert any(b"<n1:CEB" in data[:100] for data in files)
    assert any(b">\n    <" in data for data in files)
    repeated = Counter(files)
    assert any(count > 1 for count in repeated.values())
    assert max(messages.parse(data).documents for data in repeated) <= 100


def test_both_sides_of_conditional_consumption_tax_are_bought(tmp_path):
    twin.write(tmp_path, seed=4, parcels=600, faults=0)
    desk = clerk.clear_desk(tmp_path / "messages")
    alone = {
        one.lines[0]["gcode"]: set()
        for one in desk.accepted.values()
        if one.kind == "inventory" and len(one.lines) == 1
    }
    for fact in clerk.expected(tmp_path):
        if fact["document"] == "inventory":
            one = desk.accepted["inventory", fact["key"]["ebcCode"], fact["key"]["orderNo"]]
            if len(one.lines) == 1:
                taxed = fact["tax"]["consumption"] != "0.00"
                alone[one.lines[0]["gcode"]].add(taxed)
    assert {True, False} in [alone[c] for c in alone if c.startswith(("3303", "3304"))]
    assert [alone[c] for c in alone if c.startswith("2204")] == [{True}]
    assert {True} in [alone[c] for c in alone if c.startswith("2208")]


def test_a_summary_counts_what_was_written(tmp_path):
    summary = twin.write(tmp_path, seed=5, parcels=700, faults=Fraction(1, 4))
    files = list((tmp_path / "messages").iterdir())
    assert summary.parcels == 700
    assert summary.files == len(files)
    assert summary.bytes == sum(p.stat().st_size for p in files)
    assert summary.expected == len(clerk.expected(tmp_path))
    assert 120 < sum(summary.faults.values()) < 260
    good = [messages.parse(p.read_bytes()) for p in files]
    assert summary.documents == sum(p.documents for p in good if not p.refused)


def test_money_in_the_expectation_is_text_with_two_decimals(tmp_path):
    twin.write(tmp_path, seed=6, parcels=100, faults=0)
    for line in (tmp_path / "expected.jsonl").read_text("utf-8").splitlines():
        fact = json.loads(line)
        if fact["document"] == "inventory":
            assert list(fact["tax"]) == ["duty", "consumption", "vat", "total", "basis"]
            amounts = pl.Series(list(fact["tax"].values())[:4])
            assert amounts.str.contains(r"^\d+\.\d\d$").all()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"faults": "1.5"}, ValueError),
        ({"parcels": -1}, ValueError),
        ({"documents_per_message": 101}, ValueError),
        ({"only": ["match.nothing"]}, ValueError),
        ({"only": ["goods.not-listed"]}, ValueError),  # needs positive_list
        ({"only": ["message.state"]}, ValueError),  # needs shuffle=False
        ({"only": []}, ValueError),
        ({"day": date(2018, 12, 31)}, ValueError),
        ({"day": date(2031, 1, 1)}, LookupError),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(tmp_path, wrong, error):
    with pytest.raises(error):
        twin.write(tmp_path, **{"seed": 1, "parcels": 1, "faults": 0, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_messages_of_another_run_are_never_mixed_in(tmp_path):
    twin.write(tmp_path, seed=1, parcels=1, faults=0)
    with pytest.raises(FileExistsError):
        twin.write(tmp_path, seed=2, parcels=1, faults=0)


def test_a_document_that_changes_has_changed_before_its_list_arrives(tmp_path):
    """Else the first version could be decided on, and the outcome would hang on the order."""
    names = ["message.stale", "changed", "renewed", "deleted"]
    twin.write(tmp_path, seed=7, parcels=9000, faults="0.02", only=names)
    documents, _ = clerk.read(tmp_path / "messages")
    arrival = {}
    for n, one in enumerate(documents):
        arrival.setdefault(one.key, []).append(n)
    lists = {d.head["orderNo"]: d.key for d in documents if d.kind == "inventory"}
    moving = [d for d in documents if d.head["appType"] != "1"]
    assert len(moving) > 100
    for one in moving:
        assert min(arrival[lists[one.head["orderNo"]]]) > max(arrival[one.key])
