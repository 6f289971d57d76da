"""A data set and runs small enough to train in a second."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate.engine.reporting import Silent
from delineate.engine.request import TrainRequest
from train_request import train_request

SMALL = [
    "method.encoder.name=resnet10t",
    "method.decoder_channels=[16, 16, 8, 8, 8]",
    "engine.batch_size=4",
    "data.workers=2",
]


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 gray images of a bright disc on noise, with masks; no lists, so the split is seeded."""
    folder = tmp_path_factory.mktemp("discs")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    rng = np.random.default_rng(0)
    for index in range(20):
        mask = np.zeros((48, 40), np.uint8)
        cv2.circle(mask, (int(rng.integers(12, 28)), int(rng.integers(12, 36))), int(rng.integers(6, 11)), 255, -1)
        image = np.clip(90 + 70 * (mask > 0) + rng.normal(0, 20, mask.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"case{index:02d}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"case{index:02d}.png"), mask)
    return folder


@pytest.fixture(scope="session")
def partly(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The discs, 8 of them without masks."""
    folder = tmp_path_factory.mktemp("partly") / "discs"
    shutil.copytree(discs, folder)
    (folder / "unlabeled").mkdir()
    for index in range(8):
        shutil.move(folder / "images" / f"case{index:02d}.png", folder / "unlabeled")
        (folder / "masks" / f"case{index:02d}.png").unlink()
    return folder


@pytest.fixture
def request_for(discs: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainRequest]:
    """A maker of requests for tiny U-Net runs on the discs; `settings` are added to the small network's."""
    cache = tmp_path_factory.getbasetemp() / "cache"

    def make(name: str = "run", *, settings: list[str] | None = None, **changes: Any) -> TrainRequest:
        values: dict[str, Any] = {
            "method": "unet",
            "preset": "tiny",
            "size": 32,
            "steps": 12,
            "device": "cpu",
        } | changes
        return train_request(
            data=values.pop("data", discs),
            out=tmp_path / name,
            settings=[*SMALL, *(settings or [])],
            cache_folder=cache,
            **values,
        )

    return make


class Recorder(Silent):
    """Keeps the notes; calls `on_step` with the number of steps seen, so that a test can interfere."""

    def __init__(self, on_step: Callable[[int], None] | None = None) -> None:
        self.notes: list[str] = []
        self.steps = 0
        self._on_step = on_step

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, loss: float, images: int) -> None:
        self.steps += 1
        if self._on_step is not None:
            self._on_step(self.steps)


@pytest.fixture
def recorder() -> type[Recorder]:
    """The recording reporter's class."""
    return Recorder
