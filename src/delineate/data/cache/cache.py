"""Decode once: samples at the working size, in the source's own type, as memory-mapped files in the user's cache folder.

All samples have the working size, or, where patches are to be cut from them (fit `patch`), each has its own. Then the entry also
holds what patches are drawn by (`data.augment.patches.Contents`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.augment.patches import BlockContents, Contents
from delineate.data.cache.store import Array, Column, Record, Store
from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.core.findings import count
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.intensity import Limits
from delineate.data.core.manifest import IGNORE, Manifest
from delineate.data.core.samples import Sample
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.images import READING

__all__ = ["Cache", "content_of", "open_cache", "with_shares"]

_Decoded = TypeVar("_Decoded")
_FORMAT = 2
_WORKERS = max(1, min(8, os.cpu_count() or 1))


@dataclass(frozen=True)
class Cache:
    """The decoded pixels of some samples, in their order. Views are read-only."""

    samples: tuple[Sample, ...]
    images: Any
    """N×H×W×C, uint8, uint16 or float32; where sizes differ (fit `patch`): N of H×W×C, which are windows into
    files for large pictures (`data.cases.large`)."""
    masks: Any
    """N×H×W class indices uint8, 255 = ignore; where sizes differ: N of H×W."""
    contents: tuple[Contents | BlockContents, ...] = ()
    """Of fit `patch`: what patches are drawn by, for each sample."""
    large: frozenset[int] = frozenset()
    """Samples that are read by windows."""
    shares: Array | None = None
    """N×H×W soft masks (`InputSpec.soft_mask`), where `with_shares` has added them; 0 where unlabeled."""

    def __len__(self) -> int:
        return len(self.samples)

    def image(self, index: int) -> Pixels:
        """H×W×C view of one image."""
        return self.images[index]

    def mask(self, index: int) -> NDArray[np.uint8]:
        """H×W view of one mask; all 255 where unlabeled."""
        return self.masks[index]

    def labeled(self, index: int) -> bool:
        return self.samples[index].labeled


def open_cache(
    manifest: Manifest,
    samples: Sequence[Sample],
    spec: InputSpec,
    store: Store,
    *,
    axis: int | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Cache:
    """The cache of `samples`, built if it is not there or damaged. `axis`: across the slices of volumes, where there are such.

    Raises as `Store.arrays`, and `DataError` when a source cannot be read or has changed since the manifest was made.
    """
    if not samples:
        raise DataError(f"{manifest.root}: there are no cases to cache")
    own_size = spec.fit == "patch"
    classes = len(manifest.classes.names) - 1
    content = content_of(manifest, samples, spec, axis) | ({"classes": classes} if own_size else {})
    size = "their own size" if own_size else f"{spec.size[0]}×{spec.size[1]}"

    def records() -> Iterator[Record]:
        pixels = SamplePixels(manifest, axis, max_pixels, spec=spec)
        for image, mask in _decoded(lambda one: _working(pixels, one, spec), samples):
            yield {"images": image, "masks": mask, **(_drawn_by(image, mask, spec, classes) if own_size else {})}

    found = store.arrays(
        f"{count(len(samples), 'sample')} at {size}",
        content,
        _columns(samples, spec, classes, volumes=axis is not None),
        records,
        "a smaller input.scale" if own_size else "a smaller --size",
    )
    contents = zip(found["limits"], found["rows"], strict=True) if own_size else ()
    return Cache(
        tuple(samples),
        found["images"],
        found["masks"],
        tuple(Contents(_limits(stored), rows) for stored, rows in contents),
    )


def with_shares(
    cache: Cache,
    manifest: Manifest,
    spec: InputSpec,
    store: Store,
    *,
    axis: int | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Cache:
    """The same with soft masks, which are an entry of their own, so that nobody else pays for them. Raises as `open_cache`."""
    pixels = SamplePixels(manifest, axis, max_pixels)

    def share(sample: Sample) -> NDArray[np.uint8]:
        mask = pixels.mask(sample)
        return (
            np.zeros(spec.working_size(*sample.size, sample.spacing), np.uint8)
            if mask is None
            else spec.soft_mask(mask, sample.spacing)
        )

    found = store.arrays(
        f"{count(len(cache), 'soft mask')} at {spec.size[0]}×{spec.size[1]}",
        content_of(manifest, cache.samples, spec, axis) | {"soft": 1},
        {
            "shares": Column(
                np.dtype(np.uint8), tuple(spec.working_size(*one.size, one.spacing) for one in cache.samples)
            )
        },
        lambda: ({"shares": one} for one in _decoded(share, cache.samples)),
    )
    return replace(cache, shares=found["shares"])


def content_of(manifest: Manifest, samples: Sequence[Sample], spec: InputSpec, axis: int | None) -> dict[str, Any]:
    """What the pixels of samples at the working size depend on, in plain types. Raises `DataError` for a case without hashes."""
    return {
        "format": [_FORMAT, READING],
        "spec": spec.model_dump(mode="json", include=spec.decisive),
        "labels": manifest.labels.model_dump(mode="json", exclude={"reason"}),
        "samples": [
            [
                _hashes(manifest, one, one.case.images),
                _hashes(manifest, one, one.case.masks),
                one.plane,
                *([] if one.axis is None else [one.axis]),
                *([] if spec.spacing is None else [one.spacing]),
            ]
            for one in samples
        ],
    } | ({} if axis is None else {"axis": axis, "order": "canonical", "numbers": spec.volume_numbers})


def _columns(samples: Sequence[Sample], spec: InputSpec, classes: int, *, volumes: bool) -> dict[str, Column]:
    number, sizes = len(samples), [spec.working_size(*one.size, one.spacing) for one in samples]
    images = tuple((*size, spec.in_channels) for size in sizes)
    columns = {
        "images": Column(_type(spec, volumes), images),
        "masks": Column(np.dtype(np.uint8), tuple(sizes)),
    }
    if spec.fit == "patch":
        columns["limits"] = Column.of(np.float64, (2, spec.in_channels) if spec.named else (2,), number)
        columns["rows"] = Column(np.dtype(np.int64), tuple((height, classes) for height, _ in sizes))
    return columns


def _type(spec: InputSpec, volumes: bool) -> np.dtype[Any]:
    """As `SamplePixels.image` has the pixels."""
    if (volumes and spec.volume_numbers != "bytes") or spec.source_bits == 32:
        return np.dtype(np.float32)
    return np.dtype(np.uint16 if spec.source_bits == 16 else np.uint8)


def _limits(stored: NDArray[np.float64]) -> Limits:
    """Of all channels, or one for each."""
    low, high = stored
    return (low, high) if stored.ndim > 1 else (float(low), float(high))


def _drawn_by(image: Pixels, mask: NDArray[np.uint8], spec: InputSpec, classes: int) -> Record:
    contents = Contents.of(spec.limits_for_patches(image), mask, classes)
    return {"limits": np.array(contents.limits), "rows": contents.rows}


def _decoded(decode: Callable[[Sample], _Decoded], samples: Sequence[Sample]) -> Iterator[_Decoded]:
    """What each sample is decoded to, in the samples' order; only a few are decoded ahead."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        waiting: list[Future[_Decoded]] = []
        todo = iter(samples)
        try:
            while True:
                ahead = islice(todo, 2 * _WORKERS - len(waiting))
                waiting += [pool.submit(decode, one) for one in ahead]
                if not waiting:
                    return
                yield waiting.pop(0).result()
        finally:
            pool.shutdown(cancel_futures=True)


def _working(pixels: SamplePixels, sample: Sample, spec: InputSpec) -> tuple[Pixels, NDArray[np.uint8]]:
    """Image and mask at the working size."""
    image = _as_bits(spec.working_pixels(pixels.image(sample), sample.spacing), spec.source_bits)
    mask = pixels.mask(sample)
    working = np.full(image.shape[:2], IGNORE, np.uint8) if mask is None else spec.working_mask(mask, sample.spacing)
    return np.ascontiguousarray(image), np.ascontiguousarray(working)


def _as_bits(image: Pixels, bits: int) -> Pixels:
    """8-bit images among 16-bit ones, and the reverse: the same fraction of the type's range."""
    if image.dtype == np.uint8 and bits == 16:
        return image.astype(np.uint16) * np.uint16(257)
    if image.dtype == np.uint16 and bits == 8:
        return np.round(image / np.float32(257)).astype(np.uint8)
    return image


def _hashes(manifest: Manifest, sample: Sample, files: Sequence[str]) -> list[str]:
    hashes = sample.case.hashes
    missing = next((file for file in files if file not in hashes), None)
    if missing is not None:
        raise DataError(f"{manifest.root}: {missing} has no hash in the manifest; inspect the data first")
    return [hashes[file] for file in files]
