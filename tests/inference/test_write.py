"""A writer per format: what stands in the files of pictures and of volumes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from delineate.common.errors import DataError
from delineate.data.core.geometry import Geometry
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.registry import open_image, write_map
from delineate.inference.write import fractions, write_class_map, write_class_volume, write_map_volume, write_maps

THREE = ClassTable(names=("background", "a", "b"))
PROBABILITIES = np.array([[0, 0.5, 1], [1 / 65535, 0.25, 0.75]], np.float32)


def test_pictures_get_png(tmp_path: Path):
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    write_class_map(tmp_path / "three.png", indices, THREE)
    with Image.open(tmp_path / "three.png") as mask:
        assert np.array_equal(np.asarray(mask), indices)
        assert mask.info["labels"] == "0=background, 1=a, 2=b"
    write_class_map(tmp_path / "two.png", (indices > 0).astype(np.uint8), ClassTable())
    with Image.open(tmp_path / "two.png") as mask:
        assert np.array_equal(np.asarray(mask), 255 * (indices > 0))
    write_maps([tmp_path / "map.png"], [PROBABILITIES])
    assert cv2.imread(str(tmp_path / "map.png"), cv2.IMREAD_UNCHANGED).tolist() == [
        [0, 32768, 65535],
        [1, 16384, 49151],
    ]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_volumes_get_nifti_on_the_grid_of_their_image(tmp_path: Path, suffix: str):
    nibabel = pytest.importorskip("nibabel")
    affine = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 6], [0, 0, -3, 7], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 3, 4), np.float32), affine), tmp_path / "image.nii")
    like = Canonical(open_image(tmp_path / "image.nii"))
    assert like.shape == (3, 2, 4)
    seen = np.arange(24, dtype=np.uint16).reshape(like.shape)
    write_class_volume(tmp_path / f"mask{suffix}", (seen % 2).astype(np.uint8), ClassTable(), like)
    write_map_volume(tmp_path / f"map{suffix}", fractions((seen / 23).astype(np.float32)), like)
    for name, values in (("mask", seen % 2), ("map", seen / 23)):
        written = nibabel.load(tmp_path / f"{name}{suffix}")
        assert np.allclose(written.affine, affine)
        assert np.allclose(Canonical(open_image(tmp_path / f"{name}{suffix}")).read(), values, atol=1 / 65535)
        assert np.allclose(written.get_fdata(), like.as_stored(values), atol=1 / 65535)
    assert nibabel.load(tmp_path / f"mask{suffix}").get_data_dtype() == np.uint8
    assert nibabel.load(tmp_path / f"map{suffix}").get_data_dtype() == np.uint16


def test_maps_of_the_wrong_type_shape_or_format_are_refused(tmp_path: Path):
    grid = Geometry.of_ras(np.eye(4), (2, 3, 4))
    for values, said in (
        (np.zeros((2, 3, 4), np.float32), "a volume to write is uint8 or uint16"),
        (np.zeros((3, 2, 4), np.uint16), r"has the shape \(2, 3, 4\) of its grid, not \(3, 2, 4\)"),
    ):
        with pytest.raises(ValueError, match=said):
            write_map(tmp_path / "x.nii.gz", values, like=grid)
    with pytest.raises(DataError, match=r"x\.bmp; its name must end in"):
        write_map(tmp_path / "x.bmp", np.zeros((2, 3), np.uint16))
    assert not list(tmp_path.iterdir())
