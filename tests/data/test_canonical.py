"""Volumes of one body look alike, in whatever order their files hold the voxels."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from delineate.data.formats.canonical import Turn

nibabel = pytest.importorskip("nibabel")

AXES = st.sampled_from(list(permutations(range(3))))
FLIPS = st.tuples(st.booleans(), st.booleans(), st.booleans())


def stored(voxels: Any, axes: tuple[int, ...], flips: tuple[bool, ...], tilt: tuple[float, ...]) -> tuple[Any, Any]:
    """Canonical voxels in another order of axes, with the affine that says so, turned obliquely by some degrees."""
    linear = np.diag([1.0, 1.5, 4.0])[:, axes]
    start = np.zeros(3)
    array = voxels.transpose(axes)
    for axis, flip in enumerate(flips):
        if flip:
            start += linear[:, axis] * (array.shape[axis] - 1)
            linear[:, axis] *= -1
            array = np.flip(array, axis)
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix()
    affine[:3, :3], affine[:3, 3] = turn @ linear, turn @ start
    return array, affine


@given(
    axes=AXES,
    flips=FLIPS,
    tilt=st.tuples(*[st.floats(-20, 20)] * 3),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
)
@settings(max_examples=200, deadline=None)
def test_any_order_becomes_one_and_goes_back(
    axes: tuple[int, ...], flips: tuple[bool, ...], tilt: tuple[float, ...], shape: tuple[int, ...]
) -> None:
    voxels = np.arange(np.prod(shape)).reshape(shape)
    array, affine = stored(voxels, axes, flips, tilt)
    turn = Turn.of(affine)
    assert np.array_equal(turn.apply(array), voxels)
    assert np.array_equal(turn.undo(voxels), array)
    assert turn.order(array.shape) == shape
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    assert turn.order(tuple(spacing)) == pytest.approx((1.0, 1.5, 4.0))
    assert [turn.keeps(axis) for axis in range(3)] == [axes[axis] == axis and not flips[axis] for axis in range(3)]


@given(axes=AXES, flips=FLIPS, tilt=st.tuples(*[st.floats(-20, 20)] * 3))
@settings(max_examples=60, deadline=None)
def test_it_is_nibabels_closest_canonical(axes: Any, flips: Any, tilt: Any) -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    array, affine = stored(voxels, axes, flips, tilt)
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, affine))
    assert np.array_equal(np.asarray(image.dataobj), Turn.of(affine).apply(array))
