"""Probabilities of a volume's slices across several axes, averaged on its grid."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DelineateError
from delineate.data.formats.contract import FULL
from delineate.inference.segmenter import Probabilities, Segmenter
from delineate.inference.write import fractions

__all__ = ["AxesAverage"]

_BLOCK = 1 << 22
"""Voxels whose classes are decided at a time, and numbers that are written at a time."""


class AxesAverage:
    """Sums of probabilities, in a temporary file without a name, which disappears when it is closed or the process ends. With many
    classes they would not fit into memory.

    Sums are of whole numbers (`write.fractions`): they do not depend on the order of the slices, and so not on threads.
    """

    def __init__(self, folder: Path, channels: int, shape: tuple[int, ...], axes: int = 3) -> None:
        """`shape`: of the volume, in the canonical order; `axes`: how often each voxel will have been seen.

        Raises `DelineateError` where the disk is full: the whole file is written first, since a full disk kills whoever writes to a
        memory map.
        """
        self._axes, self._lock = axes, Lock()
        numbers = channels * int(np.prod(shape))
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the volume
            for first in range(0, numbers, _BLOCK):
                self._file.write(bytes(4 * min(_BLOCK, numbers - first)))
            self._file.flush()
        except OSError as error:
            raise DelineateError(f"cannot keep probabilities in {folder}: {error.strerror or error}") from error
        self._sums = np.memmap(self._file, np.uint32, "r+", shape=(channels, *shape))

    def add(self, axis: int, index: int, planes: Iterable[Probabilities]) -> None:
        """What the network made of a slice: H×W of each channel in turn, at the volume's own size."""
        for channel, plane in enumerate(planes):
            numbers = fractions(plane)
            with self._lock:
                np.moveaxis(self._sums[channel], axis, 0)[index] += numbers

    def probabilities(self, channel: int) -> Probabilities:
        """Means of one channel, X×Y×Z."""
        return self._means(self._sums[channel])

    def classes(self, predictor: Segmenter) -> NDArray[np.uint8]:
        """Class indices X×Y×Z, decided by the means; a few planes are in memory at a time."""
        shape = self._sums.shape[1:]
        found = np.empty(shape, np.uint8)
        rows = max(1, _BLOCK // int(np.prod(shape[1:])))
        for first in range(0, shape[0], rows):
            part = slice(first, first + rows)
            found[part] = predictor.decide(self._means(channel[part]) for channel in self._sums)
        return found

    def _means(self, sums: NDArray[np.uint32]) -> Probabilities:
        return (sums / np.float32(self._axes * FULL)).astype(np.float32)
