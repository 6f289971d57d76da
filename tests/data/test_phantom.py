"""Phantoms: reproducible, readable as a data set, with something to find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from delineate.data.cases.phantom import make_phantom, write_phantoms
from delineate.data.loading.open_data import open_data


@pytest.mark.parametrize("classes", [1, 3])
def test_phantoms_are_a_data_set(tmp_path: Path, classes: int) -> None:
    root = write_phantoms(tmp_path / "p", count=20, size=48, seed=1, classes=classes)
    manifest, census = open_data(root)
    assert [len(manifest.split(name)) for name in ("train", "val", "test")] == [14, 2, 4]  # type: ignore[arg-type]
    assert manifest.classes.outputs == (1 if classes == 1 else 4)
    assert census.empty == {"phantom_0007"}
    assert census.sizes == {(48, 48): 20}
    assert manifest.split_origin == "files"


def test_phantoms_are_reproducible_and_different() -> None:
    image, labels = make_phantom(3, size=64, seed=5)
    again, _ = make_phantom(3, size=64, seed=5)
    assert np.array_equal(image, again)
    assert not np.array_equal(image, make_phantom(4, size=64, seed=5)[0])
    assert not np.array_equal(image, make_phantom(3, size=64, seed=6)[0])
    assert image.dtype == labels.dtype == np.uint8
    assert image.shape == (64, 64, 3)


def test_lesions_have_sensible_areas() -> None:
    shares = [(make_phantom(number, size=48, seed=0)[1] > 0).mean() for number in range(40) if number != 7]
    assert min(shares) > 0.003
    assert max(shares) < 0.6
    assert 0.04 < np.mean(shares) < 0.25


@pytest.mark.parametrize("wrong", [{"count": 7}, {"size": 31}, {"classes": 4}, {"classes": 0}])
def test_impossible_phantoms(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="phantoms need"):
        write_phantoms(tmp_path, **{"count": 8, "size": 32, "seed": 0, **wrong})
