"""The DICOM images of files and folders that are given to predict."""

from __future__ import annotations

from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.data.formats.dicom.files import is_dicom
from delineate.data.formats.dicom.scan import Found, dicom_files, scan
from delineate.data.formats.registry import reads_image

__all__ = ["dicom_of_file", "dicom_of_folder"]

_TOLD = 3


def dicom_of_file(path: Path, notes: list[str]) -> list[Path]:
    """Addresses of the images in a file; none where it is not DICOM. Adds to `notes` what its owner should know.

    Raises `DataError` for a DICOM file without images.
    """
    if reads_image(path) or not is_dicom(path):
        return []
    return _images(path, scan(path), notes)


def dicom_of_folder(folder: Path, notes: list[str], *, deep: bool = True) -> list[Path]:
    """Addresses of the images in a folder, and (`deep`) in the folders in it; none where there is no DICOM file.

    Scouts are left out. Raises `DataError` where DICOM files hold no images.
    """
    if not dicom_files(folder, deep=deep):
        return []
    return _images(folder, scan(folder, deep=deep), notes)


def _images(place: Path, found: Found, notes: list[str]) -> list[Path]:
    images = [Path(str(address)) for address, series in found.series if not series.is_localizer or place.is_file()]
    if not images:
        why = found.faults[0] if found.faults else f"{place} holds no DICOM images but scouts"
        raise DataError(why)
    scouts = len(found.series) - len(images)
    if found.directory:
        notes.append("the DICOMDIR is not used: all files in the folder were looked at")
    if scouts:
        notes.append(f"{count(scouts, 'scout image')} (LOCALIZER) left out of {place}")
    if found.faults:
        notes.append(f"{count(len(found.faults), 'DICOM file')} without an image left out: {some(found.faults, _TOLD)}")
    return images
