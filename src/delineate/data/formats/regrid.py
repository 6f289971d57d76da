"""A label volume on another volume's grid: the same voxels in another order, or the nearest ones of a grid that covers it.

Programs store one scan with its axes turned or reversed, and some resample it. Positions in the patient say which voxels are meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.geometry import TOLERANCE, Geometry, check_same_geometry, sizes

__all__ = ["Regrid", "regrid"]

_Kind = Literal["same", "turned", "resampled"]


@dataclass(frozen=True)
class Regrid:
    """How voxels of one grid become those of another: index there → `matrix @ index + offset` here."""

    kind: _Kind
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    shape: tuple[int, int, int]
    """Of the other grid."""
    beyond: Literal["nearest", "background"] = "nearest"
    """What voxels outside of this grid are."""

    def apply(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Move a label volume.

        Args:
            labels: on this grid, in the order of its axes.

        Returns:
            Those of the nearest voxels, on the other grid.
        """
        if self.kind == "same":
            return labels
        if self.kind == "turned":
            axes = np.argmax(np.abs(self.matrix), axis=0)  # of each axis there, which one it is here
            backwards = tuple(at for at, axis in enumerate(axes) if self.matrix[axis, at] < 0)
            return np.ascontiguousarray(np.flip(labels.transpose(*axes), backwards))
        from scipy.ndimage import affine_transform  # 0.2 s; few need it

        mode = "nearest" if self.beyond == "nearest" else "grid-constant"
        moved: NDArray[Any] = affine_transform(
            labels, self.matrix, self.offset, output_shape=self.shape, order=0, mode=mode
        )
        return moved


def regrid(one: Geometry, one_path: Path, other: Geometry, other_path: Path, *, sparse: bool = False) -> Regrid:
    """Find how a label volume is moved to another grid.

    Grids of as many voxels are meant to be one: they have the same voxels, in whatever order, or are refused, since a wrong header
    is likelier than a second grid; so are those of files that tell no place in the patient. A grid of other sizes must cover the
    other one; labels are then those of the nearest voxel.

    Args:
        one: grid of the labels.
        one_path: their file, for messages.
        other: grid that they are wanted on.
        other_path: its file.
        sparse: whether all is background beyond the first grid, which then need not cover the other one.

    Returns:
        The way; `kind` says whether anything is changed.

    Raises:
        DataError: naming both files; the grids have as many voxels at other places, or `one` does not cover `other`.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from delineate.data.core.geometry import Geometry
        >>> from delineate.data.formats.regrid import regrid
        >>> grid = Geometry((2, 3, 4), (0.0, 0.0, 0.0), np.eye(3), (1.0, 1.0, 2.0))
        >>> mirrored = Geometry((2, 3, 4), (1.0, 0.0, 0.0), np.diag([-1.0, 1, 1]), (1.0, 1.0, 2.0))
        >>> way = regrid(mirrored, Path("a.nii.gz"), grid, Path("b.nii.gz"))
        >>> way.kind, way.apply(np.arange(24).reshape(2, 3, 4))[0, 0, 0].item()
        ('turned', 12)
    """
    if one.tells != "place" or other.tells != "place":
        check_same_geometry(one, one_path, other, other_path)
        return Regrid("same", np.eye(3), np.zeros(3), other.shape)
    to_index = np.linalg.inv(one.direction * np.array(one.spacing))
    matrix = to_index @ (other.direction * np.array(other.spacing))
    offset = to_index @ (np.array(other.origin) - np.array(one.origin))
    if sparse:
        # Rounded, so that a voxel is not lost to the last digit of a position.
        return Regrid("resampled", matrix, np.round(offset, 6), other.shape, "background")
    if sorted(one.shape) == sorted(other.shape):
        turn = np.round(matrix)
        if not (np.abs(turn).sum(0) == 1).all() or not (np.abs(turn).sum(1) == 1).all():
            turn = np.eye(3)
        ordered = _turned(one, turn)
        check_same_geometry(ordered, one_path, other, other_path)
        kind: _Kind = "same" if np.array_equal(turn, np.eye(3)) else "turned"
        return Regrid(kind, turn, offset, other.shape)
    _check_covers(matrix, offset, one, one_path, other, other_path)
    return Regrid("resampled", matrix, offset, other.shape)


def _turned(grid: Geometry, turn: NDArray[np.float64]) -> Geometry:
    """The same voxels in another order: axis a of the result is the axis of `grid` where column a is not 0, backwards at -1."""
    axes = [int(axis) for axis in np.argmax(np.abs(turn), axis=0)]
    signs = [float(turn[axis, at]) for at, axis in enumerate(axes)]
    first = np.zeros(3)
    for axis, sign in zip(axes, signs, strict=True):
        first[axis] = grid.shape[axis] - 1 if sign < 0 else 0
    origin = grid.positions(first[None])[0]
    return Geometry(
        (grid.shape[axes[0]], grid.shape[axes[1]], grid.shape[axes[2]]),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        grid.direction[:, axes] * np.array(signs),
        (grid.spacing[axes[0]], grid.spacing[axes[1]], grid.spacing[axes[2]]),
    )


def _check_covers(
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    one: Geometry,
    one_path: Path,
    other: Geometry,
    other_path: Path,
) -> None:
    """Raise `DataError` where a voxel's center of the other grid lies outside of this one's voxels."""
    ends = np.stack(np.meshgrid(*[(0, size - 1) for size in other.shape], indexing="ij"), -1).reshape(-1, 3)
    there = ends @ matrix.T + offset
    outside = np.maximum(-0.5 - there, there - (np.array(one.shape) - 0.5)).max()
    if outside > TOLERANCE:
        of = f"{sizes(one.shape)} voxels of {_millimeters(one)}"
        raise DataError(
            f"{one_path} ({of}) does not cover {other_path} ({sizes(other.shape)} of {_millimeters(other)}): they lie up to "
            f"{outside:.3g} voxels apart; bring it to the grid of the other, or correct the header that is wrong"
        )


def _millimeters(grid: Geometry) -> str:
    return f"{sizes([round(each, 3) for each in grid.spacing])} mm"
