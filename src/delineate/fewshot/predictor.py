"""A few-shot model at work: support images with masks → a predictor of what they show.

A method knows one foreground. Several classes are conditioned one by one and merged here, by the same rule for every method: the
background's logit is 0, and probabilities are softmax([0, z₁, …, z_N]) of the classes' logits (of one class: its sigmoid).
They are brought to native size first and settled there, as those of a dense model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from delineate.artefact import format as artefact_format
from delineate.artefact.format import Artefact
from delineate.common.errors import ArtefactError, DataError
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.manifest import IGNORE, ClassTable
from delineate.fewshot.support import Support
from delineate.inference.device import Precision, arithmetic, checked_precision, resolve_device
from delineate.inference.image_input import as_pixels
from delineate.inference.predictor import BATCH, Predictor, as_batch, check_usable
from delineate.methods.contract import Method
from delineate.methods.episodic import EpisodicBatch, EpisodicModule, State

TASK = "episodic"


class FewShotPredictor:
    """A few-shot model that is ready to be shown examples. What `delineate.load` returns for one."""

    def __init__(
        self, artefact: Artefact, device: str = "auto", precision: Precision = "32", source: Path | None = None
    ) -> None:
        """As `inference.predictor.Predictor`.

        Raises `ArtefactError` for a model that cannot predict by examples, `DeviceError` for a device or precision that is not
        there.
        """
        check_usable(artefact, TASK)
        if artefact.spec.fit == "patch":
            raise ArtefactError(
                f"this {artefact.method.info.name} model was trained on patches (input.fit=patch); few-shot models see whole "
                "images: train with input.fit=stretch or letterbox"
            )
        self.artefact = artefact
        self.source = source
        self.device = resolve_device(device)
        self.precision = checked_precision(precision, self.device)

    @property
    def method(self) -> Method:
        """The trained method: the module with all its parts, on the CPU."""
        return self.artefact.method

    @property
    def spec(self) -> InputSpec:
        """What is done to an image, support or query, before the network sees it."""
        return self.artefact.spec

    @cached_property
    def network(self) -> EpisodicModule:
        """The method's deployed form on the device, made once, at first use."""
        deployed = self.method.deploy().eval()
        return deployed.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def condition(self, images: Any, masks: Any, classes: ClassTable | None = None) -> ConditionedPredictor:
        """Look at the support once → a predictor of the classes that it shows, for any number of queries.

        `images`, `masks`: lists of equal length (or one bare pair) of arrays, Pillow images or paths; see `fewshot.support` for
        what masks may hold. `classes`: names of the masks' class indices. A class is conditioned on those support images that
        show it. Raises `DataError`: numbers or sizes that differ, empty masks, a class too small for the working size.
        """
        return self.condition_on(Support.of(images, masks, classes))

    def condition_on(self, support: Support) -> ConditionedPredictor:
        """The same for a support that was read before."""
        shown = {label: _ClassSupport.of(support, label, self.spec, self.device) for label in support.labels}
        states: list[State | None] = [
            self._state(shown[label]) if label in shown else None for label in range(1, len(support.classes.names))
        ]
        return ConditionedPredictor(self, states, support, shown)

    def segment_like(
        self, support_images: Any, support_masks: Any, query: Any, *, batch_size: int | None = None
    ) -> Any:
        """Segment one image, or each of many, as the support shows: class indices H×W uint8 at the query's own size.

        One query (array, Pillow image, path) → one array; any other iterable → an iterator of arrays, which holds one batch of
        queries at a time. To ask again later, keep what `condition` gives. Raises `DataError` as `condition`.
        """
        ready = self.condition(support_images, support_masks)
        return ready.predict(query) if is_one(query) else ready.predict_each(query, batch_size)

    @torch.inference_mode()
    def _state(self, shown: _ClassSupport) -> State:
        with arithmetic(self.device, self.precision, shown.image.shape[1], self.spec.size):
            return self.network.condition(shown.image, shown.mask)


