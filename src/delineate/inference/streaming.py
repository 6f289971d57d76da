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
from delineate.common.files import remove
from delineate.data.augment.patches import Corner, Size, cut
from delineate.data.cases.glass import RULE, is_glass, leaves_out
from delineate.data.cases.level_choice import Seen, seen_at
from delineate.data.cases.overview import LARGE
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.resampling import ResizedPlanes, ResizedRows, RowSource
from delineate.data.formats.contract import ANY_SIZE, ImageHandle
from delineate.data.formats.registry import open_image, reader_of
from delineate.inference.expected_dice import case_doubt
from delineate.inference.geojson import write_geojson
from delineate.inference.image_input import remark
from delineate.inference.overview import write_overview
from delineate.inference.parts import PredictionContext, since
from delineate.inference.plan import Item
from delineate.inference.results import FileResult
from delineate.inference.row_limits import limits_of_rows
from delineate.inference.rows import Rows
from delineate.inference.segment import NO_MEMORY, Failure
from delineate.inference.segmenter import Probabilities, Segmenter
from delineate.inference.streamed_outputs import StreamedOutputs, behind
from delineate.inference.tiling import TileSource, Tiling
from delineate.inference.write import listed

__all__ = ["LARGE", "FileTiles", "StreamedPicture", "TileSegmenter", "reads_by_windows"]


@runtime_checkable
class TileSegmenter(Segmenter, Protocol):
    """A model that takes the tiles of an image from wherever they come."""

    @property
    def tiling(self) -> Tiling:
        """The tiles that it is moved over an image by."""

    def rows_of(self, source: TileSource, batch: int | None = None) -> Iterator[tuple[slice, Probabilities]]:
        """Probabilities of an image, a few rows K×r×W at a time."""


def reads_by_windows(image: Path, predictor: Segmenter, mpp: float | None = None, told: bool = False) -> bool:
    """Whether a picture is large, in a file that is read by windows, and the model's sliding window can be moved over it; or, with
    `mpp`, whatever its size. `told`: whether its data set tells how large its pixels are.

    Reads its header. What cannot be read is none: reading it tells why.
    """
    spec = predictor.spec
    if not isinstance(predictor, TileSegmenter) or spec.fit != "patch" or not isinstance(spec.channels, str):
        return False
    if mpp is not None:
        return True
    try:
        if not reader_of(image).windowed:
            return False
        handle = open_image(image, max_pixels=ANY_SIZE)
    except DataError:
        return False
    known = spec.spacing is None or told or handle.microns is not None
    large = not handle.is_volume and handle.shape[0] * handle.shape[1] >= LARGE
    return handle.block is not None and known and large


class FileTiles:
    """Tiles of a picture in a file (`tiling.TileSource`). Only the rows that the present tiles lie on are held."""

    def __init__(self, seen: Seen, spec: InputSpec, tile: Size, *, skip: bool = False) -> None:
        """`skip`: whether tiles of empty glass are left out."""
        self.size = seen.size
        self._spec, self._tile, self._skip = spec, tile, skip
        self._limits = limits_of_rows(_rows_of(seen, spec), spec, seen.level.path)
        self._rows = _rows_of(seen, spec)
        self.tiles = self.skipped = 0

    def tile(self, corner: Corner) -> NDArray[np.float32] | None:
        top, left = corner
        first = max(0, top)
        band = self._rows.between(first, min(self.size[0], top + self._tile[0]))
        pixels = cut(band, (top - first, left), self._tile)
        self.tiles += 1
        if self._skip and is_glass(pixels):
            self.skipped += 1
            return None
        return self._spec.to_unit(pixels, self._limits)


def _rows_of(seen: Seen, spec: InputSpec) -> RowSource:
    """The rows of a picture at the size at which it is seen, from its first one."""
    rows = Rows(seen.level, spec)
    return rows if seen.size == rows.size else ResizedRows(rows, seen.size)


@dataclass(frozen=True)
class StreamedPicture:
    """An item that is read, computed and written at once, by parts (`parts.Part` without the steps)."""

    item: Item
    job: PredictionContext
    siblings: int = 1

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
            remove(path)
        return replace(result, error=failure.line(self.item.image), milliseconds=since(start))

    def _predicted(self, result: FileResult) -> FileResult:
        worker, item = self.job.worker, self.item
        predictor = worker.predictor
        assert isinstance(predictor, TileSegmenter), "the plan knows which models have tiles"
        handle, spec, job = open_image(item.image, max_pixels=ANY_SIZE), predictor.spec, self.job
        seen = seen_at(handle, spec, job.mpp, item.spacing)
        source = FileTiles(seen, spec, predictor.tiling.size, skip=leaves_out(job.background, handle, spec))
        size, microns = seen.output, seen.output_microns
        resized = None if size == seen.size else ResizedPlanes(seen.size, size)
        with ExitStack() as files:
            outputs = StreamedOutputs(files, item, predictor, size, microns, doubt=worker.doubt)
            with behind(outputs.add) as write:
                for _, made in predictor.rows_of(source, worker.batch_size or None):
                    rows = made if resized is None else resized.add(made)
                    if rows is not None:
                        write(rows)
        if item.outlines is not None and outputs.outlines is not None:
            zoom = handle.shape[0] / size[0], handle.shape[1] / size[1]
            write_geojson(item.outlines, outputs.outlines, predictor.classes, zoom)
        if item.overlay is not None:
            write_overview(item.overlay, handle, item.mask, predictor.classes)
        doubt = None if outputs.sums is None else case_doubt(outputs.sums, predictor.expected_dice)
        told = [remark(_first(handle), spec), seen.remark, *handle.notes, *self._left_out(source)]
        said = "; ".join(filter(None, told)) or None
        written, percent = listed(item, self.job.folder, None, doubt), outputs.percent
        return replace(
            result, height=size[0], width=size[1], percent=percent, remark=said, written=written, doubt=doubt
        )

    def _left_out(self, source: FileTiles) -> list[str]:
        """Tiles that were not looked at, and what needs the whole mask and is not done to one that is written by parts."""
        chosen, found = self.job.worker.predictor.postprocessing, []
        if source.skipped:
            share = 100 * source.skipped / source.tiles
            found.append(
                f"{share:.0f} % of its tiles are empty glass and were left out as background (rule {RULE}; --background keep)"
            )
        if chosen is not None and any(rule.acts for rule in chosen.rules):
            found.append("read by windows: components and holes of its mask are as the network left them")
        if self.job.check:
            found.append("its mask is written by parts and was not read again (--check)")
        return found


def _first(handle: ImageHandle) -> Pixels:
    """A corner of the picture, which tells of what kind its pixels are."""
    return handle.window(0, 0, min(2, handle.shape[0]), min(2, handle.shape[1]))
