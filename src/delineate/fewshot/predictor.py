"""Prediction with a few-shot model: support images with masks → a predictor of the classes that they show.

A few-shot method segments one foreground. Several classes are conditioned one by one and merged here, by the same rule for every
method: the background's logit is 0, and probabilities are softmax([0, z₁, …, z_N]) of the classes' logits (for one class, its
sigmoid). As with a dense model, they are resized to the image's own size before classes are decided.
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
from delineate.inference.device import Precision, arithmetic, as_batch, checked_precision, resolve_device
from delineate.inference.image_input import as_pixels
from delineate.inference.predictor import BATCH_SIZE, Predictor
from delineate.inference.usable import check_usable
from delineate.methods.contract import Method
from delineate.methods.episodic import EpisodicBatch, EpisodicModule, State
from delineate.nn.output import Output

__all__ = ["KIND", "ConditionedPredictor", "FewShotPredictor", "load"]

KIND = "episodic"


class FewShotPredictor:
    """A few-shot model that segments images by examples. `delineate.load` returns one.

    Example:
        ```python
        model = delineate.load("runs/alpnet")
        mask = model.segment_like(["a.png"], ["a_mask.png"], "b.png")  # class indices H×W
        ready = model.condition(["a.png"], ["a_mask.png"])  # process the support once …
        for mask in ready.predict_each(["b.png", "c.png"]):  # … for any number of queries
            print(mask.shape)
        ```
    """

    def __init__(
        self, artefact: Artefact, device: str = "auto", precision: Precision = "32", source: Path | None = None
    ) -> None:
        """
        Args:
            artefact: The trained few-shot method with its input specification.
            device: As for `Predictor`.
            precision: As for `Predictor`.
            source: The file that the artefact was read from. It is named beside the predictions.

        Raises:
            ArtefactError: The model cannot predict by examples.
            DeviceError: This machine does not have the device or the precision.
        """
        check_usable(artefact, KIND)
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
        """Process the support once, for any number of queries. A class is conditioned on the support images that show it.

        Args:
            images: Support images: a list of arrays, Pillow images or paths, or a single one. Arrays as for `Predictor.predict`.
            masks: As many masks H×W of the same sizes. They hold class indices (0 is the background, 255 is ignored), or are black
                and white (0 and 255, or booleans) with one class.
            classes: Names of the class indices. None: names are made from the indices.

        Returns:
            A predictor of the classes that the support shows.

        Raises:
            DataError: Numbers or sizes of images and masks differ, a mask is empty, or a class is too small at the working size.
            DeviceError: The memory of the device does not suffice.
        """
        return self.condition_on(Support.of(images, masks, classes, self.spec))

    def condition_on(self, support: Support) -> ConditionedPredictor:
        """As `condition`, for a support that was read before.

        Args:
            support: Images with their masks.

        Returns:
            A predictor of the classes that the support shows.

        Raises:
            DataError: A class is too small at the working size.
        """
        shown = {label: _ClassSupport.of(support, label, self.spec, self.device) for label in support.labels}
        states: list[State | None] = [
            self._state(shown[label]) if label in shown else None for label in range(1, len(support.classes.names))
        ]
        return ConditionedPredictor(self, states, support, shown)

    def segment_like(
        self, support_images: Any, support_masks: Any, query: Any, *, batch_size: int | None = None
    ) -> Any:
        """Segment one image, or each of many, as the support shows.

        The support is processed at each call. For further queries keep what `condition` returns.

        Args:
            support_images: As `images` of `condition`.
            support_masks: As `masks` of `condition`.
            query: One image (an array, a Pillow image or a path), or an iterable of such.
            batch_size: Queries in one forward pass, if there are many. None: as suits the device.

        Returns:
            For one query, class indices uint8 H×W at its own size. For an iterable, an iterator of such arrays, which holds one
            batch of queries at a time.

        Raises:
            DataError: As `condition`, or a query cannot be read.
            DeviceError: The memory of the device does not suffice.
        """
        ready = self.condition(support_images, support_masks)
        return ready.predict(query) if _is_single_image(query) else ready.predict_each(query, batch_size)

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
    """A few-shot model with its support: a `Predictor` of the classes that the support shows."""

    kind: ClassVar[str] = KIND

    def __init__(
        self, model: FewShotPredictor, states: Sequence[State | None], support: Support, shown: dict[int, _ClassSupport]
    ) -> None:
        # Post-processing is chosen for the classes of a model; those here are the support's.
        super().__init__(model.artefact, str(model.device), model.precision, model.source, postprocess=False)
        self.support = support
        self.network = _MergedClasses(model.network, states)
        self._shown = shown

    @property
    def classes(self) -> ClassTable:
        """Names of the support's classes. Regions that overlap are not learned by examples, so there are none."""
        return self.support.classes.with_regions({})

    @property
    def spec(self) -> InputSpec:
        """Of the model; what volumes tell of their place is compared with the support's."""
        spec = super().spec
        return spec if self.support.placed is None else spec.model_copy(update={"placed": self.support.placed})

    @property
    def _output(self) -> Output:
        return Output.of(self.classes)  # the method's own output is that of one class

    def predict_each(self, images: Iterable[Any], batch_size: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Segment many images, one batch in memory at a time.

        Args:
            images: Arrays, Pillow images or paths, as for `Predictor.predict`.
            batch_size: Images in one forward pass. None: as suits the device.

        Yields:
            Class indices uint8 H×W of each image in turn, at its own size.

        Raises:
            DataError: An image cannot be read, or is of a kind that the model does not take.
        """
        remaining = iter(images)
        while batch := list(islice(remaining, batch_size or BATCH_SIZE[self.device.type])):
            pixels = [as_pixels(image, self.spec.intensity, self.spec.channels) for image in batch]
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


def _is_single_image(image: Any) -> bool:
    """Whether this is one image (a path, an array H×W or H×W×C, a Pillow image) and not a collection of images."""
    if isinstance(image, np.ndarray):
        return image.ndim <= 3
    return isinstance(image, str | Path) or hasattr(image, "convert")


def load(path: Path | str, device: str = "auto", precision: Precision = "32") -> FewShotPredictor:
    """Read a few-shot method's `model.safetensors`, or the one in a run folder.

    Args:
        path: The model file, or a run folder.
        device: As for `Predictor`.
        precision: As for `Predictor`.

    Returns:
        A predictor.

    Raises:
        ArtefactError: The file is not a model of a few-shot method that can predict.
        DeviceError: This machine does not have the device or the precision.
    """
    return FewShotPredictor(artefact_format.load(path), device, precision, artefact_format.locate(path))
