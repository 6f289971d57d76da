"""Label volumes on the grid of another volume: moved by where voxels lie, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from delineate.common.errors import DataError
from delineate.data.core.geometry import Geometry
from delineate.data.formats.canonical import Turn
from delineate.data.formats.regrid import Regrid, regrid

ONE, OTHER = Path("one.nii.gz"), Path("other.mha")
ANGLES = st.tuples(*[st.floats(-180, 180)] * 3)
ORDERS = st.permutations([0, 1, 2])
FLIPS = st.tuples(*[st.booleans()] * 3)


def grid(
    shape: tuple[int, int, int], spacing: Any = (0.7, 0.8, 2.5), angles: Any = (0, 0, 0), origin: Any = (0, 0, 0)
) -> Geometry:
    return Geometry(shape, origin, Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), spacing)


def way(one: Geometry, other: Geometry) -> Regrid:
    return regrid(one, ONE, other, OTHER)


@settings(max_examples=100, deadline=None)
@given(angles=ANGLES, axes=ORDERS, flips=FLIPS, shape=st.tuples(*[st.integers(1, 4)] * 3))
def test_any_order_of_the_same_voxels_is_brought_back(
    angles: Any, axes: list[int], flips: tuple[bool, bool, bool], shape: tuple[int, int, int]
) -> None:
    here = grid(shape, angles=angles)
    turn = Turn((axes[0], axes[1], axes[2]), flips)
    there = turn.geometry(here)
    voxels = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(way(there, here).apply(turn.apply(voxels)), voxels)
    assert np.array_equal(way(here, there).apply(voxels), turn.apply(voxels))


def test_equal_grids_change_nothing() -> None:
    voxels = np.arange(24).reshape(2, 3, 4)
    same = way(grid((2, 3, 4)), grid((2, 3, 4), origin=(0.01, 0, 0)))
    assert same.kind == "same"
    assert same.apply(voxels) is voxels


def test_a_finer_grid_takes_the_nearest_voxel() -> None:
    coarse, fine = grid((4, 3, 2), (2, 2, 4)), grid((8, 6, 2), (1, 1, 4), origin=(-0.5, -0.5, 0))
    voxels = np.random.default_rng(0).integers(0, 4, (4, 3, 2)).astype(np.uint8)
    up = way(coarse, fine)
    assert up.kind == "resampled"
    assert np.array_equal(up.apply(voxels), voxels.repeat(2, 0).repeat(2, 1))


def test_a_larger_volume_is_cropped() -> None:
    voxels = np.random.default_rng(0).integers(0, 4, (7, 6, 5)).astype(np.uint8)
    whole = grid((7, 6, 5), angles=(10, 20, 30))
    x, y, z = whole.positions([[2, 1, 0]])[0]
    part = grid((3, 4, 5), angles=(10, 20, 30), origin=(float(x), float(y), float(z)))
    assert np.array_equal(way(whole, part).apply(voxels), voxels[2:5, 1:5])
    with pytest.raises(
        DataError, match=r"one\.nii\.gz \(3×4×5 voxels of 0\.7×0\.8×2\.5 mm\) does not cover other\.mha"
    ):
        way(part, whole)


@pytest.mark.parametrize(
    "other",
    [
        grid((4, 4, 4), (1, 1, 1)),
        grid((4, 4, 4), origin=(3, 0, 0)),
        grid((4, 4, 4), angles=(0, 0, 10)),
        grid((4, 4, 4), (0.7, 0.8, 2.4)),
    ],
)
def test_as_many_voxels_at_other_places_are_refused(other: Geometry) -> None:
    """A header that was lost or is wrong: nothing is resampled as if it were right."""
    with pytest.raises(DataError, match=r"one\.nii\.gz and other\.mha have the same shape but lie up to .* mm apart"):
        way(grid((4, 4, 4)), other)
