"""The official samples: each import document is answered, each export one told that it waits."""

import json
from collections import Counter
from pathlib import Path

import pytest
from lxml import etree
from typer.testing import CliRunner

from tongguan import cli, messages, store

NOON = "2022-06-01T12:00:00+08:00"
IMPORT = {"CEB311", "CEB411", "CEB511", "CEB513", "CEB621", "CEB623", "CEB625", "CEB711"}
"""What a company sends on import."""


@pytest.fixture
def answered(
    shared: Path, database: store.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Path], list[dict], list[tuple[str, bytes]]]:
    """The files, the report lines and the receipts of one run over all samples."""
    monkeypatch.setenv("TONGGUAN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TONGGUAN_DATA_KEY", "ab" * 32)
    report, out = tmp_path / "r.jsonl", tmp_path / "out"
    samples = shared / "ceb" / "samples"
    arguments = ["clear", samples, "--at", NOON, "--signatures", "ignored", "--report", report]
    arguments += ["--receipts", out, "--database", database.url]
    done = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert done.exit_code == 1, done.output  # edited samples hold errors, all of them reported
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    receipts = [(file.name, file.read_bytes()) for file in sorted(out.iterdir())]
    return sorted(samples.glob("*.xml")), lines, receipts


def root(file: Path) -> etree._Element:
    return etree.fromstring(file.read_bytes())


def documents(file: Path) -> int:
    """How many documents an import sample holds, counted by hand."""
    names = {"Order", "Payment", "Logistics", "LogisticsStatus", "Inventory", "InvtCancel"}
    names |= {"InvtRefund", "Delivery"}
    return sum(etree.QName(child).localname in names for child in root(file))


def kind(file: Path) -> str:
    return etree.QName(root(file)).localname.removesuffix("Message")


def test_every_document_of_every_import_sample_is_answered(answered) -> None:
    files, lines, receipts = answered
    mine = [file for file in files if kind(file) in IMPORT]
    assert len(mine) > 10
    distinct = {file.read_bytes(): file for file in mine}
    told = [line for line in lines if line["document"] != "message"]
    assert len(told) >= sum(documents(file) for file in distinct.values())
    assert all(line["history"] for line in told)
    assert all(line["status"] == line["history"][-1] for line in told)
    for line in told:
        if line["status"] < 0:
            assert any(found["severity"] == "error" for found in line["findings"])
    returned: Counter[str] = Counter()
    for name, data in receipts:
        parsed = messages.parse(data)
        assert not parsed.findings
        returned[name[13:19]] += parsed.documents
    wanted = Counter(line["document"] for line in told)
    answers = {"order": 312, "payment": 412, "waybill": 512, "waybill-status": 514}
    answers |= {"inventory": 622, "cancellation": 624, "return": 626, "delivery": 712}
    for document, number in answers.items():
        assert returned[f"CEB{number}"] >= wanted[document] > 0, document


def test_no_import_sample_is_refused_whole(answered) -> None:
    files, lines, _ = answered
    refused = {line["key"]["file"] for line in lines if line["document"] == "message"}
    assert not refused & {file.name for file in files if kind(file) in IMPORT}


def test_every_other_sample_is_told_why_it_is_not_taken(answered) -> None:
    files, lines, receipts = answered
    refused = {line["key"]["file"]: line for line in lines if line["document"] == "message"}
    others = {file.name: kind(file) for file in files if kind(file) not in IMPORT}
    assert refused.keys() == others.keys()
    for name, line in refused.items():
        [found] = line["findings"]
        assert found["rule"] == "message.format"
        assert others[name] in found["actual"], (name, found)
    export = {name for name, type_ in others.items() if type_ in ("CEB303", "CEB603", "CEB701")}
    assert len(export) == 6
    for name in export:
        text = str(refused[name]["findings"]).lower()
        assert "export" in text, text
    assert sum(name.endswith("CEB900.xml") for name, _ in receipts) == len(others)
