"""Volumes a slice at a time: which axis lies across the slices, and their pixels, as bytes or with the file's own values.

All volumes are seen in one order of axes (`data.formats.canonical`), so that slice 3 is nearer to the head than slice 2 in each,
and left is on the same side.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core import labels
from delineate.data.core.geometry import check_same_geometry
from delineate.data.core.input_spec import Pixels
from delineate.data.core.intensity import LEAST, NO_NUMBERS, SingleNumbers, VolumeNumbers, are_numbers, distance
from delineate.data.core.manifest import Case, Manifest
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.contract import slab_of
from delineate.data.formats.registry import digest_of, open_image, reads_volume
from delineate.data.formats.regrid import regrid
from delineate.data.formats.several import Stacked, open_several

__all__ = [
    "Volumes",
    "as_numbers",
    "is_volume",
    "keeps_numbers",
    "labels_on",
    "opened",
    "percentiles_of",
    "standardized",
    "volume_image",
    "volume_mask",
    "widest",
    "windowed",
]

_OPEN = 3
"""Cases whose voxels are kept in memory at a time."""
_MANY = 1 << 20
"""Voxels from which percentiles of own values are taken: all, or about as many spread over the volume."""


class Volumes:
    """Slices of volumes, at native size; the volumes used last stay in memory. Safe to use from several threads."""

    def __init__(self, manifest: Manifest, axis: int, numbers: VolumeNumbers = "bytes", neighbors: int = 0) -> None:
        """`axis`: across the slices, in the canonical order; `numbers`: what images come as; `neighbors`: as in `InputSpec`."""
        self._manifest, self._axis, self._numbers, self._neighbors = manifest, axis, numbers, neighbors
        self._kept: OrderedDict[tuple[str, str], NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def image(self, case: Case, plane: int, axis: int | None = None) -> Pixels:
        """One slice H×W(×channels): uint8, of which 0 and 255 are its volume's 0.5th and 99.5th percentile (of each channel its
        own), or own values as float32; with neighbors `slab_of` these. `axis`: another than that of all slices."""
        return self._slice(case, "image", axis, plane, self._neighbors)

    def mask(self, case: Case, plane: int, axis: int | None = None) -> NDArray[np.uint8]:
        """Class indices of one slice."""
        return self._slice(case, "mask", axis, plane, 0)

    def _slice(self, case: Case, what: str, axis: int | None, plane: int, neighbors: int) -> Any:
        with self._lock:
            key = (case.id, what)
            if key not in self._kept:
                self._kept[key] = self._read(case, what)
            self._kept.move_to_end(key)
            while len(self._kept) > 2 * _OPEN:
                self._kept.popitem(last=False)
            return slab_of(self._kept[key], self._axis if axis is None else axis, plane, neighbors)

    def _read(self, case: Case, what: str) -> NDArray[Any]:
        if what == "image":
            return volume_image(self._manifest, case, self._numbers)
        return volume_mask(self._manifest, case)


def volume_image(manifest: Manifest, case: Case, numbers: VolumeNumbers = "bytes") -> Pixels:
    """A case's voxels, in the canonical order. Raises `DataError` for files that are damaged or have changed."""
    paths = [_unchanged(manifest, case, relative) for relative in case.images]
    return as_numbers(opened(paths, manifest.channels), numbers)


def volume_mask(manifest: Manifest, case: Case) -> NDArray[np.uint8]:
    """A case's class indices, merged over its label volumes, in the canonical order. The case has some. Raises as its image."""
    paths = [_unchanged(manifest, case, relative) for relative in case.masks]
    # The image's order, so that both are seen alike even where rounding of two oblique affines would part them.
    volume = opened([manifest.path(case.images[0])])
    read = [labels.apply(manifest.labels, labels_on(volume, path), path) for path in paths]
    return volume.turn.apply(labels.merge(read))


def labels_on(volume: Canonical, path: Path) -> NDArray[Any]:
    """The raw values of a label volume in the order of the image's file: programs that make NIfTI of DICOM turn the axes.

    Raises `DataError` where its voxels are not those of the image, and for a file that is damaged.
    """
    handle = open_image(path)
    if handle.geometry is None:
        raise DataError(f"{path} does not tell where its voxels lie, so it cannot be laid upon {volume.path}")
    stored = volume.stored.geometry
    assert stored is not None, "it has an order of axes"
    if sorted(handle.geometry.shape) != sorted(stored.shape):
        check_same_geometry(stored, volume.path, handle.geometry, path)
    return regrid(handle.geometry, path, stored, volume.path).apply(handle.labels().pixels)


