"""Fixtures that several rooms' tests share."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tongguan import store

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of official reference material, beside the checkout or named by TONGGUAN_SHARED.

    A user's machine need not have it (the tests that compare with it skip); CI must.
    """
    folder = Path(os.environ.get("TONGGUAN_SHARED", ROOT.parent / "shared"))
    if not (folder / "ceb").is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs the reference material, but {folder.name}/ceb is not there")
        pytest.skip("the official reference material (shared/) is not on this machine")
    return folder


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A data folder with a short path, which the server's user may enter even when we are root.

    A unix socket's path may have only some hundred bytes, and pytest's own folders are closed.
    """
    folder = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[store.Database]:
    """The embedded server of this test session (one for each xdist worker).

    It does not wait for the disk: making and dropping a database for each test would else take
    most of the time. What must survive a crash is tested on servers of its own (tests/faults).
    """
    with store.open(home=home) as opened:
        with opened.connect(autocommit=True) as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield opened


_numbers = itertools.count(1)


@pytest.fixture
def database(server: store.Database) -> Iterator[store.Database]:
    """A fresh, empty database of its own for one test, on the session's server."""
    name = f"test_{next(_numbers)}"
    with server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with store.open(make_conninfo(server.url, dbname=name)) as opened:
        yield opened
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
