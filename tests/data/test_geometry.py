"""Geometry: the one way to and from NIfTI's affine, whatever lies oblique, flipped or sheared."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from delineate.data.core.geometry import Geometry
from delineate.data.formats.canonical import Turn

SHAPE = (7, 5, 3)


def random_affine(generator: np.random.Generator) -> NDArray[np.float64]:
    """RAS: any rotation or mirroring, spacings from 0.1 to 8 mm, half of them sheared as by a tilted gantry."""
    rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    shear = np.eye(3)
    shear[0, 2] = generator.choice([0, np.tan(np.radians(20))])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ shear * generator.uniform(0.1, 8, 3)
    affine[:3, 3] = generator.uniform(-500, 500, 3)
    return affine


@pytest.mark.parametrize("seed", range(20))
def test_affines_come_back_and_positions_have_the_other_sign(seed: int) -> None:
    affine = random_affine(np.random.default_rng(seed))
    geometry = Geometry.of_ras(affine, SHAPE)
    assert np.allclose(geometry.to_ras(), affine, atol=1e-9)
    assert np.allclose(np.linalg.norm(geometry.direction, axis=0), 1)
    assert geometry.spacing == pytest.approx(np.linalg.norm(affine[:3, :3], axis=0))
    indices = np.array([[0, 0, 0], [6, 4, 2], [1, 3, 2]])
    ras = (affine @ np.c_[indices, np.ones(3)].T).T[:, :3]
    assert np.allclose(geometry.positions(indices), ras * (-1, -1, 1), atol=1e-9)


def test_left_is_left() -> None:
    """An array that goes to the right and to the front in NIfTI's terms goes against both of DICOM's axes."""
    geometry = Geometry.of_ras(np.diag([2.0, 3, 4, 1]), SHAPE)
    assert np.array_equal(geometry.direction, np.diag([-1, -1, 1]))
    assert geometry.spacing == (2, 3, 4)
    assert geometry.positions([[1, 0, 0]]).tolist() == [[-2, 0, 0]]


def test_a_stated_spacing_is_kept_and_the_affine_too() -> None:
    geometry = Geometry.of_ras(np.diag([2.0, 3, 4, 1]), SHAPE, (2.0, 3.0, 4.02))
    assert geometry.spacing == (2, 3, 4.02)
    assert np.allclose(geometry.to_ras(), np.diag([2, 3, 4, 1]))


@pytest.mark.parametrize("seed", range(10))
def test_the_canonical_order_keeps_every_voxel_where_it_is(seed: int) -> None:
    generator = np.random.default_rng(seed)
    stored = Geometry.of_ras(random_affine(generator), SHAPE)
    turn = Turn.of(stored.to_ras())
    canonical = turn.geometry(stored)
    numbers = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    seen = turn.apply(numbers)
    assert seen.shape == canonical.shape
    for index in generator.integers(0, canonical.shape, (5, 3)):
        there = np.unravel_index(seen[tuple(index)], SHAPE)
        assert np.abs(canonical.positions([index]) - stored.positions([there])).max() < 1e-9
    for axis in range(3):
        for index in range(canonical.shape[axis]):
            where = turn.stored_slice(axis, index, canonical.shape[axis])
            plane = turn.apply_plane(numbers.take(where[1], where[0]), axis)
            assert np.array_equal(plane, seen.take(index, axis))
