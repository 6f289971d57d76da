"""Where the classes of a large picture lie, and where it shows more than empty glass: counted once, block by block, and kept.

One pass over the mask, a few rows at a time, and a look at a small copy of the picture. Patches are drawn by it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from delineate.data.augment.patches import BlockContents
from delineate.data.cache.store import Column, Record, Store
from delineate.data.cases.glass import bright_pixels, leaves_out
from delineate.data.cases.large import LargeMask
from delineate.data.cases.overview import overview
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.data.core.samples import Sample
from delineate.data.formats.contract import ImageHandle
from delineate.data.formats.images import READING

__all__ = ["SIDE", "large_index"]

SIDE = 256
"""Of a block, in pixels."""
_FORMAT = 1
_LEAST_COPY = 4
"""Pixels of the small copy that a block's side has at least."""


def large_index(
    manifest: Manifest, sample: Sample, spec: InputSpec, mask: LargeMask, picture: ImageHandle, store: Store
) -> BlockContents:
    """The index of one picture, from the cache where it is there. Raises as `Store.arrays`, and `DataError` for a damaged file."""
    classes = len(manifest.classes.names) - 1
    height, width = mask.shape
    grid = -(-height // SIDE), -(-width // SIDE)
    slide = leaves_out("auto", picture, spec)
    content = {
        "large": [_FORMAT, READING, SIDE],
        "files": [sample.case.hashes[file] for file in (*sample.case.images, *sample.case.masks)],
        "labels": manifest.labels.model_dump(mode="json", exclude={"reason"}),
        "size": [height, width],
        "classes": classes,
        "glass": slide,
    }

    def records() -> Iterator[Record]:
        shown = _shown(picture, grid, mask.shape) if slide else np.ones(grid, np.bool_)
        yield {"blocks": _counted(mask, grid, classes), "shown": shown.astype(np.uint8)}

    columns = {"blocks": Column.of(np.int64, (*grid, classes), 1), "shown": Column.of(np.uint8, grid, 1)}
    found = store.arrays(f"index of {sample.case.id}", content, columns, records, "a coarser input.spacing")
    return BlockContents((0.0, 0.0), SIDE, found["blocks"][0], found["shown"][0].astype(np.bool_))


def _counted(mask: LargeMask, grid: tuple[int, int], classes: int) -> NDArray[np.int64]:
    found = np.zeros((*grid, classes), np.int64)
    step = max(1, -(-mask.rows_at_once // SIDE))
    for first in range(0, grid[0], step):
        band = mask[first * SIDE : (first + step) * SIDE, :]
        wide = np.zeros((-(-len(band) // SIDE) * SIDE, grid[1] * SIDE), np.uint8)
        wide[: len(band), : band.shape[1]] = band
        blocks = wide.reshape(-1, SIDE, grid[1], SIDE)
        for index in range(classes):
            found[first : first + len(blocks), :, index] = (blocks == index + 1).sum((1, 3))
    return found


def _shown(picture: ImageHandle, grid: tuple[int, int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Blocks of which a pixel of the small copy is not glass."""
    copy = overview(picture, max(2048, _LEAST_COPY * max(grid)))
    rows, columns = np.nonzero(~bright_pixels(copy[..., :3]))
    found = np.zeros(grid, np.bool_)
    down, across = (
        (places + 0.5) * side / own for places, side, own in zip((rows, columns), size, copy.shape, strict=False)
    )
    found[down.astype(int) // SIDE, across.astype(int) // SIDE] = True
    return found
