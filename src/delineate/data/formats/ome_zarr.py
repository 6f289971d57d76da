"""Pictures in OME-Zarr (0.4 and 0.5): folders of chunks, in several sizes, with micrometers. Read by windows.

Axes are told by their names. Planes of time and depth that are single are looked through; one channel is gray, three of bytes are
colors unless their names say otherwise, and other channels have addresses (`FOLDER#1`), as those of other files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core import labels
from delineate.data.core.input_spec import Pixels
from delineate.data.core.mask_values import RawMask
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, GRAY, RGB, ImageHandle, Reader
from delineate.data.formats.frames import frame_address, frames_needed
from delineate.data.formats.images import check_pixels, typed
from delineate.data.formats.window_place import inside
from delineate.data.formats.zarr_package import zarr

__all__ = ["OmeZarr", "OmeZarrHandle"]

_OLD_AXES = ("t", "c", "z", "y", "x")
"""Before version 0.4 axes were these, or the last of them."""
_MICRONS = {"angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}
_COLORS = ("red", "green", "blue")
_MARKS = (".zattrs", "zarr.json")


@dataclass(frozen=True)
class _Picture:
    """What the description of a multiscale image says."""

    path: Path
    arrays: tuple[Any, ...]
    """Of each size, the largest first."""
    axes: tuple[str, ...]
    scale: tuple[float, float] | None
    """Rows and columns of the largest size, µm."""
    names: tuple[str, ...]
    """Of channels; none where there is one."""

    @classmethod
    def of(cls, path: Path) -> _Picture:
        """Raises `DataError`: no OME-Zarr, damaged, or of axes that a picture has not."""
        if not path.is_dir():
            raise DataError(f"cannot read {path}: no such folder")
        package = zarr(str(path))
        try:
            group = package.open_group(path, mode="r")
            about = _ome(dict(group.attrs))
            if not about.get("multiscales") and (inner := _only_label(group)):
                group = group[inner]
                about = _ome(dict(group.attrs))
            (described, *_) = about["multiscales"]
            arrays = tuple(group[str(one["path"])] for one in described["datasets"])
            axes = tuple(one if isinstance(one, str) else str(one["name"]) for one in described.get("axes", ()))
            axes = axes or _OLD_AXES[-arrays[0].ndim :]
            scale = _scale(described, axes)
        except Exception as error:  # zarr raises almost anything
            why = " ".join(str(error).split())[:120] or type(error).__name__
            raise DataError(f"{path} is no OME-Zarr picture, or damaged ({why}); restore or convert it") from error
        found = cls(path, arrays, axes, scale, ())
        found.check()
        number = found.sides.get("c", 1)
        told = [one.get("label") for one in about.get("omero", {}).get("channels", ())]
        names = tuple(str(name or at) for at, name in enumerate(told)) if len(told) == number else ()
        names = names or tuple(map(str, range(number)))
        return cls(path, arrays, axes, scale, names if number > 1 and not found.colored(names) else ())

    @property
    def sides(self) -> Mapping[str, int]:
        return dict(zip(self.axes, self.arrays[0].shape, strict=True))

    def colored(self, names: Sequence[str]) -> bool:
        """Whether three channels are red, green and blue: bytes that nothing else is said of."""
        plain = [name.casefold() for name in names] in ([*_COLORS], ["r", "g", "b"], ["0", "1", "2"])
        return self.sides.get("c") == 3 and self.arrays[0].dtype == np.uint8 and plain

    def check(self) -> None:
        """Raise `DataError` for axes or numbers that a picture has not."""
        if len(self.axes) != self.arrays[0].ndim or not {"y", "x"} <= set(self.axes) or set(self.axes) - set("tczyx"):
            raise DataError(
                f"{self.path} has the axes {', '.join(self.axes)}; pictures have y and x, and c, t, z beside"
            )
        deep = [f"{self.sides[axis]} along {axis}" for axis in "tz" if self.sides.get(axis, 1) > 1]
        if deep:
            raise DataError(
                f"{self.path} has several planes ({', '.join(deep)}): save the one that is meant as a picture"
            )
        if self.arrays[0].dtype.kind not in "biuf":
            raise DataError(f"{self.path} has {self.arrays[0].dtype} pixels, which are not readable: convert it")


class OmeZarrHandle(ImageHandle):
    """One of the sizes of a picture, all of it or one channel."""

    def __init__(self, path: Path, picture: _Picture, channel: int | None, level: int, max_pixels: int) -> None:
        """Raises `DataError` for more than `max_pixels`."""
        self.path, self._picture, self._channel, self._level = path, picture, channel, level
        self._array = picture.arrays[level]
        sides = dict(zip(picture.axes, self._array.shape, strict=True))
        chunks = dict(zip(picture.axes, self._array.chunks, strict=True))
        self.shape, self.block = (sides["y"], sides["x"]), (chunks["y"], chunks["x"])
        self._colors = channel is None and sides.get("c", 1) > 1
        check_pixels((sides["y"], sides["x"]), path, max_pixels)

    @property
    def dtype(self) -> np.dtype[Any]:
        own = self._array.dtype
        return np.dtype(own.newbyteorder("=")) if own in (np.uint8, np.uint16) else np.dtype(np.float32)

    @property
    def channels(self) -> tuple[str, ...]:
        return RGB if self._colors else GRAY

    @property
    def microns(self) -> tuple[float, float] | None:
        scale, whole = self._picture.scale, self._picture.sides
        return None if scale is None else (scale[0] * whole["y"] / self.shape[0], scale[1] * whole["x"] / self.shape[1])

    @cached_property
    def levels(self) -> tuple[ImageHandle, ...]:
        if self._level:
            return (self,)
        further = range(1, len(self._picture.arrays))
        return (self, *(OmeZarrHandle(self.path, self._picture, self._channel, at, 1 << 62) for at in further))

    def read(self) -> Pixels:
        return self.window(0, 0, *self.shape)

    def slice(self, axis: int, index: int) -> Pixels:
        return self.read()

    def window(self, y: int, x: int, height: int, width: int, *, axis: int = 0, index: int = 0) -> Pixels:
        return typed(self._raw(*inside(self, y, x, height, width)), self.path)

    def labels(self) -> RawMask:
        return RawMask(labels.whole(self._raw(0, 0, *self.shape), self.path))

    def digest(self) -> str:
        """Of all files in the folder, with their names."""
        found = hashlib.sha256()
        folder = self._picture.path
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            found.update(f"{file.relative_to(folder).as_posix()}\0".encode())
            found.update(hashlib.sha256(file.read_bytes()).digest())
        return found.hexdigest()

    def _raw(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
        places: dict[str, Any] = {"y": slice(top, top + height), "x": slice(left, left + width)}
        if "c" in self._picture.axes:
            places["c"] = slice(None) if self._colors else self._channel or 0
        try:
            part = np.asarray(self._array[tuple(places.get(axis, 0) for axis in self._picture.axes)])
        except MemoryError as error:
            raise DataError(f"{self.path} does not fit into memory") from error
        except Exception as error:  # of zarr, or of what unpacks a chunk
            raise DataError(f"{self.path}: a chunk of its pixels is damaged; restore or remove it") from error
        kept = [axis for axis in self._picture.axes if isinstance(places.get(axis), slice)]
        order = [kept.index(axis) for axis in ("y", "x", "c") if axis in kept]
        return np.ascontiguousarray(part.transpose(order))


class OmeZarr(Reader):
    """Folders that hold a picture in chunks."""

    name = "ome_zarr"
    suffixes = (".ome.zarr", ".zarr")
    windowed = True
    framed = True
    folders = True

    def sniff(self, path: Path, first: bytes) -> bool:
        """A label inside of a picture's folder has no ending of its own."""
        return not first and any((path / name).is_file() for name in _MARKS)

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        folder, frame = frame_address(path)
        picture = _Picture.of(folder)
        channel = frames_needed(path, frame, max(1, len(picture.names)), "channel")
        return OmeZarrHandle(path, picture, channel, 0, max_pixels)

    def frames(self, path: Path) -> int:
        return max(1, len(_Picture.of(frame_address(path)[0]).names))

    def frame_names(self, path: Path) -> tuple[str, ...]:
        names = _Picture.of(frame_address(path)[0]).names
        return () if names == tuple(map(str, range(len(names)))) else names


def _ome(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 0.5 has everything under a key of its own."""
    found = attributes.get("ome", attributes)
    return found if isinstance(found, Mapping) else {}


def _only_label(group: Any) -> str | None:
    """The label of a folder that holds nothing else, such as a mask that `predict` wrote."""
    if "labels" not in group:
        return None
    names = _ome(dict(group["labels"].attrs)).get("labels", ())
    return f"labels/{names[0]}" if len(names) == 1 else None


def _scale(described: Mapping[str, Any], axes: Sequence[str]) -> tuple[float, float] | None:
    """Of the largest size, µm; None where the axes have no unit of length."""
    units = {one["name"]: one.get("unit") for one in described.get("axes", ()) if not isinstance(one, str)}
    sizes = dict.fromkeys("yx", 1.0)
    for place in (described["datasets"][0], described):
        for change in place.get("coordinateTransformations", ()):
            for axis, factor in zip(axes, change.get("scale", ()), strict=False):
                if axis in sizes:
                    sizes[axis] *= float(factor)
    found = tuple(sizes[axis] * _MICRONS.get(str(units.get(axis)), 0.0) for axis in "yx")
    return (found[0], found[1]) if all(0 < size < float("inf") for size in found) else None
