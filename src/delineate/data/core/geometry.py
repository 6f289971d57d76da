"""Where the voxels of an image lie in the patient: one type for all formats, and its one way to and from NIfTI's affine.

Positions are in millimeters in DICOM's axes (LPS): x grows to the patient's left, y to the back, z to the head. NIfTI's go to the
right and to the front (RAS), so the first two rows have the opposite sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError

__all__ = [
    "TOLERANCE",
    "Geometry",
    "Tells",
    "Triple",
    "check_origin",
    "check_same_geometry",
    "check_spacing",
    "pixel_spacing",
    "sizes",
]

TOLERANCE = 0.05
"""Corners of two volumes of the same geometry lie closer than this share of the smallest spacing."""

_FARTHEST = 1e5
"""No voxel lies farther from the origin of coordinates, in mm: 100 m, as for DICOM's positions. Beyond, the numbers of headers,
which are often float32, could not tell neighboring voxels apart."""
_NARROWEST, _WIDEST = 1e-7, 1e4
"""Between these lie the distances of voxels, in mm: a tenth of a nanometer, 10 m."""

Triple = tuple[float, float, float]
Tells = Literal["place", "distances", "nothing"]
"""What a file says of its voxels: where in the patient they lie; how far apart alone, as stacks of microscopes; neither."""
_RAS_OF_LPS = np.diag([-1.0, -1.0, 1.0])
"""Turns a position of one convention into that of the other."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """The grid of an image: voxel (i, j, k) lies at `origin + direction @ (spacing * (i, j, k))`.

    Example:
        >>> import numpy as np
        >>> from delineate.data.core.geometry import Geometry
        >>> grid = Geometry((10, 10, 4), (0.0, 0.0, 0.0), np.eye(3), (0.5, 0.5, 2.0))
        >>> grid.positions([[1, 0, 3]]).tolist()
        [[0.5, 0.0, 6.0]]
        >>> grid.voxel_volume
        0.5
    """

    shape: tuple[int, int, int]
    """Voxels along each axis of the array."""
    origin: Triple
    """Position of the first voxel's center, LPS, mm."""
    direction: NDArray[np.float64]
    """3×3; column a is the unit vector of the array's axis a. Columns need not be perpendicular: tilted gantries shear. Where a
    file tells two spacings that differ a little, the columns are as much longer or shorter (`data.formats.nifti`: 1 % at most)."""
    spacing: Triple
    """Distance of neighboring voxels along each axis of the array, in mm."""
    frame: str | None = None
    """Name of the coordinate system (DICOM's frame of reference); None where the file has no name for it."""
    sources: tuple[str, ...] = ()
    """Instances that the image was made from (DICOM's SOP instance UIDs), in the order of its slices."""
    tells: Tells = "place"
    """What of this the file says. Of the others' voxels the axes are taken as they come; where it says nothing, `spacing` is 1."""

    @classmethod
    def of_stack(cls, shape: tuple[int, int, int], spacing: Triple | None) -> Self:
        """Of a file that tells no place in the patient, such as a TIFF stack.

        Args:
            shape: voxels along each axis.
            spacing: in mm; None: the file does not tell.

        Returns:
            A grid whose axes are already in the canonical order (`data.formats.canonical`).

        Example:
            >>> from delineate.data.core.geometry import Geometry
            >>> grid = Geometry.of_stack((64, 64, 20), None)
            >>> grid.tells, grid.millimeters
            ('nothing', None)
        """
        told: Tells = "nothing" if spacing is None else "distances"
        return cls(shape, (0.0, 0.0, 0.0), _RAS_OF_LPS.copy(), spacing or (1.0, 1.0, 1.0), tells=told)

    @property
    def millimeters(self) -> Triple | None:
        """`spacing` where the file tells it."""
        return None if self.tells == "nothing" else self.spacing

    @classmethod
    def of_ras(cls, affine: NDArray[np.float64], shape: tuple[int, int, int], spacing: Triple | None = None) -> Self:
        """From NIfTI's affine.

        Args:
            affine: 4×4, voxel index (i, j, k, 1) → position in mm, RAS.
            shape: voxels along each axis.
            spacing: in mm, as the file states it beside its affine; None: the lengths of the affine's columns.

        Returns:
            The same grid in LPS.
        """
        columns = _RAS_OF_LPS @ affine[:3, :3]
        if spacing is None:
            spacing = _triple(np.linalg.norm(columns, axis=0))
        return cls(shape, _triple(_RAS_OF_LPS @ affine[:3, 3]), columns / np.array(spacing), spacing)

    def to_ras(self) -> NDArray[np.float64]:
        """As NIfTI has it: the inverse of `of_ras` but for rounding.

        Returns:
            The 4×4 affine, voxel index (i, j, k, 1) → position in mm, RAS.
        """
        affine = np.eye(4)
        affine[:3, :3] = _RAS_OF_LPS @ (self.direction * np.array(self.spacing))
        affine[:3, 3] = _RAS_OF_LPS @ np.array(self.origin)
        return affine

    def positions(self, indices: Sequence[Sequence[float]] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Where voxels lie.

        Args:
            indices: N×3, along the array's axes; fractions lie between voxels.

        Returns:
            N×3 positions of centers, LPS, mm.
        """
        return np.asarray(indices, np.float64) * np.array(self.spacing) @ self.direction.T + np.array(self.origin)

    @property
    def voxel_volume(self) -> float:
        """Of one voxel, in mm³; 1 where the file tells no distances."""
        return float(abs(np.linalg.det(self.direction * np.array(self.spacing))))

    def corners(self) -> NDArray[np.float64]:
        """Where the grid ends.

        Returns:
            8×3 positions of the outermost voxels' centers, LPS, mm.
        """
        return self.positions(list(product(*((0, size - 1) for size in self.shape))))


def check_same_geometry(
    one: Geometry, one_path: Path, other: Geometry, other_path: Path, *, tolerance: float = TOLERANCE
) -> None:
    """Refuse two files that are not on one grid.

    Args:
        one: grid of the first file.
        one_path: its name, for the message.
        other: grid of the second file.
        other_path: its name.
        tolerance: how far corners may lie apart, as a share of the smallest spacing.

    Raises:
        DataError: naming both files; shapes differ, or a corner lies elsewhere; only one tells a place in the patient. Of files
            that tell none, distances are compared where both tell them.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from delineate.data.core.geometry import Geometry, check_same_geometry
        >>> grid = Geometry((10, 10, 4), (0.0, 0.0, 0.0), np.eye(3), (0.5, 0.5, 2.0))
        >>> check_same_geometry(grid, Path("image.nii.gz"), grid, Path("mask.nii.gz"))
    """
    if one.shape != other.shape:
        raise DataError(
            f"{one_path} has {sizes(one.shape)} voxels but {other_path} has {sizes(other.shape)}; "
            "resample one to the grid of the other"
        )
    if one.tells != "place" or other.tells != "place":
        _check_stacks(one, one_path, other, other_path, tolerance)
        return
    distance = float(np.linalg.norm(one.corners() - other.corners(), axis=1).max())
    if distance > tolerance * min(one.spacing + other.spacing):
        raise DataError(
            f"{one_path} and {other_path} have the same shape but lie up to {distance:.3g} mm apart (their affines "
            "differ); resample one to the grid of the other, or correct the header that is wrong"
        )


def _check_stacks(one: Geometry, one_path: Path, other: Geometry, other_path: Path, tolerance: float) -> None:
    """`check_same_geometry` of grids of one shape, of which one at least has no place."""
    if "place" in (one.tells, other.tells):
        bare, placed = (other_path, one_path) if one.tells == "place" else (one_path, other_path)
        raise DataError(
            f"{bare} does not tell where in the patient its voxels lie, and {placed} does, so they cannot be laid upon each other; "
            "save both in one format"
        )
    if "nothing" not in (one.tells, other.tells) and not np.allclose(
        one.spacing, other.spacing, rtol=tolerance, atol=0
    ):
        raise DataError(
            f"{one_path} has voxels of {sizes(one.spacing)} mm but {other_path} of {sizes(other.spacing)} mm; "
            "correct the header that is wrong"
        )


def check_spacing(path: Path, spacing: Sequence[float]) -> Triple:
    """Refuse distances that cannot be.

    Args:
        path: of the file that states them, for the message.
        spacing: of neighboring voxels along three axes, in mm.

    Returns:
        The same as a triple.

    Raises:
        DataError: a distance that is zero, negative, not a number, or beyond 1e-7 … 1e4 mm.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.core.geometry import check_spacing
        >>> check_spacing(Path("image.nii.gz"), [0.5, 0.5, 2])
        (0.5, 0.5, 2.0)
    """
    if not np.isfinite(spacing).all():
        raise DataError(f"{path} has a spacing or affine that is not a number ({sizes(spacing)}); correct its header")
    if min(spacing) <= 0:
        raise DataError(f"{path} has the spacing {sizes(spacing)}, which cannot be; correct its header")
    if min(spacing) < _NARROWEST or max(spacing) > _WIDEST:
        raise DataError(
            f"{path} has the spacing {sizes(spacing)} mm, and distances of voxels lie between {_NARROWEST:g} and {_WIDEST:g} mm; "
            "correct its header or its unit"
        )
    return float(spacing[0]), float(spacing[1]), float(spacing[2])


def check_origin(path: Path, origin: Sequence[float] | NDArray[np.float64], tag: str) -> None:
    """Refuse a place that cannot be.

    Args:
        path: of the file that states it, for the message.
        origin: position of the first voxel, in mm.
        tag: where the header states it.

    Raises:
        DataError: a coordinate that is not a number, or farther away than 100 m.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.core.geometry import check_origin
        >>> check_origin(Path("image.mha"), (-120.0, -80.5, 1200.0), "Offset")
    """
    if not (np.abs(np.asarray(origin, np.float64)) <= _FARTHEST).all():
        place = ", ".join(f"{value:g}" for value in origin)
        raise DataError(
            f"{path} places its first voxel at {place} mm ({tag}), and no image lies farther away than {_FARTHEST:g} mm; correct "
            "its header or its unit"
        )


def pixel_spacing(spacing: Triple, axis: int) -> tuple[float, float]:
    """Of the pixels of a volume's slices.

    Args:
        spacing: of its voxels along each axis, in mm.
        axis: across the slices.

    Returns:
        The distances from row to row and from column to column, in mm.

    Example:
        >>> from delineate.data.core.geometry import pixel_spacing
        >>> pixel_spacing((0.5, 0.6, 3.0), 2)
        (0.5, 0.6)
    """
    down, across = (step for at, step in enumerate(spacing) if at != axis)
    return down, across


def sizes(values: Sequence[float]) -> str:
    """Sizes for messages.

    Args:
        values: along each axis.

    Returns:
        Them with × between.

    Example:
        >>> from delineate.data.core.geometry import sizes
        >>> sizes((512, 512, 0.7))
        '512×512×0.7'
    """
    return "×".join(f"{value:g}" for value in values)


def _triple(values: NDArray[np.float64]) -> Triple:
    first, second, third = (float(value) for value in values)
    return first, second, third
