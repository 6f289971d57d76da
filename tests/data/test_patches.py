"""Patches: where they lie, which are drawn, and that what is beyond them is used where it is turned or moved in."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.data.augment import geometry, patches
from delineate.data.augment import settings as augment
from delineate.data.augment.flips import Flip
from delineate.data.augment.patches import Contents
from delineate.data.augment.quarter_turns import QuarterTurn
from delineate.data.augment.settings import AugmentParameters, AugmentSettings
from delineate.data.augment.warp import Warp
from delineate.data.core.input_spec import InputSpec

NO_LIMITS = (0.0, 1.0)
SIDES = st.tuples(st.integers(1, 90), st.integers(1, 90))
WILD = AugmentSettings(
    flip_horizontal=0.5,
    flip_vertical=0.5,
    quarter_turns=0.3,
    warp=0.8,
    rotate=180,
    scale=(0.5, 2),
    shift=0.5,
    shear=20,
    elastic=0.3,
)


def picture(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), np.uint8), rng.integers(0, 3, (height, width), np.uint8)


@given(SIDES, st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_tiles_cover_the_image_and_overlap_by_half(image: tuple[int, int], size: tuple[int, int]) -> None:
    covered = np.zeros(image, int)
    corners = patches.tiles(image, size)
    for top, left in corners:
        covered[max(0, top) : top + size[0], max(0, left) : left + size[1]] += 1
    assert covered.min() >= 1
    for axis in range(2):
        places = sorted({corner[axis] for corner in corners})
        assert all(later - earlier <= max(1, size[axis] // 2) for earlier, later in pairwise(places))
        if image[axis] >= size[axis]:
            assert (places[0], places[-1]) == (0, image[axis] - size[axis])
        else:
            assert len(places) == 1


@given(SIDES, SIDES, st.integers(0, 9))
def test_a_drawn_patch_lies_inside_where_it_fits(image: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    pixels, mask = picture(*image)
    corner = patches.draw(np.random.default_rng(seed), mask, Contents.of(NO_LIMITS, mask, 2), size, 0.5)
    for start, length, side in zip(corner, image, size, strict=True):
        assert 0 <= start <= length - side if length >= side else start == (length - side) // 2
    assert patches.cut(pixels, corner, size).shape == (*size, 3)
    ignored = patches.cut(mask, corner, size, 255) == 255
    outside = size[0] * size[1] - min(size[0], image[0]) * min(size[1], image[1])
    assert ignored.sum() == outside


def test_patches_reach_every_pixel() -> None:
    _, mask = picture(50, 70)
    contents, rng, seen = Contents.of(NO_LIMITS, mask, 2), np.random.default_rng(0), np.zeros((50, 70), int)
    for _ in range(400):
        top, left = patches.draw(rng, mask, contents, (16, 16), 0.0)
        seen[top : top + 16, left : left + 16] += 1
    assert seen.min() > 0
    assert seen[[0, 0, -1, -1], [0, -1, 0, -1]].min() > seen.mean() / 10, "corners are not forgotten"


def test_the_share_of_foreground_and_its_classes_are_as_asked() -> None:
    mask = np.zeros((400, 400), np.uint8)
    mask[200:203, 100:300], mask[57, 311], mask[300, 300:310] = 1, 3, 255
    contents = Contents.of(NO_LIMITS, mask, 3)
    rng = np.random.default_rng(1)
    corners = [patches.draw(rng, mask, contents, (9, 9), 0.33) for _ in range(6000)]
    centers = np.array([mask[top + 4, left + 4] for top, left in corners])
    chance = (mask == 1).mean() * 0.67
    assert (centers == 1).mean() == pytest.approx(0.165 + chance, abs=0.015)
    assert (centers == 3).mean() == pytest.approx(0.165, abs=0.015)
    assert not (centers == 2).any()
    places = [corner[1] + 4 for corner, center in zip(corners, centers, strict=True) if center == 1]
    assert np.mean(places) == pytest.approx(199.5, abs=6), "every pixel of a class is as likely"


def test_without_foreground_any_place_will_do() -> None:
    mask = np.zeros((30, 30), np.uint8)
    contents = Contents.of(NO_LIMITS, mask, 1)
    corners = {patches.draw(np.random.default_rng(seed), mask, contents, (8, 8), 1.0) for seed in range(50)}
    assert len(corners) > 30


def test_what_is_beyond_the_image_is_mirrored() -> None:
    pixels, _ = picture(5, 7)
    seen = patches.cut(pixels, (-4, -2), (13, 11))
    assert np.array_equal(seen[4:9, 2:9], pixels)
    assert np.array_equal(seen, np.pad(pixels, ((4, 4), (2, 2), (0, 0)), mode="reflect"))
    assert patches.cut(np.full((1, 1, 1), 9, np.uint8), (-2, -2), (5, 5)).tolist() == np.full((5, 5, 1), 9).tolist()


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(0, 99))
def test_the_part_within_reach_is_enough(image: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    pixels, mask = picture(*image)
    rng = np.random.default_rng(seed)
    corner = patches.draw(rng, mask, Contents.of(NO_LIMITS, mask, 2), size, 0.5)
    parameters = augment.sample(WILD, rng, *size)
    whole, labels = patches.augmented(pixels, mask, corner, size, parameters)
    rows, columns = patches.reach(image, corner, size, parameters)
    moved = (corner[0] - rows.start, corner[1] - columns.start)
    part, part_labels = patches.augmented(pixels[rows, columns], mask[rows, columns], moved, size, parameters)
    assert np.abs(whole.astype(int) - part).max() <= 1
    assert (labels != part_labels).mean() < 0.01


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_pixels_beyond_the_patch_are_turned_into_it(seed: int) -> None:
    """No border of a warp is seen where the image goes on: as if the whole image had been warped, and the patch cut then."""
    pixels, mask = picture(200, 180)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 2)
    parameters = augment.sample(
        WILD.model_copy(update={"warp": 1.0, "elastic": 0.0, "shift": 0.1, "scale": (0.8, 1.25)}),
        np.random.default_rng(seed),
        32,
        40,
    )
    corner = (80, 70)
    image, labels = patches.augmented(pixels, mask, corner, (32, 40), parameters)
    assert not (labels == 255).any()
    matrix = geometry.matrix(parameters, (32, 40))
    there = np.array([[1, 0, corner[1]], [0, 1, corner[0]]], float)
    full = there[:, :2] @ matrix @ np.array([[1, 0, -corner[1]], [0, 1, -corner[0]], [0, 0, 1]], float)
    full[:, 2] += there[:, 2]
    expected = cv2.warpAffine(pixels, full, (180, 200), flags=cv2.INTER_LINEAR)[80:112, 70:110]
    assert np.abs(image.astype(int) - expected).max() <= 2


def test_beyond_the_image_a_warped_mask_is_ignored_and_the_picture_has_no_black() -> None:
    pixels, mask = np.full((40, 40, 3), 200, np.uint8), np.ones((40, 40), np.uint8)
    image, labels = patches.augmented(pixels, mask, (0, 0), (32, 32), AugmentParameters.of(Warp(rotate=45, scale=0.7)))
    assert image.min() == 200
    assert set(np.unique(labels)) == {1, 255}


def test_without_a_warp_the_pixels_are_the_images_own() -> None:
    pixels, mask = picture(40, 50)
    image, labels = patches.augmented(pixels, mask, (3, 5), (16, 16), AugmentParameters())
    assert np.array_equal(image, pixels[3:19, 5:21])
    assert np.array_equal(labels, mask[3:19, 5:21])
    moves = AugmentParameters.of(Flip(horizontal=True), QuarterTurn(turns=1))
    moved, moved_labels = patches.augmented(pixels, mask, (3, 5), (16, 16), moves)
    assert np.array_equal(moved, np.rot90(image[:, ::-1]))
    assert np.array_equal(moved_labels, np.rot90(labels[:, ::-1]))


@pytest.mark.parametrize(("scale", "size"), [(1.0, (31, 47)), (0.5, (16, 24)), (2.0, (62, 94)), (0.001, (1, 1))])
def test_the_specification_keeps_the_images_own_resolution(scale: float, size: tuple[int, int]) -> None:
    spec = InputSpec(size=(8, 8), fit="patch", scale=scale)
    pixels, mask = picture(31, 47)
    assert spec.working_pixels(pixels).shape == (*size, 3)
    assert spec.working_mask(mask).shape == size
    if scale == 1:
        assert np.array_equal(spec.working_pixels(pixels), pixels)


@pytest.mark.parametrize("scale", [0, -1, float("inf"), float("nan")])
def test_scales_that_make_no_sense(scale: Any) -> None:
    with pytest.raises(ValueError, match="scale"):
        InputSpec(fit="patch", scale=scale)
