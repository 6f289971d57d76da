"""Whether an image lies outside of a model's training images, and by what, in words.

The statistics of an image (`data.core.image_statistics`) are one vector; its distance from the training images takes into account
how they vary together. An image farther than the summary's threshold lies outside; so does one whose size or spacing is far from
all that were seen. A volume is as far as its slices are, taken together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.encoder_cloud import EncoderCloud
from delineate.artefact.training_images import LEVELS, Cloud, Span, TrainingImages
from delineate.data.core.image_statistics import Statistic, statistic_of
from delineate.data.core.input_spec import PixelSpacing
from delineate.inference.measuring import Vector

__all__ = ["PLAIN", "CaseDrift", "case_distance", "compare"]

_FAR: Final = 1.5
"""So many times the greatest size or spacing, or less than the least divided by it, is outside."""
PLAIN: Final = ("brightness", "contrast", "red_green", "yellow_blue", "edges", "noise")
"""What people see at once is named before what lies farther outside."""
_PLAINLY: Final = 0.5
"""If it lies so many usual ranges beyond the usual range."""
_CONTENT: Final = "its content, as the network's encoder sees it, is unlike that of the training images"
_LEAST_REACH: Final = 0.02
"""Of a statistic's usual range, where it is told how far beyond another lies."""
_CLEARLY: Final = 0.25
"""So many usual ranges beyond the usual range, a statistic is a reason by itself."""
_USUAL: Final = (LEVELS.index(0.05), LEVELS.index(0.95))


@dataclass(frozen=True)
class CaseDrift:
    """How an image or volume lies to the training images.

    Example:
        ```python
        result = delineate.predict("runs/first", ["scans/"], out="masks")
        for file in result.outside:
            print(file.name, file.drift.distance, file.drift.reason)
        ```
    """

    distance: float
    """From them; 1 is the threshold."""
    reason: str | None
    """What is outside; None: it lies among them."""
    statistics: Vector
    """Of an image; of a volume their means over its slices."""
    encoder: bool = False
    """Whether the features of the encoder were compared too."""

    @property
    def outside(self) -> bool:
        """Whether it lies outside."""
        return self.reason is not None


def compare(
    training: TrainingImages,
    vectors: Sequence[Vector],
    size: tuple[int, ...] | None,
    spacing: PixelSpacing | None = None,
    features: Sequence[Vector] = (),
) -> CaseDrift | None:
    """How an image or volume lies to the training images.

    Args:
        training: Of the model.
        vectors: Of a picture one, of a volume one for each slice.
        size: Height and width of the picture or slice; None: not compared.
        spacing: Of a picture's pixels in mm; None: not known, or it is a volume, whose spacing has a remark of its own.
        features: Of the encoder, as many; none: images are compared without.

    Returns:
        What was found; None where there is no threshold to compare with.
    """
    if training.threshold is None or not len(vectors):
        return None
    encoder = training.encoder if len(features) else None
    plain, threshold = case_distance(training.statistics, vectors), training.threshold
    content = 0.0
    if encoder is not None:
        content, threshold = case_distance(encoder.features, features), encoder.threshold
    distance = float(np.hypot(plain, content)) / threshold
    middle = np.mean(vectors, axis=0)
    said = _beyond(training, size, spacing)
    if distance > 1:
        said.insert(0, _CONTENT if content > plain else _farthest(training, middle))
    return CaseDrift(distance, "; ".join(said) or None, middle, encoder is not None)


def case_distance(cloud: Cloud | EncoderCloud, vectors: Sequence[Vector] | NDArray[np.float64]) -> float:
    """Of a picture, or of all slices of a volume together: the root of their mean squared distance."""
    return float(np.sqrt(np.square(cloud.distances(vectors)).mean()))


def _farthest(training: TrainingImages, vector: Vector) -> str:
    """Which statistic lies farthest outside of its range, or which two do not go together."""
    quantiles = np.array(training.quantiles)
    low, high = quantiles[:, _USUAL[0]], quantiles[:, _USUAL[1]]
    reach = np.maximum(high - low, _LEAST_REACH)
    beyond = np.maximum(low - vector, vector - high) / reach
    plain = np.where([name in PLAIN for name in training.names], beyond, -1)
    at = int((plain if plain.max() > _PLAINLY else beyond).argmax())
    known = statistic_of(training.names[at])
    if known is not None and beyond[at] > _CLEARLY:
        word = known.less if vector[at] < low[at] else known.more
        return f"{word} than the training images: {_figures(known, vector[at], low[at], high[at])}"
    whitening = np.array(training.statistics.whitening)
    away = vector - np.array(training.statistics.center)
    shares = away * (whitening.T @ (whitening @ away))
    two = [statistic_of(training.names[one]) for one in np.argsort(-shares)[:2]]
    what = " and ".join(one.what for one in two if one is not None)
    return f"{what} do not go together as in the training images"


def _figures(known: Statistic, value: float, low: float, high: float) -> str:
    return f"{known.what} {known.shown(value)}, training {known.shown(low)} to {known.shown(high)}"


def _beyond(training: TrainingImages, size: tuple[int, ...] | None, spacing: PixelSpacing | None) -> list[str]:
    said = []
    if size is not None and (_far(size[0], training.height) or _far(size[1], training.width)):
        usual = f"{_range(training.width)} × {_range(training.height)}"
        said.append(f"of another size: {size[1]} × {size[0]} pixels, training {usual}")
    seen = None if spacing is None else training.spacing
    if spacing is not None and seen is not None and any(map(_far, spacing, seen)):
        usual = " × ".join(map(_range, seen))
        said.append(f"of another spacing: {spacing[0]:.3g} × {spacing[1]:.3g} mm, training {usual} mm")
    return said


def _far(value: float, span: Span) -> bool:
    return value > _FAR * span[1] or value < span[0] / _FAR


def _range(span: Span) -> str:
    low, high = (f"{one:.3g}" if one < 100 else f"{one:.0f}" for one in span)
    return low if low == high else f"{low} to {high}"
