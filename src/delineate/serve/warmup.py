"""Before a model serves: it predicts once, so that the first client does not wait for what is made at first use; and it is measured
how many images in one forward pass are fastest."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DelineateError, DeviceError
from delineate.data.core.input_spec import InputSpec
from delineate.fewshot.predictor import FewShotPredictor
from delineate.inference.segment import Failure, Worker
from delineate.inference.segmenter import Prepared, Segmenter
from delineate.serve.models import ServedModel

__all__ = ["measured_batch", "warm_up"]

_BUDGET = 5.0
"""Seconds for the measurement of one model."""
_GAIN = 0.97
"""A larger batch must take less than this share of the time per image: it makes every client wait for all of it."""
_TYPES = {8: np.uint8, 16: np.uint16}


def warm_up(model: ServedModel) -> Segmenter:
    """Predict an empty image. Returns what predicted it: of a few-shot model, one with examples.

    Raises:
        DelineateError: The model cannot predict on this machine.
    """
    segmenter = _with_examples(model.loaded) if isinstance(model.loaded, FewShotPredictor) else model.segmenter
    segmenter.get_ready()
    made = Worker(segmenter).forward([_prepared(segmenter)])[0]
    if isinstance(made, Failure):
        raise DelineateError(f"the model {model.name} cannot predict: {made.detail}")
    return segmenter


def measured_batch(segmenter: Segmenter, clock: Callable[[], float] = time.perf_counter) -> int:
    """How many images in one forward pass take the least time per image."""
    if segmenter.one_by_one:
        return 1
    prepared, best, fastest = _prepared(segmenter), 1, float("inf")
    begun, size = clock(), 1
    while size <= 4 * segmenter.usual_batch:
        start = clock()
        try:
            Worker(segmenter, size).forward([prepared] * size)
        except DeviceError:
            break
        share = (clock() - start) / size
        if share < _GAIN * fastest:
            best, fastest = size, share
        elif share > fastest / _GAIN:
            break
        if clock() - begun + 3 * share * size > _BUDGET:
            break
        size *= 2
    return best


def _prepared(segmenter: Segmenter) -> Prepared:
    spec = segmenter.spec
    ready = Worker(segmenter).prepare(_example(spec), spec.spacing)
    if isinstance(ready, Failure):
        raise DelineateError(f"the model does not take an empty image of its own kind: {ready.detail}")
    return ready


def _example(spec: InputSpec) -> NDArray[Any]:
    """An image of the kind that the model was trained on. Half of it is bright: rules that measure intensities need two values."""
    count = len(spec.channels) if not isinstance(spec.channels, str) else 1 if spec.channels == "gray" else 3
    count *= spec.planes
    height, width = spec.size
    image = np.zeros(
        (height, width) if count == 1 else (height, width, count), _TYPES.get(spec.source_bits, np.float32)
    )
    image[height // 2 :] = 200
    return image


def _with_examples(model: FewShotPredictor) -> Segmenter:
    image = _example(model.spec)
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[: image.shape[0] // 2] = 1
    return model.condition([image], [mask])
