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
from delineate.data.core.geometry import check_same_geometry, sizes
from delineate.data.core.mask_values import NEAR
from delineate.data.formats.composed_mask import ComposedMask
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, ImageHandle, Kind, Reader
from delineate.data.formats.registry import open_image, reads_volume

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

    @property
    def in_words(self) -> str:
        """For people: the address of a hundred files is long."""
        names = [name for name, _ in self.files]
        return f"{self.folder.as_posix()}/ ({some(names, 2)})"

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

    def __init__(self, folder: Path, files: Sequence[Path], values: Sequence[int], max_pixels: int) -> None:
        """Raises `DataError` as `open_image`, and naming two files of different size, or of volumes at different places."""
        self.path, self._values = folder, tuple(values)  # an address of a hundred files would hide what a message says
        self._handles = [open_image(file, max_pixels=max_pixels) for file in files]
        first = self._handles[0]
        self.shape, self.orientation, self.geometry = first.shape, first.orientation, first.geometry
        for one in self._handles[1:]:
            if one.shape != self.shape:
                sides = slice(None) if first.is_volume else slice(None, None, -1)  # of pictures the width first
                raise DataError(
                    f"{first.path} is {sizes(first.shape[sides])} pixels but {one.path}, another class of the same image, "
                    f"{sizes(one.shape[sides])}; save them at the image's size"
                )
            if first.geometry is not None and one.geometry is not None:
                check_same_geometry(first.geometry, first.path, one.geometry, one.path)

    def compose(self) -> NDArray[np.uint8]:
        mask = np.zeros(self.shape, np.uint8)
        for one, value in zip(self._handles, self._values, strict=True):
            mask[_foreground(one)] = value
        return mask

    @property
    def overlapping(self) -> bool:
        """Whether files of different classes mark a pixel in common. Decodes them."""
        taken = np.zeros(self.shape, np.bool_)
        for value in dict.fromkeys(self._values):
            files = [one for one, other in zip(self._handles, self._values, strict=True) if other == value]
            marked = np.logical_or.reduce([_foreground(one) for one in files])
            if (taken & marked).any():
                return True
            taken |= marked
        return False

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

    def volume_at(self, path: Path) -> bool:
        found = ClassFiles.parse(path)
        return found is not None and any(reads_volume(found.folder / name) for name, _ in found.files)

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        address = ClassFiles.parse(path)
        if address is None:
            raise DataError(f"{path} names no files of one class each; start from the folder that holds them")
        files = [address.folder / name for name, _ in address.files]
        return ClassesHandle(address.folder, files, [value for _, value in address.files], max_pixels)


def _foreground(handle: ImageHandle) -> NDArray[np.bool_]:
    """What a mask of one class marks. Raises `DataError` naming the file where its values are those of several."""
    pixels = handle.labels().as_coded(None, handle.path)
    shown: NDArray[np.bool_] = pixels > 0
    if np.array_equal(pixels == pixels.max(), shown) or not shown.any():
        return shown  # one value beside 0; of volumes, sorting all values takes long
    values = np.unique(pixels).tolist()
    if len(values) < 2 or (len(values) == 2 and values[0] == 0):
        marked: NDArray[np.bool_] = pixels > 0
        return marked
    if values[-1] >= _WHITE - NEAR and all(value <= NEAR or _WHITE - NEAR <= value <= _WHITE for value in values):
        return pixels > _WHITE // 2  # noise of JPEG, or of a smooth edge
    raise DataError(
        f"{handle.path} has the values {some([str(value) for value in values], 5)}; a mask of one class is black and white"
    )
