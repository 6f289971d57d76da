"""Pictures in a common frame: the frame makes nobody a duplicate, and copies within it are found all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.cases.census import inspect
from delineate.data.cases.phantom import make_phantom
from delineate.data.doctor.check import check
from delineate.data.layouts.discover import discover
from delineate.data.layouts.source import DataSource
from delineate.data.splits.folds import split_data
from delineate.data.splits.image_border import fill_border, inside_border
from delineate.data.splits.mask_agreement import masks_agree
from delineate.data.splits.near_duplicates import ORIENTATIONS, DuplicatePair, find_near_duplicates, picture_hash
from delineate.studies.folds import open_folds

Write = Callable[[Path, Any], Path]
SIZE = 200


def eye(seed: int) -> Any:
    """A faint made-up fundus photograph: a disc, vessels from it, a black ring about all."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    image = np.array([180, 90, 50]) * (1 - 0.9 * (rows**2 + columns**2))[..., None] * rng.uniform(0.8, 1.1)
    vessels = np.zeros((SIZE, SIZE), np.float32)
    x, y = SIZE * (0.2 if rng.random() < 0.5 else 0.8), SIZE * rng.normal(0.5, 0.03)
    for _ in range(14):
        at, angle = np.array([x, y]), rng.uniform(0, 2 * np.pi)
        for _ in range(60):
            angle += rng.normal(0, 0.12)
            after = at + 3 * np.array([np.cos(angle), np.sin(angle)])
            cv2.line(vessels, at.astype(int).tolist(), after.astype(int).tolist(), 1.0, 1, cv2.LINE_AA)
            at = after
    disc = np.exp(-(((columns + 0.5) * SIZE - x) ** 2 + ((rows + 0.5) * SIZE - y) ** 2) / (2 * (0.05 * SIZE) ** 2))
    image = image - 25 * vessels[..., None] + 50 * disc[..., None] + rng.normal(0, 1, image.shape)
    image[rows**2 + columns**2 > 0.47**2] = 0
    return np.clip(image, 0, 255).astype(np.uint8)


def textured(seed: int) -> Any:
    """Something that differs from picture to picture, with structure of all sizes."""
    image, _ = make_phantom(seed, size=SIZE, seed=0)
    return image