def as_numbers(volume: Canonical, numbers: VolumeNumbers) -> Pixels:
    """What networks are shown of a volume, X×Y×Z(×channels) in the canonical order; each channel is measured by itself.

    Raises `DataError` as `windowed`, and for files that are damaged.
    """
    ways: dict[SingleNumbers, Callable[[NDArray[Any], Path], NDArray[Any]]]
    ways = {"bytes": windowed, "own": _finite, "standardized": standardized}
    stored = volume.stored
    if not isinstance(stored, Stacked):
        assert isinstance(numbers, str), "channels with names are files of their own"
        return volume.turn.apply(ways[numbers](stored.read(), stored.path))
    each = (numbers,) * len(stored.handles) if isinstance(numbers, str) else numbers
    read = [ways[way](one.read(), one.path) for way, one in zip(each, stored.handles, strict=True)]
    return volume.turn.apply(np.stack(read, axis=-1))  # float32 where one of them is


def windowed(voxels: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """A volume's voxels as bytes: its 0.5th percentile is 0, its 99.5th 255. Raises `DataError` for voxels that are not numbers."""
    values = _finite(voxels, path)
    low, high = (float(limit) for limit in np.percentile(values, (0.5, 99.5)))
    values -= np.float32(low)
    values *= np.float32(255 / max(distance(values, (low, high)), 1e-30))
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def standardized(voxels: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """A volume's voxels as float32, less their mean, in standard deviations; one of a single value is 0. Raises as `windowed`."""
    values = _finite(voxels, path)
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    values -= np.float32(mean)
    values /= np.float32(max(deviation, LEAST * max(abs(mean), 1.0)))
    return values


def percentiles_of(voxels: NDArray[Any], path: Path, shares: Sequence[float]) -> list[float]:
    """Percentiles of a volume's values, of a sample of the voxels where they are many: it takes milliseconds.

    Raises `DataError` for voxels that are not numbers.
    """
    step = max(1, voxels.size // _MANY) | 1  # odd, so that it does not take the same columns of each row
    seen = voxels.ravel(order="K")[::step]
    if not are_numbers(seen):
        raise DataError(f"{path} has voxels {NO_NUMBERS}")
    return [float(value) for value in np.percentile(seen, shares)]


def widest(spacings: Sequence[tuple[float, float, float]], shapes: Sequence[Sequence[int]]) -> int:
    """The axis across the slices: that of the widest spacing (median over the volumes), the last where several are as wide.
    Volumes of one slice (most of the `shapes`) are seen across it, however thick it is."""
    flat = np.flatnonzero(np.median(np.array(shapes)[:, :3], axis=0) == 1)
    if len(flat) and len(flat) < 3:
        return int(flat[-1])
    typical = np.median(np.array(spacings), axis=0)
    return int(max(axis for axis in range(3) if typical[axis] >= 0.99 * typical.max()))


def is_volume(manifest: Manifest, case: Case) -> bool:
    """Whether the case's image is a volume (`registry.reads_volume`)."""
    return reads_volume(manifest.path(case.images[0]))


def opened(paths: Sequence[Path], channels: Sequence[str] = ()) -> Canonical:
    """A volume in the canonical order, its header read; of named channels each is a file.

    Raises `DataError` for files that are no volumes, and channels that do not lie on one grid.
    """
    handle = open_several(paths, channels)
    if not handle.is_volume:
        raise DataError(f"{handle.path} holds a picture, although its name is that of a volume; rename it")
    return Canonical(handle)


def keeps_numbers(manifest: Manifest, case: Case, axis: int) -> bool:
    """Whether slices of a volume across a canonical axis have the numbers that they have in the order of its file."""
    return opened([manifest.path(case.images[0])]).turn.keeps(axis)


def _finite(voxels: NDArray[Any], path: Path) -> NDArray[np.float32]:
    values = voxels.astype(np.float32)
    if not are_numbers(values):
        raise DataError(f"{path} has voxels {NO_NUMBERS}")
    return values


def _unchanged(manifest: Manifest, case: Case, relative: str) -> Path:
    path = manifest.path(relative)
    if case.hashes.get(relative, "") not in ("", digest_of(path)):
        raise DataError(f"{path} has changed since it was inspected; restore it or start from the folder anew")
    return path
