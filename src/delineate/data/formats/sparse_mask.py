"""Masks of volumes that are background wherever their file says nothing: DICOM objects leave out empty slices, or all voxels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.geometry import TOLERANCE, Geometry, sizes
from delineate.data.formats.archive_sizes import MAX_VOXELS
from delineate.data.formats.composed_mask import ComposedMask
from delineate.data.formats.regrid import regrid

__all__ = ["SparseMask", "check_frame", "extended"]


class SparseMask(ComposedMask):
    """A mask whose own grid holds what is marked, and perhaps no more."""

    geometry: Geometry | None

    def drawn(self, grid: Geometry, of: Path) -> NDArray[Any]:
        """The mask on another grid, at the same place in the patient.

        Args:
            grid: of an image or another mask.
            of: its file, for messages.

        Returns:
            Values of the shape of the grid: those of the nearest voxels, 0 beyond the mask's own grid.

        Raises:
            DataError: naming both files: frames of reference differ, or something is marked outside of the grid.
        """
        if self.geometry is None:
            raise DataError(
                f"{self.path} does not tell where its voxels lie, so it cannot be compared with {of} by place"
            )
        check_frame(self.geometry.frame, self.path, grid.frame, of)
        values = self.labels().pixels
        self._check_inside(values, grid, of)
        return regrid(self.geometry, self.path, grid, of, sparse=True).apply(values)

    def lattice(self, other: SparseMask) -> Geometry | None:
        """A grid that holds what this mask and another one mark, at the places of this one's voxels.

        Args:
            other: of the same image.

        Returns:
            This mask's grid with as many more slices as the other one needs; None where it has no grid of its own, or where the
            other one's voxels do not lie on it.
        """
        return None if self.geometry is None else self.lattice_on(self.geometry, other)

    def lattice_on(self, grid: Geometry, other: SparseMask) -> Geometry | None:
        """The same with another grid in place of this mask's own, such as one that was extended before.

        Args:
            grid: on which this mask's voxels lie.
            other: of the same image.

        Returns:
            The grid with as many more slices as the other mask needs; None where the other one's voxels do not lie on it.
        """
        if other.geometry is None:
            return None
        back = np.linalg.inv(grid.direction * np.array(grid.spacing))
        ends = (other.geometry.corners() - np.array(grid.origin)) @ back.T
        if np.abs(ends - np.rint(ends)).max() > TOLERANCE:
            return None
        found = np.rint(ends).astype(int)
        if found[:, :2].min() < 0 or (found[:, :2].max(0) >= grid.shape[:2]).any():
            return None
        return extended(grid, int(found[:, 2].min()), int(found[:, 2].max()))

    def _check_inside(self, values: NDArray[Any], grid: Geometry, of: Path) -> None:
        marked = np.argwhere(values.any((0, 1)))
        if self.geometry is None or not len(marked):
            return
        ends = [np.flatnonzero(values.any(tuple(axis for axis in range(3) if axis != at)))[[0, -1]] for at in range(3)]
        box = np.stack(np.meshgrid(*ends, indexing="ij"), -1).reshape(-1, 3).astype(np.float64)
        back = np.linalg.inv(grid.direction * np.array(grid.spacing))
        there = (self.geometry.positions(box) - np.array(grid.origin)) @ back.T
        outside = float(np.maximum(-0.5 - there, there - (np.array(grid.shape) - 0.5)).max())
        if outside > TOLERANCE:
            raise DataError(
                f"{self.path} marks voxels up to {outside:.3g} voxels outside of {of} ({sizes(grid.shape)} voxels); it is of "
                "another image, or its positions are wrong"
            )


def extended(grid: Geometry, first: int, last: int) -> Geometry:
    """A grid with more slices along its third axis.

    Args:
        grid: to be extended.
        first: a slice that it shall have; negative before its own first one.
        last: another one.

    Returns:
        The grid with all slices from the first to the last of both.

    Raises:
        DataError: it would have more voxels than fit into memory.
    """
    low, high = min(first, 0), max(last, grid.shape[2] - 1)
    shape = (grid.shape[0], grid.shape[1], high - low + 1)
    if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise DataError(f"two masks lie too far apart to be compared: {sizes(shape)} voxels would hold both")
    origin = grid.positions([[0, 0, low]])[0]
    return replace(grid, shape=shape, origin=(float(origin[0]), float(origin[1]), float(origin[2])))


def check_frame(one: str | None, one_path: Path, other: str | None, other_path: Path) -> None:
    """Refuse files whose positions have nothing to do with each other.

    Args:
        one: frame of reference of the first file; None where it names none.
        one_path: its name, for the message.
        other: that of the second file.
        other_path: its name.

    Raises:
        DataError: both name one, and they differ.
    """
    if one and other and one != other:
        raise DataError(
            f"{one_path} and {other_path} have different frames of reference, so that their positions cannot be compared; register "
            "one to the other, or give the mask of the same series"
        )
