"""DICOM as a format: files, folders of a series, and addresses of images in them."""

from __future__ import annotations

import os
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import some
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, ImageHandle, Reader
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.files import SUFFIXES, is_dicom, looks_like_dicom
from delineate.data.formats.dicom.handle import DicomHandle
from delineate.data.formats.dicom.parts import part_of
from delineate.data.formats.dicom.scan import Found, scan
from delineate.data.formats.dicom.series import Series
from delineate.data.formats.dicom.slide import DicomSlide

__all__ = ["Dicom"]


class Dicom(Reader):
    """Images of DICOM files; which series there are, a file's or folder's headers tell."""

    name = "dicom"
    suffixes = SUFFIXES
    kind = "packed"
    windowed = True

    def sniff(self, path: Path, first: bytes) -> bool:
        if first:
            return looks_like_dicom(path, first)
        if DicomAddress.parse(path) is not None:
            return True
        # Other formats' addresses come here, too, and may be too long for a path, which `Path.is_dir` raises for.
        return os.path.isdir(path) and any(map(is_dicom, _few(path)))  # noqa: PTH112

    def volume_at(self, address: Path) -> bool:
        found = DicomAddress.parse(address)
        return found is not None and found.kind == "series"

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        """A file or folder is opened where it holds one image. Raises `DataError` as `scan`, and for a series with a fault."""
        address = DicomAddress.parse(path)
        if address is not None:
            found = scan(address.place)
            series = next((one for at, one in found.series if at.key == address.key), None)
            if series is None:
                raise DataError(f"{path} is not there{_instead(found)}")
            return _opened(path, part_of(series, address.slices), max_pixels)
        found = scan(path)
        if not found.series and found.faults:
            raise DataError(found.faults[0])
        if not found.series:
            raise DataError(f"{path} holds no DICOM images")
        if len(found.series) > 1:
            names = some([str(at) for at, _ in found.series], 3)
            raise DataError(f"{path} holds {len(found.series)} DICOM images; give the address of one: {names}")
        return _opened(path, found.series[0][1], max_pixels)


def _opened(path: Path, series: Series, max_pixels: int) -> ImageHandle:
    return (DicomSlide if series.kind == "slide" else DicomHandle)(path, series, max_pixels)


def _few(folder: Path) -> list[Path]:
    """Some files directly in a folder."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())[:20]
    except OSError:
        return []


def _instead(found: Found) -> str:
    if not found.series:
        return f": {found.faults[0]}" if found.faults else "; its place holds no DICOM images"
    return f"; there are {some([str(at) for at, _ in found.series], 3)}"
