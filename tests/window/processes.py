"""Real processes of the window, on a database and a port of a test's own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PROGRAM = [sys.executable, "-c", "from tongguan.cli import main; main()"]
SECRETS = {"TONGGUAN_DATA_KEY": "ab" * 32, "TONGGUAN_EVIDENCE_KEY": "cd" * 32}


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@dataclass
class Process:
    """One command that runs until it is stopped; its log is what it writes to standard error."""

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    name: str
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        with (
            (self.folder / f"{self.name}.out").open("ab") as out,
            (self.folder / f"{self.name}.log").open("ab") as log,
        ):
            self.process = subprocess.Popen(
                [*PROGRAM, *self.words],
                stdout=out,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=os.environ | SECRETS | dict(self.environment),
            )

    @property
    def out(self) -> str:
        return (self.folder / f"{self.name}.out").read_text("utf-8")

    @property
    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text("utf-8")

    def events(self, event: str) -> list[dict[str, Any]]:
        """Lines of the log that tell of an event."""
        lines = (json.loads(line) for line in self.log.splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == event]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 60) -> int:
        """Stop it in order; its exit status."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def ready(port: int, seconds: float = 60) -> dict[str, Any]:
    """Wait until the gateway of a port takes messages; what it says of itself."""
    end = time.monotonic() + seconds
    while True:
        with suppress(httpx.HTTPError):
            reply = httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5)
            if reply.status_code == 200:
                return reply.json()
        assert time.monotonic() < end, f"nothing is ready at {port}"
        time.sleep(0.05)
