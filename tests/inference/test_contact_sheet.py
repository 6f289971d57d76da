"""Sheets of slices: which are shown, and which way up."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.data.core.manifest import ClassTable
from delineate.inference.contact_sheet import MOST, SHORTER, draw_contact_sheet, representative_slices, turned


def block(depth: int, *parts: tuple[int, int, int, int]) -> np.ndarray:
    """Class indices D×20×20; parts are (label, first slice, last slice, side)."""
    indices = np.zeros((depth, 20, 20), np.uint8)
    for label, first, last, side in parts:
        indices[first : last + 1, 2 : 2 + side, 3 : 3 + side] = label
    return indices


@pytest.mark.parametrize(
    ("indices", "shown"),
    [
        (block(30), [15]),
        (block(30, (1, 4, 6, 5)), [4, 5, 6]),
        (block(1, (1, 0, 0, 5)), [0]),
        (block(40, (1, 10, 30, 5), (1, 17, 17, 9)), [10, 12, 15, 17, 18, 20, 22, 25, 28, 30][:MOST]),
    ],
)
def test_telling_slices(indices: np.ndarray, shown: list[int]):
    found = representative_slices(indices, 2)
    assert found == sorted(set(found))
    assert len(found) <= MOST
    if len(shown) < MOST:
        assert found == shown
    else:
        assert {10, 17, 30} <= set(found), "the ends, and the widest"


def test_the_widest_slice_of_each_class_is_shown():
    parts = [(label, 5 * label, 5 * label + 3, 4) for label in range(1, 8)]
    indices = block(60, *parts)
    for label in range(1, 8):
        indices[5 * label + 2, 0:12, 0:12] = label
    assert {5 * label + 2 for label in range(1, 8)} <= set(representative_slices(indices, 8))


def test_the_front_is_above_and_the_right_is_to_the_left():
    """A canonical axial slice: rows go to the patient's right, columns to the front."""
    plane = np.zeros((4, 6), np.uint8)
    plane[-1, -1] = 9
    assert turned(plane).shape == (6, 4)
    assert turned(plane)[0, 0] == 9


def test_a_sheet_shows_prediction_and_reference():
    indices, reference = block(10, (1, 2, 5, 8)), block(10, (1, 2, 5, 12))
    image = np.full(indices.shape, 40, np.uint8)
    before = image.copy()
    plain, both = (draw_contact_sheet(image, indices, ClassTable(), range(10), one) for one in (None, reference))
    assert plain.dtype == np.uint8
    assert min(plain.shape[:2]) >= 2 * SHORTER, "two rows of two slices"
    assert (plain != both).any()
    assert np.array_equal(image, before)
    bare = draw_contact_sheet(image, block(10), ClassTable(), range(10))
    assert bare.shape[:2] == (200, 200)
    assert len(np.unique(bare[: bare.shape[0] // 2].reshape(-1, 3), axis=0)) == 1, "no contours, and the number below"
    assert (plain.max(-1) != plain.min(-1)).any(), "contours have colors"
