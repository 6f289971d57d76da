"""The one order in which voxels of any volume are looked at, whatever order its file has: NIfTI's RAS.

The first axis goes from left to right, the second from back to front, the third from feet to head. An affine that lies oblique is
brought to the nearest order; nothing is resampled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.geometry import Geometry
from delineate.data.core.input_spec import Pixels
from delineate.data.core.mask_values import RawMask
from delineate.data.formats.contract import ImageHandle

__all__ = ["Axes", "Canonical", "Turn", "canonical"]

Axes = tuple[int, int, int]


@dataclass(frozen=True)
class Turn:
    """From a file's order of voxels to the canonical one."""

    axes: Axes
    """Of each canonical axis, which axis of the file it is."""
    flips: tuple[bool, bool, bool]
    """Of each canonical axis, whether the file goes along it backwards."""

    @classmethod
    def of(cls, affine: NDArray[np.float64]) -> Self:
        """From a 4×4 affine (voxel → mm, x to the right, y to the front, z to the head) with no axis of length 0."""
        columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        axes = max(permutations(range(3)), key=lambda order: sum(abs(columns[at, order[at]]) for at in range(3)))
        flips = (bool(columns[at, axis] < 0) for at, axis in enumerate(axes))
        return cls((axes[0], axes[1], axes[2]), (next(flips), next(flips), next(flips)))

    def apply(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """X×Y×Z(×channels) of the file → canonical: a view."""
        return np.flip(voxels.transpose(*self.axes, *range(3, voxels.ndim)), self._flipped)

    def undo(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """Canonical → X×Y×Z of the file, as masks are written: a view."""
        return np.flip(voxels, self._flipped).transpose(tuple(np.argsort(self.axes)))

    def order(self, values: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        """One value for each axis of the file (sizes, spacings) → in canonical order."""
        return values[self.axes[0]], values[self.axes[1]], values[self.axes[2]]

    def stored_slice(self, axis: int, index: int, depth: int) -> tuple[int, int]:
        """Axis and number in the file of the slice `index` across a canonical axis, which has `depth` slices."""
        return self.axes[axis], depth - 1 - index if self.flips[axis] else index

    def apply_plane(self, plane: NDArray[Any], axis: int) -> NDArray[Any]:
        """A slice as the file has it, its rows along the earlier of the file's axes left → across a canonical axis: a view."""
        left = [at for at in range(3) if at != axis]
        if self.axes[left[0]] > self.axes[left[1]]:
            plane = plane.swapaxes(0, 1)
        return np.flip(plane, tuple(at for at, one in enumerate(left) if self.flips[one]))

    def keeps(self, axis: int) -> bool:
        """Whether numbers of slices across this axis are the same in the file's order."""
        return self.axes[axis] == axis and not self.flips[axis]

    def geometry(self, stored: Geometry) -> Geometry:
        """Of a file → of its canonical order: the same voxels at the same places."""
        last = [stored.shape[axis] - 1 if flip else 0 for axis, flip in zip(self.axes, self.flips, strict=True)]
        first = np.zeros(3)
        first[list(self.axes)] = last
        origin = stored.positions(first[None])[0]
        signs = np.where(self.flips, -1.0, 1.0)
        return replace(
            stored,
            shape=self.order(stored.shape),
            origin=(float(origin[0]), float(origin[1]), float(origin[2])),
            direction=stored.direction[:, list(self.axes)] * signs,
            spacing=self.order(stored.spacing),
        )

    @property
    def _flipped(self) -> tuple[int, ...]:
        return tuple(axis for axis, flip in enumerate(self.flips) if flip)


class Canonical(ImageHandle):
    """A volume seen in the canonical order, whatever order its file has."""

    geometry: Geometry

    def __init__(self, handle: ImageHandle) -> None:
        """Raises `DataError` for a volume that does not tell where it lies."""
        if handle.geometry is None:
            raise DataError(f"{handle.path} does not tell where its voxels lie, so its axes have no order")
        self._handle, self.path, self.modality = handle, handle.path, handle.modality
        self.turn = Turn.of(handle.geometry.to_ras())
        self.geometry = self.turn.geometry(handle.geometry)
        self.shape = self.geometry.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._handle.dtype

    @property
    def channels(self) -> tuple[str, ...]:
        return self._handle.channels

    @property
    def notes(self) -> tuple[str, ...]:
        return self._handle.notes

    @property
    def stored(self) -> ImageHandle:
        return self._handle

    def as_stored(self, mask: NDArray[Any]) -> NDArray[Any]:
        return self.turn.undo(mask)

    def read(self) -> Pixels:
        return self.turn.apply(self._handle.read())

    def slice(self, axis: int, index: int) -> Pixels:
        where = self.turn.stored_slice(axis, index, self.shape[axis])
        return self.turn.apply_plane(self._handle.slice(*where), axis)

    def labels(self) -> RawMask:
        raw = self._handle.labels()
        return replace(raw, pixels=self.turn.apply(raw.pixels))

    def digest(self) -> str:
        return self._handle.digest()


def canonical(handle: ImageHandle) -> ImageHandle:
    """A volume in the canonical order; a picture as it is. Raises `DataError` for a volume that does not tell where it lies."""
    return Canonical(handle) if handle.is_volume else handle
