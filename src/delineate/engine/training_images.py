"""The summary of a run's training images that goes with its model (`artefact.training_images`).

At most `MOST_IMAGES` training images, chosen by a seed of their own, and as many validation cases are measured, as the network sees
them and without augmentation: about 10 ms each. No random number of the training is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.encoder_cloud import EncoderCloud
from delineate.artefact.training_images import FEWEST_HELD_OUT, LEVELS, RATE, Cloud, EncoderImages, Span, TrainingImages
from delineate.data.cache.cache import Cache
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.samples import Sample
from delineate.inference.measuring import encoder_views, measured, rounded, seen_parts
from delineate.inference.outside import case_distance
from delineate.inference.segmenter import ImageEncoder

__all__ = ["MOST_ENCODED", "MOST_IMAGES", "Shown", "summarize"]

MOST_IMAGES: Final = 500
MOST_ENCODED: Final = 200
"""Of these, and as many held-out cases, pass the encoder."""
_DIRECTIONS: Final = 16
"""Of the encoder's features."""
_SLICES: Final = 24
"""Of a held-out volume, spread evenly."""
_SEED: Final = 0
_LEAST: Final = 0.005
"""The least spread of a statistic: what hardly varies in training must not decide by rounding."""
_Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Shown:
    """Samples, and their pixels at the working size."""

    samples: Sequence[Sample]
    pixels: Callable[[int], Pixels]
    """Of the sample with a number: h×w×C in the source's own type."""

    @classmethod
    def of(cls, cache: Cache) -> Shown:
        """What is in a cache."""
        return cls(cache.samples, cache.image)


def summarize(
    training: Shown, validation: Shown | None, spec: InputSpec, encoder: ImageEncoder | None = None
) -> TrainingImages | None:
    """Measure the images of a run.

    Args:
        training: Its training images.
        validation: Its validation images; None: it has none.
        spec: Of the model's input.
        encoder: Of the trained network; None: it does not tell its features.

    Returns:
        The summary; without a threshold where too few cases were held out. None for a single training image.
    """
    if len(training.samples) < 2:
        return None
    chosen = _chosen(len(training.samples), MOST_IMAGES)
    found = [_measured(training, at, spec) for at in chosen]
    vectors = np.array([rounded(one.values()) for one in found])
    seen = [training.samples[at] for at in chosen]
    cases = [] if validation is None else _cases(validation.samples)
    held_out, groups = [], []
    for members in cases:
        assert validation is not None, "it has cases"
        held_out.append(np.array([rounded(_measured(validation, at, spec).values()) for at in members]))
        groups.append(validation.samples[members[0]].case.group)
        seen += [validation.samples[at] for at in members]
    statistics = _cloud(vectors, held_out)
    content = None
    if encoder is not None and validation is not None and len(cases) >= FEWEST_HELD_OUT:
        some = _chosen(len(cases), MOST_ENCODED)
        plain = _distances(statistics, [held_out[at] for at in some])
        seen_by = [_encoded(training, chosen[at], spec, encoder) for at in _chosen(len(chosen), MOST_ENCODED)]
        others = [np.array([_encoded(validation, at, spec, encoder) for at in cases[one]]) for one in some]
        content = _encoder_images(np.array(seen_by), others, plain)
    spacings = [one.spacing for one in seen if one.spacing is not None]
    told = spec.axis is None and len(spacings) == len(seen)
    return TrainingImages(
        images=len(vectors),
        held_out=len(held_out),
        groups=len(set(groups)) if groups and None not in groups else None,
        threshold=_threshold(_distances(statistics, held_out)),
        names=tuple(found[0]),
        quantiles=tuple(_quantiles(column) for column in vectors.T),
        statistics=statistics,
        height=_span([one.size[0] for one in seen]),
        width=_span([one.size[1] for one in seen]),
        spacing=(_span([one[0] for one in spacings]), _span([one[1] for one in spacings])) if told else None,
        encoder=content,
    )


def _chosen(number: int, most: int) -> list[int]:
    """All of a number, or `most` of them, ascending."""
    if number <= most:
        return list(range(number))
    return sorted(np.random.default_rng(_SEED).choice(number, most, replace=False).tolist())


def _cases(samples: Sequence[Sample]) -> list[list[int]]:
    """The samples of each case, of `MOST_IMAGES` cases at most; of a volume some of its slices."""
    members = [[at for at, _ in each] for _, each in groupby(enumerate(samples), lambda one: one[1].case.id)]
    kept = [members[at] for at in _chosen(len(members), MOST_IMAGES)]
    return [[one[at] for at in np.unique(np.linspace(0, len(one) - 1, _SLICES).astype(int))] for one in kept]