class _ClassSupport:
    """The support of one class as tensors: 1×K×C×h×w and 1×K×h×w (1 = the class, 0 = all else, 255 = ignore)."""

    def __init__(self, image: Tensor, mask: Tensor) -> None:
        self.image, self.mask = image, mask

    @classmethod
    def of(cls, support: Support, label: int, spec: InputSpec, device: torch.device) -> _ClassSupport:
        """From those support images that show the class. Raises `DataError` when none of it is left at the working size."""
        images, masks = [], []
        for pixels, mask in zip(support.images, support.masks, strict=True):
            if (mask == label).any():
                working = spec.working_mask(mask)
                images.append(spec.to_unit(spec.working_pixels(pixels)))
                masks.append(np.where(working == IGNORE, IGNORE, working == label).astype(np.int64))
        if not any((mask == 1).any() for mask in masks):
            height, width = spec.size
            raise DataError(
                f"of class '{support.classes.names[label]}' the support shows too little: nothing is left of it at the model's "
                f"{height}×{width} pixels; give a larger structure, or crop the support image"
            )
        return cls(as_batch(images, device)[None], torch.from_numpy(np.stack(masks)).to(device)[None])


class _MergedClasses(nn.Module):
    """Image → logits of all classes; a class that the support does not show is never chosen."""

    def __init__(self, network: EpisodicModule, states: Sequence[State | None]) -> None:
        super().__init__()
        self.network = network
        self.states = list(states)

    def forward(self, image: Tensor) -> Tensor:
        """B×C×h×w → B×1×h×w of one class, else B×(1+N)×h×w with the background's 0 first."""
        logits = [None if state is None else self.network(image, state) for state in self.states]
        known = next(each for each in logits if each is not None)
        if len(logits) == 1:
            return known
        never = torch.full_like(known, torch.finfo(known.dtype).min)  # finite, as all outputs of a network must be
        return torch.cat([torch.zeros_like(known), *(never if each is None else each for each in logits)], dim=1)


class ConditionedPredictor(Predictor):
    """A few-shot model that has seen its support: a predictor like any other, of the classes that the support shows."""

    task: ClassVar[str] = TASK

    def __init__(
        self, model: FewShotPredictor, states: Sequence[State | None], support: Support, shown: dict[int, _ClassSupport]
    ) -> None:
        super().__init__(model.artefact, str(model.device), model.precision, model.source)
        self.support = support
        self.network = _MergedClasses(model.network, states)
        self._shown = shown

    @property
    def classes(self) -> ClassTable:
        """Names of the support's classes."""
        return self.support.classes

    def predict_each(self, images: Iterable[Any], batch_size: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Class indices H×W of each image in turn, at its own size; one batch of images is held at a time."""
        remaining = iter(images)
        while batch := list(islice(remaining, batch_size or BATCH[self.device.type])):
            pixels = [as_pixels(image, self.spec.intensity) for image in batch]
            working = self.working_probabilities([self.prepare(each) for each in pixels])
            yield from (self.to_classes(each, *image.shape[:2]) for each, image in zip(working, pixels, strict=True))

    def episode(self, label: int, query: Pixels, reference: NDArray[np.uint8], name: str) -> EpisodicBatch:
        """Support and one query of a class as the method's `panels` takes them, on the CPU. `reference`: class indices H×W."""
        shown, mask = self._shown[label], self.spec.working_mask(reference)
        target = np.where(mask == IGNORE, IGNORE, mask == label).astype(np.int64)
        return {
            "image": as_batch([self.prepare(query)], torch.device("cpu")),
            "mask": torch.from_numpy(target)[None],
            "labeled": torch.ones(1, dtype=torch.bool),
            "sample_id": [name],
            "support_image": shown.image.cpu(),
            "support_mask": shown.mask.cpu(),
        }


def is_one(image: Any) -> bool:
    """Whether this is one image (a path, an array H×W or H×W×C, a Pillow image), not a collection of images."""
    if isinstance(image, np.ndarray):
        return image.ndim <= 3
    return isinstance(image, str | Path) or hasattr(image, "convert")


def load(path: Path | str, device: str = "auto", precision: Precision = "32") -> FewShotPredictor:
    """Read a few-shot `model.safetensors`, or the one in a run folder.

    Raises `ArtefactError` for what is not a usable few-shot model, `DeviceError` for an absent device.
    """
    return FewShotPredictor(artefact_format.load(path), device, precision, artefact_format.locate(path))
