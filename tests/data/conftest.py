"""Small data sets written on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder with real data sets; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"real data sets are not at {SHARED}")
    return SHARED


@pytest.fixture
def write() -> Callable[[Path, Any], Path]:
    """write(path, array): an image file whose format its suffix tells; colors in RGB order."""

    def write_file(path: Path, array: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.asarray(array)
        done, content = cv2.imencode(path.suffix, array[..., ::-1] if array.ndim == 3 else array)
        assert done
        path.write_bytes(content.tobytes())
        return path

    return write_file


@pytest.fixture
def make_pairs(tmp_path: Path, write: Callable[[Path, Any], Path]) -> Callable[..., Path]:
    """make_pairs(stems, …): a folder with images/ and masks/; each mask has a square of `value`."""

    def make(
        stems: list[str],
        *,
        size: int = 16,
        value: int = 255,
        root: Path = tmp_path / "set",
        empty: tuple[str, ...] = (),
    ) -> Path:
        for number, stem in enumerate(stems):
            image = np.random.default_rng(number).integers(0, 256, (size, size, 3), np.uint8)
            mask = np.zeros((size, size), np.uint8)
            if stem not in empty:
                mask[4:8, 4:10] = value
            write(root / "images" / f"{stem}.png", image)
            write(root / "masks" / f"{stem}.png", mask)
        return root

    return make
