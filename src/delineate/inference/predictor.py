"""A trained model at work: image → probabilities → mask, at the image's own size.

The order is the ruler's: probabilities are brought to native size first, and thresholded there.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from delineate.artefact import format as artefact_format
from delineate.artefact.format import Artefact
from delineate.common.errors import ArtefactError, NotFiniteError
from delineate.data.augment.patches import cut
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.known import KnownPictures
from delineate.data.core.manifest import ClassTable
from delineate.inference.device import Precision, arithmetic, checked_precision, resolve_device
from delineate.inference.image_input import as_pixels, remark
from delineate.inference.sliding_window import Probabilities, TileBlender
from delineate.methods.contract import Method

BATCH = {"cpu": 4, "cuda": 16, "mps": 8}
"""Images, or tiles of one image, in a forward pass, by kind of device."""


class Predictor:
    """A model that is ready to segment images. What `delineate.load` returns.

    Nothing is kept from one image to the next. Several threads may share a predictor once `network` has been asked for; before
    that, each of them would make one. A device is best used by one thread: let others decode, prepare and write.
    """

    task: ClassVar[str] = "dense"
    """Kind of method that this class predicts with (`Method.kind`)."""

    def __init__(
        self, artefact: Artefact, device: str = "auto", precision: Precision = "32", source: Path | None = None
    ) -> None:
        """`precision`: of the network's arithmetic (autocast); probabilities are float32 in any case. `source`: the file that
        the artefact was read from, to be named beside its predictions.

        Raises `ArtefactError` for a model that cannot predict, `DeviceError` for a device or precision that is not there.
        """
        check_usable(artefact, self.task)
        self.artefact = artefact
        self.source = source
        self.device = resolve_device(device)
        self.precision = checked_precision(precision, self.device)

    @property
    def method(self) -> Method:
        """The trained method: the module with all its heads, on the CPU."""
        return self.artefact.method

    @property
    def spec(self) -> InputSpec:
        """What is done to an image before the network sees it."""
        return self.artefact.spec

    @property
    def classes(self) -> ClassTable:
        """Names of the classes that `predict` returns the indices of."""
        return self.artefact.classes

    @cached_property
    def known(self) -> KnownPictures:
        """The pictures that the model was made from; none where the model does not tell."""
        return KnownPictures.read(self.artefact.provenance.get("pictures"))

    @cached_property
    def network(self) -> nn.Module:
        """The method's deployed form on the device: what prediction runs. Made once, at first use."""
        return self.method.deploy().eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(self, image: Any) -> NDArray[np.uint8]:
        """Class indices H×W at the image's own size (binary: 0 and 1).

        `image`: uint8 or uint16 H×W, H×W×3 or H×W×4 (RGB order), a Pillow image, or a path. For a model of named channels:
        H×W×channels in the order of `spec.channels`, or one such image for each by its name. Raises `DataError` for others.
        """
        pixels = self._remarked(image)
        return self.classes_of(self.prepare(pixels), *pixels.shape[:2])

    def probabilities(self, image: Any) -> Probabilities:
        """Float32 H×W×K at the image's own size: K = 1 (foreground) for binary, else one per class. Takes what `predict` takes."""
        pixels = self._remarked(image)
        return self.to_native(self.probabilities_of(self.prepare(pixels)), *pixels.shape[:2])

    def prepare(self, pixels: Pixels) -> NDArray[Any]:
        """h×w×C at the working size: the network's input, in [0, 1]; but what tiles will be cut from stays in its own type."""
        working = self.spec.working_pixels(pixels)
        return working if self.spec.fit == "patch" else self.spec.to_unit(working)

    def probabilities_of(self, prepared: NDArray[Any], batch: int | None = None) -> Probabilities:
        """One prepared image → K×h×w at the working size. `batch`: tiles in a forward pass, where it is tiled."""
        if self.spec.fit != "patch":
            return self.working_probabilities([prepared])[0]
        result = np.empty((self.classes.outputs, *prepared.shape[:2]), np.float32)
        for rows, values in self._rows(prepared, batch):
            result[:, rows] = values
        return result

    def classes_of(
        self, prepared: NDArray[Any], height: int, width: int, batch: int | None = None
    ) -> NDArray[np.uint8]:
        """One prepared image → class indices H×W at its own size. A tiled image is settled row by row of tiles, so that it may be
        very large; unless its probabilities must be enlarged or reduced as a whole (`spec.scale` ≠ 1)."""
        if self.spec.fit != "patch" or prepared.shape[:2] != (height, width):
            return self.to_classes(self.probabilities_of(prepared, batch), height, width)
        result = np.empty((height, width), np.uint8)
        for rows, values in self._rows(prepared, batch):
            result[rows] = self._settle(values)
        return result

    @torch.inference_mode()
    def working_probabilities(self, inputs: Sequence[NDArray[np.float32]]) -> Probabilities:
        """B prepared inputs → B×K×h×w at the working size.

        Raises `DeviceError` when memory does not suffice, `NotFiniteError` when the network's output is not finite: infinity would
        look like a sure probability, and NaN like background. Looking costs a pass over the logits and one more small transfer.
        """
        with arithmetic(self.device, self.precision, len(inputs), self.spec.size):
            logits = self.network(as_batch(inputs, self.device))
            finite = logits.isfinite().all()
            logits = logits.float() / self.artefact.temperature
            result = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
            result = result.cpu().numpy()
        if not finite:
            how = "use --precision 32" if self.precision != "32" else "the model is of no use for it; train again"
            raise NotFiniteError(f"the network's output is not finite (NaN or infinite); {how}")
        return result

    def to_native(self, working: Probabilities, height: int, width: int) -> Probabilities:
        """One image's K×h×w at the working size → H×W×K at its own size, letterbox padding removed."""
        planes = [self._native_plane(plane, height, width) for plane in working]
        return np.stack(planes, axis=-1)

    def to_classes(self, working: Probabilities, height: int, width: int) -> NDArray[np.uint8]:
        """One image's K×h×w at the working size → class indices H×W at its own size.

        Binary: 1 where probability ≥ threshold; else the most probable class (the lower index wins a tie). Holds two planes of
        native size at a time, however many classes there are.
        """
        return self._settle(self._native_plane(plane, height, width) for plane in working)

    def _settle(self, planes: Iterable[Probabilities]) -> NDArray[np.uint8]:
        """Probabilities of each output channel, H×W (the first is overwritten) → class indices."""
        planes = iter(planes)
        best = next(planes)
        if self.classes.outputs == 1:
            return (best >= self.artefact.threshold).astype(np.uint8)
        result = np.zeros(best.shape, np.uint8)
        for index, plane in enumerate(planes, start=1):
            result[plane > best] = index
            np.maximum(best, plane, out=best)
        return result

    def _rows(self, working: Pixels, batch: int | None) -> Iterator[tuple[slice, Probabilities]]:
        """An image's probabilities, from its blended tiles, a few rows K×r×w at a time."""
        size, limits = self.spec.size, self.spec.limits(working)
        top, blending = 0, TileBlender((working.shape[0], working.shape[1]), size)
        batch = batch or BATCH[self.device.type]
        for first in range(0, len(blending.corners), batch):
            corners = blending.corners[first : first + batch]
            inputs = [self.spec.to_unit(cut(working, corner, size), limits) for corner in corners]
            for tile in self.working_probabilities(inputs):
                if (values := blending.add(tile)) is not None:
                    yield slice(top, top + values.shape[1]), values
                    top += values.shape[1]

    def _remarked(self, image: Any) -> Pixels:
        pixels = as_pixels(image, self.spec.intensity, self.spec.channels)
        if said := remark(pixels, self.spec):
            warnings.warn(said, stacklevel=3)
        return pixels

    def _native_plane(self, plane: Probabilities, height: int, width: int) -> Any:
        placed = self.spec.placement(height, width)
        if placed is not None:
            top, left, inner_h, inner_w = placed
            plane = plane[top : top + inner_h, left : left + inner_w]
        if plane.shape == (height, width):
            return plane.copy()
        shrinking = height < plane.shape[0] and width < plane.shape[1]
        return cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)


