from __future__ import annotations

import cv2
import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.cases.census import Census
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.data.doctor.fingerprint import take_fingerprint, thickness
from delineate.data.loading.open_data import open_data


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Census]:
    """Eight gray images 40×60 with a strip 6 pixels wide, two of them without it; the test image is another: huge and white."""
    folder = tmp_path_factory.mktemp("strips")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for index in range(10):
        shape = (40, 60) if index < 8 else (400, 600)
        mask = np.zeros(shape, np.uint8)
        if index not in (1, 5):
            mask[:, 20:26] = 255
        image = np.full(shape, 51 if index < 8 else 255, np.uint8)
        cv2.imwrite(str(folder / "images" / f"{index}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"{index}.png"), mask)
    lists = {"train": range(8), "val": [8], "test": [9]}
    for split, members in lists.items():
        (folder / f"{split}.txt").write_text("".join(f"{index}\n" for index in members))
    return open_data(folder)


def test_only_training_images_are_described(opened: tuple[Manifest, Census]) -> None:
    found = take_fingerprint(*opened, InputSpec(channels="gray"))
    assert (found.cases, found.sampled, found.empty) == (8, 8, 2)
    assert found.median_size == found.smallest == found.largest == (40, 60)
    assert found.aspects == (1.5, 1.5)
    assert found.mean == (0.2,)
    assert found.std == (0.001,)
    assert found.classes == ("background", "foreground")
    assert found.class_share == (0.925, 0.075)
    assert found.foreground == (0.1, 0.1, 0.1)
    assert found.thickness == pytest.approx(6 / 60, rel=0.01)


def test_it_is_the_same_each_time(opened: tuple[Manifest, Census]) -> None:
    spec = InputSpec(channels="rgb", intensity="percentile")
    first, second = take_fingerprint(*opened, spec), take_fingerprint(*opened, spec)
    assert first == second
    assert len(first.mean) == len(first.std) == 3
    assert first.intensity == "percentile"


def test_nothing_can_be_said_of_an_empty_split(opened: tuple[Manifest, Census]) -> None:
    manifest, census = opened
    others = tuple(case for case in manifest.cases if case.split != "train")
    with pytest.raises(DataError, match="train split is empty"):
        take_fingerprint(manifest.model_copy(update={"cases": others}), census, InputSpec())


@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_thickness_of_a_strip_is_its_width(width: int) -> None:
    mask = np.zeros((64, 64), bool)
    mask[:, 20 : 20 + width] = True
    assert thickness(mask) == pytest.approx(width, abs=0.5)


def test_thickness_of_a_disc_is_two_thirds_of_its_diameter() -> None:
    ys, xs = np.mgrid[:101, :101]
    assert thickness((ys - 50) ** 2 + (xs - 50) ** 2 <= 30**2) == pytest.approx(40, rel=0.05)


def test_thickness_of_nothing_and_of_everything() -> None:
    assert thickness(np.zeros((8, 8), bool)) == 0
    assert thickness(np.ones((8, 12), bool)) == 12
