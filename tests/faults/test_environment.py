"""The surroundings fail: exit 3, one clear paragraph, nothing half done; a later run ends it.

Each trouble is made, met, and taken away; then the same command must give the very outcome of a
run that never met it. Disks are filled for real where this process may mount one; the same
failures raised inside (driver.py) are tried everywhere.
"""

import os
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tongguan import store, twin
from window import (
    Done,
    Window,
    check_books,
    check_told,
    files,
    outcome,
    paragraph,
    same,
    server_processes,
    stored_receipts,
    window,
)

PARCELS = 30
FINISHED = (0, 1)
OTHER_KEY = "a5" * 32
full = pytest.mark.faults_full


@dataclass(frozen=True, slots=True)
class Scene:
    """A window, its traffic, and what becomes of it if nothing fails."""

    window: Window
    folder: Path
    wanted: dict[str, Counter[Any]]

    def clear(self, *words: str, **plan: Any) -> Done:
        return self.window.clear(self.folder, *words, **plan)

    def empty(self) -> None:
        with store.open(home=self.window.home) as database:
            self.window.reset(database)

    def ends_well(self) -> None:
        """The trouble is gone: the same command finishes, and nothing differs."""
        done = self.clear()
        assert done.status in FINISHED, done.err
        with store.open(home=self.window.home) as database:
            check_outcome(self, database)

    @property
    def pid(self) -> str:
        return str(self.window.pid)


def check_outcome(scene: Scene, database: store.Database) -> None:
    made = scene.window
    with database.connect(autocommit=True) as conn:
        vault = store.Vault.open(made.home)
        check_books(conn)
        check_told(stored_receipts(conn, vault), files(made.receipts), whole=True)
        same(outcome(conn, vault, made.home / "report.jsonl"), scene.wanted)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with window(batch_files=3) as made:
        twin.write(made.home / "a", seed=9, parcels=PARCELS, faults="0.2", documents_per_message=10)
        folder = made.home / "a/messages"
        assert made.clear(folder).status in FINISHED
        with store.open(home=made.home) as database, database.connect(autocommit=True) as conn:
            wanted = outcome(conn, store.Vault.open(made.home), made.home / "report.jsonl")
        yield Scene(made, folder, wanted)
        assert not server_processes(made.cluster)


@pytest.fixture
def fresh(scene: Scene) -> Scene:
    scene.empty()
    return scene


@contextmanager
def small_disk(folder: Path, size: str, options: str = "rw") -> Iterator[Path]:
    """A real file system of that size at ``folder``; skips where mounting is not allowed."""
    folder.mkdir(mode=0o711, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=711,{options}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


# --- the database ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://tongguan:secret@127.0.0.1:1/tongguan", "cannot be reached"),
        pytest.param("postgresql://127.0.0.1:port/x", "cannot be reached", marks=full),
        ("nonsense", "not a database address"),
        pytest.param("postgresql:///x?host=/nowhere", "cannot be reached", marks=full),
    ],
)
def test_no_database_there(scene: Scene, url: str, said: str) -> None:
    done = scene.clear("--database", url)
    told = paragraph(done)
    assert said in told
    assert "secret" not in told
    assert not scene.window.receipts.exists() or files(scene.window.receipts)


@full
def test_no_such_database_on_the_server(scene: Scene) -> None:
    with store.open(home=scene.window.home) as database:
        url = database.url.replace("/tongguan?", "/elsewhere?")
        assert 'database "elsewhere" does not exist' in paragraph(scene.clear("--database", url))


@full
def test_server_named_by_address_was_stopped(fresh: Scene) -> None:
    """A server that is not ours to start: refused, then up again, then finished."""
    with store.open(home=fresh.window.home) as database:
        url = database.url
    assert "cannot be reached" in paragraph(fresh.clear("--database", url))
    with store.open(home=fresh.window.home) as database:
        assert fresh.clear("--database", url).status in FINISHED
        check_outcome(fresh, database)


def test_server_stopped_during_the_run(fresh: Scene) -> None:
    done = fresh.clear(point="before-commit", call=6, act="stop-server", pid=fresh.pid)
    said = paragraph(done)
    assert "run" in said, said
    fresh.ends_well()


