"""Logits of validation pixels beside what is true there: what temperatures are fitted on.

Of each case so many pixels at the network's size, drawn alike among those that count, so that memory does not grow with images. Of
volumes some slices are looked at, and of images that are cut into tiles some tiles. What is drawn depends on the case's name alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.common.errors import DataError, NotFiniteError
from delineate.data.augment.patches import cut
from delineate.data.core.input_spec import Pixels, PixelSpacing
from delineate.data.core.manifest import IGNORE, ClassTable
from delineate.data.core.regions import is_one_of
from delineate.inference.device import arithmetic, as_batch
from delineate.inference.predictor import Predictor
from delineate.inference.segment import Failure, Worker

__all__ = [
    "LEAST_PIXELS",
    "MOST_PIXELS",
    "PIXELS_IN_ALL",
    "LogitSample",
    "View",
    "chosen",
    "pixels_of_each",
    "sampled",
    "truth_of",
]

MOST_PIXELS: Final = 4096
"""Of one case. More of them would say little: pixels of a case are alike, and intervals come from the number of patients."""
LEAST_PIXELS: Final = 64
PIXELS_IN_ALL: Final = 1_000_000
"""What many cases share: with four channels 16 MB."""
_PARTS = 24
"""Slices of a volume, or tiles of an image, that are looked at; of a volume across each axis that the model sees."""

View = tuple[Pixels, NDArray[np.uint8], PixelSpacing | None]
"""A picture or slice at its own size, its classes (255: not counted), and the spacing of its pixels."""


@dataclass(frozen=True)
class LogitSample:
    """Of one case."""

    logits: NDArray[np.float32]
    """n×K, before any temperature."""
    truth: NDArray[Any]
    """Where each channel has a probability of its own bool n×K; else class indices n."""


def pixels_of_each(cases: int) -> int:
    """How many pixels of a case are drawn."""
    return int(np.clip(PIXELS_IN_ALL // max(1, cases), LEAST_PIXELS, MOST_PIXELS))


def sampled(worker: Worker, predictor: Predictor, case: str, views: Sequence[View], number: int) -> LogitSample | None:
    """Draw pixels of a case.

    Args:
        worker: Of the predictor.
        predictor: One model; its temperature is not used.
        case: Its name, for messages and as the seed.
        views: The picture, or slices of the volume: those that `chosen` named.
        number: Of pixels.

    Returns:
        The sample; None where no pixel counts.

    Raises:
        DataError: A picture that the model does not take.
        NotFiniteError: Logits that are not finite.
    """
    rng = np.random.default_rng(zlib.crc32(case.encode()))
    logits, classes = [], []
    parts = [part for view in views for part in _inputs(worker, predictor, case, view, rng)]
    size = worker.batch_size or predictor.usual_batch
    for first in range(0, len(parts), size):
        batch = parts[first : first + size]
        for found, (_, mask) in zip(_run(predictor, case, [image for image, _ in batch]), batch, strict=True):
            places = np.flatnonzero(mask != IGNORE)
            drawn = rng.permutation(places)[: -(-number // len(parts))]
            logits.append(found.reshape(len(found), -1)[:, drawn].T)
            classes.append(mask.ravel()[drawn])
    known = np.concatenate(classes) if classes else np.zeros(0, np.uint8)
    if not len(known):
        return None
    return LogitSample(np.ascontiguousarray(np.concatenate(logits)), truth_of(known, predictor.classes))


def truth_of(classes: NDArray[np.uint8], table: ClassTable) -> NDArray[Any]:
    """Class indices n as `LogitSample.truth`."""
    if table.outputs > 1 and not table.regions:
        return classes.astype(np.int64)
    return np.stack([is_one_of(classes, members) for members in table.structures.values()], axis=1)


def chosen(case: str, length: int) -> list[int]:
    """Which of so many slices are looked at: all, or some that are evenly spread from a random start."""
    if length <= _PARTS:
        return list(range(length))
    start = np.random.default_rng(zlib.crc32(case.encode())).random()
    return [int((at + start) * length / _PARTS) for at in range(_PARTS)]


def _inputs(
    worker: Worker, predictor: Predictor, case: str, view: View, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """What the network sees of a picture or slice, with the classes there: the whole, or some of its tiles."""
    image, mask, spacing = view
    ready = worker.prepare(image, spacing)
    if isinstance(ready, Failure):
        raise DataError(ready.line(f"validation case {case}"))
    spec = predictor.spec
    working = spec.working_mask(mask, spacing)
    if spec.fit != "patch":
        yield ready.input, working
        return
    size, limits = predictor.tiling.size, spec.limits(ready.input)
    corners = predictor.tiling.tiles((working.shape[0], working.shape[1]))
    for at in sorted(rng.permutation(len(corners))[:_PARTS]):
        tile = spec.to_unit(cut(ready.input, corners[at], size), limits)
        yield tile, _cut_mask(working, corners[at], size)


def _cut_mask(mask: NDArray[np.uint8], corner: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A tile of a mask; beyond the image nothing counts."""
    found = np.full(size, IGNORE, np.uint8)
    (top, left), (height, width) = corner, mask.shape
    rows, columns = slice(max(0, top), min(height, top + size[0])), slice(max(0, left), min(width, left + size[1]))
    found[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = mask[rows, columns]
    return found


@torch.inference_mode()
def _run(predictor: Predictor, case: str, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Logits B×K×h×w of prepared images or tiles."""
    with arithmetic(predictor.device, predictor.precision, len(inputs), predictor.spec.size):
        logits = predictor.network(as_batch(inputs, predictor.device)).float()
        found: NDArray[np.float32] = logits.cpu().numpy()
    if not np.isfinite(found).all():
        raise NotFiniteError(f"validation case {case}: the network's output is not finite (NaN or infinite)")
    return found
