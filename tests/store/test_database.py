"""Transactions that are tried again, and failures of the environment that say so."""

import errno
import os
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tongguan import store


def _run(database: store.Database, statement: str) -> None:
    store.transact(database, lambda connection: connection.execute(statement) and None)


def _numbers(database: store.Database, query: str) -> list[int]:
    with database.connect() as connection:
        return [row[0] for row in connection.execute(query)]


def test_transact_commits_and_returns(database: store.Database) -> None:
    _run(database, "CREATE TABLE t (a int)")
    query = "INSERT INTO t VALUES (7) RETURNING a"
    assert store.transact(database, lambda c: c.execute(query).fetchone()) == (7,)
    assert _numbers(database, "SELECT a FROM t") == [7]


def test_transact_rolls_back_what_fails(database: store.Database) -> None:
    _run(database, "CREATE TABLE t (a int)")

    def work(connection: psycopg.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        store.transact(database, work)
    assert _numbers(database, "SELECT a FROM t") == []


def test_two_who_read_and_write_the_same_both_get_through(database: store.Database) -> None:
    """Serializable, and each adds to what it read: without the second try one would be lost."""
    _run(database, "CREATE TABLE t AS SELECT 0 AS a")
    meet = threading.Barrier(2)
    tries: list[int] = []

    def work(connection: psycopg.Connection) -> None:
        row = connection.execute("SELECT a FROM t").fetchone()
        assert row
        tries.append(row[0])
        if len(tries) <= 2:
            meet.wait(10)
        connection.execute("UPDATE t SET a = %s", (row[0] + 1,))

    def run() -> None:
        store.transact(database, work, serializable=True)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert _numbers(database, "SELECT a FROM t") == [2]
    assert len(tries) == 3


def test_a_deadlock_is_tried_again(database: store.Database) -> None:
    _run(database, "CREATE TABLE t AS SELECT a FROM (VALUES (1), (2)) v(a)")
    meet = threading.Barrier(2)
    first_tries = 0
    failures: list[BaseException] = []

    def work(connection: psycopg.Connection, order: tuple[int, int]) -> None:
        nonlocal first_tries
        for number in order:
            connection.execute("SELECT a FROM t WHERE a = %s FOR UPDATE", (number,))
            if number == order[0] and first_tries < 2:
                first_tries += 1
                meet.wait(10)

    def run(order: tuple[int, int]) -> None:
        try:
            store.transact(database, lambda c: work(c, order))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(order,)) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []


def test_a_unique_violation_is_tried_again_and_then_raised(database: store.Database) -> None:
    _run(database, "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)")
    tries = 0

    def work(connection: psycopg.Connection, stop_at: int) -> None:
        nonlocal tries
        tries += 1
        connection.execute("INSERT INTO t VALUES (%s)", (2 if tries == stop_at else 1,))

    store.transact(database, lambda c: work(c, 3))
    assert _numbers(database, "SELECT a FROM t ORDER BY a") == [1, 2]
    tries = 0
    with pytest.raises(psycopg.errors.UniqueViolation):
        store.transact(database, lambda c: work(c, 99), attempts=4)
    assert tries == 4


def test_connections_are_used_again_and_dead_ones_are_not(
    database: store.Database, server: store.Database
) -> None:
    def backend(connection: psycopg.Connection) -> int:
        return connection.info.backend_pid

    first = store.transact(database, backend)
    assert store.transact(database, backend) == first
    with server.connect(autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (first,))
    assert store.transact(database, backend) != first


def test_a_server_lost_in_the_middle_is_unavailable(
    database: store.Database, server: store.Database
) -> None:
    _run(database, "CREATE TABLE t (a int)")

    def work(connection: psycopg.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        with server.connect(autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))
        connection.execute("INSERT INTO t VALUES (2)")

    with pytest.raises(store.Unavailable, match="run the command again"):
        store.transact(database, work)
    assert _numbers(database, "SELECT a FROM t") == []


