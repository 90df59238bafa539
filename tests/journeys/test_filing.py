"""A company comes to a closed window: filed, given an agent and a key, then its parcel clears."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from dossiers import AGENT, CARRIER, NOON, PAYMENT, PLATFORM, SELLER, Paper, packed, parcel
from rich.console import Console
from typer.testing import CliRunner, Result

from tongguan import cli, console, store
from tongguan.sharing import keys

Call = Callable[..., Result]
CREDIT = "91330100MA2CC0XY1B"
STRANGER = ("3301960X01", "路人甲贸易有限公司")
FIRMS = (
    (PLATFORM, "platform,guarantor"),
    (SELLER, "seller"),
    (PAYMENT, "payment"),
    (CARRIER, "logistics"),
    (AGENT, "declarant"),
    (STRANGER, "logistics"),
)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: store.Database) -> Call:
    """Runs a command on this test's database at noon, in a home of its own."""
    monkeypatch.setenv("TONGGUAN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TONGGUAN_DATA_KEY", "ab" * 32)
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setattr(console, "out", Console(width=200, highlight=False))
    monkeypatch.setattr(console, "err", Console(stderr=True, width=200, highlight=False))
    monkeypatch.setattr("sys.argv", ["tongguan"])

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])

    run("clock", NOON)
    return run


def clear(call: Call, folder: Path, *papers: Paper) -> dict[str, int]:
    """Clears documents in a closed registry: the status of each kind."""
    folder.mkdir()
    for n, data in enumerate(packed(papers), 1):
        (folder / f"{n}.xml").write_bytes(data)
    report = folder / "report.jsonl"
    call("clear", folder, "--registry", "closed", "--signatures", "ignored", "--report", report)
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    return {line["document"]: line["status"] for line in lines}


def test_filing_mandate_and_parcel(call: Call, tmp_path: Path) -> None:
    assert set(clear(call, tmp_path / "1", *parcel()).values()) == {-10102}
    for (code, name), roles in FIRMS:
        done = call("company", "file", code, "--name", name, "--role", roles, "--by", "王")
        assert done.exit_code == 0, done.output
    call("guarantee", "open", PLATFORM[0], "--amount", "1000", "--kind", "deposit")

    foreign = [Paper(p.kind, p.head, p.lines, STRANGER) for p in parcel(2)]
    refused = clear(call, tmp_path / "2", *foreign)
    assert refused["inventory"] == -621016
    for principal in (PLATFORM, PAYMENT, CARRIER, AGENT):
        mandate = ("company", "mandate", principal[0], STRANGER[0], "--since", "2022-06-01")
        assert call(*mandate).exit_code == 0
    cleared = clear(call, tmp_path / "3", *(paper.again() for paper in foreign))
    assert cleared["inventory"] == 800

    ended = call("company", "end-mandate", AGENT[0], STRANGER[0], "--on", "2022-05-31")
    assert ended.exit_code == 0, ended.output
    foreign = [Paper(p.kind, p.head, p.lines, STRANGER) for p in parcel(3)]
    assert clear(call, tmp_path / "4", *foreign)["inventory"] == -621016

    shown = call("company", "show", AGENT[0])
    assert "mandate ended" in shown.output
    assert "王" in shown.output


def test_a_sender_is_known_by_its_credit_code_too(call: Call, tmp_path: Path) -> None:
    for (code, name), roles in FIRMS:
        more = ("--credit-code", CREDIT) if code == PLATFORM[0] else ()
        call("company", "file", code, "--name", name, "--role", roles, *more)
    call("guarantee", "open", PLATFORM[0], "--amount", "1000", "--kind", "deposit")
    order, *others = parcel()
    by_credit_code = Paper(order.kind, order.head, order.lines, (CREDIT, PLATFORM[1]))
    assert clear(call, tmp_path / "1", by_credit_code, *others)["inventory"] == 800


def test_a_filing_with_errors_ends_with_1_and_says_them_all(call: Call) -> None:
    done = call("company", "file", "91330100MA2CC0XY1C", "--name", "甲", "--role", "seller,king")
    assert done.exit_code == 1
    assert "code: expected a code whose check digit is B" in done.output
    assert "role: expected one of platform, seller" in done.output
    assert call("company", "show", "3302695961").exit_code == 1
    assert json.loads(call("company", "list", "--json", "-").stdout) == []


def test_a_key_from_issue_to_revocation(
    call: Call, database: store.Database, tmp_path: Path
) -> None:
    call("company", "file", SELLER[0], "--name", SELLER[1], "--role", "seller")
    issued = call("keys", "issue", SELLER[0], "--expires", "2022-06-30")
    assert issued.exit_code == 0, issued.output
    key = issued.stdout.strip()
    last, after = 1656604799999, 1656604800000  # around the midnight that ends June in Shanghai
    with database.connect() as conn:
        caller = keys.authenticate(conn, key, last)
        assert caller is not None
        assert caller.company == SELLER[0]
        assert keys.authenticate(conn, key, after) is None
    refused = call("keys", "issue", SELLER[0], "--scope", "operate")
    assert refused.exit_code == 1
    assert "filed as operator" in refused.output
    file = tmp_path / "key.json"
    call("keys", "issue", SELLER[0], "--scope", "receipts:read", "--json", file)
    facts = json.loads(file.read_text("utf-8"))
    assert facts["scopes"] == ["receipts:read"]
    assert facts["key"].startswith(f"tgk_{facts['id']}_")
    assert call("keys", "revoke", caller.key_id).exit_code == 0
    listed = call("keys", "list", SELLER[0])
    assert "revoked 2022-06-01" in listed.output
    assert facts["id"] in listed.output
    assert key not in listed.output
    assert call("keys", "revoke", "nothing").exit_code == 1
