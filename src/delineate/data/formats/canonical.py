"""The one order in which voxels of any volume are looked at, whatever order its file has: NIfTI's RAS.

The first axis goes from left to right, the second from back to front, the third from feet to head. An affine that lies oblique is
brought to the nearest order; nothing is resampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

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
        """X×Y×Z of the file → canonical: a view."""
        return np.flip(voxels.transpose(self.axes), self._flipped)

    def undo(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """Canonical → X×Y×Z of the file, as masks are written: a view."""
        return np.flip(voxels, self._flipped).transpose(tuple(np.argsort(self.axes)))

    def order(self, values: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        """One value for each axis of the file (sizes, spacings) → in canonical order."""
        return values[self.axes[0]], values[self.axes[1]], values[self.axes[2]]

    def keeps(self, axis: int) -> bool:
        """Whether numbers of slices across this axis are the same in the file's order."""
        return self.axes[axis] == axis and not self.flips[axis]

    @property
    def _flipped(self) -> tuple[int, ...]:
        return tuple(axis for axis, flip in enumerate(self.flips) if flip)
