"""Original payment data, both sides on this machine: the window asks, a platform answers."""

import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from dossiers import NOON, PAYMENT, PLATFORM, SELLER, message, order, packed, parcel, payment
from rich.console import Console
from typer.testing import CliRunner, Result

from tongguan import cli, console, messages, store
from tongguan.sharing.payment_data import asking, carrying, platform, protocol
from tongguan.sharing.payment_data.sandbox import Sandbox

Call = Callable[..., Result]
NOW = 1654056000000
SECONDS = 20


class Ours:
    """The HTTP end of our window, and the time it takes an upload at."""

    def __init__(self, database: store.Database, vault: store.Vault) -> None:
        self._database, self._vault = database, vault
        self.now = NOW
        self.answers: queue.Queue[dict] = queue.Queue()

    def take(self, body: bytes) -> dict:
        answer = store.transact(
            self._database,
            lambda conn: asking.receive_upload(conn, self._vault, body, self.now),
        )
        self.answers.put(answer)
        return answer


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: store.Database) -> Call:
    monkeypatch.setenv("TONGGUAN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TONGGUAN_DATA_KEY", "ab" * 32)
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setattr(console, "out", Console(width=200, highlight=False))
    monkeypatch.setattr(console, "err", Console(stderr=True, width=200, highlight=False))

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])

    run("clock", NOON)
    return run


@pytest.fixture
def ours(call: Call, database: store.Database) -> Ours:
    return Ours(database, store.Vault(bytes.fromhex("ab" * 32)))


@pytest.fixture
def window(ours: Ours) -> Iterator[str]:
    """Where our window takes uploads."""
    with carrying.Listener({protocol.UPLOAD_PATH: ours.take}) as listener:
        yield listener.root + protocol.UPLOAD_PATH


@pytest.fixture
def keys(call: Call, tmp_path: Path) -> Path:
    """A filed platform with a certificate, and a parcel of it that is cleared."""
    call("company", "file", PLATFORM[0], "--name", PLATFORM[1], "--role", "platform")
    folder = tmp_path / "keys"
    done = call("keys", "certificate", PLATFORM[0], "--algorithm", "rsa", "--out", folder)
    assert done.exit_code == 0, done.output
    inbox = tmp_path / "in"
    inbox.mkdir()
    for n, data in enumerate(packed(parcel()), 1):
        (inbox / f"{n}.xml").write_bytes(data)
    assert call("clear", inbox, "--signatures", "ignored").exit_code == 0
    return folder


def sandbox(keys: Path, window: str, told: queue.Queue, **manners: object) -> Sandbox:
    wrong = bool(manners.pop("wrong_signature", False))
    known = platform.book([message(order()), message(payment())])
    made = platform.Platform(messages.Signer.load(keys), known, wrong)
    return Sandbox(made, window, lambda: NOW, tell=told.put, **manners)  # type: ignore[arg-type]


def ask(call: Call, url: str, order_no: str = "O0000001") -> dict:
    assert call("payments", "register", PLATFORM[0], url).exit_code == 0
    done = call("payments", "ask", order_no, "--platform", PLATFORM[0], "--json", "-")
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def show(call: Call, session: str, at: str = NOON) -> dict:
    [facts] = json.loads(call("payments", "show", session, "--at", at, "--json", "-").stdout)
    return dict(facts)


def test_the_window_asks_and_the_platform_answers_signed(
    call: Call, keys: Path, window: str, ours: Ours, tmp_path: Path
) -> None:
    told: queue.Queue[str] = queue.Queue()
    with sandbox(keys, window, told) as stands:
        asked = ask(call, stands.url)
        assert asked["state"] == "opened"
        assert asked["due"] == "2022-06-01T04:02:00+00:00"
        assert ours.answers.get(timeout=SECONDS)["code"] == "10000"
    facts = show(call, asked["session"])
    assert facts["state"] == "answered"
    answer = facts["events"][-1]["facts"]
    assert answer["differs"] == []
    assert answer["amount"] == "100"
    file = tmp_path / "upload"
    assert call("payments", "show", "O0000001", "--original", file).exit_code == 0
    upload = protocol.read_upload(file.read_bytes())
    assert upload.head["payCode"] == PAYMENT[0]
    assert upload.orders[0]["recpName"] == SELLER[1]
    assert "asked for order O0000001" in told.get(timeout=SECONDS)


def test_a_late_upload_is_refused_and_recorded(
    call: Call, keys: Path, window: str, ours: Ours
) -> None:
    ours.now = NOW + 120_001
    with sandbox(keys, window, queue.Queue(), late_seconds=0.01) as stands:
        asked = ask(call, stands.url)
        assert ours.answers.get(timeout=SECONDS)["code"] == "20004"
    assert show(call, asked["session"])["state"] == "late"


def test_a_wrong_signature_is_refused_and_recorded(
    call: Call, keys: Path, window: str, ours: Ours
) -> None:
    with sandbox(keys, window, queue.Queue(), wrong_signature=True) as stands:
        asked = ask(call, stands.url)
        assert ours.answers.get(timeout=SECONDS)["code"] == "20003"
    facts = show(call, asked["session"])
    assert facts["events"][-1]["what"] == "refused"
    assert show(call, asked["session"], "2022-06-01T12:02:01+08:00")["state"] == "silent"


def test_an_order_the_platform_does_not_know_ends_in_silence(
    call: Call, keys: Path, window: str, ours: Ours
) -> None:
    told: queue.Queue[str] = queue.Queue()
    with sandbox(keys, window, told) as stands:
        asked = ask(call, stands.url, "UNKNOWN")
        assert asked["state"] == "opened"  # a platform says 10000 to whatever number
        assert "asked for" in told.get(timeout=SECONDS)
        assert "does not know order UNKNOWN" in told.get(timeout=SECONDS)
    assert ours.answers.empty()
    assert show(call, asked["session"], "2022-06-01T12:02:01+08:00")["state"] == "silent"


def test_a_platform_that_is_not_there_is_told_with_exit_1(call: Call, keys: Path) -> None:
    call("payments", "register", PLATFORM[0], "http://127.0.0.1:9/platDataOpen")
    done = call("payments", "ask", "O0000001")
    assert done.exit_code == 1
    assert "cannot be reached" in done.output
    assert call("payments", "show", "NOTHING").exit_code == 1
    assert call("payments", "ask", "O9").exit_code == 2


def test_a_payment_of_two_orders_is_told_whole() -> None:
    both = [order(1, payTransactionId="T9"), order(2, payTransactionId="T9")]
    known = platform.book([message(*both)])
    assert known.of("O0000001") == known.of("O0000002")
    payment_ = known.of("O0000001")
    assert payment_ is not None
    assert [each["orderNo"] for each in payment_.orders] == ["O0000001", "O0000002"]
    assert known.of("O0000003") is None


def test_the_command_is_such_a_platform(
    call: Call, keys: Path, window: str, ours: Ours, database: store.Database
) -> None:
    command = (
        *(sys.executable, "-c", "from tongguan.cli import main; main()"),
        *("sandbox", "platform", "--port", "0", "--keys", keys, "--window", window),
    )
    environment = {**os.environ, "COLUMNS": "300"}
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = line.split()[2].rstrip(",")
            asked = ask(call, url, "ANY-ORDER")
            assert ours.answers.get(timeout=SECONDS)["code"] == "10000"
            assert show(call, asked["session"])["state"] == "answered"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert process.returncode == 0
    assert datetime.fromisoformat(asked["due"]).second == 0
