"""The books of a test: the tables of finance, empty."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tongguan import finance, store


def _prepare(database: store.Database) -> None:
    with database.borrow() as conn:
        store.migrate(conn, "finance", finance.STEPS)
        conn.commit()


@pytest.fixture
def books(database: store.Database) -> store.Database:
    """A database of its own, for a test that commits."""
    _prepare(database)
    return database


@pytest.fixture(scope="session")
def shelf(server: store.Database) -> Iterator[store.Database]:
    """One database for all tests that do not commit: making one takes a second."""
    with server.connect(autocommit=True) as connection:
        connection.execute("CREATE DATABASE shelf")
    with store.Database(make_conninfo(server.url, dbname="shelf")) as database:
        _prepare(database)
        yield database


@pytest.fixture
def conn(shelf: store.Database) -> Iterator[psycopg.Connection]:
    """One connection for the whole test, rolled back at its end."""
    with shelf.borrow() as opened:
        yield opened
        opened.rollback()
