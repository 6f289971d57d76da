"""The rows of a picture in a file, from the top down, as the network's channels. Those that were passed are forgotten."""

from __future__ import annotations

import numpy as np

from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.formats.contract import ImageHandle

__all__ = ["Rows"]

_LEAST = 128
"""Rows that are read at a time, of files whose parts are flatter."""


class Rows:
    """Each part of the file is unpacked once."""

    def __init__(self, handle: ImageHandle, spec: InputSpec) -> None:
        """A picture without a `block` is unpacked whole."""
        self.size = self.height, self.width = handle.shape[0], handle.shape[1]
        each = self.height if handle.block is None else handle.block[0]
        self._step = each * max(1, -(-_LEAST // each))
        self._handle, self._spec = handle, spec
        self._held: Pixels | None = None
        self._top = 0

    def between(self, first: int, last: int) -> Pixels:
        """Rows `first` … `last` (not included), r×W×C. `first` never goes back."""
        assert self._top <= first < last <= self.height
        if self._held is None:
            self._top = first - first % self._step
            self._held = self._read(self._top)
        while self._top + len(self._held) < last:
            kept = self._held[max(0, first - self._top) :]
            self._top += len(self._held) - len(kept)
            read = self._read(self._top + len(kept))
            self._held = np.concatenate([kept, read]) if len(kept) else read
        return self._held[first - self._top : last - self._top]

    def _read(self, top: int) -> Pixels:
        return self._spec.as_channels(self._handle.window(top, 0, min(self._step, self.height - top), self.width))
