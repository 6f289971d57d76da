"""Two baselines without training. The Dice of a few-shot method means little unless it is above theirs.

If organs lie at the same place in every scan, copying the support's mask scores well. If brightness distinguishes them, so does a
threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.core.input_spec import Pixels
from delineate.data.core.intensity import from_low, percentiles
from delineate.data.core.manifest import IGNORE
from delineate.fewshot.support import Support

__all__ = ["BASELINES", "ConditionedModel", "CopiedMask", "NearestColor"]


class ConditionedModel(Protocol):
    """Segments images as a support shows."""

    def predict_each(self, images: Iterable[Pixels], batch_size: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Class indices H×W of each image in turn, at its own size."""
        ...


class CopiedMask:
    """The support's mask, stretched to the query's size; of several, what most of them say at a pixel (a tie is background)."""

    def __init__(self, support: Support) -> None:
        self._masks = support.masks
        self._classes = len(support.classes.names)

    def predict_each(self, images: Iterable[Pixels], batch_size: int | None = None) -> Iterator[NDArray[np.uint8]]:
        for image in images:
            size = (image.shape[1], image.shape[0])
            stretched = [cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT) for mask in self._masks]
            votes = np.stack([sum(mask == label for mask in stretched) for label in range(self._classes)])
            yield votes.argmax(0).astype(np.uint8)


class NearestColor:
    """Each pixel by itself: the class whose mean color in the support is nearest (values divided by the type's maximum)."""

    def __init__(self, support: Support) -> None:
        colors = np.concatenate([_unit(image).reshape(-1, 3) for image in support.images])
        classes = np.concatenate([mask.ravel() for mask in support.masks])
        self._labels = np.array([label for label in range(IGNORE) if (classes == label).any()], np.uint8)
        self._means = np.stack([colors[classes == label].mean(0) for label in self._labels])

    def predict_each(self, images: Iterable[Pixels], batch_size: int | None = None) -> Iterator[NDArray[np.uint8]]:
        for image in images:
            pixels = _unit(image)
            distance = np.stack([np.square(pixels - mean).sum(-1) for mean in self._means])
            yield self._labels[distance.argmin(0)]


BASELINES: dict[str, Callable[[Support], ConditionedModel]] = {
    "copy-support-mask": CopiedMask,
    "nearest-color": NearestColor,
}
"""Name → how a model is made from a support."""


def _unit(image: Pixels) -> NDArray[np.float32]:
    """H×W or H×W×C → float32 H×W×3 in [0, 1]; gray is repeated, alpha dropped. Own values by the image's percentiles."""
    whole = image[..., None] if image.ndim == 2 else image
    color = whole[..., :3] if whole.shape[2] >= 3 else np.repeat(whole[..., :1], 3, axis=2)
    if color.dtype.kind == "f":
        return from_low(color, percentiles(color))
    return np.divide(color, np.float32(np.iinfo(image.dtype).max), dtype=np.float32)
