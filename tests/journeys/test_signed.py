"""A client's day with signatures, and a whole zone that signs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tongguan import cli, messages, store, twin

NOON = "2022-06-01T12:00:00+08:00"
VECTORS = Path(__file__).parents[1] / "messages" / "signatures"
SENDER = "3301960A00"

Call = Callable[..., Result]


@pytest.fixture
def call(database: store.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """A command on this test's database; it must end with the status that is expected."""
    monkeypatch.setenv("TONGGUAN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TONGGUAN_DATA_KEY", "ab" * 32)
    monkeypatch.setenv("DATABASE_URL", database.url)

    def run(*words: object, status: int = 0) -> Result:
        done = CliRunner().invoke(cli.app, [str(word) for word in words])
        assert done.exit_code == status, done.output
        return done

    return run


def facts(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


def findings(report: Path) -> list[dict[str, Any]]:
    """The signature findings of a report of one line."""
    line = json.loads(report.read_text("utf-8"))
    return [found for found in line["findings"] if found["rule"] == "message.signature"]


@pytest.mark.parametrize("algorithm", ["rsa", "sm2"])
def test_a_key_is_made_a_message_signed_sent_and_the_certificate_revoked(
    call: Call, tmp_path: Path, algorithm: str
) -> None:
    keys, signed, report = tmp_path / "keys", tmp_path / "signed.xml", tmp_path / "report.jsonl"
    made = ("keys", "certificate", SENDER, "--algorithm", algorithm, "--out", keys, "--at", NOON)
    assert "is filed" in call(*made, "--name", "明日商城").output
    assert "exists" in call(*made, status=2).output, "a key is not overwritten"
    listed = tmp_path / "listed.json"
    call("keys", "certificates", SENDER, "--json", listed)
    [row] = facts(listed)
    assert (row["company"], row["algorithm"], row["revoked_at"]) == (SENDER, algorithm, None)

    call("sign", VECTORS / "message.xml", "--keys", keys, "--out", signed)
    call("check", signed, "--at", NOON)
    assert "verifies" in call("diagnose", signed).output
    required = ("clear", signed, "--signatures", "required", "--report", report, "--at")
    call(*required, NOON)
    assert findings(report) == []

    call("keys", "revoke-certificate", SENDER, row["serial"], "--because", "lost", "--at", NOON)
    assert "revoked" in call("keys", "certificates").output
    call("sign", signed, "--keys", keys, "--out", signed)  # another signature for SM2
    signed.write_bytes(signed.read_bytes() + b"\n")
    call(*required, "2022-06-01T12:00:01+08:00", status=1)
    [found] = findings(report)
    assert "revoked since 2022-06-01T04:00:00" in found["actual"]


def test_a_client_finds_its_mistake(call: Call, tmp_path: Path) -> None:
    keys, signed, mine = tmp_path / "keys", tmp_path / "signed.xml", tmp_path / "mine.txt"
    call("keys", "certificate", SENDER, "--algorithm", "rsa", "--out", keys)
    call("sign", VECTORS / "message.xml", "--keys", keys, "--out", signed)
    mine.write_bytes((VECTORS / "rsa-sha256" / "canonical.txt").read_bytes())
    signed.write_bytes(signed.read_bytes().replace("王小明".encode(), "王小朋".encode(), 1))
    told = call("check", signed, "--at", NOON, status=1)
    assert "ds:DigestValue" in told.output
    answer = tmp_path / "answer.json"
    call("diagnose", signed, "--canonical", mine, "--json", answer, status=1)
    found = facts(answer)
    assert found["verdict"] == "digest"
    where = found["first_difference"]
    assert (where["ours"][where["mark"]], where["theirs"][where["mark"]]) == ("朋", "明")
    shown = call("diagnose", signed, "--canonical", mine, status=1).output
    assert "first difference at byte" in shown


def test_what_cannot_be_signed_or_filed_is_said(call: Call, tmp_path: Path) -> None:
    out, junk = tmp_path / "out.xml", tmp_path / "junk.pem"
    junk.write_text("nothing")
    keys = VECTORS / "rsa-sha256"
    no_message = call("sign", junk, "--keys", keys, "--out", out, status=1)
    assert "no message of the standard" in no_message.output
    wrong = call(
        *("sign", VECTORS / "message.xml", "--keys", keys, "--out", out, "--scheme", "sm2-sm3"),
        status=1,
    )
    assert "does not go with" in wrong.output
    call("sign", VECTORS / "message.xml", "--keys", tmp_path, "--out", out, status=1)
    assert not out.exists()
    assert "no certificate" in call("keys", "file-certificate", junk, status=1).output
    certificate = keys / "certificate.pem"
    call("keys", "file-certificate", certificate, "--company", "no code", status=1)
    assert "1 certificates filed" in call("keys", "file-certificate", certificate).output
    assert "0 certificates filed" in call("keys", "file-certificate", certificate).output
    other = call("keys", "file-certificate", certificate, "--company", "3302695961", status=1)
    assert f"filed for {SENDER}" in other.output
    call("keys", "revoke-certificate", SENDER, "77", "--because", "lost", status=1)
    call("keys", "certificate", "no", "--algorithm", "sm2", "--out", tmp_path / "k", status=1)
    assert not (tmp_path / "k").exists()
    odd = ("keys", "certificate", SENDER, "--algorithm", "sm2", "--out", tmp_path / "k")
    call(*odd, "--from", "2022-06-02", "--to", "2022-06-01", status=2)


@pytest.mark.parametrize("algorithm", ["rsa", "sm2"])
def test_a_zone_that_signs_ends_as_it_expects(call: Call, tmp_path: Path, algorithm: str) -> None:
    zone, report = tmp_path / "zone", tmp_path / "report.jsonl"
    made = ("twin", "--seed", 21, "--parcels", 400, "--faults", "0.3", "--sign", algorithm)
    call(*made, "--out", zone)
    expected = [json.loads(line) for line in (zone / "expected.jsonl").read_text().splitlines()]
    failing = [line for line in expected if "message.signature" in line["rules"]]
    assert failing
    filed = call("keys", "file-certificate", zone / "keys", "--at", NOON).output
    assert f"{len(list((zone / 'keys').iterdir()))} certificates filed" in filed
    cleared = ("clear", zone / "messages", "--at", NOON, "--signatures", "required")
    call(*cleared, "--report", report, status=1)
    assert twin.differences(zone / "expected.jsonl", report) == []
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    told = [found for line in lines for found in line["findings"]]
    signatures = [found for found in told if found["rule"] == "message.signature"]
    assert len(signatures) == len(failing), "and nothing is said of the others"


def test_a_folder_of_keys_is_used_again(tmp_path: Path) -> None:
    twin.write(tmp_path / "a", seed=5, parcels=5, faults=0, sign="sm2")
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "keys").rename(tmp_path / "b" / "keys")
    before = {path: path.read_bytes() for path in (tmp_path / "b" / "keys").rglob("*.pem")}
    twin.write(tmp_path / "b", seed=5, parcels=5, faults=0, sign="sm2")
    assert all(path.read_bytes() == data for path, data in before.items())
    for file in (tmp_path / "b" / "messages").iterdir():
        form = messages.parse(file.read_bytes(), signed_form=True).form
        assert form is not None
        assert messages.verify(form, "order").verifies
    (tmp_path / "c").mkdir()
    (tmp_path / "b" / "keys").rename(tmp_path / "c" / "keys")
    with pytest.raises(ValueError, match="another key than rsa"):
        twin.write(tmp_path / "c", seed=5, parcels=5, faults=0, sign="rsa")
