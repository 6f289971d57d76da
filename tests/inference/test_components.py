"""Components by NumPy alone are those of scipy, with the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from delineate.inference.components import components


@pytest.mark.parametrize("by_faces", [False, True])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_they_agree_with_scipy(axes: int, by_faces: bool) -> None:
    numbers = np.random.default_rng(axes)
    for share in (0, 0.05, 0.3, 0.5, 0.8, 1):
        for _ in range(10):
            mask = numbers.random(numbers.integers(1, 12, axes)) < share
            labels, count = components(mask, by_faces=by_faces)
            expected, number = ndimage.label(mask, None if by_faces else np.ones((3,) * axes))
            assert count == number
            np.testing.assert_array_equal(labels, expected)


def test_a_long_spiral_is_one() -> None:
    mask = np.zeros((101, 101), bool)
    for inset in range(0, 50, 4):
        mask[inset, inset : 101 - inset] = mask[inset : 101 - inset, 100 - inset] = True
        mask[100 - inset, inset : 101 - inset] = mask[inset + 2 : 101 - inset, inset] = True
        mask[inset + 2, inset : inset + 5] = mask[inset + 2 : inset + 5, inset + 4] = True
    assert components(mask)[1] == ndimage.label(mask, np.ones((3, 3)))[1]


def test_memory_order_does_not_matter() -> None:
    mask = np.random.default_rng(0).random((9, 8, 7)) < 0.4
    np.testing.assert_array_equal(components(np.asfortranarray(mask))[0], components(mask)[0])
