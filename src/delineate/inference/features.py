"""What a network makes of images besides masks: its probabilities, with one vector of numbers that says what an image looks like to
it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from delineate.common.errors import DataError, NotFiniteError
from delineate.data.augment.patches import cut
from delineate.inference.device import arithmetic, as_batch
from delineate.inference.predictor import BATCH_SIZE, Predictor
from delineate.inference.segment import Failure
from delineate.inference.segmenter import Prepared, Probabilities
from delineate.inference.sliding_window import TileBlender
from delineate.methods.dense import DenseMethod

__all__ = ["FeatureKind", "FeatureReader", "ImageFeatures"]

FeatureKind = Literal["encoder", "pooled"]
"""encoder: the mean of the encoder's coarsest feature map over its positions. pooled: the network's input and its probabilities,
each as means over a grid of 4×4; for methods without `encode`."""
_GRID = 4


@dataclass(frozen=True)
class ImageFeatures:
    """What a network made of one image."""

    probabilities: Probabilities
    """Float32 K×h×w at the working size, without the padding of `fit=letterbox`."""
    features: NDArray[np.float32]
    """D numbers."""


class FeatureReader:
    """Runs a dense model on prepared images. Use it from one thread."""

    def __init__(self, predictor: Predictor, kind: FeatureKind | None = None, batch_size: int | None = None) -> None:
        """`kind`: None is `encoder` where the method has an encoder to ask, else `pooled`. Raises `DataError` for `encoder` of a
        method that has none."""
        method = predictor.method
        asked = isinstance(method, DenseMethod) and method.has_encode_decode()
        if kind == "encoder" and not asked:
            raise DataError(
                f"method '{method.info.name}' does not tell its encoder's feature maps (`encode`); leave out --features, or give "
                "--features pooled"
            )
        self.kind: FeatureKind = kind or ("encoder" if asked else "pooled")
        self._predictor, self._batch = predictor, batch_size or BATCH_SIZE[predictor.device.type]
        # The method itself, since its lean form has no `encode`: both are the same function.
        self._network: Any = predictor.network
        if self.kind == "encoder":
            self._network = copy.deepcopy(method).eval().to(predictor.device)

    @property
    def images(self) -> int:
        """How many images `read` takes at a time."""
        return 1 if self._predictor.spec.fit == "patch" else self._batch

    def read(self, prepared: Sequence[Prepared]) -> list[ImageFeatures | Failure]:
        """At most `images` inputs → what the network makes of each, or why there is nothing, in order.

        Raises `DeviceError` when the device's memory does not suffice.
        """
        if not prepared:
            return []
        try:
            if self._predictor.spec.fit == "patch":
                return [self._tiled(one.input) for one in prepared]
            made = zip(prepared, *self._run([one.input for one in prepared]), strict=True)
        except NotFiniteError as error:
            if len(prepared) == 1:
                return [Failure("not finite", str(error))]
            return [self.read([one])[0] for one in prepared]
        return [ImageFeatures(self._unpadded(one, values), features) for one, values, features in made]

    @torch.inference_mode()
    def _run(self, inputs: Sequence[NDArray[np.float32]]) -> tuple[Probabilities, NDArray[np.float32]]:
        """B prepared images or tiles → probabilities B×K×h×w and features B×D. Raises `NotFiniteError`."""
        predictor = self._predictor
        with arithmetic(predictor.device, predictor.precision, len(inputs), predictor.spec.size):
            image = as_batch(inputs, predictor.device)
            if self.kind == "encoder":
                maps = self._network.encode(image)
                logits, features = self._network.decode(maps), maps.levels[-1].float().mean((2, 3))
            else:
                logits, features = self._network(image), None
            found = predictor.artefact.probabilities(logits)
            if features is None:
                features = torch.cat((_grid(image), _grid(found)), 1)
        if not (logits.isfinite().all() and features.isfinite().all()):
            raise NotFiniteError("the network's output is not finite (NaN or infinite)")
        return found.cpu().numpy(), features.cpu().numpy()

    def _tiled(self, pixels: NDArray[Any]) -> ImageFeatures:
        """An image at its own resolution: blended probabilities, and the mean of its tiles' features."""
        spec = self._predictor.spec
        blender, limits = TileBlender((pixels.shape[0], pixels.shape[1]), spec.size), spec.limits(pixels)
        rows, features = [], []
        for first in range(0, len(blender.corners), self._batch):
            corners = blender.corners[first : first + self._batch]
            values, found = self._run([spec.to_unit(cut(pixels, corner, spec.size), limits) for corner in corners])
            features.append(found)
            rows += [done for tile in values if (done := blender.add(tile)) is not None]
        return ImageFeatures(np.concatenate(rows, 1), np.concatenate(features).mean(0))

    def _unpadded(self, one: Prepared, values: Probabilities) -> Probabilities:
        facts = one.facts
        placed = self._predictor.spec.placement(facts.height, facts.width, facts.spacing)
        if placed is None:
            return values
        top, left, height, width = placed
        return values[:, top : top + height, left : left + width]


def _grid(maps: Tensor) -> Tensor:
    """B×C×h×w → B×(C·16) means."""
    return F.adaptive_avg_pool2d(maps.float(), _GRID).flatten(1)
