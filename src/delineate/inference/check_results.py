"""`--check`: each mask is read again by another library than wrote it, and compared with what was to be written.

| format | written by | read by |
| --- | --- | --- |
| DICOM segmentation | highdicom | pydicom and our own decoder; highdicom too, where slices are evenly spaced |
| RTSTRUCT | our own outlines | OpenCV's polygons |
| NIfTI | nibabel | SimpleITK (tilted grids, NIfTI-2 and two axes: nibabel) |
| MetaImage, NRRD | SimpleITK | SimpleITK (no other library reads both) |
| PNG, TIFF | Pillow | OpenCV |
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.geometry import Geometry
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.contract import ImageHandle
from delineate.data.formats.dicom_masks.objects import open_object
from delineate.data.formats.dicom_masks.other_readers import by_highdicom, by_opencv
from delineate.data.formats.dicom_masks.suffixes import SEGMENTATION_SUFFIX, STRUCTURE_SET_SUFFIX
from delineate.data.formats.itk import by_simpleitk
from delineate.data.formats.nifti_header import is_rare
from delineate.data.formats.registry import open_image
from delineate.inference.write import mask_values

__all__ = ["check_picture", "check_volume"]

_SAME = 1e-3
"""Share of a voxel that corners may differ by."""


def check_volume(path: Path, indices: NDArray[np.uint8], image: ImageHandle) -> None:
    """Compare a mask on the disk with what it shall hold.

    Args:
        path: of the mask.
        indices: class indices, in the order of the image's file.
        image: that it is of, as it is stored.

    Raises:
        DataError: naming the mask: it holds something else, or lies elsewhere.
    """
    grid = image.geometry
    assert grid is not None, "volumes have places"
    if path.name.endswith(SEGMENTATION_SUFFIX):
        if open_object(path).geometry is not None:
            _compare(path, open_object(path).drawn(grid, image.path), indices, "pydicom")
        else:
            _compare(path, open_object(path).labels().pixels[..., None], indices, "pydicom")
        other = by_highdicom(path, grid)
        if other is not None:
            _compare(path, other, indices, "highdicom")
    elif path.name.endswith(STRUCTURE_SET_SUFFIX):
        _compare(path, open_object(path).drawn(grid, image.path), indices, "pydicom")
        _compare(path, by_opencv(path, grid), indices, "OpenCV")
    else:
        # SimpleITK has no tilted NIfTI, no NIfTI-2 and no volume of two axes: then the file is read back as any other volume is.
        tilted = not np.allclose(grid.direction.T @ grid.direction, np.eye(3), atol=1e-4)
        alone = tilted or is_rare(path)
        reader = "nibabel" if alone else "SimpleITK"
        found, placed = _read(path) if alone else by_simpleitk(path)
        _compare(path, found, indices, reader)
        _compare_places(path, placed, grid, reader)


def check_picture(path: Path, indices: NDArray[np.uint8], classes: ClassTable) -> None:
    """The same of a picture's mask.

    Args:
        path: of the mask.
        indices: class indices, H×W.
        classes: whose values a picture's mask has.

    Raises:
        DataError: as `check_volume`.
    """
    if path.name.endswith(SEGMENTATION_SUFFIX):
        values = open_object(path).labels().pixels
        _compare(path, values.transpose(2, 1, 0)[0] if values.ndim == 3 else values, indices, "pydicom")
        return
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise DataError(f"{path} cannot be read by OpenCV; predict it again")
    if found.ndim == 3:
        colors = np.unique(found.reshape(-1, found.shape[-1]), axis=0)
        wanted = len(np.unique(indices))
        if found.shape[:2] != indices.shape or len(colors) != wanted:
            raise DataError(f"{path} does not read back as it was written (by OpenCV); predict it again")
        return
    _compare(path, found, np.array(mask_values(classes), np.uint8)[indices], "OpenCV")


def _compare(path: Path, found: NDArray[Any], wanted: NDArray[Any], reader: str) -> None:
    if found.shape != wanted.shape:
        raise DataError(
            f"{path} does not read back as it was written: {reader} finds {found.shape}, not {wanted.shape} voxels"
        )
    off = int(np.count_nonzero(found != wanted))
    if off:
        raise DataError(f"{path} does not read back as it was written: {reader} finds {off} other voxels")


def _read(path: Path) -> tuple[NDArray[Any], Geometry]:
    handle = open_image(path)
    assert handle.geometry is not None, "written with one"
    return handle.read(), handle.geometry


def _compare_places(path: Path, found: Geometry, wanted: Geometry, reader: str) -> None:
    off = np.abs(found.corners() - wanted.corners()).max()
    if off > _SAME * min(wanted.spacing):
        raise DataError(f"{path} does not read back as it was written: {reader} finds it {off:.3g} mm off")