def load(path: Path | str, device: str = "auto", precision: Precision = "32") -> Predictor:
    """Read a `model.safetensors`, or the one in a run folder, ready to predict.

    Raises `ArtefactError` for what is not a usable model, `DeviceError` for an absent device.
    """
    return Predictor(artefact_format.load(path), device, precision, artefact_format.locate(path))


def as_batch(inputs: Sequence[NDArray[np.float32]], device: torch.device) -> torch.Tensor:
    """Prepared inputs h×w×C → B×C×h×w on the device."""
    return torch.from_numpy(np.stack(inputs)).to(device).permute(0, 3, 1, 2)


def check_usable(artefact: Artefact, task: str) -> None:
    """Raise `ArtefactError` for a model that is only partly trained, or whose method is of another kind than `task`."""
    info = artefact.method.info
    if not artefact.complete:
        raise ArtefactError(
            f"this {info.name} model is only partly trained (an early stage or an encoder): train from it "
            f"with --init, then predict with the result"
        )
    if artefact.method.kind != task:
        raise ArtefactError(_right_verb(artefact.method))


def _right_verb(method: Method) -> str:
    if method.kind == "dense":
        return f"method '{method.info.name}' segments an image alone, without examples; use `delineate predict`"
    return f"method '{method.info.name}' segments by examples; use `delineate fewshot predict` with --support"
