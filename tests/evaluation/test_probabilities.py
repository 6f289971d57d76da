"""Probability maps in every form that is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.core.manifest import ClassTable
from delineate.evaluation.inputs.probability_maps import find_probabilities, open_probabilities, read_map

TWO, THREE = ClassTable(), ClassTable(names=("background", "left lung", "right"))
MAP = np.array([[0, 0.25, 1], [0.5, 0.75, 0]], np.float32)


def png(path: Path, values: Any, dtype: type = np.uint16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.rint(np.asarray(values) * np.iinfo(dtype).max).astype(dtype))
    return path


def array(path: Path, values: Any, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values) if path.suffix == ".npy" else np.savez(path, **{**more, "probabilities": values})
    return path


@pytest.mark.parametrize(("dtype", "step"), [(np.uint16, 1e-5), (np.uint8, 2e-3)])
def test_whole_numbers_stand_for_shares_of_their_largest(tmp_path: Path, dtype: type, step: float):
    assert np.allclose(read_map(png(tmp_path / "x.png", MAP, dtype)), MAP, atol=step)


@pytest.mark.parametrize(
    "values", [MAP, MAP[None], np.stack([1 - MAP, MAP])], ids=["plane", "one channel", "two channels"]
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_binary_arrays_become_the_foreground(tmp_path: Path, values: Any, suffix: str):
    array(tmp_path / f"x{suffix}", values)
    maps = open_probabilities(tmp_path, TWO)
    assert np.array_equal(maps.read("x"), MAP)


def test_what_predict_writes_is_found_inside_its_folder(tmp_path: Path):
    png(tmp_path / "x.png", MAP > 0.5, np.uint8)
    assert find_probabilities(tmp_path, TWO) is None, "masks alone are no probabilities"
    png(tmp_path / "probabilities" / "x.png", MAP)
    for folder in (tmp_path, tmp_path / "probabilities"):
        maps = find_probabilities(folder, TWO)
        assert maps is not None
        assert np.allclose(maps.read("x"), MAP, atol=1e-5)
    maps.need(["x"])
    with pytest.raises(DataError, match="1 case without probability map: y"):
        maps.need(["x", "y"])


def test_several_classes_are_read_from_their_folders(tmp_path: Path):
    planes = np.stack([0.5 - MAP / 2, MAP / 2, np.full_like(MAP, 0.5)])
    for folder, plane in zip(("0_background", "1_left_lung", "2_right"), planes, strict=True):
        png(tmp_path / folder / "x.png", plane)
    assert np.allclose(open_probabilities(tmp_path, THREE).read("x"), planes, atol=1e-5)
    with pytest.raises(DataError, match="has maps of 0_background, 1_left_lung, 2_right, not of foreground"):
        open_probabilities(tmp_path, TWO)
    png(tmp_path / "1_left_lung" / "y.png", MAP)
    with pytest.raises(DataError, match="lacks maps of some classes for 1 case: y"):
        open_probabilities(tmp_path, THREE)


def test_several_classes_in_one_array(tmp_path: Path):
    planes = np.stack([0.5 - MAP / 2, MAP / 2, np.full_like(MAP, 0.5)])
    array(tmp_path / "x.npz", planes, other=np.zeros(3))
    assert np.array_equal(open_probabilities(tmp_path, THREE).read("x"), planes)
    array(tmp_path / "x.npz", planes[:2])
    with pytest.raises(DataError, match=r"x\.npz has the shape \(2, 2, 3\); of 3 classes it is 3×height×width"):
        open_probabilities(tmp_path, THREE).read("x")


def test_volumes_of_probabilities(tmp_path: Path):
    nib = pytest.importorskip("nibabel")
    values = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "x.nii.gz")
    assert np.array_equal(open_probabilities(tmp_path, TWO).files["x"], (tmp_path / "x.nii.gz",))
    assert np.array_equal(read_map(tmp_path / "x.nii.gz"), values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[0.1, np.nan]], "1 probabilities that are not numbers"),
        ([[-0.1, 0.5]], r"outside 0…1 \(-0.1 … 0.5\)"),
        ([[3.0, 0.5]], r"outside 0…1 \(0.5 … 3\)"),
        ([0.5], r"holds float64 of shape \(1,\)"),
        ([["a"]], "probabilities are numbers"),
        (np.array([[None]]), "no plain array"),
    ],
)
def test_what_is_no_probability_names_the_file(tmp_path: Path, values: Any, words: str):
    np.save(tmp_path / "x.npy", values, allow_pickle=True)
    with pytest.raises(DataError, match=rf"x\.npy .*{words}") as caught:
        read_map(tmp_path / "x.npy")
    assert "\n" not in str(caught.value)


def test_folders_and_archives_that_are_not_clear(tmp_path: Path):
    with pytest.raises(DataError, match="there is no folder"):
        open_probabilities(tmp_path / "none", TWO)
    with pytest.raises(DataError, match="holds no probability maps"):
        open_probabilities(tmp_path, TWO)
    np.savez(tmp_path / "x.npz", a=MAP, b=MAP)
    with pytest.raises(DataError, match=r"x\.npz holds the arrays a, b; call one of them 'probabilities'"):
        read_map(tmp_path / "x.npz")
    (tmp_path / "x.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"x\.npz is damaged"):
        read_map(tmp_path / "x.npz")
    png(tmp_path / "x.png", MAP)
    with pytest.raises(DataError, match="are both maps of 'x'"):
        open_probabilities(tmp_path, TWO)
