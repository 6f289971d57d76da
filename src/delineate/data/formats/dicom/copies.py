"""Frames that are there twice, by their instance UID: each is used once, and files that differ in spite of it are told."""

from __future__ import annotations

import filecmp
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from delineate.common.errors import DataError
from delineate.data.formats.dicom.header import Frame
from delineate.data.formats.dicom.pixels import read_frame

__all__ = ["Once", "once"]

_KEPT = 20_000


@dataclass
class Once:
    """Frames, each once, in the order of files."""

    frames: list[Frame]
    copies: dict[str, int] = field(default_factory=dict)
    """Series → how many frames of it were there again."""
    differing: dict[str, tuple[Path, Path]] = field(default_factory=dict)
    """Instance UID → two files that have it, with other pixels or at other places."""


def once(frames: Iterable[Frame]) -> Once:
    """Leave out copies. Files of one instance UID that are not the same to the byte are decoded and compared.

    Args:
        frames: of any files.

    Returns:
        The frames, copies counted, and files that are no copies although they say so.
    """
    found = Once([])
    seen: dict[tuple[str, int], Frame] = {}
    for frame in sorted(frames, key=lambda one: (str(one.path), one.index)):
        first = seen.setdefault((frame.header.instance, frame.index), frame)
        if first is frame or first.path == frame.path:
            continue
        name = frame.header.series or str(frame.path.parent)
        found.copies[name] = found.copies.get(name, 0) + 1
        if frame.header.instance not in found.differing and not _alike(first, frame):
            found.differing[frame.header.instance] = (first.path, frame.path)
    found.frames = list(seen.values())
    return found


def _alike(one: Frame, other: Frame) -> bool:
    if _same_bytes(one.path, *_state(one.path), other.path, *_state(other.path)):
        return True
    first = (one.place, one.slope, one.intercept, one.header.photometric)
    second = (other.place, other.slope, other.intercept, other.header.photometric)
    return first == second and _same_pixels(_Pair(one, other), _state(one.path), _state(other.path))


def _state(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0  # reading it says what is wrong
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=_KEPT)
def _same_bytes(one: Path, size: int, changed: int, other: Path, other_size: int, other_changed: int) -> bool:
    try:
        return size == other_size and filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


@dataclass(frozen=True)
class _Pair:
    """Known by its files and frames: headers are not hashed."""

    one: Frame = field(compare=False)
    other: Frame = field(compare=False)
    key: tuple[Path, Path, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.one.path, self.other.path, self.one.index))


@lru_cache(maxsize=_KEPT)
def _same_pixels(pair: _Pair, state: tuple[int, int], other_state: tuple[int, int]) -> bool:
    """Pixels that cannot be read are not the same."""
    try:
        return bool(np.array_equal(read_frame(pair.one)[0], read_frame(pair.other)[0]))
    except DataError:
        return False
