"""NIfTI volumes a slice at a time: which axis lies across the slices, their pixels as bytes, and what labels are in each.

All volumes are seen in one order of axes (`data.formats.canonical`), so that slice 3 is nearer to the head than slice 2 in each,
and left is on the same side.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError, DelineateError
from delineate.common.files import read_json, sha256, write_json
from delineate.data.core import labels
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.mask_values import count_values
from delineate.data.formats.canonical import Turn
from delineate.data.formats.registry import open_image, read_geometry, read_raw_labels

_OPEN = 3
"""Cases whose voxels are kept in memory at a time."""
_FORMAT = 2


class Volumes:
    """Slices of volumes, at native size; the volumes used last stay in memory. Safe to use from several threads."""

    def __init__(self, manifest: Manifest, axis: int) -> None:
        """`axis`: across the slices, in the canonical order."""
        self._manifest, self._axis = manifest, axis
        self._kept: OrderedDict[tuple[str, str], NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def image(self, case: Case, plane: int) -> NDArray[np.uint8]:
        """One slice H×W: 0 and 255 are its volume's 0.5th and 99.5th percentile."""
        return self._slice(case, "image", plane)

    def mask(self, case: Case, plane: int) -> NDArray[np.uint8]:
        """Class indices of one slice."""
        return self._slice(case, "mask", plane)

    def _slice(self, case: Case, what: str, plane: int) -> NDArray[np.uint8]:
        with self._lock:
            key = (case.id, what)
            if key not in self._kept:
                self._kept[key] = self._read(case, what)
            self._kept.move_to_end(key)
            while len(self._kept) > 2 * _OPEN:
                self._kept.popitem(last=False)
            return np.ascontiguousarray(np.take(self._kept[key], plane, self._axis))

    def _read(self, case: Case, what: str) -> NDArray[np.uint8]:
        relative = case.images[0] if what == "image" else case.masks[0]
        path = self._manifest.path(relative)
        if case.hashes.get(relative, "") not in ("", sha256(path)):
            raise DataError(f"{path} has changed since it was inspected; restore it or start from the folder anew")
        turn = Turn.of(read_geometry(self._manifest.path(case.images[0])).to_ras())
        if what == "mask":
            return turn.apply(labels.apply(self._manifest.labels, read_raw_labels(path).pixels, path))
        return turn.apply(windowed(open_image(path).read(), path))


def windowed(voxels: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """A volume's voxels as bytes: its 0.5th percentile is 0, its 99.5th 255. Raises `DataError` for voxels that are not numbers."""
    values = voxels.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{path} has voxels that are not numbers (NaN or infinite); replace them")
    low, high = (float(limit) for limit in np.percentile(values, (0.5, 99.5)))
    values -= np.float32(low)
    values *= np.float32(255 / max(high - low, 1e-6))
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def widest(spacings: Sequence[tuple[float, float, float]]) -> int:
    """The axis across the slices: that of the widest spacing (median over the volumes), the last where several are as wide."""
    typical = np.median(np.array(spacings), axis=0)
    return int(max(axis for axis in range(3) if typical[axis] >= 0.99 * typical.max()))


def slice_values(path: Path, digest: str, axis: int, turn: Turn, folder: Path) -> list[dict[int, int]]:
    """Of each slice, raw label value → pixels; kept in `folder` under the file's `digest`, so that it is decoded once."""
    key = hashlib.sha256(f"{_FORMAT} {digest} {axis} {turn.axes} {turn.flips}".encode()).hexdigest()[:32]
    index = folder / f"{key}.json"
    try:
        return [{int(value): int(count) for value, count in one.items()} for one in read_json(index)]
    except (OSError, ValueError, TypeError, AttributeError):
        voxels = np.moveaxis(turn.apply(read_raw_labels(path).pixels), axis, 0)
        counted = [count_values(np.ascontiguousarray(one)) for one in voxels]
        with suppress(DelineateError):  # saves time only: a cache that cannot be written is no reason to stop
            write_json(index, [{str(value): count for value, count in one.items()} for one in counted])
        return counted