def test_a_connection_lost_before_the_commit_is_unavailable(
    database: store.Database, server: store.Database
) -> None:
    def work(connection: psycopg.Connection) -> None:
        connection.execute("SELECT 1")
        with server.connect(autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))

    with pytest.raises(store.Unavailable, match="commit"):
        store.transact(database, work)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("53100", "the disk is full"),
        ("53200", "out of memory"),
        ("25006", "read-only"),
        ("42501", "permission"),
        ("57P01", "shut down"),
        ("58030", "cannot read or write"),
        ("XX001", "damaged"),
    ],
)
def test_what_the_server_says_of_its_environment(
    database: store.Database, state: str, words: str
) -> None:
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(store.Unavailable, match=rf"{words}.*so it is"):
        _run(database, statement)


@pytest.mark.parametrize("state", ["57014", "23514", "42P01", "22001"])
def test_other_errors_stay_what_they_are(database: store.Database, state: str) -> None:
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(psycopg.Error) as caught:
        _run(database, statement)
    assert caught.value.sqlstate == state


def test_a_read_only_database_is_unavailable(database: store.Database) -> None:
    name = database.url.split("dbname=")[1].split()[0]
    _run(database, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with store.open(database.url) as again, pytest.raises(store.Unavailable, match="read-only"):
        _run(again, "CREATE TABLE t (a int)")


def test_a_full_disk_on_our_side_is_unavailable() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with (
        pytest.raises(store.Unavailable, match="the disk is full"),
        store.environment(),
        open("/dev/full", "w") as full,
    ):
        full.write("x" * 100_000)


def test_an_error_that_is_not_of_the_environment_passes() -> None:
    with pytest.raises(FileNotFoundError), store.environment():
        Path("/no/such/file").read_text()
    assert store.unavailable(ValueError("x")) is None
    assert store.unavailable(OSError(errno.ENOENT, "x")) is None


def test_nobody_listening_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(store.Unavailable, match="cannot be reached"):
        store.open(f"postgresql://nobody@/x?host={tmp_path}")
    with pytest.raises(store.Unavailable, match="cannot be reached"):
        store.open("postgresql://nobody@127.0.0.1:1/x")


def test_an_address_that_is_none_is_unavailable_and_keeps_its_secret() -> None:
    with pytest.raises(store.Unavailable, match="not a database address") as caught:
        store.open("mysql://user:hunter2@host/x")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(store.Unavailable) as caught:
        store.open("postgresql://user:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(store.Database("postgresql://user:hunter2@h/x"))
    assert "hunter2" not in repr(store.Database("host=h password=hunter2"))
    assert "hunter2" not in repr(store.Database("host=h password = 'it\\'s hunter2'"))


def test_a_database_that_is_not_there_is_unavailable(server: store.Database) -> None:
    with pytest.raises(store.Unavailable, match="does not exist"):
        store.open(make_conninfo(server.url, dbname="nowhere"))


def test_open_takes_the_address_from_the_environment(
    server: store.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", server.url)
    with store.open() as database:
        assert database.url == server.url


def test_home_folder_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGGUAN_HOME", "/somewhere/else")
    assert store.home_folder() == Path("/somewhere/else")
    monkeypatch.delenv("TONGGUAN_HOME")
    assert store.home_folder().name == "tongguan"
    assert store.home_folder().is_absolute()


def test_sessions_speak_utc_and_iso(database: store.Database) -> None:
    with database.connect() as connection:
        got = connection.execute("SELECT current_setting('timezone'), current_setting('datestyle')")
        assert got.fetchone() == ("UTC", "ISO, MDY")


def test_a_forked_child_does_not_close_the_parents_database(database: store.Database) -> None:
    child = os.fork()
    if child == 0:
        database.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert _numbers(database, "SELECT 1") == [1]


def test_exists_looks_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path, server: store.Database
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("TONGGUAN_HOME", str(tmp_path))
    assert not store.exists()
    assert list(tmp_path.iterdir()) == []
    assert store.exists("postgresql://somewhere/x")
    monkeypatch.setenv("TONGGUAN_HOME", str(home))
    assert store.exists()
