"""Which DICOM images lie in a file or a folder: headers are read once, and kept while the files stay as they are."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.files import is_dicom, read_dataset
from delineate.data.formats.dicom.header import Frame, NotAnImageError, read_frames
from delineate.data.formats.dicom.series import Series, series_of

__all__ = ["Found", "dicom_files", "scan"]

_KEPT = 20_000
"""Files whose headers are kept: a kilobyte each."""
_PLACES = 8
"""Files and folders whose series are kept: each image that is opened asks for those of its place."""
_DEPTH = 12
"""Folders within folders that are looked into."""
_DIRECTORY = "DICOMDIR"


@dataclass(frozen=True)
class Found:
    """The images of a place."""

    series: tuple[tuple[DicomAddress, Series], ...]
    faults: tuple[str, ...] = ()
    """A line for each file that holds no image or cannot be read; masks are counted, too."""
    masks: Mapping[Path, str] = field(default_factory=dict)
    """Segmentations and structure sets, each with its line."""
    directory: bool = False
    """Whether there is a DICOMDIR, which is not followed: the folder itself is walked."""

    @property
    def addresses(self) -> list[Path]:
        """Of the images, as paths."""
        return [Path(str(address)) for address, _ in self.series]


def scan(place: Path, *, deep: bool = True) -> Found:
    """Find the images of a file or a folder. Pixels are not read.

    Args:
        place: a file, or a folder, whose files are found by what is in them, whatever their names.
        deep: whether the folders in it are looked into.

    Returns:
        The series, sorted, and what is wrong.

    Raises:
        DataError: pydicom is missing, or `place` does not exist.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from delineate.data.formats.dicom.scan import scan
        >>> [len(series.frames) for _, series in scan(Path(get_testdata_file("CT_small.dcm"))).series]
        [1]
    """
    files = dicom_files(place, deep=deep) if place.is_dir() else [place]
    return _found_in(tuple((file, *_state(file)) for file in files))


@lru_cache(maxsize=_PLACES)
def _found_in(files: tuple[tuple[Path, int, int], ...]) -> Found:
    """`files`: each with the state by which it is known whether it has changed."""
    frames: list[Frame] = []
    faults: list[str] = []
    masks: dict[Path, str] = {}
    for file, size, changed in files:
        if file.name.upper() == _DIRECTORY:
            continue
        try:
            content = _content_of(file, size, changed)
        except DataError as error:
            faults.append(str(error))
            continue
        if isinstance(content, _Other):
            faults.append(content.line)
            masks |= {file: content.line} if content.is_mask else {}
        else:
            frames += content
    found = series_of(frames)
    directory = any(file.name.upper() == _DIRECTORY for file, _, _ in files)
    return Found(tuple(_addressed(found)), tuple(faults), masks, directory)


def dicom_files(folder: Path, *, deep: bool = True) -> list[Path]:
    """The DICOM files of a folder, told by their first bytes, sorted.

    Args:
        folder: to look into.
        deep: whether the folders in it are looked into, too.

    Returns:
        Their paths.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.dicom.scan import dicom_files
        >>> dicom_files(Path("polyps"))
        []
    """
    depth = _DEPTH if deep else 0
    return [path for path in _walk(folder, depth) if path.name.upper() == _DIRECTORY or _is_dicom(path, *_state(path))]


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    try:
        names = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot read {folder}: {error.strerror}; check the folder's permissions") from error
    for entry in names:
        if entry.name.startswith("."):
            continue
        if entry.is_file():
            yield Path(entry.path)
        elif depth and entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), depth - 1)


def _state(file: Path) -> tuple[int, int]:
    """By which it is known whether a file has changed."""
    try:
        stat = file.stat()
    except OSError:
        return 0, 0  # reading it says what is wrong
    return stat.st_size, stat.st_mtime_ns


@dataclass(frozen=True)
class _Other:
    """A file without an image."""

    line: str
    is_mask: bool


@lru_cache(maxsize=_KEPT)
def _is_dicom(file: Path, size: int, changed: int) -> bool:
    return is_dicom(file)


@lru_cache(maxsize=_KEPT)
def _content_of(file: Path, size: int, changed: int) -> tuple[Frame, ...] | _Other:
    try:
        return read_frames(file, read_dataset(file))
    except NotAnImageError as error:  # as good to know: a structure set takes long to read
        return _Other(str(error), error.is_mask)


def _addressed(found: Sequence[Series]) -> Iterator[tuple[DicomAddress, Series]]:
    """The series with their addresses. Stacks of one series lie where all of it does: its other slices tell them apart."""
    files: dict[str, dict[Path, None]] = defaultdict(dict)
    for one in found:
        files[_name(one)].update(dict.fromkeys(frame.path for frame in one.frames))
    places = {name: _common(list(paths)) for name, paths in files.items()}
    for one in found:
        yield DicomAddress(places[_name(one)], one.kind, one.key), one


def _name(series: Series) -> str:
    """What stacks of one series have in common."""
    header = series.frames[0].header
    is_stack = series.frames[0].place is not None
    return f"stack {header.series or header.path.parent}" if is_stack else f"file {header.instance} {header.path}"


def _common(paths: Sequence[Path]) -> Path:
    """The file that all lie in, or the folder."""
    files = set(paths)
    if len(files) == 1:
        return files.pop()
    return Path(os.path.commonpath([file.parent for file in files]))
