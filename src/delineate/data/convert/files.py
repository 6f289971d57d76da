"""Files of cases in their new place: images byte for byte where that is possible, masks as class indices."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import write_bytes
from delineate.data.cases.pixels import case_mask, open_file
from delineate.data.convert.target import DataSet
from delineate.data.core import labels
from delineate.data.core.input_spec import Pixels
from delineate.data.core.manifest import Case
from delineate.data.formats.archives import Address
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.frames import frame_address
from delineate.data.formats.images import write_image
from delineate.data.formats.nifti import write_volume_image
from delineate.data.formats.nifti_header import NIFTI_SUFFIXES
from delineate.data.formats.orientation import UPRIGHT
from delineate.data.formats.registry import (
    check_same_grid,
    image_suffix,
    open_image,
    read_raw_labels,
    reader_of,
    volume_suffix,
    write_mask,
)

__all__ = [
    "PACKED_VOLUME",
    "PNG",
    "TIFF_STACK",
    "read_classes",
    "write_classes",
    "write_picture",
    "write_png",
    "write_volume",
]

PNG, PACKED_VOLUME, TIFF_STACK = ".png", ".nii.gz", ".tif"
_WITH_DATA_BESIDE = (".mhd", ".nhdr")
"""Files that are headers; their voxels lie in another one."""


def write_picture(data: DataSet, case: Case, file: str, target: Path, kept: Collection[str] = ()) -> Path:
    """One of a case's image files under a new name, which gets its suffix: copied byte for byte, or as PNG with the same pixels
    where it lies inside of another file, is turned by its EXIF orientation, or has none of the suffixes `kept` (none: all stay).

    Raises `DataError` for floats, which PNG cannot hold.
    """
    source = data.manifest.path(file)
    handle = open_file(data.manifest, case, file, max_pixels=data.max_pixels)
    suffix = image_suffix(source)
    alone = reader_of(source).kind != "packed" and suffix and handle.orientation == UPRIGHT
    if alone and (not kept or suffix in kept):
        path = target.with_name(target.name + suffix)
        shutil.copyfile(source, path)
        return path
    return write_png(handle.read(), target, file)


def write_png(pixels: Pixels, target: Path, file: str) -> Path:
    """Pixels of 8 or 16 bits as PNG; the name gets its suffix. Raises `DataError` naming the file they come from for floats."""
    if pixels.dtype.kind == "f":
        raise DataError(
            f"{file} holds floats, which PNG cannot keep; scale the images to 8 or 16 bits by one rule first"
        )
    path = target.with_name(target.name + PNG)
    write_image(path, pixels)
    return path


def write_volume(data: DataSet, case: Case, file: str, target: Path, *, packed: bool = False) -> Path:
    """One of a case's volumes under a new name, which gets its suffix: byte for byte where that is possible, else as `.nii.gz` with
    the same voxels on the same grid. `packed`: always as `.nii.gz`."""
    source = data.manifest.path(file)
    handle = open_file(data.manifest, case, file)
    suffix = volume_suffix(source) or image_suffix(source)
    path = target.with_name(target.name + PACKED_VOLUME)
    placed = handle.geometry is not None and handle.geometry.tells == "place"
    inside = frame_address(source)[1] is not None or DicomAddress.parse(source) is not None
    if not placed and (packed or inside or Address.parse(source) is not None):
        raise DataError(
            f"{source} does not tell where its voxels lie, which .nii.gz needs: save it as a volume that does"
        )
    if inside or suffix in _WITH_DATA_BESIDE or (packed and suffix not in NIFTI_SUFFIXES):
        assert handle.geometry is not None, "it was read as a volume"
        write_volume_image(path, handle.read(), handle.geometry)
    elif packed and suffix != PACKED_VOLUME:
        write_bytes(path, gzip.compress(source.read_bytes(), 6, mtime=0))
    else:
        path = target.with_name(target.name + suffix)
        shutil.copyfile(source, path)
    return path


def read_classes(data: DataSet, case: Case) -> NDArray[np.uint8]:
    """Class indices of a case with masks (255 = ignore): H×W, or of a volume in the order of its image file's axes."""
    if not data.volumes:
        mask = case_mask(data.manifest, case, max_pixels=data.max_pixels)
        assert mask is not None, "it has masks"
        return mask
    image = data.manifest.path(case.images[0])
    paths = [data.manifest.path(mask) for mask in case.masks]
    for path in paths:
        check_same_grid(image, path)
    return labels.merge([labels.apply(data.manifest.labels, _raw(data, path), path) for path in paths])


def write_classes(data: DataSet, case: Case, classes: NDArray[np.uint8], target: Path) -> Path:
    """Class indices as gray PNG, or as a volume on the grid of the case's image; the name gets its suffix."""
    like = open_image(data.manifest.path(case.images[0])) if data.volumes else None
    placed = like is not None and like.geometry is not None and like.geometry.tells == "place"
    path = target.with_name(target.name + (PACKED_VOLUME if placed else TIFF_STACK if data.volumes else PNG))
    write_mask(path, classes, like=like)
    return path


def _raw(data: DataSet, path: Path) -> NDArray[Any]:
    return read_raw_labels(path).as_coded(data.manifest.labels.coding, path)
