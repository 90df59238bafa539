"""A policy maker's day: a zone's traffic is cleared, written to files, and a notice is tried."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tongguan import cli, store

ROOT = Path(__file__).resolve().parents[2]
NOON = "2022-06-01T12:00:00+08:00"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs a command without any database but the one it is told."""
    monkeypatch.setenv("TONGGUAN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TONGGUAN_DATA_KEY", "ab" * 32)
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run(*arguments: object, status: int = 0) -> Result:
        done = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        assert done.exit_code == status, done.output
        return done

    return run


def test_a_notice_is_tried_on_a_zone_before_it_is_made(
    call: Any, database: store.Database, tmp_path: Path
) -> None:
    zone, files = tmp_path / "zone", tmp_path / "history"
    database_option = ("--database", database.url)
    call("twin", "--seed", 11, "--parcels", 400, "--faults", "0.3", "--out", zone)
    told = tmp_path / "report.jsonl"
    clear = ("clear", zone / "messages", "--at", NOON, "--signatures", "ignored")
    call(*clear, "--report", told, *database_option, status=1)
    lines = [json.loads(line) for line in told.read_text("utf-8").splitlines()]
    lists = [line for line in lines if line["document"] == "inventory" and line.get("allowance")]

    call("export", "history", "--out", files, *database_option)
    draft = tmp_path / "draft.yaml"
    draft.write_text(
        "base: 2022-06-01\nname: 年度限值五千元\n"
        "parameters: {retail-import.limit-annual: {2022-01-01: 5000}}\n",
        "utf-8",
    )
    found, html, csv = tmp_path / "r.json", tmp_path / "r.html", tmp_path / "r.csv"
    asked = ("replay", "--policy", draft, "--from", "2022-06-01", "--to", "2022-06-01")
    shown = call(*asked, "--history", files, "--json", found, "--html", html, "--csv", csv)
    facts = json.loads(found.read_text("utf-8"))

    assert facts["reproduced"] is True
    assert facts["parcels"] == len(lists)
    base = sum(round(float(line["tax"]["total"]) * 100) for line in lists if line["tax"])
    assert facts["tax"]["base"] == f"{base // 100}.{base % 100:02d}"
    moved = facts["by_rule"]["limit.annual"]
    assert set(moved) == {"newly_refused", "no_longer_refused"}
    assert moved["newly_refused"] > 0
    assert facts["changed"] == moved["newly_refused"]
    assert float(facts["tax"]["draft"]) < float(facts["tax"]["base"])
    assert facts["buyers"]["newly_over"] > 0
    assert "every recorded decision is reproduced" in shown.output
    assert "年度限值五千元" in html.read_text("utf-8")
    assert csv.read_text("utf-8-sig").startswith("section,key,name,")

    again = tmp_path / "again.json"
    call(*asked, *database_option, "--json", again)
    assert again.read_bytes() == found.read_bytes()
    call("replay", "--history", files)
    anew = ("--messages", zone / "messages", "--at", NOON)
    call(*asked, *anew, "--json", again)
    archived = json.loads(again.read_text("utf-8"))
    for name in ("parcels", "reproduced", "changed", "by_rule", "tax_by_kind", "buyers"):
        assert archived[name] == facts[name]
    call("replay", "--messages", zone / "messages", status=2)
    call("replay", *anew, "--history", files, status=2)
    call("replay", "--engine", "spark", "--history", files, status=2)
    call("replay", "--policy", draft, "--history", tmp_path, status=1)
    call("replay", "--zone", "无此城", "--history", files, status=2)
    call("export", "history", "--out", files, *database_option, status=2)


def test_a_record_that_was_tampered_with_is_not_reproduced(
    call: Any, database: store.Database, tmp_path: Path
) -> None:
    call("twin", "--seed", 3, "--parcels", 20, "--faults", "0", "--out", tmp_path / "zone")
    clear = ("clear", tmp_path / "zone" / "messages", "--at", NOON, "--signatures", "ignored")
    call(*clear, "--database", database.url)
    with database.connect(autocommit=True) as conn:
        conn.execute(
            "UPDATE decision SET vat_fen = vat_fen + 1 WHERE document_id = "
            "(SELECT min(document_id) FROM decision)"
        )
    found = tmp_path / "r.json"
    shown = call("replay", "--database", database.url, "--json", found, status=1)
    facts = json.loads(found.read_text("utf-8"))
    assert facts["reproduced"] is False
    assert "vat_fen was recorded as" in facts["first_difference"]
    assert "not reproduced" in shown.output


def test_april_2016_is_tried_on_the_traffic_of_march(call: Any, tmp_path: Path) -> None:
    """Parcel tax with its waiver of 50 yuan, against the taxes and limits of 8 April 2016."""
    call("twin", "--seed", 16, "--parcels", 120, "--faults", "0", "--out", tmp_path / "zone")
    march = ("--messages", tmp_path / "zone" / "messages", "--at", "2016-03-15T12:00:00+08:00")
    notice = ROOT / "examples" / "drafts" / "april-2016-in-march.yaml"
    found, html = tmp_path / "r.json", tmp_path / "r.html"
    call("replay", *march, "--policy", notice, "--json", found, "--html", html)
    facts = json.loads(found.read_text("utf-8"))
    assert (facts["parcels"], facts["reproduced"]) == (120, True)
    kinds = {tax: (pair["base"], pair["draft"]) for tax, pair in facts["tax_by_kind"].items()}
    assert float(kinds["parcel_tax"][0]) > 0 == float(kinds["parcel_tax"][1])
    assert float(kinds["vat"][0]) == 0 < float(kinds["vat"][1])
    # Nothing was waived any more: a parcel that owed nothing in March owes VAT in April.
    ways = {(way["base"], way["draft"]) for way in facts["by_regime"]}
    assert ("parcel-tax", "retail-import") in ways
    assert facts["changes"]
    assert "行邮税" in html.read_text("utf-8")
