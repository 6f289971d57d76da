"""References that EXIF turns otherwise than their pictures: `evaluate` says so, whoever names the pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from delineate.evaluation.inputs.prediction_list import PredictedFile, PredictionList
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders

DICE = EvaluationOptions(metrics=("dice",))


def data_set(root: Path, orientation: int, mask_orientation: int = 1, size: tuple[int, int] = (32, 32)) -> Path:
    """Three pictures as `images/`, their masks, and perfect predictions in `p/`."""
    for name in ("d/images", "d/masks", "p"):
        (root / name).mkdir(parents=True)
    for number in range(3):
        exif, mask_exif = Image.Exif(), Image.Exif()
        exif[274], mask_exif[274] = orientation, mask_orientation
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        mask = np.zeros(size[::-1] if orientation >= 5 and mask_orientation == 1 else size, np.uint8)
        mask[4:10, 4:14] = 255
        Image.fromarray(pixels).save(root / f"d/images/c{number}.jpg", exif=exif)
        Image.fromarray(mask).save(root / f"d/masks/c{number}.png", exif=mask_exif)
        turned = cv2.imread(str(root / f"d/masks/c{number}.png"), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(root / f"p/c{number}.png"), turned)
    return root


def said(root: Path, references: str) -> list[str]:
    return [note for note in evaluate_folders(root / "p", root / references, DICE).notes if "EXIF" in note]


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_a_data_set_tells_its_images(tmp_path: Path, orientation: int) -> None:
    (note,) = said(data_set(tmp_path, orientation), "d")
    assert note.startswith("3 cases whose image and mask have different EXIF orientations")
    assert "images/c0.jpg" in note


def test_the_list_of_predictions_tells_the_images_of_a_folder_of_masks(tmp_path: Path) -> None:
    root = data_set(tmp_path, 3)
    assert said(root, "d/masks") == []  # nobody knows the images
    files = tuple(PredictedFile(mask=f"c{at}.png", image=str(root / f"d/images/c{at}.jpg")) for at in range(3))
    listed = PredictionList(
        method="unet", model=None, model_sha256=None, class_names=("background", "foreground"), files=files
    )
    listed.save(root / "p")
    assert len(said(root, "d/masks")) == 1
    for image in (root / "d/images").iterdir():
        image.unlink()
    assert said(root, "d/masks") == []


def test_nothing_is_said_where_both_are_turned_or_sizes_tell(tmp_path: Path) -> None:
    assert said(data_set(tmp_path / "none", 1), "d") == []
    assert said(data_set(tmp_path / "both", 3, 3), "d") == []
    assert said(data_set(tmp_path / "told", 6, size=(32, 24)), "d") == []
