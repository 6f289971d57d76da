"""Instance maps: found, paired and read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.evaluation.inputs.instance_maps import instance_maps, pair_instances, read_instances


def save(path: Path, *values: int, dtype: type = np.uint16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.array([values], dtype))
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, suffix: str):
    assert read_instances(save(tmp_path / f"x{suffix}", 0, 7, 700, 65535)).tolist() == [[0, 7, 700, 65535]]


def test_black_and_white_is_no_instance_map(tmp_path: Path):
    assert read_instances(save(tmp_path / "one.png", 0, 1, dtype=np.uint8)).max() == 1
    with pytest.raises(DataError, match=r"x\.png is black and white"):
        read_instances(save(tmp_path / "x.png", 0, 255, dtype=np.uint8))


def test_maps_are_paired_by_name(tmp_path: Path):
    for folder, names in {"p": "abc", "r": "abcd"}.items():
        for name in names:
            save(tmp_path / folder / f"{name}.png", 0, 1)
    pairs = pair_instances(tmp_path / "p", tmp_path / "r", ["c", "a"])
    assert list(pairs) == ["c", "a"]
    assert pairs["a"] == (tmp_path / "p" / "a.png", tmp_path / "r" / "a.png")
    with pytest.raises(DataError, match=r"p has no instance map of 1 case: d$"):
        pair_instances(tmp_path / "p", tmp_path / "r")
    save(tmp_path / "p" / "e.png", 0, 1)
    with pytest.raises(DataError, match=r"r has no instance map of 1 case: e$"):
        pair_instances(tmp_path / "p", tmp_path / "r", ["a", "e"])


def test_folders_without_maps(tmp_path: Path):
    with pytest.raises(DataError, match="holds no instance maps"):
        instance_maps(tmp_path / "none")
    save(tmp_path / "a.png", 0, 1)
    save(tmp_path / "a.tif", 0, 1)
    with pytest.raises(DataError, match=r"a\.png and .*a\.tif are both maps of 'a'"):
        instance_maps(tmp_path)


def test_real_nuclei(shared_data: Path):
    folder = shared_data / "DSB2018" / "instances"
    maps = instance_maps(folder)
    assert len(maps) == 664
    name, path = next(iter(maps.items()))
    objects = read_instances(path)
    union = cv2.imread(str(folder.parent / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    assert len(np.unique(objects)) > 2
    assert np.array_equal(objects > 0, union > 0)
