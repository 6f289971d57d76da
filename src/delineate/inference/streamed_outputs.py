"""What is written of a large picture, rows by rows: its mask, maps, outlines and labels, and how sure the model is of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import numpy as np

from delineate.data.formats.tiff_tiled import TiledTiff
from delineate.inference.doubt import DoubtSums, measure
from delineate.inference.labels_file import labels_of
from delineate.inference.outlines import Outlines
from delineate.inference.plan import Item
from delineate.inference.segmenter import Probabilities, Segmenter
from delineate.inference.write import fractions, mask_labels, mask_values

__all__ = ["StreamedOutputs", "behind"]

_Given = TypeVar("_Given")
_BYTES, _WORDS = np.dtype(np.uint8), np.dtype(np.uint16)
_WAITING = 1
"""Bands of rows that wait to be written: each takes memory."""


class StreamedOutputs:
    """The files of one picture while they are written."""

    def __init__(
        self,
        files: ExitStack,
        item: Item,
        predictor: Segmenter,
        size: tuple[int, int],
        microns: tuple[float, float] | None,
        *,
        doubt: bool,
    ) -> None:
        """`files`: closes them; `doubt`: whether it is measured how sure the model is."""
        classes = predictor.classes
        self._predictor, self._doubt = predictor, doubt
        self._values = np.array(mask_values(classes), np.uint8)
        told = mask_labels(classes)
        self._mask = files.enter_context(TiledTiff(item.mask, size, _BYTES, labels=told, microns=microns))
        self._maps = [files.enter_context(TiledTiff(path, size, _WORDS, microns=microns)) for path in item.maps]
        self._labels = None
        if item.labels is not None:
            self._labels = files.enter_context(labels_of(item.labels, size, classes, microns))
        self.outlines = None if item.outlines is None else Outlines(size[1])
        self.sums: DoubtSums | None = None
        self._counts = np.zeros(256, np.int64)
        self._pixels = size[0] * size[1]

    def add(self, rows: Probabilities) -> None:
        """The next rows K×r×W."""
        for file, plane in zip(self._maps, rows, strict=False):
            file.add(fractions(plane))
        indices = self._predictor.decide(rows)
        self._counts += np.bincount(indices.ravel(), minlength=256)
        self._mask.add(self._values[indices])
        if self.outlines is not None:
            self.outlines.add(indices)
        if self._labels is not None:
            self._labels.add(indices)
        if self._doubt:
            found = measure(rows, indices, self._predictor.classes, None)
            self.sums = found if self.sums is None else self.sums + found

    @property
    def percent(self) -> tuple[float, ...]:
        """Share of each foreground class."""
        return tuple((100 * self._counts[1 : len(self._values)] / self._pixels).tolist())


@contextmanager
def behind(work: Callable[[_Given], None]) -> Iterator[Callable[[_Given], None]]:
    """Give `work` its arguments one after the other in a thread of its own, while the caller goes on. What it raises is raised by
    a later call, or at the end."""
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as pool:

        def give(one: _Given) -> None:
            while len(waiting) > _WAITING:
                waiting.popleft().result()
            waiting.append(pool.submit(work, one))

        try:
            yield give
            while waiting:
                waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
