"""Regions that stand for objects where nothing is labeled: super-pixels of a slice, super-voxels of a volume.

Super-pixels are those of Felzenszwalb & Huttenlocher (IJCV 59, 2004) or SLIC (Achanta et al., TPAMI 34, 2012); super-voxels are
SLIC in three dimensions, where the field's code extends Felzenszwalb's graph to three. Both come from scikit-image. Only what lies
in the body counts, and regions that are too small to be drawn are no regions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import felzenszwalb, slic

from delineate.common.errors import DataError
from delineate.data.cache.store import Column, Record, Store
from delineate.data.loading.cached_slices import CachedSlices

__all__ = ["Algorithm", "Regions", "body_mask", "slice_regions", "superpixels", "supervoxels", "volume_regions"]

Algorithm = Literal["felzenszwalb", "slic"]
Regions = NDArray[np.uint16]
"""H×W (or D×H×W): 1, 2 … for the regions, 0 elsewhere."""

_BODY = 10 / 255
"""Brightness above which a pixel is taken for body (`fg_thresh` 10 of 255 in ADNet's code)."""
_SIGMA = 1.0
_COMPACTNESS = 0.1
_RULE = [2, _BODY, _SIGMA, _COMPACTNESS]
"""Names what is kept on disk, after a version of this file's rules."""


def body_mask(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """H×W×C in [0, 1] → the largest connected part brighter than the surrounding air, its holes filled; empty where all is dark."""
    bright = (image.mean(axis=2) > _BODY).astype(np.uint8)
    number, parts, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
    if number < 2:
        return np.zeros(bright.shape, np.bool_)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return np.asarray(ndimage.binary_fill_holes(parts == largest))


def superpixels(image: NDArray[np.float32], *, algorithm: Algorithm = "felzenszwalb", size: int, least: int) -> Regions:
    """Divide a slice H×W×C in [0, 1]. `size`: pixels, at least (Felzenszwalb) or about (SLIC); regions with fewer than `least`
    pixels in the body are left out."""
    if algorithm == "felzenszwalb":
        found = felzenszwalb(image, scale=1, sigma=_SIGMA, min_size=size, channel_axis=-1) + 1
    else:
        pieces = max(1, round(image[..., 0].size / size))
        found = slic(image, n_segments=pieces, compactness=_COMPACTNESS, sigma=_SIGMA, start_label=1, channel_axis=-1)
    return _numbered(found * body_mask(image), least)


def supervoxels(
    volume: NDArray[np.float32], *, size: int, least: int, spacing: Sequence[float] | None = None
) -> Regions:
    """Divide a volume D×H×W×C in [0, 1] into pieces of about `size` voxels; those with fewer than `least` in the body are
    left out. `spacing`: of slice, row and column, in any unit."""
    pieces = max(1, round(volume[..., 0].size / size))
    found = slic(
        volume,
        n_segments=pieces,
        compactness=_COMPACTNESS,
        sigma=(0, _SIGMA, _SIGMA),  # slices are far apart: smoothing across them would mix what they show
        spacing=spacing,
        start_label=1,
        channel_axis=-1,
    )
    return _numbered(found * np.stack([body_mask(image) for image in volume]), least)


def slice_regions(
    data: CachedSlices, store: Store, *, algorithm: Algorithm, size: int, least: int, workers: int = 2
) -> Regions:
    """Super-pixels of all slices, N×H×W, kept on disk. Sizes are those at 256×256."""
    size, least = _scaled(size, data), _scaled(least, data)

    def of(index: int) -> Record:
        return {"regions": superpixels(data.unit(index), algorithm=algorithm, size=size, least=least)}

    content = ["superpixels", _RULE, data.content, data.spec.rule, algorithm, size, least]
    return _stored("super-pixels", content, data, store, lambda: _parallel(of, range(len(data)), workers))


def volume_regions(data: CachedSlices, store: Store, *, size: int, least: int, workers: int = 2) -> Regions:
    """Super-voxels of all volumes, slice by slice N×H×W, kept on disk. Sizes are those at 256×256 in each slice.

    Raises `DataError` where no volume has two slices.
    """
    if max(np.bincount(data.volume)) < 2:
        raise DataError(
            "super-voxels need volumes, and here each has one slice; name slices …_slice_07, give --stack, or take "
            "--episodes superpixel"
        )
    size, least = _scaled(size, data), _scaled(least, data)

    def of(number: int) -> Regions:
        (members,) = np.nonzero(data.volume == number)
        volume = np.stack([data.unit(int(index)) for index in members])
        return supervoxels(volume, size=size, least=least, spacing=_spacing(data, number))

    def rows() -> Iterator[Record]:
        for regions in _parallel(of, range(len(data.stacks)), workers):
            yield from ({"regions": one} for one in regions)

    spacings = [_spacing(data, number) for number in range(len(data.stacks))]
    lengths = [len(stack.slices) for stack in data.stacks]
    content = ["supervoxels", _RULE, data.content, data.spec.rule, spacings, lengths, size, least]
    return _stored("super-voxels", content, data, store, rows)


def _stored(what: str, content: Any, data: CachedSlices, store: Store, make: Callable[[], Iterator[Record]]) -> Regions:
    columns = {"regions": Column.of(np.uint16, data.spec.size, len(data))}
    return np.asarray(store.arrays(f"{what} of {len(data)} slices", content, columns, make)["regions"])


def _spacing(data: CachedSlices, number: int) -> tuple[float, float, float] | None:
    """Distances of slices, rows and columns of a volume at the working size; None where the files do not tell."""
    first = data.stacks[number].slices[0]
    known = first.case.spacing
    if known is None or len(known) != 3:
        return None
    rows, columns = (known[1 + at] * first.size[at] / data.spec.size[at] for at in (0, 1))
    return known[0], rows, columns


def _scaled(pixels: int, data: CachedSlices) -> int:
    return max(4, round(pixels * data.area))


def _numbered(found: NDArray[Any], least: int) -> Regions:
    """Labels of at least so many pixels as 1, 2 …, in their order."""
    counts = np.bincount(found.ravel())
    kept = counts >= least
    kept[0] = False
    numbers = np.cumsum(kept) * kept
    if numbers.max(initial=0) > np.iinfo(np.uint16).max:
        raise DataError("a volume falls into more than 65535 regions; use larger ones (episodes.supervoxel_size)")
    return numbers.astype(np.uint16)[found]


def _parallel(job: Callable[[int], Any], items: range, workers: int) -> Iterator[Any]:
    """Results in order; a few are worked on ahead."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: list[Future[Any]] = []
        todo = iter(items)
        try:
            while True:
                waiting += [pool.submit(job, item) for item in islice(todo, 2 * workers - len(waiting))]
                if not waiting:
                    return
                yield waiting.pop(0).result()
        finally:
            pool.shutdown(cancel_futures=True)
