"""A small data set, and benchmarks on it that take seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate import api
from delineate.engine.reporting import Silent

SMALL = (
    "method.encoder.name=resnet10t",
    "method.decoder_channels=[16, 16, 8, 8, 8]",
    "engine.batch_size=4",
    "engine.device=cpu",
)


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 images of 8 patients: a bright disc on noise; no lists."""
    folder = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for index in range(16):
        mask = np.zeros((40, 40), np.uint8)
        cv2.circle(mask, (int(rng.integers(12, 28)), int(rng.integers(12, 28))), int(rng.integers(6, 11)), 255, -1)
        image = np.clip(90 + 70 * (mask > 0) + rng.normal(0, 20, mask.shape), 0, 255).astype(np.uint8)
        stem = f"patient{index // 2:02d}_{index % 2}"
        cv2.imwrite(str(folder / "images" / f"{stem}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"{stem}.png"), mask)
    return folder


@pytest.fixture
def run(discs: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Run a benchmark of two small U-Nets on two folds into `out`."""

    def start(out: str = "bench", **changes: Any) -> Any:
        options: dict[str, Any] = {
            "methods": ["unet", "unet@paper"],
            "folds": 2,
            "epochs": 2,
            "size": 32,
            "settings": SMALL,
            "metrics": ("dice", "hd95_pooled"),
            "cache_folder": tmp_path_factory.getbasetemp() / "cache",
            "reporter": Silent(),
        }
        return api.benchmark(discs, out=tmp_path / out, **(options | changes))

    return start
