"""Run folders and predictions for the report's tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fake_run import Fake, write_run


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Fake:
    return Fake(tmp_path_factory.mktemp("fake") / "polyps", 12, ("polyp",))


@pytest.fixture(scope="session")
def pristine(fake: Fake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(fake, tmp_path_factory.mktemp("fake") / "run")


@pytest.fixture
def run(pristine: Path, tmp_path: Path) -> Path:
    """A run folder that a test may spoil."""
    return shutil.copytree(pristine, tmp_path / "run")


@pytest.fixture(scope="session")
def heart(tmp_path_factory: pytest.TempPathFactory) -> Fake:
    """Several classes."""
    return Fake(tmp_path_factory.mktemp("fake") / "heart", 8, ("RV", "Myo", "LV"))
