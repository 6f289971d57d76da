"""The images that a mask is made of: their headers, in the order of the mask's slices."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delineate.common.errors import DataError
from delineate.data.formats.dicom.files import damage_told, read_dataset
from delineate.data.formats.dicom.numbers import whole

__all__ = ["Sources", "read_sources", "result_series_number"]

_MOST_SERIES = 99_999_999
_NEEDED = ("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "Rows", "Columns")
_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""What the standard wants in every object, be it without a value."""


@dataclass(frozen=True)
class Sources:
    """Headers of images of one series. A multi-frame image holds all slices."""

    path: Path
    """Of the first, for messages."""
    headers: tuple[Any, ...]
    """pydicom data sets without pixels: one for each slice, or the one multi-frame image."""
    frames: tuple[int, ...]
    """Of a multi-frame image, the frame of each slice, from 0; else empty."""
    all_frames: int
    """Of a multi-frame image, those that are no slices counted, too; else 1."""
    size: tuple[int, int]
    """Rows and columns."""

    @property
    def first(self) -> Any:
        """The header of the first image, which says whose it is."""
        return self.headers[0]

    @property
    def slices(self) -> int:
        """How many there are."""
        return len(self.frames) or len(self.headers)

    def as_slices(self) -> list[Any]:
        """The headers as if their slices were all that they hold: of a multi-frame image a copy that describes the frames that are
        slices, in their order, such as those of one phase."""
        groups = self.first.get("PerFrameFunctionalGroupsSequence")
        if not self.frames or not groups:
            return list(self.headers)
        header = copy(self.first)
        header.PerFrameFunctionalGroupsSequence = [groups[frame] for frame in self.frames]
        header.NumberOfFrames = len(self.frames)
        return [header]


def read_sources(slices: Sequence[tuple[Path, int]]) -> Sources:
    """Read the headers of the images that a mask is of.

    Args:
        slices: file and number of the frame (from 0) of each slice, in order.

    Returns:
        Their headers.

    Raises:
        DataError: naming the file: it cannot be read, lacks what a reference to it needs, is of another series than the first, or
            slices lie in several multi-frame images.
    """
    paths = list(dict.fromkeys(path for path, _ in slices))
    if not paths:
        raise DataError("a DICOM mask needs the images that it is of")
    headers = [_header(path) for path in paths]
    series = {header.SeriesInstanceUID for header in headers}
    if len(series) > 1:
        raise DataError(f"the images of {paths[0].parent} are of {len(series)} series; a DICOM mask is of one")
    counts = [whole(header, "NumberOfFrames", path) or 1 for path, header in zip(paths, headers, strict=True)]
    several = [path for path, count in zip(paths, counts, strict=True) if count > 1]
    if several and len(paths) > 1:
        raise DataError(
            f"{several[0]} is a multi-frame image and one of {len(paths)} files of its series; a DICOM mask is of one such file, "
            "or of images of one frame"
        )
    frames = tuple(frame for _, frame in slices) if several else ()
    if not several and len(paths) != len(slices):
        raise DataError(f"{paths[0]} and other images of its series are named more than once as slices of one mask")
    if frames and max(frames) >= counts[0]:
        raise DataError(f"{paths[0]} has {counts[0]} frames, none of number {max(frames) + 1}")
    shape = _shape(headers[0], paths[0])
    odd = next((path for path, header in zip(paths, headers, strict=True) if _shape(header, path) != shape), None)
    if odd is not None:
        raise DataError(f"{odd} has other rows or columns than {paths[0]}; a DICOM mask is of images of one size")
    return Sources(paths[0], tuple(headers), frames, counts[0], shape)


def result_series_number(sources: Sources) -> int:
    """Of the series that a result makes: behind that of its images, so that viewers list it beside them.

    Args:
        sources: the images.

    Returns:
        Their number with two more digits.
    """
    own = whole(sources.first, "SeriesNumber", sources.path) or 0
    return own * 100 + 1 if 0 < own * 100 < _MOST_SERIES else 901


def _header(path: Path) -> Any:
    header = read_dataset(path)
    with damage_told(path):
        missing = next((keyword for keyword in _NEEDED if header.get(keyword) in (None, "")), None)
    if missing is not None:
        raise DataError(f"{path} has no {missing}, so that no mask can refer to it; give --format nifti or png")
    for keyword in _MAY_BE_EMPTY:
        if keyword not in header:
            setattr(header, keyword, "")
    return header


def _shape(header: Any, path: Path) -> tuple[int, int]:
    return whole(header, "Rows", path) or 0, whole(header, "Columns", path) or 0
