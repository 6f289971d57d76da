"""Boundary distances against brute force, and what must hold whatever the masks."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import SIZES, masks, patient, swapped

from delineate.evaluation.metrics import distances
from delineate.evaluation.metrics.masks import Masks
from delineate.evaluation.metrics.registry import resolve
from delineate.evaluation.metrics.surface import hd95_max, hd95_pooled, hd95_weighted, nsd, nsd_weighted
from delineate.evaluation.metrics.surface_elements import element_sizes, surface_elements

FAR = resolve(["hd", "hd95_max", "hd95_pooled", "hd95_weighted", "assd", "assd_weighted", "masd"])


def boundary(mask):
    """Indices of pixels with a face neighbor outside, one by one."""
    padded = np.pad(mask, 1)
    steps = [np.eye(mask.ndim, dtype=int)[axis] * side for axis in range(mask.ndim) for side in (-1, 1)]
    return [at for at in np.argwhere(mask) if not all(padded[tuple(at + 1 + step)] for step in steps)]


def brute(of, one, other):
    scale = np.array(of.spacing)
    return np.array([min(np.linalg.norm((a - b) * scale) for b in boundary(other)) for a in boundary(one)])


@patient
@given(of=masks(longest=5))
def test_distances_are_those_of_brute_force(of):
    there, back = of.distances
    np.testing.assert_allclose(there, brute(of, of.prediction, of.reference), rtol=1e-12)
    np.testing.assert_allclose(back, brute(of, of.reference, of.prediction), rtol=1e-12)


@patient
@given(of=masks(longest=9), even=st.booleans())
def test_tree_and_distance_transform_agree(of, even):
    """With unit spacing to the last bit."""
    spacing = (1.0,) * of.prediction.ndim if even else of.spacing
    found = []
    for share in (math.inf, -1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(distances, "_DENSE", share)
            found.append(Masks.of(of.prediction, of.reference, spacing=spacing).distances)
    for by_tree, by_transform in zip(*found, strict=True):
        np.testing.assert_allclose(by_tree, by_transform, rtol=0 if even else 1e-12)


@patient
@given(of=masks())
def test_symmetric(of):
    back = swapped(of)
    for metric in FAR:
        assert metric.value(of) == pytest.approx(metric.value(back), rel=1e-12)


@patient
@given(of=masks())
def test_a_mask_is_at_no_distance_from_itself(of):
    itself = Masks.of(of.prediction, of.prediction, spacing=of.spacing)
    assert [metric.value(itself) for metric in FAR] == [0] * len(FAR)


@patient
@given(of=masks(), factor=st.sampled_from([1 / 64, 0.5, 4]))
def test_scales_with_spacing(of, factor):
    scaled = Masks.of(of.prediction, of.reference, spacing=[size * factor for size in of.spacing])
    for metric in FAR:
        assert metric.value(scaled) == pytest.approx(metric.value(of) * factor, rel=1e-12)


@patient
@given(of=masks(), before=st.integers(0, 3), after=st.integers(0, 3))
def test_background_around_changes_nothing(of, before, after):
    one, other = (np.pad(mask, (before, after)) for mask in (of.prediction, of.reference))
    padded = Masks.of(one, other, spacing=of.spacing)
    for metric in FAR:
        assert metric.value(padded) == metric.value(of)


@patient
@given(of=masks())
def test_axes_may_change_places(of):
    turned = Masks.of(of.prediction.T, of.reference.T, spacing=of.spacing[::-1])
    for metric in (metric for metric in FAR if metric.name != "hd95_weighted"):  # it jumps where rounding reaches 95 %
        assert metric.value(turned) == pytest.approx(metric.value(of), rel=1e-12)


@patient
@given(of=masks())
def test_order_of_the_conventions(of):
    values = {metric.name: metric.value(of) for metric in FAR}
    slack = 1e-9 * of.diagonal
    assert 0 <= values["hd95_pooled"] <= values["hd"] + slack
    assert values["hd95_max"] <= values["hd"] + slack
    assert values["hd"] <= of.diagonal
    assert max(values["assd"], values["masd"]) <= values["hd"] + slack


@patient
@given(of=masks(), low=st.floats(0, 5), more=st.floats(0, 5))
def test_nsd_grows_with_the_tolerance_up_to_1(of, low, more):
    for score in (nsd, nsd_weighted):
        assert 0 <= score(of, low) <= score(of, low + more) <= 1
        assert score(of, of.diagonal) == 1
        assert score(of, low) == pytest.approx(score(swapped(of), low))


def test_conventions_by_hand():
    """A row of 40 pixels and the same with one pixel 10 away: 1 of 41 distances is 10, all others are 0."""
    row, more = np.zeros((21, 41), bool), np.zeros((21, 41), bool)
    row[5, :40] = more[5, :40] = more[15, 0] = True
    of = Masks.of(more, row)
    assert [metric.value(of) for metric in resolve(["hd", "hd95_max", "hd95_pooled"])] == [10, 0, 0]
    assert resolve(["assd"])[0].value(of) == pytest.approx(10 / 81)
    assert resolve(["masd"])[0].value(of) == pytest.approx((10 / 41 + 0) / 2)
    assert (nsd(of, 9.99), nsd(of, 10)) == (80 / 81, 1)
    few = Masks.of(more[:, :10], row[:, :10])  # 1 of 11, between the 10th and the last
    assert hd95_max(few) == pytest.approx(10 * (0.95 * 10 - 9))
    assert hd95_pooled(few) == pytest.approx(10 * max(0, 0.95 * 20 - 19))
    # The contour of the single pixel: 4 cells of a diamond of length √2 each; of the row 2·9 + 2√2.
    assert hd95_weighted(few) == pytest.approx(10)
    assert nsd_weighted(few, 5) == pytest.approx(1 - 2 * math.sqrt(2) / (6 * math.sqrt(2) + 36))


def test_a_distance_of_exactly_the_tolerance_is_within_it():
    left, right = np.zeros((9, 30), bool), np.zeros((9, 30), bool)
    left[4, 3], right[4, 5] = True, True
    for size in (0.1, 0.3, 0.7, 1.1):
        assert nsd(Masks.of(left, right, spacing=(1, size)), 2 * size) == 1


def test_contour_lengths_are_those_of_the_segments():
    """By the pattern of 2×2 pixels: one corner or three, two side by side, two across."""
    along, across = 0.5, 2.0
    diagonal = math.hypot(along, across) / 2
    sizes = element_sizes((along, across))
    codes = {bits: sum(bit << place for place, bit in enumerate(bits)) for bits in product((0, 1), repeat=4)}
    for bits, code in codes.items():
        upper, lower = bits[:2], bits[2:]
        if sum(bits) in (1, 3):
            assert sizes[code] == pytest.approx(diagonal)
        elif sum(bits) == 2:
            expected = across if upper in ((0, 0), (1, 1)) else along if upper == lower else 2 * diagonal
            assert sizes[code] == pytest.approx(expected)
        else:
            assert sizes[code] == 0


@patient
@given(shape=st.tuples(*[st.integers(1, 6)] * 3), spacing=st.tuples(SIZES, SIZES, SIZES))
def test_area_of_a_cuboid(shape, spacing):
    """Six faces between the outermost centers, 12 bevels of √2/2 a unit, 8 corners: exactly at any spacing."""
    _, sizes = surface_elements(np.pad(np.ones(shape, bool), 1), spacing)
    sides = [(n - 1) * size for n, size in zip(shape, spacing, strict=True)]
    a, b, c = spacing
    faces = 2 * (sides[0] * sides[1] + sides[0] * sides[2] + sides[1] * sides[2])
    bevels = 4 * sum(
        side * math.hypot(*(set_of)) / 2 for side, set_of in zip(sides, ((b, c), (a, c), (a, b)), strict=True)
    )
    corners = 8 * math.sqrt((a * b) ** 2 + (b * c) ** 2 + (a * c) ** 2) / 8
    assert sizes.sum() == pytest.approx(faces + bevels + corners)


@patient
@given(spacing=st.tuples(SIZES, SIZES, SIZES))
def test_a_surface_is_as_large_seen_from_inside(spacing):
    for axes in (2, 3):
        sizes = element_sizes(spacing[:axes])
        np.testing.assert_allclose(sizes, sizes[::-1], rtol=1e-12)
        assert np.all(sizes[1:-1] > 0)
        assert sizes[0] == 0
