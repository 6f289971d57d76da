"""Numbers of DICOM headers: each is finite and in a range that can be, or its file is refused.

pydicom gives `nan`, `inf`, `1e400`, 0 and negative spacings without a word (CVE-2026-48705 corrupts results by them). So no other
module reads a tag that holds decimal or whole numbers as text; a test looks for such places.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from delineate.common.errors import DataError
from delineate.data.formats.dicom.package import pydicom

__all__ = ["RANGES", "number", "numbers", "tag_of", "whole"]

_COUNT = (-(2.0**31), 2.0**31)
_SPACING = (1e-4, 100.0)
_MATRIX = (-10_000_000, 10_000_000)
RANGES: dict[str, tuple[float, float]] = {
    "AcquisitionNumber": _COUNT,
    "BitsAllocated": (1, 64),
    "BitsStored": (1, 64),
    "ColumnPositionInTotalImagePixelMatrix": _MATRIX,
    "Columns": (1, 65535),
    "ContourData": (-1e5, 1e5),
    "HighBit": (0, 63),
    "ImageOrientationPatient": (-1.001, 1.001),
    "ImagePositionPatient": (-1e5, 1e5),
    "ImagerPixelSpacing": _SPACING,
    "InstanceNumber": _COUNT,
    "MaximumFractionalValue": (1, 255),
    "NumberOfFrames": (1, 1_000_000),
    "NumberOfOpticalPaths": (1, 65535),
    "PhysicalDeltaX": (-10.0, 10.0),
    "PhysicalDeltaY": (-10.0, 10.0),
    "PixelPaddingRangeLimit": _COUNT,
    "PixelPaddingValue": _COUNT,
    "PixelRepresentation": (0, 1),
    "PixelSpacing": _SPACING,
    "PlanarConfiguration": (0, 1),
    "ReferencedFrameNumber": (1, 1_000_000),
    "ReferencedROINumber": (0, 65535),
    "ReferencedSegmentNumber": (1, 65535),
    "RescaleIntercept": (-1e7, 1e7),
    "RescaleSlope": (-1e6, 1e6),
    "ROINumber": (0, 65535),
    "RowPositionInTotalImagePixelMatrix": _MATRIX,
    "Rows": (1, 65535),
    "SamplesPerPixel": (1, 4),
    "SegmentNumber": (0, 65535),
    "SeriesNumber": _COUNT,
    "SliceThickness": (1e-4, 1e4),
    "SpacingBetweenSlices": (-1000.0, 1000.0),
    "TotalPixelMatrixColumns": (1, 10_000_000),
    "TotalPixelMatrixFocalPlanes": (1, 65535),
    "TotalPixelMatrixRows": (1, 10_000_000),
    "WindowCenter": (-1e7, 1e7),
    "WindowWidth": (1e-6, 1e8),
}
"""What each number can be; lengths in mm, of ultrasound in cm. Other numbers are not read."""
_LEAST_SLOPE = 1e-9
_SHOWN = re.compile(r"[-+.\deE]{1,16}|[-+]?(nan|inf|infinity)", re.IGNORECASE)
"""Values that a message may quote: what is no number may be anything, a name too."""


def numbers(dataset: Any, keyword: str, path: Path, count: int = 0) -> tuple[float, ...]:
    """The numbers of a tag.

    Args:
        dataset: pydicom's data set, of a file or of an item of a sequence.
        keyword: of the tag, one of `RANGES`.
        path: of the file, for messages.
        count: how many there are; 0: any number.

    Returns:
        The values; none where the tag is absent or empty.

    Raises:
        DataError: naming file and tag; a value that is not finite or cannot be, or another number of values.

    Example:
        >>> from pathlib import Path
        >>> from pydicom import Dataset
        >>> from delineate.data.formats.dicom.numbers import numbers
        >>> dataset = Dataset()
        >>> dataset.PixelSpacing = [0.5, 0.5]
        >>> numbers(dataset, "PixelSpacing", Path("a.dcm"), 2)
        (0.5, 0.5)
    """
    low, high = RANGES[keyword]
    found = []
    for text in _texts(dataset, keyword, path):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            raise DataError(f"{path}: {tag_of(keyword)} {_fault(text, low, high)}; correct the header")
        if keyword == "RescaleSlope" and abs(value) < _LEAST_SLOPE:
            raise DataError(f"{path}: {tag_of(keyword)} is {text}, which makes all pixels equal; correct the header")
        found.append(value)
    if found and count and len(found) != count:
        raise DataError(f"{path}: {tag_of(keyword)} has {len(found)} values, not {count}; correct the header")
    return tuple(found)


def number(dataset: Any, keyword: str, path: Path) -> float | None:
    """The first number of a tag; None where it is absent or empty. Raises `DataError` as `numbers`."""
    return next(iter(numbers(dataset, keyword, path)), None)


def whole(dataset: Any, keyword: str, path: Path) -> int | None:
    """The same of a tag of whole numbers. Raises `DataError` as `numbers`, and for fractions."""
    value = number(dataset, keyword, path)
    if value is None:
        return None
    if value != int(value):
        raise DataError(f"{path}: {tag_of(keyword)} is {value:g}, which is no whole number; correct the header")
    return int(value)


def tag_of(keyword: str) -> str:
    """How messages name a tag.

    Args:
        keyword: of the tag.

    Returns:
        Keyword and number.

    Example:
        >>> from delineate.data.formats.dicom.numbers import tag_of
        >>> tag_of("PixelSpacing")
        'PixelSpacing (0028,0030)'
    """
    tag = pydicom().datadict.tag_for_keyword(keyword)
    return f"{keyword} ({tag >> 16:04x},{tag & 0xFFFF:04x})"


def _texts(dataset: Any, keyword: str, path: Path) -> list[str]:
    """The values as text. Where the tag holds text, it is that of the file: pydicom would already have made numbers of it."""
    tag = pydicom().datadict.tag_for_keyword(keyword)
    element = dataset.get_item(tag)
    if element is None or element.value is None:
        return []
    if pydicom().datadict.dictionary_VR(tag) not in ("DS", "IS") or not isinstance(element.value, bytes):
        try:
            value = dataset[tag].value
        except Exception as error:
            raise DataError(f"{path}: {tag_of(keyword)} is damaged; correct the header") from error
        values = [] if value is None else [value] if isinstance(value, str | int | float | bytes) else list(value)
        return [str(getattr(one, "original_string", one)) for one in values if one not in ("", None)]
    parts = element.value.decode("latin-1").split("\\")
    return [part.strip(" \0") for part in parts] if any(part.strip(" \0") for part in parts) else []


def _fault(text: str, low: float, high: float) -> str:
    if not _SHOWN.fullmatch(text):
        return "is no number"
    return f"is {text}, which cannot be ({low:g} to {high:g} are possible)"
