"""What the tests of the commands share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Home


@pytest.fixture
def home(tiny_home: Home, tmp_path: Path) -> Path:
    """A copy of the tiny home, to be changed."""
    shutil.copytree(tiny_home.folder, tmp_path, dirs_exist_ok=True)
    return tmp_path
