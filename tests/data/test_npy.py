"""NumPy's .npy files as pictures and masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.formats.registry import open_image, read_image, read_mask
from delineate.data.formats.testing import check_format
from delineate.data.layouts.discover import discover

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def stored(tmp_path: Path, array: Any) -> Path:
    path = tmp_path / "a.npy"
    np.save(path, array, allow_pickle=True)
    return path


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (PICTURE, PICTURE),
        (PICTURE.transpose(2, 0, 1), PICTURE),
        (np.asfortranarray(PICTURE), PICTURE),
        (PICTURE[None], PICTURE),
        (PICTURE[..., :1], PICTURE[..., 0]),
        (PICTURE[None, ..., 0], PICTURE[..., 0]),
        (PICTURE[..., 0].astype(">u2"), PICTURE[..., 0].astype(np.uint16)),
        (PICTURE[..., 0] > 99, np.where(PICTURE[..., 0] > 99, 255, 0)),
        (PICTURE[:1, :, 0], PICTURE[:1, :, 0]),
        (PICTURE[:1, :, :1], PICTURE[:1, :, 0]),
    ],
)
def test_pictures(tmp_path: Path, array: Any, wanted: np.ndarray) -> None:
    path = stored(tmp_path, array)
    handle = open_image(path)
    assert handle.shape == wanted.shape[:2]
    found = read_image(path)
    assert found.dtype.isnative
    assert found.shape == wanted.shape
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 20, 4), np.uint8), "the first or the last axis may be the colors"),
        (np.zeros((5, 20, 30), np.uint8), "a volume, a stack of pictures or a picture of 30 channels"),
        (np.zeros((5, 20, 30, 3), np.uint8), "a stack of pictures: save each picture as a file"),
        (np.zeros((20, 30, 2), np.uint8), "of 2 channels"),
        (np.zeros(7, np.uint8), "no picture"),
        (np.uint8(3), "no picture"),
        (np.zeros((0, 4), np.uint8), "no picture"),
        (np.array([{"a": 1}]), "holds Python objects"),
        (np.zeros((4, 4), np.complex64), "holds complex64"),
        (np.zeros((4, 4), [("a", "u1")]), "an array of whole numbers or floats"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, array: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as fault:
        read_image(stored(tmp_path, array))
    assert "a.npy" in str(fault.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.bool_, ">u2", np.int8])
def test_masks_of_any_type(tmp_path: Path, dtype: Any) -> None:
    classes = np.kron(np.array([[0, 1], [1, 0]]), np.ones((4, 5))).astype(dtype)
    for array in (classes, classes[None], classes[..., None]):
        assert np.array_equal(read_mask(stored(tmp_path, array)), classes)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 4), 0.5), "pixels with fractions"),
        (np.full((4, 4), -1), "labels are 0…65535"),
        (np.full((4, 4), np.nan), "not numbers"),
        (np.stack([np.eye(9), np.zeros((9, 9)), 1 - np.eye(9)]), "a plane of 0 and 1 for each class"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path: Path, array: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_mask(stored(tmp_path, array))


@given(st.integers(0, 400), st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_damaged_files_are_one_line(tmp_path_factory: pytest.TempPathFactory, at: int, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, PICTURE[:4, :5, 0])
    content = path.read_bytes()
    path.write_bytes(content[:at] + junk)
    if path.read_bytes() == content:
        return
    try:
        found = read_image(path)
    except DataError as error:
        words = str(error)
    else:
        words, shape = "a.npy", found.shape
        assert shape == (4, 5)
    assert "a.npy" in words
    assert "\n" not in words


def test_the_contract_of_formats(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    check_format("npy", stored(tmp_path, PICTURE), tmp_path / "scratch")


def test_masks_beside_pictures_and_in_a_folder(write: Callable[[Path, Any], Path], tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / "beside" / f"{number}.png", PICTURE)
        np.save(tmp_path / "beside" / f"{number}.npy", PICTURE[..., 0] > 200)
        write(tmp_path / "apart" / "images" / f"{number}.png", PICTURE)
        (tmp_path / "apart" / "masks").mkdir(exist_ok=True)
        np.save(tmp_path / "apart" / "masks" / f"{number}.npy", PICTURE[..., 0] > 200)
    beside, apart = discover(tmp_path / "beside"), discover(tmp_path / "apart")
    assert (beside.cases[0].images, beside.cases[0].masks) == (("0.png",), ("0.npy",))
    assert (apart.cases[0].images, apart.cases[0].masks) == (("images/0.png",), ("masks/0.npy",))