@pytest.mark.parametrize("way", ["execute", "fetch"])
def test_connection_lost_between_two_statements(scene: Scene, way: str) -> None:
    """Whichever way the next statement goes, the loss is known for what it is."""
    with store.open(home=scene.window.home) as database, database.connect() as conn:
        with socket.socket(fileno=os.dup(conn.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
        with pytest.raises(store.Unavailable, match="lost"), store.environment():
            store.fetch(conn, "SELECT 1 AS a") if way == "fetch" else conn.execute("SELECT 1")


@pytest.mark.parametrize("call", [8, *(pytest.param(n, marks=full) for n in range(1, 40, 4))])
def test_database_disk_full_as_the_server_would_say(fresh: Scene, call: int) -> None:
    said = paragraph(fresh.clear(point="copy", call=call, act="database-full"))
    assert "free some space" in said
    fresh.ends_well()


@full
def test_database_disk_really_full(scene: Scene) -> None:
    """The cluster on a small file system, filled up by somebody else before the run."""
    with window(batch_files=3) as made, small_disk(made.home / "disk", "160m") as disk:
        made.home = disk
        try:
            small = Scene(made, scene.folder, scene.wanted)
            with store.open(home=disk):
                pass
            fill(disk / "filler", leave=1 << 19)
            said = paragraph(small.clear())
            assert "disk is full" in said, said
            (disk / "filler").unlink()
            done = small.clear()
            assert done.status in FINISHED, done.err
            with store.open(home=disk) as database, database.connect(autocommit=True) as conn:
                check_books(conn)
                vault = store.Vault.open(disk)
                check_told(stored_receipts(conn, vault), files(made.receipts), whole=True)
                found = outcome(conn, vault, disk / "report.jsonl")
            # Buyers are known by a hash under the data key, and this home has its own.
            same({**found, "years": scene.wanted["years"]}, scene.wanted)
            assert found["years"].total() == scene.wanted["years"].total()
        finally:
            made.home = disk.parent


def fill(path: Path, leave: int) -> None:
    """A file that takes all of its file system but so many bytes."""
    space = os.statvfs(path.parent)
    with path.open("wb") as file:
        for _ in range((space.f_bavail * space.f_frsize - leave) >> 20):
            file.write(b"\0" * (1 << 20))


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "act", "said"),
    [
        ("half-receipt", "disk-full", "free some space"),
        pytest.param("written-receipt", "disk-full", "free some space", marks=full),
        pytest.param("kept-receipt", "disk-full", "free some space", marks=full),
        pytest.param("half-receipt", "read-only", "read-only", marks=full),
        pytest.param("written-receipt", "read-only", "read-only", marks=full),
        pytest.param("kept-receipt", "read-only", "read-only", marks=full),
    ],
)
def test_receipts_cannot_be_written(fresh: Scene, point: str, act: str, said: str) -> None:
    done = fresh.clear(point=point, call=Random(act + point).randint(1, 12), act=act)
    assert said in paragraph(done)
    with store.open(home=fresh.window.home) as database, database.connect() as conn:
        check_books(conn)
        stored = stored_receipts(conn, store.Vault.open(fresh.window.home))
        check_told(stored, files(fresh.window.receipts), whole=False)
    fresh.ends_well()


@full
def test_receipts_disk_really_full(fresh: Scene) -> None:
    with small_disk(fresh.window.receipts, "64k"):
        assert "disk is full" in paragraph(fresh.clear())
        with store.open(home=fresh.window.home) as database, database.connect() as conn:
            check_books(conn)
            stored = stored_receipts(conn, store.Vault.open(fresh.window.home))
            check_told(stored, files(fresh.window.receipts), whole=False)
    fresh.ends_well()


@full
def test_receipts_folder_really_read_only(fresh: Scene) -> None:
    with small_disk(fresh.window.receipts, "64k", "ro"):
        assert "read-only" in paragraph(fresh.clear())
    fresh.ends_well()


@full
def test_receipts_folder_is_a_file(fresh: Scene) -> None:
    fresh.window.receipts.write_text("I was here first")
    paragraph(fresh.clear())
    assert fresh.window.receipts.read_text() == "I was here first"
    fresh.window.receipts.unlink()
    fresh.ends_well()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_report_disk_full(fresh: Scene) -> None:
    assert "disk is full" in paragraph(fresh.clear("--report", "/dev/full"))
    fresh.ends_well()


def test_home_cannot_be_made(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    elsewhere = {"TONGGUAN_HOME": str(tmp_path / "file/home")}
    assert "TONGGUAN_HOME" in paragraph(scene.clear(environment=elsewhere))


def test_home_really_read_only(scene: Scene) -> None:
    with window() as made, small_disk(made.home / "disk", "1m", "ro") as disk:
        said = paragraph(scene.clear(environment={"TONGGUAN_HOME": str(disk)}))
        assert "read-only" in said.lower(), said
        assert not list(disk.iterdir())


# --- the data key ---------------------------------------------------------------------------------


def test_wrong_data_key(fresh: Scene) -> None:
    """Neither read nor added to: nothing may be sealed under a key that opens nothing else."""
    done = fresh.clear(point="after-commit", call=8, act="die")
    assert done.status == -signal.SIGKILL
    with store.open(home=fresh.window.home) as database, database.connect(autocommit=True) as conn:
        before = conn.execute("SELECT count(*), max(id) FROM message").fetchone()
        said = paragraph(fresh.clear(environment={"TONGGUAN_DATA_KEY": OTHER_KEY}))
        assert "data key" in said
        assert conn.execute("SELECT count(*), max(id) FROM message").fetchone() == before
        assert before is not None
        assert before[0] > 0
    fresh.ends_well()


@pytest.mark.parametrize("key", ["zz" * 32, pytest.param("", marks=full)])
def test_data_key_that_is_none(scene: Scene, key: str) -> None:
    path = scene.window.home / "data.key"
    right = path.read_bytes()
    try:
        path.write_text(key)
        assert "no data key" in paragraph(scene.clear())
    finally:
        path.write_bytes(right)


@full
def test_campaign_is_told(request: Any, tally: Callable[[str], None]) -> None:
    """Last of this file: how many troubles were met (failures show on their own)."""
    mine = [item for item in request.session.items if item.path == request.node.path]
    tally(f"surroundings: {len(mine) - 1} troubles, each met with exit 3 and then finished")
