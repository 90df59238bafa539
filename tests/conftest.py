"""Fixtures that several rooms' tests share."""

import os
from pathlib import Path

import pytest

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
