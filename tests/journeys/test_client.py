"""The page about the client, run against a window that is really up."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from dossiers import NOON, PLATFORM, order
from rich.console import Console
from typer.testing import CliRunner, Result

from tongguan import cli, console, messages, store
from tongguan.client import AsyncClient, Parcels

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "client.md"
Call = Callable[..., Result]
READY_SECONDS = 60
TYPE = messages.message_type("CEB311")


def document(no: int) -> dict[str, object]:
    """An order as a program has it: elements, and its lines."""
    paper = order(no)
    head = {f.name: paper.head.get(f.name) for f in TYPE.head_fields if f.name != "guid"}
    lines = [{f.name: line.get(f.name) for f in TYPE.line_fields} for line in paper.lines]
    return head | {"lines": lines}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: store.Database) -> Call:
    monkeypatch.setenv("TONGGUAN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TONGGUAN_DATA_KEY", "ab" * 32)
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setattr(console, "out", Console(width=200, highlight=False))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        done = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        assert done.exit_code == 0, done.output
        return done

    return run


@pytest.fixture
def port(call: Call) -> Iterator[int]:
    """A window that is up: closed registry, signatures required, the clock at noon."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    command = [sys.executable, "-c", "from tongguan.cli import main; main()", "up"]
    with subprocess.Popen(
        [*command, "--port", str(number), "--at", NOON],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ),
    ) as process:
        try:
            _wait_until_ready(number)
            yield number
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(READY_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _wait_until_ready(port: int) -> None:
    for _ in range(READY_SECONDS * 4):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.25)
    pytest.fail("the window is not up")


def test_the_example_of_the_page(call: Call, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    call("company", "file", PLATFORM[0], "--name", PLATFORM[1], "--role", "platform")
    call("company", "file", order(1).head["ebcCode"], "--name", "海棠", "--role", "seller")
    call("keys", "certificate", PLATFORM[0], "--algorithm", "rsa", "--out", "keys")
    key = call("keys", "issue", PLATFORM[0]).stdout.strip()
    [example, *_] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len([line for line in example.splitlines() if line and "import" not in line]) <= 10
    capsys.readouterr()
    names = {"key": key, "orders": [document(no) for no in (1, 2, 3)]}
    exec(example.replace(":8000", f":{port}"), names)
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in told] == [[f"O{no:07d}", "2"] for no in (1, 2, 3)]
    asyncio.run(_awaited(port, key, names["parcels"]))


async def _awaited(port: int, key: str, known: Parcels) -> None:
    """A second client that is already waiting when the receipt comes."""
    async with AsyncClient(f"http://127.0.0.1:{port}", key) as client:
        page = await client.read()
        assert {r.cursor for r in page.receipts} == {
            cursor for each in known for cursor in each.receipts
        }
        waiting = asyncio.ensure_future(client.read(page.next, wait=30))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await client.send(b"<no/>")
        found = await waiting
        assert [receipt.message for receipt in found.receipts] == ["CEB900"]


def test_the_client_needs_no_database() -> None:
    code = "import tongguan.client, sys; print(sorted({'psycopg', 'django'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
