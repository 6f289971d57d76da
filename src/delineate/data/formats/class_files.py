"""Masks of one class each, in files of their own, as one mask: `masks#classes:wall%2Fa.png=1,cavity%2Fa.png=2`.

What stands before `#` is the folder that holds them all. In each file everything that is not 0 is of its class; where files
overlap, the later one is on top.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.file_names import path_fault
from delineate.data.core.findings import some
from delineate.data.core.mask_values import NEAR
from delineate.data.formats.composed_mask import ComposedMask
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, ImageHandle, Kind, Reader
from delineate.data.formats.registry import open_image

__all__ = ["ClassFiles", "Classes", "ClassesHandle"]

_ADDRESS = re.compile(r"(?P<folder>.+)#classes:(?P<files>[^#/\\]+)")
_WHITE = 255


@dataclass(frozen=True)
class ClassFiles:
    """Files of one class each. `files`: path below the folder → the value of its class."""

    folder: Path
    files: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        files = ",".join(f"{quote(name, safe='')}={value}" for name, value in self.files)
        return f"{self.folder.as_posix()}#classes:{files}"

    @classmethod
    def parse(cls, path: Path | str) -> ClassFiles | None:
        """The files that a path means; None for the path of a file. Raises `DataError` for one that leads out of the folder."""
        match = _ADDRESS.fullmatch(str(path))
        if match is None:
            return None
        files = []
        for part in match["files"].split(","):
            name, _, value = part.rpartition("=")
            fault = path_fault(unquote(name)) if value.isdecimal() else "it has no value"
            if fault:
                raise DataError(f"{path} cannot be used: {unquote(name)!r}: {fault}; start from the folder anew")
            files.append((unquote(name), int(value)))
        return cls(Path(match["folder"]), tuple(files))


class ClassesHandle(ComposedMask):
    """Masks of one class each as one mask."""

    def __init__(self, path: Path, files: Sequence[Path], values: Sequence[int], max_pixels: int) -> None:
        """Raises `DataError` as `open_image`, for a volume, and naming two files of different size."""
        self.path, self._values = path, tuple(values)
        self._handles = [open_image(file, max_pixels=max_pixels) for file in files]
        self.shape = self._handles[0].shape
        self.orientation = self._handles[0].orientation
        for one in self._handles:
            if one.is_volume:
                raise DataError(f"{one.path} is a volume; masks of one class each are read of pictures only")
            if one.shape != self.shape:
                first = self._handles[0]
                raise DataError(
                    f"{first.path} is {first.shape[1]}×{first.shape[0]} pixels but {one.path}, another class of the same image, "
                    f"{one.shape[1]}×{one.shape[0]}; save them at the image's size"
                )

    def compose(self) -> NDArray[np.uint8]:
        mask = np.zeros(self.shape, np.uint8)
        for one, value in zip(self._handles, self._values, strict=True):
            mask[_foreground(one)] = value
        return mask

    @property
    def overlapping(self) -> bool:
        """Whether files of different classes mark a pixel in common. Decodes them."""
        marked = [_foreground(one) for one in self._handles]
        return any(
            (one & other).any()
            for at, one in enumerate(marked)
            for of, other in enumerate(marked[:at])
            if self._values[at] != self._values[of]
        )

    def digest(self) -> str:
        parts = [f"{value} {one.digest()}" for one, value in zip(self._handles, self._values, strict=True)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class Classes(Reader):
    """Addresses of files of one class each."""

    name = "classes"
    suffixes = ()
    kind: ClassVar[Kind] = "packed"

    def sniff(self, path: Path, first: bytes) -> bool:
        return _ADDRESS.fullmatch(str(path)) is not None

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        address = ClassFiles.parse(path)
        if address is None:
            raise DataError(f"{path} names no files of one class each; start from the folder that holds them")
        files = [address.folder / name for name, _ in address.files]
        return ClassesHandle(path, files, [value for _, value in address.files], max_pixels)


def _foreground(handle: ImageHandle) -> NDArray[np.bool_]:
    """What a mask of one class marks. Raises `DataError` naming the file where its values are those of several."""
    pixels = handle.labels().as_coded(None, handle.path)
    values = np.unique(pixels).tolist()
    if len(values) < 2 or (len(values) == 2 and values[0] == 0):
        marked: NDArray[np.bool_] = pixels > 0
        return marked
    if values[-1] >= _WHITE - NEAR and all(value <= NEAR or _WHITE - NEAR <= value <= _WHITE for value in values):
        return pixels > _WHITE // 2  # noise of JPEG, or of a smooth edge
    raise DataError(
        f"{handle.path} has the values {some([str(value) for value in values], 5)}; a mask of one class is black and white"
    )