def _measured(shown: Shown, at: int, spec: InputSpec) -> dict[str, float]:
    sample = shown.samples[at]
    return measured(seen_parts(_prepared(shown, at, spec), spec, *sample.size, sample.spacing), spec)


def _encoded(shown: Shown, at: int, spec: InputSpec, encoder: ImageEncoder) -> _Vectors:
    """One vector, the mean over patches where there are such."""
    found: _Vectors = encoder.of_images(encoder_views(_prepared(shown, at, spec), spec)).mean(0)
    return found


def _prepared(shown: Shown, at: int, spec: InputSpec) -> Pixels:
    """As `Predictor.prepare`."""
    return shown.pixels(at) if spec.fit == "patch" else spec.to_unit(shown.pixels(at))


def _encoder_images(vectors: _Vectors, held_out: Sequence[_Vectors], plain: _Vectors) -> EncoderImages:
    """`plain`: distances of the held-out cases by their statistics."""
    center, scale = vectors.mean(0), np.maximum(vectors.std(0), 1e-6)
    values, directions = np.linalg.eigh(_shrunk_covariance((vectors - center) / scale))
    kept = min(_DIRECTIONS, len(center) - 1)
    order = np.argsort(values)[::-1]
    cloud = EncoderCloud(
        center=rounded(center),
        scale=rounded(scale),
        directions=tuple(rounded(row) for row in directions.T[order[:kept]]),
        variances=rounded(np.maximum(values[order[:kept]], 1e-6)),
        rest=float(max(values[order[kept:]].mean(), 1e-6)),
    )
    together = np.hypot(plain, [case_distance(cloud, one) for one in held_out])
    threshold = _threshold(together)
    assert threshold is not None, "there are enough"
    return EncoderImages(
        images=len(vectors), cases=len(held_out), features=cloud, threshold=threshold, held_out=_quantiles(together)
    )


def _cloud(vectors: _Vectors, held_out: Sequence[_Vectors]) -> Cloud:
    """Robust center and scales, and the covariance of what is scaled, shrunk as Ledoit and Wolf say."""
    center = np.median(vectors, 0)
    low, high = np.percentile(vectors, (16, 84), axis=0)
    scale = np.maximum((high - low) / 2, _LEAST)
    scaled = (vectors - center) / scale
    values, directions = np.linalg.eigh(_shrunk_covariance(scaled - scaled.mean(0)))
    whitening = (directions / np.sqrt(np.maximum(values, 1e-6))).T / scale
    cloud = Cloud(
        center=rounded(center + scale * scaled.mean(0)),
        whitening=tuple(rounded(row) for row in whitening),
        held_out=(),
    )
    if len(held_out) < FEWEST_HELD_OUT:
        return cloud
    return cloud.model_copy(update={"held_out": _quantiles(_distances(cloud, held_out))})


def _shrunk_covariance(centered: _Vectors) -> _Vectors:
    """Between the covariance and a multiple of the identity, where the expected squared error is least (Ledoit, Wolf 2004)."""
    number, size = centered.shape
    covariance = centered.T @ centered / number
    middle = np.trace(covariance) / size * np.eye(size)
    away = np.square(covariance - middle).sum()
    # Σ ‖x xᵀ - S‖² over the images, without making each x xᵀ
    error = (np.square(np.square(centered).sum(1)).sum() / number - np.square(covariance).sum()) / number
    share = min(1.0, error / away) if away > 0 else 1.0
    shrunk: _Vectors = share * middle + (1 - share) * covariance
    return shrunk


def _distances(cloud: Cloud, cases: Sequence[_Vectors]) -> _Vectors:
    """Of pictures or volumes."""
    return np.array([case_distance(cloud, one) for one in cases])


def _threshold(distances: _Vectors) -> float | None:
    """Conformal: the distance that a new case among n + 1 exceeds with a probability of at most `RATE`; None: too few."""
    number = len(distances)
    if number < FEWEST_HELD_OUT:
        return None
    place = math.ceil((number + 1) * (1 - RATE) - 1e-9)
    return max(float(np.sort(distances)[place - 1]), 1e-6)


def _quantiles(values: _Vectors) -> tuple[float, ...]:
    return rounded(np.quantile(values, LEVELS))


def _span(values: Sequence[float]) -> Span:
    return float(min(values)), float(max(values))
