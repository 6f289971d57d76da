"""The worker: decoded images → class maps and probabilities. It knows no files and keeps nothing between calls. An image that
cannot be done does not stop the others: it comes back as a `Failure` in its place.

Its steps may run in different threads. Only plain arrays are passed between them, so that images can also be sent to other
processes or machines:

    prepare   an image → the network's input                 on any thread
    forward   a batch of inputs → the network's outputs       on the thread of the device
    classes   an output → class indices at the image's size   on any thread (not post-processed: slices are put together first)
    planes    an output → probabilities at that size          on any thread
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError, NotFiniteError
from delineate.data.core.input_spec import Pixels, PixelSpacing
from delineate.inference.doubt import DoubtSums, entropy_of, measure
from delineate.inference.image_input import remark
from delineate.inference.measuring import encoder_views, measured, seen_parts, vector_of
from delineate.inference.segmenter import Facts, Prepared, Probabilities, Segmenter

__all__ = ["NO_MEMORY", "Failure", "Output", "Worker"]

NO_MEMORY = (MemoryError, cv2.error)
"""What NumPy and OpenCV raise where an array does not fit into memory."""


@dataclass(frozen=True)
class Failure:
    """Why there is no mask of an image."""

    kind: Literal["data", "input", "memory", "not finite"]
    """`data`: of a file, which the detail names. `input`: of what was decoded from it."""
    detail: str

    def line(self, image: object) -> str:
        """One line for the user; `image`: what the caller calls it."""
        if self.kind == "memory":
            return f"{image} does not fit into memory ({self.detail})"
        return self.detail if self.kind == "data" else f"{image}: {self.detail}"

    @classmethod
    def of_memory(cls, error: Exception) -> Failure:
        """From one of `NO_MEMORY`."""
        return cls("memory", str(error).splitlines()[0] if str(error) else "no details")


@dataclass(frozen=True)
class Output:
    """What the network made of an image."""

    values: NDArray[Any]
    """As `Segmenter.outputs`, without the plane of `spread`."""
    facts: Facts
    doubt: DoubtSums | None = None
    """Of a worker that measures it."""


@dataclass(frozen=True)
class Worker:
    """Runs a model on images. It holds only the predictor and settings; the steps are listed at the top of this file."""

    predictor: Segmenter
    batch_size: int = 0
    """Images, or tiles of one image, in one forward pass; 0: as suits the device."""
    maps: bool = False
    """Whether `planes` will be called. If not, classes of a tiled image are decided row by row, and it may be very large."""
    doubt: bool = False
    """Whether outputs tell how sure the model is; then probabilities are kept, as for `maps`."""
    drift: bool = False
    """Whether images are measured, to compare them with the model's training images where it knows these."""
    encoder: bool = False
    """Whether that is done with the features of its encoder too, where it tells them: one more pass through it."""

    @property
    def images(self) -> int:
        """How many images `forward` takes at a time."""
        return 1 if self.predictor.one_by_one else self._batch

    @property
    def _batch(self) -> int:
        return self.batch_size or self.predictor.usual_batch

    def prepare(self, image: Pixels, spacing: PixelSpacing | None = None) -> Prepared | Failure:
        """uint8 or uint16 H×W, H×W×3 or H×W×4 (RGB order), with the spacing of its pixels → the network's input."""
        predictor = self.predictor
        try:
            ready = predictor.prepare(image, spacing)
        except DataError as error:
            return Failure("input", str(error))
        except NO_MEMORY as error:
            return Failure.of_memory(error)
        height, width = image.shape[:2]
        said, seen = remark(image, predictor.spec, spacing), predictor.known.role_of(image)
        return Prepared(ready, Facts(height, width, said, spacing, seen, self._statistics(image, ready, spacing)))

    def _statistics(
        self, image: Pixels, ready: NDArray[Any], spacing: PixelSpacing | None
    ) -> NDArray[np.float64] | None:
        """Of an image, as the network sees it; an exported graph makes that by itself, so it is made once more."""
        training = self.predictor.training_images
        if not self.drift or training is None or training.threshold is None:
            return None
        spec = self.predictor.spec
        if self.predictor.own_size:
            ready = spec.working_pixels(image, spacing)
            ready = ready if spec.fit == "patch" else spec.to_unit(ready)
        parts = seen_parts(ready, spec, image.shape[0], image.shape[1], spacing)
        return vector_of(measured(parts, spec), training.names)

    def forward(self, prepared: Sequence[Prepared]) -> list[Output | Failure]:
        """At most `images` inputs → an output or a failure for each, in order.

        Where an output of the batch is not finite, each image is done once more by itself, so that the others have theirs. Raises
        `DeviceError` when the device's memory does not suffice: no image could be done with that batch.
        """
        if not prepared:
            return []
        try:
            made = self.predictor.outputs(prepared, self._batch, self.maps or self.doubt)
            return [self._output(values, self._known(one)) for values, one in zip(made, prepared, strict=True)]
        except NotFiniteError as error:
            if len(prepared) == 1:
                return [Failure("not finite", str(error))]
            return [self.forward([one])[0] for one in prepared]
        except NO_MEMORY as error:
            if not self.predictor.one_by_one:
                raise
            return [Failure.of_memory(error) for _ in prepared]

    def _known(self, one: Prepared) -> Facts:
        """With what the encoder makes of the image, if its training images are known by the same features."""
        training, encoder = self.predictor.training_images, self.predictor.encoder if self.encoder else None
        if encoder is None or training is None or training.encoder is None or one.facts.statistics is None:
            return one.facts
        found = encoder.of_images(encoder_views(one.input, self.predictor.spec)).mean(0)
        same = len(found) == len(training.encoder.features.center) and np.isfinite(found).all()
        return replace(one.facts, features=found) if same else one.facts

    def _output(self, values: NDArray[Any], facts: Facts) -> Output:
        model = self.predictor
        if values.ndim == 2:
            return Output(values, facts)
        probabilities, spread = (values[:-1], values[-1]) if model.spread else (values, None)
        if not self.doubt:
            return Output(probabilities, facts)
        placed = None if model.own_size else model.spec.placement(facts.height, facts.width, facts.spacing)
        top, left, height, width = placed or (0, 0, *probabilities.shape[1:])
        inner = slice(top, top + height), slice(left, left + width)
        shown = probabilities[:, *inner]
        indices = model.decide(plane.copy() for plane in shown)
        return Output(
            probabilities, facts, measure(shown, indices, model.classes, None if spread is None else spread[inner])
        )

    def classes(self, output: Output) -> NDArray[np.uint8]:
        """Class indices H×W at the image's own size (binary: 0 and 1). May raise one of `NO_MEMORY`."""
        if output.values.ndim == 2:
            return output.values
        facts = output.facts
        return self.predictor.to_classes(output.values, facts.height, facts.width, facts.spacing)

    def planes(self, output: Output) -> Iterator[Probabilities]:
        """Probabilities H×W at the image's own size, of each output channel in turn: one plane is held at a time.

        Only of a worker with `maps` or `doubt`. May raise one of `NO_MEMORY`.
        """
        facts = output.facts
        for plane in output.values:
            yield self.predictor.to_native(plane[None], facts.height, facts.width, facts.spacing)[..., 0]

    def uncertainty(self, output: Output) -> Probabilities:
        """Entropy H×W of the probabilities at the image's own size, in [0, 1] (`doubt.entropy_of`). Of a worker as `planes`."""
        return entropy_of(self.planes(output), self.predictor.classes)
