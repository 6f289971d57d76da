"""Which DICOM files are masks, and which series they are of."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.formats.dicom.files import damage_told, is_dicom, read_dataset
from delineate.data.formats.dicom.scan import dicom_files, scan
from delineate.data.formats.dicom.series import Series
from delineate.data.formats.dicom_masks.references import References
from delineate.data.formats.dicom_masks.segmentation_reader import SEGMENTATIONS, SegmentationHandle
from delineate.data.formats.dicom_masks.structure_set import STRUCTURE_SET
from delineate.data.formats.dicom_masks.structure_set_reader import StructureSetHandle

__all__ = ["is_mask_object", "mask_objects", "open_object", "series_at", "series_near"]

_ABOVE = 3
"""Folders above a mask's own that its series is looked for in."""


def is_mask_object(path: Path) -> bool:
    """Whether a file is a segmentation or a structure set, by its header.

    Args:
        path: of any file.

    Returns:
        False for everything else, also what cannot be read.
    """
    if not is_dicom(path):
        return False
    try:
        with damage_told(path):
            return str(read_dataset(path).get("SOPClassUID")) in (*SEGMENTATIONS, STRUCTURE_SET)
    except DataError:
        return False


def mask_objects(folder: Path, *, deep: bool = False) -> list[Path]:
    """The segmentations and structure sets of a folder. Reads headers.

    Args:
        folder: to look into.
        deep: whether the folders in it are looked into, too.

    Returns:
        Their files, sorted.
    """
    return [path for path in dicom_files(folder, deep=deep) if is_mask_object(path)]


def open_object(path: Path, only: Collection[int] = ()) -> SegmentationHandle | StructureSetHandle:
    """Open a segmentation or a structure set.

    Args:
        path: of its file.
        only: numbers of the segments or regions that are drawn, all others being background; none: all of them.

    Returns:
        It, on a grid of its own.

    Raises:
        DataError: naming the file: it is neither, or damaged.
    """
    with damage_told(path):
        kind = str(read_dataset(path).get("SOPClassUID"))
        if kind == STRUCTURE_SET:
            return StructureSetHandle(path, only)
        if kind in SEGMENTATIONS:
            return SegmentationHandle(path, only)
        raise DataError(f"{path} is neither a DICOM segmentation nor an RTSTRUCT")


def series_at(place: Path, references: References, key: str) -> tuple[Path, Series] | None:
    """The series that an object is of, where it is known where that lies.

    Args:
        place: a file or a folder.
        references: what the object refers to.
        key: the series' own name in addresses.

    Returns:
        Its address and the series; None where it is not there, or the object is not of it.
    """
    for address, series in scan(place).series if place.exists() else ():
        instances = {frame.header.instance for frame in series.frames}
        if series.key == key and references.fits(series.frames[0].header.series, instances):
            return Path(str(address)), series
    return None


def series_near(path: Path, references: References, key: str | None = None) -> tuple[Path, Series] | None:
    """The series that an object is of, told by UIDs: beside it, or in a folder above or the folders in that.

    Args:
        path: of the object's file.
        references: what it refers to.
        key: the series' own name in addresses, where it is known; then no other one is meant.

    Returns:
        Its address and the series; None where it is not there.
    """
    folder = path.parent.resolve()
    for _ in range(_ABOVE):
        if folder == folder.parent:  # the root: all of the machine would be read
            return None
        for address, series in scan(folder).series:
            named = series.frames[0].header.series
            instances = {frame.header.instance for frame in series.frames}
            if key in (None, series.key) and references.fits(named, instances):
                return Path(str(address)), series
        folder = folder.parent
    return None
