"""Batches of patches, for images that are too large to shrink. As with all loaders, a pure function of (seed, position).

An epoch shows each image `per_image` times; the patch at position p is drawn from (seed, p), as its augmentation is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.data.augment import patches
from delineate.data.augment.patches import Corner
from delineate.data.augment.settings import AugmentParameters, AugmentSettings
from delineate.data.cache.cache import Cache
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.soft_mask import NO_TARGETS
from delineate.data.loading.loader import Item, Loader

__all__ = ["PatchLoader", "make_loader"]

_PATCH = 2
"""Separates the random streams of patches from those of permutations (0) and augmentation (1)."""
_PLAIN = AugmentParameters()


class PatchLoader(Loader):
    """Patches of `spec.size` pixels, from a cache that was opened with `spec.fit` = "patch"."""

    def __init__(
        self,
        cache: Cache,
        spec: InputSpec,
        settings: AugmentSettings | None,
        *,
        foreground: float = 0.33,
        per_image: int | None = None,
        **options: Any,
    ) -> None:
        """`foreground`: share of the patches that are centered on a foreground pixel; all classes present are equally likely. With
        class-balanced sampling it is not used: a patch is centered on a pixel of the class that it was drawn for, and that for the
        background on any.
        `per_image`: patches of each image in an epoch; None: as many as have about the pixels of all images. `options`: those of
        `Loader`."""
        if spec.fit != "patch" or len(cache.contents) != len(cache):
            raise ValueError("patches need a specification, and a cache, of fit 'patch'")
        super().__init__(cache, spec, settings, **options)
        if self._targets != NO_TARGETS:
            raise ValueError("patches have no targets beside their masks")
        self._foreground = foreground
        self.per_image = per_image or _default_patches_per_image(cache, spec)
        self._per_epoch = len(cache) * self.per_image

    def corner(self, position: int) -> Corner:
        """The upper left corner of the patch at `position` of the stream, in the image `index(position)`."""
        return self._corner(self._at(position), position)

    def _corner(self, item: Item, position: int) -> Corner:
        rng = np.random.default_rng([self._seed, _PATCH, position])
        mask, contents = self._cache.mask(item.sample), self._cache.contents[item.sample]
        share = self._foreground if item.label is None else float(item.label > 0)
        return patches.draw(rng, mask, contents, self._spec.size, share, label=item.label)

    def _plain(self) -> list[Item]:
        """The tiles of all images."""
        sizes = (self._cache.mask(index).shape for index in range(len(self._cache)))
        return [
            Item(index, corner=corner)
            for index, (height, width) in enumerate(sizes)
            for corner in patches.tiles((height, width), self._spec.size)
        ]

    def _fill_sample(self, item: Item, image: NDArray[np.float32], mask: NDArray[np.uint8]) -> None:
        pixels, labels = self._cache.image(item.sample), self._cache.mask(item.sample)
        size, spec = self._spec.size, self._spec
        corner, parameters = item.corner, _PLAIN
        if item.position is not None:
            corner, parameters = self._corner(item, item.position), self.parameters(item.position) or _PLAIN
        rows, columns = patches.reach((labels.shape[0], labels.shape[1]), corner, size, parameters)
        pixels, labels = pixels[rows, columns], labels[rows, columns]
        corner = corner[0] - rows.start, corner[1] - columns.start
        if pixels.dtype == np.uint8 and spec.intensity == "range":
            seen, mask[:] = patches.augmented(pixels, labels, corner, size, parameters)
            np.divide(seen, np.float32(255), out=image, dtype=np.float32)
        else:
            unit = spec.to_unit(pixels, self._cache.contents[item.sample].limits)
            image[:], mask[:] = patches.augmented(unit, labels, corner, size, parameters)


def _default_patches_per_image(cache: Cache, spec: InputSpec) -> int:
    """Patches per image that have, over the whole set, about as many pixels as the images; at least 1."""
    total = sum(cache.mask(index).size for index in range(len(cache)))
    return max(1, round(total / (len(cache) * spec.size[0] * spec.size[1])))


def make_loader(
    cache: Cache,
    spec: InputSpec,
    settings: AugmentSettings | None,
    *,
    foreground: float = 0.33,
    per_image: int | None = None,
    **options: Any,
) -> Loader:
    """The loader that fits `spec`: of whole images, or of patches (only for these are `foreground` and `per_image`)."""
    if spec.fit == "patch":
        return PatchLoader(cache, spec, settings, foreground=foreground, per_image=per_image, **options)
    return Loader(cache, spec, settings, **options)
