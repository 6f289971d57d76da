"""Outlines and run lengths → pixels: against known answers, pycocotools, and a plain test of each pixel's center."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from delineate.data.formats.annotations import run_lengths
from delineate.data.formats.annotations.address import AnnotationAddress
from delineate.data.formats.annotations.outlines import (
    Bitmap,
    Circle,
    Mark,
    Outline,
    hidden,
    outline,
    painted,
    rectangle,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "run_lengths.json").read_text())
SIZE = 12, 16
CORNERS = st.lists(st.tuples(st.floats(-6, 22, width=32), st.floats(-6, 18, width=32)), min_size=3, max_size=9)


def area(*segments: object) -> np.ndarray:
    return painted([Mark(1, segments)], SIZE) > 0  # type: ignore[arg-type]


def test_a_pixel_belongs_to_an_outline_when_its_center_lies_inside() -> None:
    expected = np.zeros(SIZE, bool)
    expected[3:7, 2:9] = True
    assert (area(rectangle(2, 3, 9, 7)) == expected).all()
    assert (
        area(rectangle(2.5, 3.5, 9.5, 7.5)) == expected
    ).all()  # centers on the left and upper side, not on the others
    assert (area(rectangle(1.6, 2.6, 8.6, 6.6)) == expected).all()
    assert not area(rectangle(2.6, 3.6, 3.4, 4.4)).any()  # between the centers
    assert not area(Outline(np.array([(2.0, 3.0), (9.0, 7.0)]))).any()


@settings(max_examples=60, deadline=None)
@given(CORNERS)
def test_any_outline_is_filled_as_its_crossings_say(corners: list[tuple[float, float]]) -> None:
    points = np.array(corners, np.float64)
    inside = np.zeros(SIZE, bool)
    for one, other in zip(points, np.roll(points, -1, axis=0), strict=True):
        (x0, y0), (x1, y1) = (one, other) if one[1] <= other[1] else (other, one)
        for y in range(SIZE[0]):
            if y0 <= y + 0.5 < y1:
                crossing = x0 + (y + 0.5 - y0) / (y1 - y0) * (x1 - x0)
                inside[y] ^= crossing - 0.5 <= np.arange(SIZE[1])
    assert (area(Outline(points)) == inside).all()


@settings(max_examples=40, deadline=None)
@given(CORNERS, st.integers(0, 8))
def test_neighbors_with_a_common_border_share_no_pixel_and_leave_none_out(
    corners: list[tuple[float, float]], turn: int
) -> None:
    points = np.roll(np.array(corners, np.float64), turn, axis=0)
    fan = [Outline(np.array([points[0], one, other])) for one, other in pairwise(points[1:])]
    parity = np.zeros(SIZE, bool)
    for triangle in fan:
        parity ^= area(triangle)
    assert (parity == area(Outline(points))).all()


def test_circles_bitmaps_and_what_lies_outside_of_the_picture() -> None:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    assert (area(Circle(7, 5, 4)) == ((rows - 5) ** 2 + (columns - 7) ** 2 <= 16)).all()
    assert area(Circle(-1, -1, 3)).sum() == ((rows + 1) ** 2 + (columns + 1) ** 2 <= 9).sum()
    mask = np.array([[True, False], [True, True]])
    assert np.argwhere(area(Bitmap(3, 4, mask))).tolist() == [[3, 4], [4, 4], [4, 5]]
    assert np.argwhere(area(Bitmap(-1, 15, mask))).tolist() == [[0, 15]]
    for far in (Circle(99, 99, 5), rectangle(40, 40, 50, 50), Bitmap(99, 0, mask)):
        assert not area(far).any()
    assert area(rectangle(-9, -9, 99, 99)).all()


def test_the_later_mark_is_on_top_and_the_overlap_is_counted() -> None:
    marks = [Mark(300, (rectangle(0, 0, 6, 6),)), Mark(2, (rectangle(4, 4, 8, 8), rectangle(5, 5, 9, 9)))]
    mask = painted(marks, SIZE)
    assert (mask[5, 5], mask[1, 1], mask[8, 8], mask[10, 10]) == (2, 300, 2, 0)
    assert hidden(marks, SIZE) == 4
    assert not hidden([marks[1], Mark(2, (rectangle(0, 0, 9, 9),))], SIZE)  # of one class


def test_numbers_that_are_no_outline_are_refused() -> None:
    for wrong, words in (([1, 2, 3], "no pairs"), ([1, 2, float("nan"), 4], "no finite number")):
        with pytest.raises(ValueError, match=words):
            outline(wrong)


def test_run_lengths_are_those_of_pycocotools() -> None:
    for one in (*GOLDEN["masks"], GOLDEN["wide"]):
        mask = run_lengths.decode(one["counts"], tuple(one["size"]))
        assert run_lengths.packed(run_lengths.encode(mask)) == one["counts"]
        assert np.packbits(mask).tobytes().hex() == one.get("pixels", np.packbits(mask).tobytes().hex())
    assert run_lengths.decode(GOLDEN["wide"]["counts"], (700, 900)).sum() == 490 * 853


def test_outlines_are_filled_as_pycocotools_fills_them_but_for_pixels_on_the_line() -> None:
    for one in GOLDEN["outlines"]:
        theirs = run_lengths.decode(one["counts"], tuple(one["size"]))
        ours = painted([Mark(1, tuple(map(outline, one["segmentation"])))], tuple(one["size"])) > 0
        assert (ours ^ theirs).sum() <= 2, one["name"]


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_any_mask_comes_back_from_its_run_lengths(mask: np.ndarray) -> None:
    runs = run_lengths.encode(mask)
    assert run_lengths.unpacked(run_lengths.packed(runs)) == runs
    assert (run_lengths.decode(runs, mask.shape) == mask).all()
    assert (run_lengths.decode(run_lengths.packed(runs), mask.shape) == mask).all()


@pytest.mark.parametrize(
    "wrong", [[5, 3], [5, -1, 8], [4.0, 8], [True, 11], "0n", "a b", "é", "oooooooooooooooo", ""], ids=str
)
def test_run_lengths_that_do_not_fill_the_picture_are_refused(wrong: list[int] | str) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        run_lengths.decode(wrong, (3, 4))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["a.json", "über uns/b c.txt", "x/y.json"]),
    st.lists(st.text(min_size=1, max_size=6), max_size=2),
    st.dictionaries(st.text(min_size=1, max_size=8), st.integers(0, 300), max_size=3),
)
def test_an_address_comes_back_from_its_text(file: str, words: list[str], values: dict[str, int]) -> None:
    address = AnnotationAddress(Path(file), "labelme", tuple(words), tuple(values.items()))
    assert AnnotationAddress.parse(str(address)) == address
    assert Path(str(address)).parent == Path(file).parent
    assert AnnotationAddress.parse(file) is None
