"""The window of a test: an empty database with the tables of the job."""

from pathlib import Path

import pytest
from dossiers import Window

from tongguan import clearance, store


@pytest.fixture
def window(database: store.Database, tmp_path: Path) -> Window:
    clearance.prepare_database(database)
    return Window(database, store.Vault(bytes(range(32))), tmp_path)
