"""A day in front of a judge: packs, receipts and heads leave the window and are verified elsewhere.

Elsewhere is a process of its own with an empty home, no database and the file alone.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from tongguan import cli, store
from tongguan.window import stream

ROOT = Path(__file__).resolve().parents[2]
NOON = "2022-06-01T12:00:00+08:00"
LATER = "2022-06-02T12:00:00+08:00"


@dataclass(frozen=True)
class Elsewhere:
    """Where a file is verified. folder: what was carried there."""

    folder: Path

    def verify(self, file: Path, *more: object) -> tuple[int, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}
        done = subprocess.run(
            [
                *(sys.executable, "-c", "from tongguan.cli import main; main()", "verify"),
                *(str(file), *map(str, more)),
            ],
            env=kept | {"TONGGUAN_HOME": str(self.folder / "home"), "COLUMNS": "200"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout

    def good(self, file: Path, *more: object) -> str:
        status, said = self.verify(file, *more)
        assert status == 0, said
        assert "failed" not in said
        return said

    def wrong(self, file: Path, *more: object) -> list[str]:
        """The lines of what failed."""
        status, said = self.verify(file, *more)
        assert status == 1, said
        return [line for line in said.splitlines() if "failed" in line]


@pytest.fixture
def window(
    database: store.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Runs a command of the window; what it printed."""
    monkeypatch.setenv("TONGGUAN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TONGGUAN_DATA_KEY", raising=False)
    monkeypatch.delenv("TONGGUAN_EVIDENCE_KEY", raising=False)

    def run(*words: object, status: int = 0) -> str:
        said = [*map(str, words), "--database", database.url]
        done = CliRunner().invoke(cli.app, said)
        assert done.exit_code == status, done.output
        return done.output

    return run


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    folder = tmp_path / "elsewhere"
    (folder / "home").mkdir(parents=True)
    return Elsewhere(folder)


def outcomes(report: Path) -> dict[int, str]:
    """One order number for each status that a list of the report has."""
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    return {
        line["status"]: line["key"]["orderNo"] for line in lines if line["document"] == "inventory"
    }


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert len(old) == len(new)
    assert old in text, old
    file.write_text(text.replace(old, new, 1), "utf-8")


def test_packs_receipts_and_heads_are_verified_elsewhere(
    window: Callable[..., str], elsewhere: Elsewhere, database: store.Database, tmp_path: Path
) -> None:
    report, receipts = tmp_path / "report.jsonl", elsewhere.folder / "receipts"
    first = ("--at", NOON, "--report", report, "--receipts", receipts)
    window("clear", ROOT / "examples/messages", *first, status=1)
    key = elsewhere.folder / "window.pub"
    window("log", "key", "--out", key)
    size = int(window("log", "head", "--at", NOON).splitlines()[1])

    for status in (800, 100):
        number = outcomes(report)[status]
        pack = elsewhere.folder / f"{status}.json"
        window("evidence", number, "--out", pack, "--at", NOON)
        assert pack.stat().st_mode & 0o077 == 0
        said = elsewhere.good(pack, "--key", key)
        assert "decided again from its documents by the law of 2022-06-01" in said
        assert "unknown" not in said
        change(pack, f"orderNo>{number}", f"orderNo>{number[:-1]}X")
        wrong = elsewhere.wrong(pack, "--key", key)
        assert any("the seal: nothing in the pack was changed" in line for line in wrong)
        [which] = [line for line in wrong if "is what was logged: its digest differs" in line]
        assert which.split(": ")[1].startswith("document")

    prove_receipts(window, elsewhere, receipts, key)
    page_of_the_gateway(elsewhere, database, key)

    window("clear", ROOT / "examples/returns/day-30.xml", "--at", LATER)
    growth = elsewhere.folder / "growth.json"
    window("log", "head", "--since", size, "--out", growth)
    assert "are the first of the" in elsewhere.good(growth, "--key", key)
    change(growth, f'"size": {size}', f'"size": {size - 1}')
    assert elsewhere.wrong(growth)
    window("log", "head", "--since", size + 999, status=1)


def beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.proof.json")


def prove_receipts(
    window: Callable[..., str], elsewhere: Elsewhere, receipts: Path, key: Path
) -> None:
    files = sorted(receipts.glob("*.xml"))
    assert f"{len(files)} receipts proved, 0 not" in window("log", "prove", receipts)
    for file in files[:2]:
        assert "its text and number are those that were logged" in elsewhere.good(
            file, "--key", key
        )
    change(files[0], "returnInfo>", "returnInfa>")
    assert elsewhere.wrong(files[0])
    assert "not a receipt of this database" in window("log", "prove", files[0], status=1)
    # The same text under another number is another receipt.
    taken = files[1].with_name("000000000999-CEB312.xml")
    taken.write_bytes(files[2].read_bytes())
    taken.with_name(taken.name + ".proof.json").write_bytes(
        files[2]
        .with_name(files[2].name + ".proof.json")
        .read_bytes()
        .replace(b'"receipt":', b'"receipt":9')
    )
    assert any("text and number" in line for line in elsewhere.wrong(taken))
    alone = elsewhere.folder / "alone.xml"
    alone.write_bytes(files[1].read_bytes())
    assert any("not a JSON file" in line for line in elsewhere.wrong(alone))


def page_of_the_gateway(elsewhere: Elsewhere, database: store.Database, key: Path) -> None:
    """What the gateway answers is what verify reads."""
    with database.connect(autocommit=True) as conn:
        companies = [row[0] for row in conn.execute("SELECT DISTINCT company FROM receipt")]
        vault = store.Vault.open(Path(os.environ["TONGGUAN_HOME"]))
        found = stream.after(conn, vault, companies, stream.BEGINNING, 5)
    entries = [entry for each in found for entry in stream.entries(each, stream.BEGINNING)]
    assert len(entries) > len(found) > 3
    facts: list[dict[str, Any]] = json.loads(msgspec.json.encode(entries))
    answer = {"next": stream.next_cursor(found, stream.BEGINNING), "receipts": facts}
    page, one = elsewhere.folder / "page.json", elsewhere.folder / "one.json"
    page.write_text(json.dumps(answer, ensure_ascii=False), "utf-8")
    one.write_text(json.dumps(facts[0], ensure_ascii=False), "utf-8")
    said = elsewhere.good(page, "--key", key)
    assert said.count(": status") == len(entries)
    elsewhere.good(one, "--key", key)
    status = facts[0]["status"]
    change(one, f'"status": {status}', f'"status": {status + 1}')
    [line] = elsewhere.wrong(one)
    assert "status" in line


def test_a_key_that_is_none_is_wrong_usage(
    window: Callable[..., str], elsewhere: Elsewhere, tmp_path: Path
) -> None:
    file = elsewhere.folder / "no.pub"
    file.write_text("none")
    status, _ = elsewhere.verify(file, "--key", file)
    assert status == 2
    assert "has the number" in window("evidence", "O0", "--out", tmp_path / "x.json", status=1)
    assert not (tmp_path / "x.json").exists()
