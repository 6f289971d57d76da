"""A large picture on its way from its file to that of its mask: a band of rows at a time, never the whole.

The file is read by windows (`ImageHandle.block`). Tiles pass the network as those of a picture in memory do
(`tiling.blended_rows`), and each row of the mask is written as soon as no later tile adds to it. Memory grows with the picture's
width alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError, NotFiniteError
from delineate.data.augment.patches import Corner, Size, cut
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.intensity import Limits
from delineate.data.formats.contract import ANY_SIZE, ImageHandle
from delineate.data.formats.registry import image_suffix, open_image
from delineate.data.formats.tiff_tiled import TiledTiff
from delineate.inference.image_input import remark
from delineate.inference.parts import PredictionContext, since
from delineate.inference.plan import Item
from delineate.inference.results import FileResult
from delineate.inference.row_limits import limits_of_rows
from delineate.inference.rows import Rows
from delineate.inference.segment import NO_MEMORY, Failure
from delineate.inference.segmenter import Probabilities, Segmenter
from delineate.inference.tiling import TileSource, Tiling
from delineate.inference.write import fractions, listed, mask_labels, mask_values

__all__ = ["LARGE", "FileTiles", "StreamedPicture", "TileSegmenter", "reads_by_windows"]

LARGE = 1 << 26
"""Pixels from which on a picture is read by windows (67 megapixels)."""
_BYTES, _WORDS = np.dtype(np.uint8), np.dtype(np.uint16)
_WINDOWED = (".tif", ".tiff")
"""Endings of formats that can be read so."""


@runtime_checkable
class TileSegmenter(Segmenter, Protocol):
    """A model that takes the tiles of an image from wherever they come."""

    @property
    def tiling(self) -> Tiling:
        """The tiles that it is moved over an image by."""

    def rows_of(self, source: TileSource, batch: int | None = None) -> Iterator[tuple[slice, Probabilities]]:
        """Probabilities of an image, a few rows K×r×W at a time."""


def reads_by_windows(image: Path, predictor: Segmenter) -> bool:
    """Whether a picture is large, in a file that is read by windows, and the model's sliding window can be moved over it.

    Reads its header. What cannot be read is none: reading it tells why.
    """
    spec = predictor.spec
    if not isinstance(predictor, TileSegmenter) or spec.fit != "patch" or spec.spacing is not None or spec.scale != 1:
        return False
    if not isinstance(spec.channels, str) or image_suffix(image) not in _WINDOWED:
        return False
    try:
        handle = open_image(image, max_pixels=ANY_SIZE)
    except DataError:
        return False
    return handle.block is not None and not handle.is_volume and handle.shape[0] * handle.shape[1] >= LARGE


class FileTiles:
    """Tiles of a picture in a file (`tiling.TileSource`). Only the rows that the present tiles lie on are held."""

    def __init__(self, handle: ImageHandle, spec: InputSpec, tile: Size, limits: Limits | None) -> None:
        self.size: Size = (handle.shape[0], handle.shape[1])
        self._rows, self._spec, self._tile, self._limits = Rows(handle, spec), spec, tile, limits

    def tile(self, corner: Corner) -> NDArray[np.float32] | None:
        top, left = corner
        first = max(0, top)
        band = self._rows.between(first, min(self.size[0], top + self._tile[0]))
        return self._spec.to_unit(cut(band, (top - first, left), self._tile), self._limits)


@dataclass(frozen=True)
class StreamedPicture:
    """An item that is read, computed and written at once, by parts (`parts.Part` without the steps)."""

    item: Item
    job: PredictionContext

    def predict(self) -> FileResult:
        """All of it. A fault is told in the result, and no file of the item is left then."""
        start = time.perf_counter()
        result = FileResult(self.item.image, self.item.name)
        try:
            return replace(self._predicted(result), milliseconds=since(start))
        except (DataError, NotFiniteError) as error:
            failure = Failure("data" if isinstance(error, DataError) else "not finite", str(error))
        except NO_MEMORY as error:
            failure = Failure.of_memory(error)
        for path in self.item.files:
            path.unlink(missing_ok=True)
        return replace(result, error=failure.line(self.item.image), milliseconds=since(start))

    def _predicted(self, result: FileResult) -> FileResult:
        worker, item = self.job.worker, self.item
        predictor = worker.predictor
        assert isinstance(predictor, TileSegmenter), "the plan knows which models have tiles"
        handle = open_image(item.image, max_pixels=ANY_SIZE)
        height, width = handle.shape
        limits = limits_of_rows(handle, predictor.spec)
        source = FileTiles(handle, predictor.spec, predictor.tiling.size, limits)
        counts = np.zeros(256, np.int64)
        values = np.array(mask_values(predictor.classes), np.uint8)
        with ExitStack() as files:
            labels, microns = mask_labels(predictor.classes), handle.microns
            mask = files.enter_context(TiledTiff(item.mask, (height, width), _BYTES, labels=labels, microns=microns))
            maps = [
                files.enter_context(TiledTiff(path, (height, width), _WORDS, microns=microns)) for path in item.maps
            ]
            for _, rows in predictor.rows_of(source, worker.batch_size or None):
                for file, plane in zip(maps, rows, strict=False):
                    file.add(fractions(plane))
                indices = predictor.decide(rows)
                counts += np.bincount(indices.ravel(), minlength=256)
                mask.add(values[indices])
        percent = tuple((100 * counts[1 : len(values)] / (height * width)).tolist())
        said = "; ".join(filter(None, [remark(_first(handle), predictor.spec), *self._left_out()])) or None
        written = listed(item, self.job.folder, None)
        return replace(result, height=height, width=width, percent=percent, remark=said, written=written)

    def _left_out(self) -> list[str]:
        """What needs the whole mask, and is not done to one that is written by parts."""
        chosen, found = self.job.worker.predictor.postprocessing, []
        if chosen is not None and any(rule.acts for rule in chosen.rules):
            found.append("read by windows: components and holes of its mask are as the network left them")
        if self.job.check:
            found.append("its mask is written by parts and was not read again (--check)")
        return found


def _first(handle: ImageHandle) -> Pixels:
    """A corner of the picture, which tells of what kind its pixels are."""
    return handle.window(0, 0, min(2, handle.shape[0]), min(2, handle.shape[1]))
