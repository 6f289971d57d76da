"""Probabilities of a volume's slices, kept on disk until all of them are there."""

from __future__ import annotations

import tempfile
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DelineateError
from delineate.inference.segmenter import Probabilities
from delineate.inference.write import fractions

__all__ = ["MapStore"]


class MapStore:
    """Probabilities of all slices in a temporary file without a name, which disappears when it is closed or the process ends. With
    many classes they would not fit into memory. They are read back one channel at a time."""

    def __init__(self, folder: Path, depth: int) -> None:
        self._folder, self._depth = folder, depth
        self._shape: tuple[int, ...] = ()
        self._lock = Lock()
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the volume

    def put(self, channel: int, index: int, plane: Probabilities) -> None:
        """One plane H×W. Raises `DelineateError` where the disk is full."""
        numbers = fractions(plane)
        try:
            with self._lock:
                self._shape = numbers.shape
                self._file.seek((channel * self._depth + index) * numbers.nbytes)
                self._file.write(numbers.tobytes())
        except OSError as error:
            raise DelineateError(f"cannot keep probabilities in {self._folder}: {error.strerror or error}") from error

    def read(self, channel: int) -> NDArray[np.uint16]:
        """All slices of a channel, D×H×W."""
        count = self._depth * int(np.prod(self._shape))
        with self._lock:
            self._file.seek(channel * count * 2)
            content = self._file.read(count * 2)
        return np.frombuffer(content, np.uint16).reshape(self._depth, *self._shape)
