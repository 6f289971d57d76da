"""Planes of a volume: through the right places, in the right proportions."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.data.core.manifest import ClassTable
from delineate.inference.three_planes import center_of, draw_three_planes, worst_slices

SHAPE = (20, 30, 8)


def box(*sides: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[sides] = 1
    return mask


REFERENCE = box(slice(4, 9), slice(10, 21), slice(2, 5))


def orange(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the prediction's contour is: rows and columns."""
    rows, columns = np.nonzero((picture[..., 0] > 150) & (picture[..., 2] < 60))
    return rows, columns


def test_the_center_is_that_of_the_reference() -> None:
    empty = np.zeros(SHAPE, np.uint8)
    assert center_of(REFERENCE, empty) == (6, 15, 3)
    assert center_of(empty, REFERENCE) == (6, 15, 3)
    assert center_of(empty, empty) == (10, 15, 4)
    ignored = np.where(REFERENCE > 0, REFERENCE, 255).astype(np.uint8)
    assert center_of(ignored, empty) == (6, 15, 3)


def test_the_worst_slices() -> None:
    prediction = REFERENCE.copy()
    prediction[0:3, 0, 1], prediction[0:2, 0, 2], prediction[0:9, 0, 7] = 1, 1, 1
    assert worst_slices(prediction, REFERENCE, 2) == [(1, 3), (7, 9)], "none beside another, in their order"
    assert worst_slices(REFERENCE, REFERENCE, 2) == []
    ignored = np.where(prediction != REFERENCE, 255, REFERENCE).astype(np.uint8)
    assert worst_slices(prediction, ignored, 2) == []


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 5.0), (2.0, 1.0, 3.0)])
def test_millimeters_are_equal_in_all_directions(spacing: tuple[float, float, float]) -> None:
    image = np.full(SHAPE, 90, np.uint8)
    sheet = draw_three_planes(image, REFERENCE, ClassTable(), spacing, REFERENCE)
    right, front, head = (length * step for length, step in zip(SHAPE, spacing, strict=True))
    scale = 320 / max(right, front, head)
    widths = [max(48, round(one * scale)) for one in (right, right, front)]  # axial, coronal, sagittal
    heights = [max(48, round(one * scale)) for one in (front, head, head)]
    assert sheet.shape == (max(heights), sum(widths) + 8, 3), "no wrong slice: one row"
    alone = draw_three_planes(image, REFERENCE, ClassTable(), spacing)
    rows, columns = orange(alone[: heights[0], : widths[0]])
    shown = ((np.ptp(rows) + 1) * front / heights[0], (np.ptp(columns) + 1) * right / widths[0])
    assert shown == pytest.approx((11 * spacing[1], 5 * spacing[0]), rel=0.1), "as large as it is, in mm"


def test_left_is_right_and_the_front_is_above() -> None:
    """A mark at the patient's right and front is on the left of the axial plane, and above."""
    mark = box(slice(15, 20), slice(24, 30), slice(6, 8))
    sheet = draw_three_planes(np.zeros(SHAPE, np.uint8), mark, ClassTable(), (1.0, 1.0, 4.0))
    rows, columns = orange(sheet[:300, :200])
    assert (rows.max(), columns.max()) == (59, 49), "ten pixels for a millimeter"


def test_numbers_are_those_of_the_file_and_colors_are_kept() -> None:
    asked: list[tuple[int, int]] = []

    def number(axis: int, index: int) -> int:
        asked.append((axis, index))
        return 99

    image = np.zeros((*SHAPE, 4), np.uint8)
    image[..., 0] = 200
    sheet = draw_three_planes(image, np.zeros(SHAPE, np.uint8), ClassTable(), (1, 1, 1), REFERENCE, number)
    assert asked[:3] == [(2, 3), (1, 15), (0, 6)]
    assert (sheet[5, 5] == (200, 0, 0)).all()
