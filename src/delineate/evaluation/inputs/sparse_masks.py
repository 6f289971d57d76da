"""Scoring DICOM masks, which are background beyond what their files hold: on which grid, and how they come to lie on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.geometry import Geometry
from delineate.data.formats.contract import ImageHandle
from delineate.data.formats.dicom_masks.on_series import MappedMask
from delineate.data.formats.dicom_masks.structure_set_reader import StructureSetHandle
from delineate.data.formats.registry import open_image, reads_volume
from delineate.data.formats.sparse_mask import SparseMask

__all__ = ["is_sparse", "shared_grid", "values_on"]


def is_sparse(path: Path) -> bool:
    """Whether a file holds no more than what is marked, by its header."""
    return reads_volume(path) and isinstance(open_image(path), SparseMask)


def shared_grid(prediction: Path, reference: Path) -> Geometry | None:
    """The grid that a pair is scored on where one of the two is a DICOM mask.

    It is the grid of the one that has a grid for the whole image; of two DICOM masks, the reference's voxels, with as many slices
    as both need.

    Args:
        prediction: a predicted mask.
        reference: its reference.

    Returns:
        The grid; None of two files that both have grids of their own.

    Raises:
        DataError: naming both: an image without places, or masks whose voxels do not lie on one grid.
    """
    if not (is_sparse(prediction) or is_sparse(reference)):
        return None
    ours, theirs = open_image(prediction), open_image(reference)
    for one, other in ((theirs, ours), (ours, theirs)):
        if not isinstance(one, SparseMask):
            if one.geometry is None:
                raise DataError(
                    f"{one.path} does not tell where its voxels lie, so {other.path} cannot be compared with it"
                )
            return one.geometry
    found = _lattice(theirs, ours) or _lattice(ours, theirs)
    if found is None:
        raise DataError(
            f"{prediction} and {reference} have no grid in common; compare them with a NIfTI mask, or with a segmentation of the "
            "same images"
        )
    return found


def values_on(path: Path, grid: Geometry, of: Path) -> NDArray[Any]:
    """The raw values of a mask on the grid that `shared_grid` found.

    Args:
        path: of the mask.
        grid: of the pair.
        of: the other file of the pair, for messages.

    Returns:
        Values of the shape of the grid.

    Raises:
        DataError: as `SparseMask.drawn`.
    """
    handle = open_image(path)
    return handle.drawn(grid, of) if isinstance(handle, SparseMask) else handle.labels().pixels


def _lattice(one: ImageHandle, other: ImageHandle) -> Geometry | None:
    assert isinstance(one, SparseMask), "asked before"
    assert isinstance(other, SparseMask), "asked before"
    outlines = _outlines(other)
    if not outlines:
        return one.lattice(other)
    if _outlines(one) or one.geometry is None:
        return None
    grid = one.geometry
    for each in outlines:
        grid = each.content.needed(grid)
    return grid


def _outlines(mask: SparseMask) -> tuple[StructureSetHandle, ...]:
    """The structure sets of a mask that has no voxels of its own; none of others."""
    held = mask.held if isinstance(mask, MappedMask) else (mask,)
    found = tuple(one for one in held if isinstance(one, StructureSetHandle))
    return found if len(found) == len(held) else ()
