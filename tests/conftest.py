"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

# One thread a process: several test processes that each take all cores hold each other up at every barrier.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from delineate.methods import registry
from small_volumes import write_slices, write_volumes

# No time limit for an example: on a busy computer a sound one takes long.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test writes into the user's state and data folders, or reads what others left there."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    return folder


@pytest.fixture
def micro(monkeypatch: pytest.MonkeyPatch) -> str:
    """Register the micro method of `micro_method.py` and the reader of its checkpoints for one test; its name."""
    monkeypatch.setitem(registry.BUILT_IN, "micro", "micro_method:Micro")
    monkeypatch.setitem(registry.CHECKPOINTS, "micro", "micro_method:micro_checkpoint")
    return "micro"


@pytest.fixture
def shared_data() -> Path:
    """The folder with real data sets; the test is skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data sets are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def slice_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 slices of ten patients."""
    return write_slices(tmp_path_factory.mktemp("slices"))


@pytest.fixture(scope="session")
def volume_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six NIfTI volumes of seven slices."""
    return write_volumes(tmp_path_factory.mktemp("volumes"))


@pytest.fixture(scope="session")
def make_slices() -> Callable[..., Path]:
    return write_slices


@pytest.fixture(scope="session")
def make_volumes() -> Callable[..., Path]:
    return write_volumes
