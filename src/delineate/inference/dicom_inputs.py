"""The DICOM images of files and folders that are given to predict. Files are put together to series, as those of a folder are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.files import is_dicom
from delineate.data.formats.dicom.parts import join_files
from delineate.data.formats.dicom.scan import Found, dicom_files, scan
from delineate.data.formats.dicom.series import Series
from delineate.data.formats.registry import reads_image

__all__ = ["dicom_of_files", "dicom_of_folder", "is_dicom_file"]

_TOLD = 3


def is_dicom_file(path: Path) -> bool:
    """Whether a path is that of a DICOM file, which may hold one slice of many."""
    return path.is_file() and not reads_image(path) and is_dicom(path)


def dicom_of_files(files: Sequence[Path], notes: list[str]) -> dict[Path, list[Path]]:
    """The images that DICOM files make: file → addresses of those of which it is the first file. Adds to `notes` what their owner
    should know.

    Raises `DataError` for files without images.
    """
    if len(files) == 1:
        return {files[0]: _images(files[0], scan(files[0]), notes)}
    joined = join_files(list({file.resolve(): file for file in reversed(files)}.values())[::-1])
    if not joined.images:
        raise DataError(joined.faults[0])
    scouts = [one for _, one in joined.images if one.is_localizer]
    scouts = [] if len(scouts) == len(joined.images) else scouts
    notes += [*joined.notes, *_stacks(joined.images)]
    if scouts:
        notes.append(f"{count(len(scouts), 'scout image')} (LOCALIZER) left out")
    if joined.faults:
        notes.append(_left_out(joined.faults))
    found: dict[Path, list[Path]] = {file: [] for file in files}
    for address, series in joined.images:
        if series not in scouts:
            own = {frame.path for frame in series.frames}
            first = next((file for file in files if file in own), files[0])
            found[first].append(Path(str(address)))
    return found


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
    notes += _stacks(found.series)
    scouts = len(found.series) - len(images)
    if found.directory:
        notes.append("the DICOMDIR is not used: all files in the folder were looked at")
    if scouts:
        notes.append(f"{count(scouts, 'scout image')} (LOCALIZER) left out of {place}")
    if found.faults:
        notes.append(_left_out(found.faults))
    return images


def _stacks(images: Sequence[tuple[DicomAddress, Series]]) -> list[str]:
    """Series that are several stacks, such as the phases of a heart, in the order of the masks' numbers."""
    found: dict[str, list[tuple[DicomAddress, Series]]] = {}
    for address, series in images:
        if series.part:
            found.setdefault(series.frames[0].header.series, []).append((address, series))
    told = []
    for members in found.values():
        parts = some([f"{series.part} #{address.kind}-{address.key}" for address, series in members], _TOLD)
        told.append(f"one series is {count(len(members), 'stack')}, in this order: {parts}")
    return told


def _left_out(faults: Sequence[str]) -> str:
    return f"{count(len(faults), 'DICOM file')} without an image left out: {some(faults, _TOLD)}"
