"""A cache of pictures of which some are too large to be decoded: these are windows into their files, and an index of each.

Validation is by regions: a few places of each large picture, half of them drawn for a class, always the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from delineate.data.augment.patches import BlockContents, Contents, Corner, Size, draw
from delineate.data.cache.cache import Cache
from delineate.data.cache.large_index import large_index
from delineate.data.cache.store import Store
from delineate.data.cases.large import REGION_SIDE, LargeImage, LargeMask, is_large, seen_large
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.data.core.samples import Sample

__all__ = ["REGIONS", "by_regions", "open_with_large"]

REGIONS = 16
"""Places of a large picture that it is validated by, at most."""
_SHARE = 0.5


def open_with_large(
    manifest: Manifest,
    samples: Sequence[Sample],
    spec: InputSpec,
    store: Store,
    others: Callable[[Sequence[Sample]], Cache],
) -> Cache:
    """The cache of samples, those of large pictures as windows. `others`: makes that of the rest.

    Raises `DataError` as `seen_large` and `LargeMask`, and what `others` raises.
    """
    large = frozenset(at for at, one in enumerate(samples) if spec.fit == "patch" and is_large(manifest, one.case))
    if not large:
        return others(samples)
    rest = [one for at, one in enumerate(samples) if at not in large]
    small = others(rest) if rest else Cache((), (), ())
    images, masks, contents = (list(one) for one in (small.images, small.masks, small.contents))
    for at in sorted(large):
        seen = seen_large(manifest, samples[at].case, spec, samples[at].spacing)
        mask = LargeMask(manifest, samples[at].case, seen.size)
        images.insert(at, LargeImage(seen, spec))
        masks.insert(at, mask)
        contents.insert(at, large_index(manifest, samples[at], spec, mask, seen.level, store))
    return Cache(tuple(samples), tuple(images), tuple(masks), tuple(contents), large=large)


def by_regions(cache: Cache, spec: InputSpec) -> tuple[Cache, dict[str, list[Corner]]]:
    """A cache for validation, in which regions stand for each large picture, one after the other; and their corners by case."""
    if not cache.large:
        return cache, {}
    classes = len(cache.contents[0].totals)
    found: list[tuple[Sample, Any, Any, Contents | BlockContents]] = []
    corners: dict[str, list[Corner]] = {}
    for at, sample in enumerate(cache.samples):
        image, mask, contents = cache.image(at), cache.mask(at), cache.contents[at]
        if at not in cache.large:
            found.append((sample, image, mask, contents))
            continue
        size = _side(spec.size[0], mask.shape[0]), _side(spec.size[1], mask.shape[1])
        corners[sample.case.id] = _places(mask, contents, size, at)
        for top, left in corners[sample.case.id]:
            place = slice(top, top + size[0]), slice(left, left + size[1])
            part = mask[place]
            found.append((sample, image[place], part, Contents.of((0.0, 0.0), part, classes)))
    samples, images, masks, of_each = (tuple(column) for column in zip(*found, strict=True))
    return replace(cache, samples=samples, images=images, masks=masks, contents=of_each, large=frozenset()), corners


def _side(patch: int, length: int) -> int:
    return min(length, REGION_SIDE * patch)


def _places(mask: Any, contents: Contents | BlockContents, size: Size, number: int) -> list[Corner]:
    """On a grid, so that none overlaps another but at the edges; always the same."""
    rng = np.random.default_rng([number, REGIONS])
    found: dict[Corner, None] = {}
    for _ in range(REGIONS):
        drawn = draw(rng, mask, contents, (1, 1), _SHARE)
        corner = [
            min(at // side * side, length - side) for at, side, length in zip(drawn, size, mask.shape, strict=True)
        ]
        found[corner[0], corner[1]] = None
    return sorted(found)
