"""What is written behind a caller: in order, before the commit, and never half."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psycopg
import pytest

from tongguan import store


@pytest.fixture
def table(database: store.Database) -> str:
    with database.connect(autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS behind")
        conn.execute("CREATE TABLE behind (n integer PRIMARY KEY)")
    return "behind"


def numbers_in(database: store.Database) -> list[int]:
    with database.connect(autocommit=True) as conn:
        return [row[0] for row in conn.execute("SELECT n FROM behind ORDER BY n")]


def insert(*numbers: int) -> store.Work:
    def work(conn: psycopg.Connection) -> None:
        for number in numbers:
            conn.execute("INSERT INTO behind VALUES (%s)", (number,))

    return work


def test_a_commit_comes_after_what_is_written_behind(database: store.Database, table: str) -> None:
    held = threading.Event()

    def work(conn: psycopg.Connection) -> None:
        def late(conn: psycopg.Connection) -> None:
            assert held.wait(10)
            insert(1)(conn)

        store.behind(conn, late)
        store.behind(conn, insert(2))
        # The caller's own statement does not wait for what waits.
        assert conn.execute("SELECT count(*) FROM behind").fetchone() == (0,)
        held.set()

    store.transact(database, work)
    assert numbers_in(database) == [1, 2]


def test_the_caller_reads_what_was_written_once_it_has_settled(
    database: store.Database, table: str
) -> None:
    with database.connect() as conn:
        store.behind(conn, insert(*range(50)))
        store.settle(conn)
        assert conn.execute("SELECT count(*) FROM behind").fetchone() == (50,)
        conn.rollback()
    assert numbers_in(database) == []


def test_what_fails_behind_fails_the_transaction_and_is_tried_again(
    database: store.Database, table: str
) -> None:
    tries = []

    def work(conn: psycopg.Connection) -> None:
        tries.append(len(tries))
        conn.execute("INSERT INTO behind VALUES (1)")
        if len(tries) == 1:
            store.behind(conn, insert(1))  # taken: as if another worker had been faster
        store.behind(conn, insert(2))

    store.transact(database, work)
    assert len(tries) == 2
    assert numbers_in(database) == [1, 2]


def test_the_failure_is_told_as_it_was(database: store.Database, table: str) -> None:
    with database.connect() as conn:
        store.behind(conn, lambda conn: conn.execute("SELECT 1 / 0"))
        store.behind(conn, insert(7))
        with pytest.raises(psycopg.errors.DivisionByZero):
            store.settle(conn)
        # Not "the transaction is aborted", which is what the server would say.
        with pytest.raises(psycopg.errors.DivisionByZero):
            conn.execute("SELECT 1")
        with pytest.raises(psycopg.errors.DivisionByZero):
            conn.commit()
        conn.rollback()
        assert conn.execute("SELECT count(*) FROM behind").fetchone() == (0,)
        conn.rollback()


def test_what_has_not_begun_is_dropped_by_a_rollback(database: store.Database, table: str) -> None:
    begun, held = threading.Event(), threading.Event()

    def slow(conn: psycopg.Connection) -> None:
        begun.set()
        held.wait(10)
        insert(1)(conn)

    with database.connect() as conn:
        store.behind(conn, slow)
        store.behind(conn, insert(2))
        assert begun.wait(10)
        threading.Timer(0.05, held.set).start()
        conn.rollback()
        store.behind(conn, insert(3))
        conn.commit()
    assert numbers_in(database) == [3]


class Interrupted(Exception):  # noqa: N818 - as KeyboardInterrupt is
    """What a signal raises in the caller."""


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with pytest.raises(Interrupted):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kept", [True, False])
def test_a_caller_that_is_interrupted_while_it_waits_leaves_the_rest_in_order(
    database: store.Database, table: str, kept: bool
) -> None:
    with database.connect() as conn:
        begun = threading.Event()

        def slow(conn: psycopg.Connection) -> None:
            begun.set()
            conn.execute("SELECT pg_sleep(0.6)")

        store.behind(conn, slow)
        store.behind(conn, insert(1))
        assert begun.wait(10)
        with interrupted_after(0.2):
            conn.execute("SELECT 1")
        if kept:
            conn.commit()
        else:
            conn.rollback()
    assert numbers_in(database) == ([1] if kept else [])


def test_a_rollback_that_is_interrupted_lets_nothing_more_begin(
    database: store.Database, table: str
) -> None:
    conn = database.connect()
    begun, held = threading.Event(), threading.Event()

    def slow(conn: psycopg.Connection) -> None:
        begun.set()
        held.wait(10)

    store.behind(conn, slow)
    store.behind(conn, insert(1))
    assert begun.wait(10)
    with interrupted_after(0.2):
        conn.rollback()
    held.set()
    conn.close()
    assert numbers_in(database) == []