def sector(image: Any) -> Any:
    """An ultrasound sector with a ruler and figures beside it."""
    inside = cv2.ellipse(np.zeros((SIZE, SIZE), np.uint8), (SIZE // 2, -20), (SIZE, SIZE), 0, 50, 130, 1, -1)
    image = np.where(inside[..., None] > 0, image // 2, 0).astype(np.uint8)
    for tick in range(10):
        cv2.line(image, (190, 10 + 18 * tick), (195, 10 + 18 * tick), (255, 255, 255), 1)
    cv2.putText(image, "MI 1.2", (4, 194), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
    return image


def octagon(image: Any) -> Any:
    """An endoscope's picture with cut corners and lettering on the black beside it."""
    corners = [[40, 0], [160, 0], [199, 40], [199, 160], [160, 199], [40, 199], [0, 160], [0, 40]]
    inside = cv2.fillPoly(np.zeros((SIZE, SIZE), np.uint8), [np.array(corners)], 1)
    image = np.where(inside[..., None] > 0, image, 0).astype(np.uint8)
    image = cv2.copyMakeBorder(image, 0, 0, 60, 0, cv2.BORDER_CONSTANT)
    for line, text in enumerate(("Name X", "Sex: F", "10:31")):
        cv2.putText(image, text, (2, 30 + 20 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (230, 230, 230), 1)
    return image


def lettered(image: Any) -> Any:
    """The same lines of text all over the picture."""
    image = (image // 2 + 60).astype(np.uint8)
    for line in range(9):
        cv2.putText(
            image, "Patient 12345 Hospital", (2, 20 + 22 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1
        )
    return image


SETS: dict[str, Callable[[int], Any]] = {
    "eyes": eye,
    "sectors": lambda seed: sector(textured(seed)),
    "octagons": lambda seed: octagon(textured(seed)),
    "lettering": lambda seed: lettered(textured(seed)),
}


@pytest.mark.parametrize("kind", SETS)
def test_a_common_frame_makes_no_duplicates_and_hides_none(kind: str) -> None:
    pictures = {f"p{seed}": SETS[kind](seed) for seed in range(24)}
    hashes = {name: picture_hash(picture) for name, picture in pictures.items()}
    assert find_near_duplicates({name: one for name, one in hashes.items() if one is not None}) == []
    for number in range(0, 24, 4):
        smaller = cv2.resize(pictures[f"p{number}"], None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
        _, content = cv2.imencode(".jpg", smaller, [cv2.IMWRITE_JPEG_QUALITY, 85])
        hashes[f"copy of p{number}"] = picture_hash(cv2.imdecode(content, cv2.IMREAD_COLOR))
    found = {
        (pair.first, pair.second)
        for pair in find_near_duplicates({n: one for n, one in hashes.items() if one is not None})
    }
    assert found == {(f"p{number}", f"copy of p{number}") for number in range(0, 24, 4)}


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 999), st.sampled_from([0, 255, 17]), st.floats(0.3, 0.48), st.booleans())
def test_the_frame_is_found_and_its_edge_is_gone(seed: int, level: int, radius: float, noisy: bool) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:128, :128] - 63.5
    ring = rows**2 + columns**2 > (128 * radius) ** 2
    plane = cv2.GaussianBlur(rng.normal(0, 400, (128, 128)).astype(np.float32), (0, 0), 6) + 120
    plane = np.clip(plane, 40, 220).astype(np.float32)
    plane[ring] = level + (rng.normal(0, 0.5, int(ring.sum())) if noisy else 0)
    seen = inside_border(plane)
    assert seen is not None
    assert not (seen & ring).any()
    assert seen.sum() > 0.8 * (~ring).sum()
    filled = fill_border(plane, seen)
    assert np.array_equal(filled[seen], plane[seen])
    assert filled.min() >= plane[seen].min()
    assert filled.max() <= plane[seen].max()


@pytest.mark.parametrize("kind", ["none", "objects", "all of it", "thin"])
def test_what_is_no_frame(kind: str) -> None:
    rng = np.random.default_rng(0)
    plane = rng.uniform(60, 200, (128, 128)).astype(np.float32)
    if kind == "objects":  # nuclei on a dark ground
        plane = np.zeros((128, 128), np.float32)
        for _ in range(12):
            cv2.circle(plane, rng.integers(10, 118, 2).tolist(), 9, 200.0, -1)
    if kind == "all of it":
        plane[:] = 7
    if kind == "thin":
        plane[:1] = 0
    assert inside_border(plane) is None


def eyes(folder: Path, write: Write, number: int = 16) -> Path:
    for seed in range(number):
        write(folder / "images" / f"{seed + 21}_training.png", eye(seed))
        mask = np.zeros((SIZE, SIZE), np.uint8)
        cv2.line(mask, (20, 20 + 9 * seed), (180, 180 - 9 * seed), 255, 2)
        write(folder / "masks" / f"{seed + 21}_training.png", mask)
    return folder


def test_eyes_can_be_checked_split_and_benchmarked(tmp_path: Path, write: Write) -> None:
    root = eyes(tmp_path / "eyes", write)
    report = check(root)
    assert report.duplicates.near == ()
    assert not [finding for finding in report.findings if finding.severity != "note"]
    folding = split_data(root, folds=4, test_fraction=0.25)
    assert all(2 <= len([case for case in folding.manifest.cases if case.fold == fold]) <= 4 for fold in range(4))
    assert "by case, duplicates together" in folding.manifest.split_origin
    assert open_folds(DataSource(root), 4).count == 4


def test_masks_speak_only_where_pictures_leave_a_doubt(tmp_path: Path, write: Write) -> None:
    root = eyes(tmp_path / "eyes", write, 10)
    write(root / "images" / "40_training.png", cv2.resize(eye(3), (150, 150), interpolation=cv2.INTER_AREA))
    other = np.zeros((150, 150), np.uint8)
    other[100:, 100:] = 255
    write(root / "masks" / "40_training.png", other)
    (pair,) = check(root).duplicates.near
    assert {pair.first, pair.second} == {"24_training", "40_training"}


def test_joining_that_leaves_too_few_says_so_and_can_be_turned_off(tmp_path: Path, write: Write) -> None:
    root = tmp_path / "set"
    for number in range(9):
        picture = textured(number % 2)
        if number > 1:
            picture = picture[number : SIZE - number, number : SIZE - number]
        write(root / "images" / f"a{number}.png", picture)
        mask = np.zeros(picture.shape[:2], np.uint8)
        mask[60:90, 60:90] = 255
        write(root / "masks" / f"a{number}.png", mask)
    with pytest.raises(
        DataError, match=r"3 folds need at least 3 cases, there are 9, but only 2 that differ: .*a0 = a2 = a4"
    ) as caught:
        split_data(root, folds=3)
    assert "--join exact" in str(caught.value)
    assert "--join none" in str(caught.value)
    for join in ("exact", "none"):
        folding = split_data(DataSource(root, join=join), folds=3)  # type: ignore[arg-type]
        assert folding.manifest.folds == 3
    assert "copies of a picture apart" in folding.manifest.split_origin
    with pytest.raises(DataError, match="3 folds need"):
        open_folds(DataSource(root), 3)
    assert open_folds(DataSource(root, join="none"), 3).count == 3


def test_masks_of_one_thing_agree_and_of_others_do_not(tmp_path: Path, write: Write) -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[60:120, 50:110] = 255
    masks = {
        "same": mask,
        "cropped": mask[8:, 8:],
        "turned": np.ascontiguousarray(mask[:, ::-1]),
        "elsewhere": np.roll(mask, 90, axis=1),
        "empty": np.zeros_like(mask),
    }
    for name, each in {"first": mask, **masks}.items():
        write(tmp_path / "images" / f"{name}.png", np.full((*each.shape, 3), 9, np.uint8))
        write(tmp_path / "masks" / f"{name}.png", each)
    manifest, _ = inspect(discover(tmp_path))
    turned = {"turned": ORIENTATIONS.index("mirrored left to right")}
    agreeing = {name: masks_agree(manifest, DuplicatePair("first", name, 0.9, turned.get(name, 0))) for name in masks}
    assert agreeing == {"same": True, "cropped": True, "turned": True, "elsewhere": False, "empty": False}
