"""Contours are drawn where the masks end, in colors that differ, on any kind of image."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.data.core.manifest import ClassTable
from delineate.inference.overlay import CLASS_COLORS, PREDICTION, REFERENCE, draw, to_display


def disc(size: int = 80, radius: int = 20) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return ((y - size // 2) ** 2 + (x - size // 2) ** 2 <= radius**2).astype(np.uint8)


def has(picture: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - color).sum(-1) < 40).any())


@pytest.mark.parametrize("shape", [(80, 80), (80, 80, 1), (80, 80, 3), (80, 80, 4)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_any_image(shape, kind):
    image = np.full(shape, 100, kind)
    before = image.copy()
    picture = draw(image, disc(), disc(radius=30))
    assert picture.shape == (80, 80, 3)
    assert picture.dtype == np.uint8
    assert has(picture, PREDICTION)
    assert has(picture, REFERENCE)
    assert np.array_equal(image, before)
    assert picture.flags.c_contiguous


def test_only_the_contour_is_touched():
    image = np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8)
    picture = draw(image, disc())
    y, x = np.mgrid[:80, :80]
    distance = np.abs(np.hypot(y - 40, x - 40) - 20)
    assert np.array_equal(picture[distance > 4], image[distance > 4])
    assert np.array_equal(draw(image, np.zeros((80, 80), np.uint8)), image)
    assert np.array_equal(draw(image, None), image)


def test_holes_have_a_contour():
    ring = disc(radius=30) - disc(radius=15)
    picture = draw(np.zeros((80, 80), np.uint8), ring)
    assert picture[40, 56].any() or picture[40, 55].any()
    assert not picture[40, 40].any()


def test_classes_have_their_colors_and_ignored_pixels_none():
    labels = disc(radius=30) * 2
    labels[:, :40][disc()[:, :40] > 0] = 1
    labels[:5] = 255
    table = ClassTable(names=("background", "a", "b"))
    picture = draw(np.zeros((80, 80), np.uint8), None, labels, table)
    assert has(picture, CLASS_COLORS[0])
    assert has(picture, CLASS_COLORS[1])
    assert not picture[:5].any()


def test_reference_is_dashed():
    solid = draw(np.zeros((80, 80), np.uint8), disc()).any(-1).sum()
    dashed = draw(np.zeros((80, 80), np.uint8), None, disc()).any(-1).sum()
    assert 0.3 < dashed / solid < 0.8


def test_large_images_have_wide_lines():
    picture = draw(np.full((1000, 1000), 128, np.uint8), disc(1000, 300))
    assert has(picture, PREDICTION)
    assert has(picture, (0, 0, 0)), "with a dark casing"


def test_flat_sixteen_bit_image():
    assert to_display(np.full((4, 4), 5000, np.uint16)).shape == (4, 4, 3)
