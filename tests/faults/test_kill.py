"""kill -9 of the process, and of the database, at any moment: run it again and all is as it were.

Each round begins with an empty database, kills a run over twin traffic at a moment drawn from a
seed, starts the same command again, and compares with a run that nobody disturbed. Half of the
moments are points of time, half are named points of the code (see driver.py); in half of the rounds
a second process prepares the batches.
"""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from driver import backend

from tongguan import store, twin
from window import (
    AT,
    Done,
    Window,
    check_books,
    check_told,
    files,
    finished,
    outcome,
    readiness,
    same,
    server_processes,
    stored_receipts,
    wait_until_ready,
    window,
)

PARCELS, LATE_PARCELS = 60, 6
LATE = "2022-07-20T12:00:00+08:00"
"""When the window in which documents must match has ended: the lists that wait are refused."""
LATE_MS = 1_658_289_600_000
FINISHED = (0, 1)
ROUNDS = [pytest.param(2, id="sample"), pytest.param(100, id="full", marks=pytest.mark.faults_full)]
POINTS = (
    "copy",
    "before-commit",
    "after-commit",
    "half-receipt",
    "written-receipt",
    "kept-receipt",
)


@dataclass(frozen=True, slots=True)
class Act:
    """One of the commands that make a run: the traffic, then what is due weeks later."""

    folder: Path
    at: str


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a run gives if it is left alone, after its first command and after its second."""

    acts: tuple[Act, Act]
    seconds: tuple[float, float]
    counts: tuple[dict[str, int], dict[str, int]]
    outcomes: tuple[dict[str, Counter[Any]], dict[str, Counter[Any]]]


@pytest.fixture(scope="module")
def made() -> Iterator[Window]:
    with window(batch_files=4) as each:
        twin.write(each.home / "a", seed=5, parcels=PARCELS, faults="0.1", documents_per_message=10)
        twin.write(each.home / "b", seed=6, parcels=LATE_PARCELS, faults=0)
        yield each


@pytest.fixture(scope="module")
def undisturbed(made: Window) -> Undisturbed:
    acts = Act(made.home / "a/messages", AT), Act(made.home / "b/messages", LATE)
    seconds, counts, outcomes = [], [], []
    with store.open(home=made.home) as database:
        vault = store.Vault.open(made.home)
        for act in acts:
            with readiness() as (read, write):
                words = made.words(act.folder, act.at)
                process = made.start(*words, ready=write, counts=str(made.home / "counts"))
                wait_until_ready(read, write)
                done = finished(process)
            assert done.status in FINISHED, done.err
            seconds.append(done.seconds)
            counts.append(json.loads((made.home / "counts").read_text()))
            with database.connect(autocommit=True) as conn:
                check_books(conn)
                check_told(stored_receipts(conn, vault), files(made.receipts), whole=True)
                outcomes.append(outcome(conn, vault, made.home / "report.jsonl"))
    released, waited = outcomes[0]["events"], outcomes[1]["events"]
    assert sum(event[6] == 800 for event in released) > PARCELS * 2 // 3
    assert any(event[5:7] == (2, 100) and event[7] > LATE_MS for event in waited)
    return Undisturbed(acts, tuple(seconds), tuple(counts), tuple(outcomes))


def killed(
    made: Window, still: Undisturbed, rng: Random, act: int, victim: str
) -> tuple[str, Done]:
    """Run a command and kill the victim at some moment; what that moment was."""
    words = made.words(still.acts[act].folder, still.acts[act].at)
    pid = str(made.home / "database/postmaster.pid")
    plan = {} if rng.random() < 0.5 else {"process_from_bytes": 0}
    doing = {"process": "die", "server": "kill-server", "backend": "kill-backend"}[victim]
    if rng.random() < 0.5:
        point = rng.choice([name for name in POINTS if still.counts[act].get(name)])
        call = rng.randint(1, still.counts[act][point])
        plan |= {"point": point, "call": call, "act": doing, "pid": pid}
        return f"{point} {call}", made.run(*words, **plan)
    wait = rng.random() * still.seconds[act]
    with readiness() as (read, write):
        process = made.start(*words, ready=write, **plan)
        wait_until_ready(read, write)
        time.sleep(wait)
        with suppress(ProcessLookupError, FileNotFoundError):
            _kill(made, process.pid, victim)
        return f"{wait:.3f} s", finished(process)


def _kill(made: Window, process: int, victim: str) -> None:
    if victim == "process":
        os.kill(process, signal.SIGKILL)
        return
    postmaster = int(made.pid.read_text().split("\n", 1)[0])
    os.kill(postmaster if victim == "server" else backend(postmaster), signal.SIGKILL)


def again_and_equal(made: Window, still: Undisturbed, act: int) -> None:
    """The same command once more finishes the work; nothing differs from the undisturbed run."""
    done = made.clear(still.acts[act].folder, at=still.acts[act].at)
    assert done.status in FINISHED, done.err
    with store.open(home=made.home) as database, database.connect(autocommit=True) as conn:
        vault = store.Vault.open(made.home)
        check_books(conn)
        check_told(stored_receipts(conn, vault), files(made.receipts), whole=True)
        waiting = conn.execute("SELECT count(*) FROM evidence_run WHERE first IS NULL").fetchone()
        assert waiting == (0,), "leaves were left without a position"
        assert not list(made.receipts.glob("*.part")), "a piece of a receipt was left"
        same(outcome(conn, vault, made.home / "report.jsonl"), still.outcomes[act])


def before(made: Window, still: Undisturbed, rng: Random) -> int:
    """Which command is disturbed; the one before it has then been done in peace."""
    act = 1 if rng.random() < 0.25 else 0
    if act:
        assert made.clear(still.acts[0].folder).status in FINISHED
    return act


@pytest.mark.parametrize("rounds", ROUNDS)
def test_process_killed(
    made: Window, undisturbed: Undisturbed, rounds: int, tally: Callable[[str], None]
) -> None:
    cut = Counter[str]()
    for number in range(rounds):
        rng = Random(f"process {number}")
        with store.open(home=made.home) as database:
            made.reset(database)
            act = before(made, undisturbed, rng)
            moment, done = killed(made, undisturbed, rng, act, "process")
            where = f"round {number}, command {act}, {moment}"
            assert done.status in (-signal.SIGKILL, *FINISHED), (where, done)
            cut["killed" if done.status < 0 else "had finished"] += 1
            try:
                with database.connect(autocommit=True) as conn:
                    check_books_if_any(conn)
                    stored = stored_if_any(conn, store.Vault.open(made.home))
                check_told(stored, files(made.receipts), whole=False)
                again_and_equal(made, undisturbed, act)
            except AssertionError as error:
                raise AssertionError(f"{where}: {error}") from error
    assert not server_processes(made.cluster)
    tally(f"process killed: {rounds} rounds, {dict(cut)}; every outcome as if undisturbed")


def check_books_if_any(conn: Any) -> None:
    if conn.execute("SELECT to_regclass('document')").fetchone() != (None,):
        check_books(conn)


def stored_if_any(conn: Any, vault: store.Vault) -> dict[str, bytes]:
    if conn.execute("SELECT to_regclass('receipt')").fetchone() == (None,):
        return {}
    return stored_receipts(conn, vault)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_database_killed(
    made: Window, undisturbed: Undisturbed, rounds: int, tally: Callable[[str], None]
) -> None:
    """Nothing here starts the server again but the next command itself."""
    cut = Counter[str]()
    for number in range(rounds):
        rng = Random(f"database {number}")
        with store.open(home=made.home) as database:
            made.reset(database)
        victim = "backend" if number % 4 == 3 else "server"
        act = before(made, undisturbed, rng)
        moment, done = killed(made, undisturbed, rng, act, victim)
        where = f"round {number}, {victim}, command {act}, {moment}"
        assert done.status in (3, *FINISHED), (where, done)
        assert "Traceback" not in done.err, (where, done.err)
        assert done.status != 3 or done.err.strip(), where
        cut[f"{victim} killed, exit {done.status}"] += 1
        try:
            again_and_equal(made, undisturbed, act)
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error
    assert not server_processes(made.cluster)
    tally(f"database killed: {rounds} rounds, {dict(cut)}; every outcome as if undisturbed")
