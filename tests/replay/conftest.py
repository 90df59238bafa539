"""A window of a test, and one that was worked with for some weeks, made once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dossiers import Window
from histories import history, lived
from psycopg.conninfo import make_conninfo

from tongguan import clearance, replay, store


@pytest.fixture
def window(database: store.Database, tmp_path: Path) -> Window:
    clearance.prepare_database(database)
    return Window(database, store.Vault(bytes(range(32))), tmp_path)


@pytest.fixture(scope="session")
def world(server: store.Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """The window that ``histories.lived`` was done to; tests only read it."""
    with server.connect(autocommit=True) as connection:
        connection.execute("CREATE DATABASE replay_world")
    with store.open(make_conninfo(server.url, dbname="replay_world")) as opened:
        clearance.prepare_database(opened)
        made = Window(opened, store.Vault(bytes(range(32))), tmp_path_factory.mktemp("world"))
        lived(made)
        yield made


@pytest.fixture(scope="session")
def archive(world: Window, tmp_path_factory: pytest.TempPathFactory) -> replay.History:
    """Its history; tests only read it."""
    return history(world, tmp_path_factory.mktemp("archive") / "history")


@pytest.fixture
def recorded(archive: replay.History, tmp_path: Path) -> replay.History:
    """A copy of its history, to be tampered with."""
    return replay.History.open(shutil.copytree(archive.folder, tmp_path / "history"))
