"""The command line, told to fall where a test wants it: python driver.py PLAN ARGUMENT…

PLAN is JSON. batch_files, batch_bytes: smaller batches than the product makes, for many
transactions. process_from_bytes: from where on a second process prepares them. ready: a file
descriptor that gets a byte once everything is imported. point, call, act: what happens at the n-th
time (from 1) that a point is passed. counts: a file that gets how often each point was passed. pid:
the postmaster's pid file, for acts against the server.

The product is only wrapped from outside here; it has no switch for any of this.
"""

import errno
import functools
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from tongguan import cli, store
from tongguan.clearance import ahead, intake


def main() -> None:
    plan = json.loads(sys.argv[1])
    passed: Counter[str] = Counter()

    def reach(point: str) -> None:
        passed[point] += 1
        if point == plan.get("point") and passed[point] == plan["call"]:
            ACTS[plan["act"]](plan)

    _wrap(reach)
    intake.BATCH_FILES = plan.get("batch_files", intake.BATCH_FILES)
    intake.BATCH_BYTES = plan.get("batch_bytes", intake.BATCH_BYTES)
    ahead.PROCESS_FROM_BYTES = plan.get("process_from_bytes", ahead.PROCESS_FROM_BYTES)
    if "ready" in plan:
        os.write(plan["ready"], b".")
        os.close(plan["ready"])
    sys.argv = ["tongguan", *sys.argv[2:]]
    try:
        cli.main()
    finally:
        if "counts" in plan:
            Path(plan["counts"]).write_text(json.dumps(passed))


def _wrap(reach: Callable[[str], None]) -> None:
    """Points: copy, before-commit, after-commit, half-receipt, written-receipt, kept-receipt."""
    # What is written behind the caller goes through the second name.
    store.copy = store.columns.copy = _before(store.copy, lambda: reach("copy"))
    commit = psycopg.Connection.commit

    @functools.wraps(commit)
    def committed(connection: psycopg.Connection) -> None:
        reach("before-commit")
        commit(connection)
        reach("after-commit")

    psycopg.Connection.commit = committed
    write_bytes, replace = Path.write_bytes, Path.replace

    def written(path: Path, data: bytes) -> int:
        if path.suffix == ".part":
            write_bytes(path, data[: len(data) // 2])
            reach("half-receipt")
        return write_bytes(path, data)

    def replaced(path: Path, target: Any) -> Path:
        if path.suffix != ".part":
            return replace(path, target)
        reach("written-receipt")
        moved = replace(path, target)
        reach("kept-receipt")
        return moved

    Path.write_bytes, Path.replace = written, replaced


def _before(function: Callable[..., Any], first: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(function)
    def both(*words: Any, **named: Any) -> Any:
        first()
        return function(*words, **named)

    return both


# --- acts -----------------------------------------------------------------------------------------


def _postmaster(plan: dict[str, Any]) -> int:
    return int(Path(plan["pid"]).read_text().split("\n", 1)[0])


def _die(plan: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_server(plan: dict[str, Any]) -> None:
    os.kill(_postmaster(plan), signal.SIGKILL)


def _kill_backend(plan: dict[str, Any]) -> None:
    os.kill(backend(_postmaster(plan)), signal.SIGKILL)
    time.sleep(0.05)  # the postmaster has to hear of it


def _stop_server(plan: dict[str, Any]) -> None:
    os.kill(_postmaster(plan), signal.SIGINT)
    time.sleep(0.05)


def backend(postmaster: int) -> int:
    """The pid of a server process that serves a client; the postmaster's if there is none."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == postmaster and b"[local]" in words:
            return int(folder.name)
    return postmaster


def _raise(error: BaseException) -> Callable[[dict[str, Any]], None]:
    def fail(plan: dict[str, Any]) -> None:
        raise error

    return fail


ACTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "die": _die,
    "kill-server": _kill_server,
    "kill-backend": _kill_backend,
    "stop-server": _stop_server,
    "disk-full": _raise(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
    "read-only": _raise(OSError(errno.EROFS, os.strerror(errno.EROFS))),
    "database-full": _raise(psycopg.errors.DiskFull("could not extend file: No space left")),
}

if __name__ == "__main__":
    main()
