"""Whether an image lies outside of a model's training images, and by what, in words.

The statistics of an image (`data.core.image_statistics`) are one vector; its distance from the training images takes into account
how they vary together. An image farther than the summary's threshold lies outside; so does one whose size or spacing is far from
all that were seen. A volume is as far as its slices are, taken together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.training_images import LEVELS, Span, TrainingImages
from delineate.data.core.image_statistics import Statistic, measure_image, statistic_of
from delineate.data.core.input_spec import InputSpec, PixelSpacing

__all__ = ["PLAIN", "CaseDrift", "Vector", "compare", "measured", "rounded", "vector_of"]

Vector = NDArray[np.float64]
_FAR: Final = 1.5
"""So many times the greatest size or spacing, or less than the least divided by it, is outside."""
_TILES: Final = 3
"""Along each side of an image that is seen in patches, so many are measured at most."""
PLAIN: Final = ("brightness", "contrast", "red_green", "yellow_blue", "edges", "noise")
"""What people see at once is named before what lies farther outside."""
_PLAINLY: Final = 0.5
"""If it lies so many usual ranges beyond the usual range."""
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

    @property
    def outside(self) -> bool:
        """Whether it lies outside."""
        return self.reason is not None


def measured(
    shown: NDArray[Any], spec: InputSpec, height: int, width: int, spacing: PixelSpacing | None = None
) -> dict[str, float]:
    """The statistics of an image that was prepared for the network.

    Args:
        shown: h×w×C at the working size: float32 in [0, 1]; with `fit=patch` in the image's own type, and at most 3×3 patches of it
            are measured.
        spec: Of the model.
        height: Of the image itself, in pixels.
        width: Of the image itself, in pixels.
        spacing: Of the image itself, in mm.

    Returns:
        Name → number.
    """
    each = shown.shape[2] // spec.planes
    shown = shown[..., spec.neighbors * each : (spec.neighbors + 1) * each]
    if spec.fit != "patch":
        top, left, high, wide = spec.placement(height, width, spacing) or (0, 0, *shown.shape[:2])
        return measure_image(shown[top : top + high, left : left + wide], spec.channels)
    limits = spec.limits(shown)
    rows, columns = (_spread(length, side) for length, side in zip(shown.shape, spec.size, strict=False))
    parts = [shown[row : row + spec.size[0], column : column + spec.size[1]] for row in rows for column in columns]
    found = [measure_image(spec.to_unit(part, limits), spec.channels) for part in parts]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def vector_of(statistics: dict[str, float], names: Sequence[str]) -> Vector | None:
    """The numbers that a summary is of; None where it has some that this version does not measure."""
    known = [statistics.get(name) for name in names]
    return None if None in known else np.array(rounded(known), np.float64)


def rounded(values: Iterable[Any]) -> tuple[float, ...]:
    """Six digits, as a summary holds them: equal values stay equal."""
    return tuple(float(f"{value:.6g}") for value in values)


def compare(
    training: TrainingImages,
    vectors: Sequence[Vector],
    size: tuple[int, ...] | None,
    spacing: PixelSpacing | None = None,
) -> CaseDrift | None:
    """How an image or volume lies to the training images.

    Args:
        training: Of the model.
        vectors: Of a picture one, of a volume one for each slice.
        size: Height and width of the picture or slice; None: not compared.
        spacing: Of a picture's pixels in mm; None: not known, or it is a volume, whose spacing has a remark of its own.

    Returns:
        What was found; None where there is no threshold to compare with.
    """
    if training.threshold is None or not len(vectors):
        return None
    each = training.statistics.distances(vectors)
    distance = float(np.sqrt(np.square(each).mean())) / training.threshold
    middle = np.mean(vectors, axis=0)
    said = _beyond(training, size, spacing)
    if distance > 1:
        said.insert(0, _farthest(training, middle))
    return CaseDrift(distance, "; ".join(said) or None, middle)


def _spread(length: int, side: int) -> list[int]:
    """Where patches begin that are spread over a side and do not overlap."""
    if length <= side:
        return [0]
    number = min(_TILES, length // side)
    return (
        [(length - side) * at // max(1, number - 1) for at in range(number)] if number > 1 else [(length - side) // 2]
    )


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
