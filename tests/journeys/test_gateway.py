"""The first message in five minutes, as docs/gateway.md tells it; and a day's end and beginning."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from processes import PROGRAM, SECRETS, Process, free_port, ready

ROOT = Path(__file__).resolve().parent.parent.parent
MESSAGE = ROOT / "examples/messages/000008-CEB311.xml"
SENDER = "3302690041"


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tg-day-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def tongguan(home: Path, *words: str) -> str:
    environment = os.environ | SECRETS | {"TONGGUAN_HOME": str(home / "data")}
    done = subprocess.run(
        [*PROGRAM, *words], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_newcomer_sends_a_first_message_and_reads_its_receipts(home: Path) -> None:
    port = free_port()
    words = ["up", "--port", str(port), "--registry", "open", "--signatures", "checked"]
    words += ["--at", "2022-06-01T12:00:00+08:00"]
    up = Process(words, {"TONGGUAN_HOME": str(home / "data")}, home, "up")
    try:
        before = ready(port)
        root = f"http://127.0.0.1:{port}"
        while "shown this once" not in up.out:
            time.sleep(0.05)
        assert f"{root}/api/messages" in up.out
        operator = re.search(r"^key +(tgk_\S+)$", up.out, re.MULTILINE)
        assert operator is not None
        deadline = time.monotonic() + 60
        while "tongguan_workers 1.0" not in figures(root, operator[1]):
            assert time.monotonic() < deadline
            time.sleep(0.1)

        tongguan(home, "company", "file", SENDER, "--name", "明日商城", "--role", "platform")
        key = tongguan(home, "keys", "issue", SENDER)
        headers = bearer(key) | {"Content-Type": "application/xml"}
        data = MESSAGE.read_bytes()
        reply = httpx.post(f"{root}/api/messages", content=data, headers=headers)
        assert (reply.status_code, reply.json()["documents"]) == (202, 6)
        told = httpx.get(f"{root}/api/receipts?wait=30", headers=headers, timeout=40).json()
        assert {entry["message"] for entry in told["receipts"]} == {"CEB312"}
        assert len(told["receipts"]) == 6

        up.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while (after := ready(port))["process"] == before["process"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert after["window"] == before["window"]
        again = httpx.post(f"{root}/api/messages", content=data, headers=headers)
        assert again.content == reply.content

        # Handed in, and stopped before or after it is recorded: the next day's start has it.
        assert httpx.post(f"{root}/api/messages", content=b"<no/>", headers=headers).is_error
        assert up.stop() == 0
        up.start()
        ready(port)
        later = httpx.get(
            f"{root}/api/receipts?wait=30&after={told['next']}", headers=headers, timeout=40
        )
        assert [entry["message"] for entry in later.json()["receipts"]] == ["CEB900"]
        assert up.out.count("shown this once") == 1
        assert up.stop() == 0
    finally:
        up.kill()
    assert not [line for line in up.log.splitlines() if "Traceback" in line]


def figures(root: str, key: str) -> str:
    reply = httpx.get(f"{root}/metrics", headers=bearer(key))
    assert reply.status_code == 200
    return reply.text


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_two_windows_do_not_share_a_port(home: Path) -> None:
    """Each would get some of the other's requests."""
    port = free_port()
    words = ["up", "--port", str(port), "--workers", "0"]
    first = Process(words, {"TONGGUAN_HOME": str(home / "data")}, home, "first")
    try:
        ready(port)
        second = Process(words, {"TONGGUAN_HOME": str(home / "other")}, home, "second")
        assert second.process.wait(60) == 3
        assert f"port {port}" in second.log
        assert first.stop() == 0
    finally:
        first.kill()
