"""Steps of SQL: each once, all or none, in any number of processes."""

import threading

import psycopg
import pytest

from tongguan import store

STEPS = [
    "CREATE TABLE a (n int); CREATE TABLE b (n int);",
    "ALTER TABLE a ADD COLUMN percent text DEFAULT '5%s';",
]


def test_steps_are_applied_once(database: store.Database) -> None:
    with database.connect() as connection:
        assert store.migrate(connection, "room", STEPS[:1]) == 1
        assert store.migrate(connection, "room", STEPS) == 1
        assert store.migrate(connection, "room", STEPS) == 0
    with database.connect() as connection:
        connection.execute("INSERT INTO a (n) VALUES (1)")
        assert connection.execute("SELECT percent FROM a").fetchone() == ("5%s",)


def test_rooms_have_their_own_series(database: store.Database) -> None:
    with database.connect() as connection:
        assert store.migrate(connection, "one", ["CREATE TABLE one (n int)"]) == 1
        assert store.migrate(connection, "two", ["CREATE TABLE two (n int)"]) == 1


def test_a_step_that_fails_leaves_nothing(database: store.Database) -> None:
    with database.connect() as connection, pytest.raises(psycopg.errors.UndefinedTable):
        store.migrate(connection, "room", [STEPS[0], "ALTER TABLE nowhere ADD COLUMN x int"])
    with database.connect() as connection:
        assert connection.execute("SELECT to_regclass('a')").fetchone() == (None,)
        assert store.migrate(connection, "room", STEPS) == 2


def test_a_changed_step_is_refused_but_not_its_layout(database: store.Database) -> None:
    with database.connect() as connection:
        store.migrate(connection, "room", STEPS)
        assert store.migrate(connection, "room", [f"  {STEPS[0]}\n", STEPS[1]]) == 0
        with pytest.raises(store.StepError, match="step 1 of room was changed"):
            store.migrate(connection, "room", ["CREATE TABLE other (n int)", STEPS[1]])


def test_a_newer_database_is_refused(database: store.Database) -> None:
    with database.connect() as connection:
        store.migrate(connection, "room", STEPS)
        with pytest.raises(store.StepError, match="newer version"):
            store.migrate(connection, "room", STEPS[:1])


def test_many_at_once_apply_each_step_once(database: store.Database) -> None:
    applied: list[int] = []

    def run() -> None:
        with database.connect() as connection:
            applied.append(store.migrate(connection, "room", STEPS))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(applied) == [0, 0, 0, 0, 0, 2]
