"""Left is left: a patient whose left and right differ, stored in several orientations, from training to the written mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.data.cases.volumes import as_numbers
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.contract import plane_of
from delineate.data.formats.registry import check_same_grid, open_image
from delineate.engine.reporting import Silent
from delineate.engine.run import train
from delineate.inference.files import predict_files
from delineate.inference.predictor import load
from train_request import train_request

nibabel = pytest.importorskip("nibabel")

SHAPE, SPACING = (40, 36, 5), (2.0, 2.0, 5.0)
LEFT, RIGHT = np.array([-20.0, 6.0, 0.0]), np.array([20.0, -8.0, 0.0])
"""Centers of two balls, in mm: x to the patient's right, y to the front. The left one is bright and labeled."""
SMALL = ["method.encoder.name=resnet10t", "method.decoder_channels=[16, 16, 8, 8, 8]", "engine.batch_size=5"]
TURNED = (14.0, -9.0)
"""Degrees about the axes z and x, of an oblique scan."""

WAYS: dict[str, tuple[tuple[int, int, int], tuple[int, ...], bool]] = {
    "RAS": ((0, 1, 2), (), False),
    "LPS": ((0, 1, 2), (0, 1), False),
    "PSR": ((1, 2, 0), (1,), False),
    "oblique": ((2, 0, 1), (0, 2), True),
}
"""Order of the axes in the file, those stored backwards, and whether the patient was scanned obliquely."""


def turn() -> np.ndarray:
    (cz, sz), (cx, sx) = ((np.cos(angle), np.sin(angle)) for angle in np.radians(TURNED))
    return np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])


def phantom(noise: int) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and labels, in the order right, front, head."""
    places = [(np.arange(size) - (size - 1) / 2) * step for size, step in zip(SHAPE, SPACING, strict=True)]
    at = np.stack(np.meshgrid(*places, indexing="ij"), -1)
    left, right = (np.linalg.norm(at - center, axis=-1) < radius for center, radius in ((LEFT, 11), (RIGHT, 9)))
    voxels = 200 + 600 * left + 300 * right + np.random.default_rng(noise).integers(0, 60, SHAPE)
    return voxels.astype(np.int16), left.astype(np.uint8)


def save(path: Path, voxels: np.ndarray, way: str) -> None:
    """The same voxels at the same places of the patient, as the way says."""
    axes, flips, oblique = WAYS[way]
    affine = np.eye(4)
    affine[:3, :3] = (turn() if oblique else np.eye(3)) @ np.diag(SPACING)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (SHAPE[axis] - 1)
        affine[:3, axis] *= -1
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.flip(voxels, flips).transpose(axes), affine[:, [*axes, 3]]), path)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained on volumes in all orientations, and one patient in each of them."""
    folder = tmp_path_factory.mktemp("sides")
    for case, way in enumerate([*WAYS, *WAYS]):
        voxels, labels = phantom(case)
        save(folder / f"data/images/case_{case}.nii.gz", voxels, way)
        save(folder / f"data/masks/case_{case}.nii.gz", labels, way)
    for way in WAYS:
        save(folder / f"patient/{way}.nii.gz", phantom(99)[0], way)
    about: dict[str, Any] = {"method": "unet", "preset": "tiny", "size": 32, "steps": 30, "device": "cpu"}
    settings = [*SMALL, "engine.lr=0.003", "data.axis=2"]
    train(
        train_request(data=folder / "data", out=folder / "run", settings=settings, cache_folder=folder / "c", **about),
        Silent(),
    )
    return folder


def test_the_network_sees_one_picture_with_the_left_first(home: Path) -> None:
    predictor = load(home / "run")
    inputs = []
    for way in WAYS:
        image = Canonical(open_image(home / f"patient/{way}.nii.gz"))
        inputs.append(predictor.prepare(plane_of(as_numbers(image, predictor.spec.volume_numbers), 2, 2)))
    assert all(np.array_equal(inputs[0], other) for other in inputs[1:])
    rows = inputs[0][..., 0].max(axis=1)
    assert rows[:16].max() > 0.9 > rows[16:].max(), "rows go from the patient's left to the right"


@pytest.mark.parametrize("way", WAYS)
def test_the_mask_is_on_the_patients_left(home: Path, tmp_path: Path, way: str) -> None:
    image = home / f"patient/{way}.nii.gz"
    (done,) = predict_files(load(home / "run"), [image], tmp_path).files
    assert done.error is None
    mask = tmp_path / f"{way}.nii.gz"
    check_same_grid(image, mask)
    written, source = nibabel.load(mask), nibabel.load(image)
    assert written.shape == source.shape
    assert np.allclose(written.affine, source.affine)
    marked = np.argwhere(np.asarray(written.dataobj) > 0)
    middle = nibabel.affines.apply_affine(written.affine, marked).mean(axis=0)
    true = (turn() if way == "oblique" else np.eye(3)) @ LEFT
    assert np.abs(middle - true).max() < 4, "the middle of the mask lies where the ball is, in mm"
    _, labels = phantom(99)
    axes, flips, _ = WAYS[way]
    stored = np.flip(labels, flips).transpose(axes) > 0
    found = np.asarray(written.dataobj) > 0
    assert 2 * (stored & found).sum() / (stored.sum() + found.sum()) > 0.8
