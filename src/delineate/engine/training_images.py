"""The summary of a run's training images that goes with its model (`artefact.training_images`).

At most `MOST_IMAGES` training images, chosen by a seed of their own, and as many validation cases are measured, as the network sees
them and without augmentation: some milliseconds each. `MOST_ENCODED` of both pass the encoder once. No random number of the
training is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.training_images import FEWEST_HELD_OUT, EncoderImages, Span, TrainingImages
from delineate.data.cache.cache import Cache
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.samples import Sample
from delineate.engine.clouds import case_distances, fit_cloud, fit_encoder_cloud, quantiles_of, threshold_of
from delineate.inference.measuring import encoder_views, measured, rounded, seen_parts
from delineate.inference.segmenter import ImageEncoder

__all__ = ["MOST_ENCODED", "MOST_IMAGES", "Shown", "summarize"]

MOST_IMAGES: Final = 500
MOST_ENCODED: Final = 200
_SLICES: Final = 24
"""Of a held-out volume, spread evenly."""
_SEED: Final = 0
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

    def prepared(self, at: int, spec: InputSpec) -> Pixels:
        """A sample as `Predictor.prepare` has it."""
        return self.pixels(at) if spec.fit == "patch" else spec.to_unit(self.pixels(at))

    def statistics(self, at: int, spec: InputSpec) -> dict[str, float]:
        """Of a sample."""
        sample = self.samples[at]
        return measured(seen_parts(self.prepared(at, spec), spec, *sample.size, sample.spacing), spec)

    def cases(self) -> list[list[int]]:
        """The samples of each case, of `MOST_IMAGES` cases at most; of a volume some of its slices."""
        of_cases = groupby(range(len(self.samples)), lambda at: self.samples[at].case.id)
        members = [list(each) for _, each in of_cases]
        kept = [members[at] for at in _chosen(len(members), MOST_IMAGES)]
        return [[one[at] for at in np.unique(np.linspace(0, len(one) - 1, _SLICES).astype(int))] for one in kept]


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
    held_out = validation or Shown((), training.pixels)
    chosen, cases = _chosen(len(training.samples), MOST_IMAGES), held_out.cases()
    found = [training.statistics(at, spec) for at in chosen]
    vectors = np.array([rounded(one.values()) for one in found])
    others = [np.array([rounded(held_out.statistics(at, spec).values()) for at in members]) for members in cases]
    cloud = fit_cloud(vectors)
    distances = case_distances(cloud, others)
    threshold = threshold_of(distances)
    if threshold is not None:
        cloud = cloud.model_copy(update={"held_out": quantiles_of(distances)})
    seen = [training.samples[at] for at in chosen] + [held_out.samples[at] for members in cases for at in members]
    groups = {held_out.samples[members[0]].case.group for members in cases}
    content = None
    if encoder is not None and threshold is not None:
        content = _encoded(training, chosen, held_out, cases, distances, spec, encoder)
    return TrainingImages(
        images=len(vectors),
        held_out=len(cases),
        groups=len(groups) if groups and None not in groups else None,
        threshold=threshold,
        names=tuple(found[0]),
        quantiles=tuple(map(quantiles_of, vectors.T)),
        statistics=cloud,
        height=_span([one.size[0] for one in seen]),
        width=_span([one.size[1] for one in seen]),
        spacing=_spacings(seen, spec),
        encoder=content,
    )


def _encoded(
    training: Shown,
    chosen: Sequence[int],
    held_out: Shown,
    cases: Sequence[Sequence[int]],
    distances: _Vectors,
    spec: InputSpec,
    encoder: ImageEncoder,
) -> EncoderImages | None:
    """What the encoder makes of some of them. `distances`: of the held-out cases by their statistics. None where a feature is not
    finite."""

    def features(shown: Shown, at: int) -> _Vectors:
        """One vector, the mean over patches where there are such."""
        found: _Vectors = encoder.of_images(encoder_views(shown.prepared(at, spec), spec)).mean(0)
        return found

    own = np.array([features(training, chosen[at]) for at in _chosen(len(chosen), MOST_ENCODED)])
    some = _chosen(len(cases), MOST_ENCODED)
    others = [np.array([features(held_out, at) for at in cases[one]]) for one in some]
    if not all(np.isfinite(one).all() for one in (own, *others)):
        return None
    cloud = fit_encoder_cloud(own)
    together = np.hypot(distances[some], case_distances(cloud, others))
    threshold = threshold_of(together)
    assert threshold is not None, f"there are {FEWEST_HELD_OUT} cases or more"
    return EncoderImages(
        images=len(own), cases=len(some), features=cloud, threshold=threshold, held_out=quantiles_of(together)
    )


def _chosen(number: int, most: int) -> list[int]:
    """All of a number, or `most` of them, ascending."""
    if number <= most:
        return list(range(number))
    return sorted(np.random.default_rng(_SEED).choice(number, most, replace=False).tolist())


def _spacings(seen: Sequence[Sample], spec: InputSpec) -> tuple[Span, Span] | None:
    """Of pictures that all tell theirs."""
    told = [one.spacing for one in seen if one.spacing is not None]
    if spec.axis is not None or len(told) < len(seen):
        return None
    return _span([one[0] for one in told]), _span([one[1] for one in told])


def _span(values: Sequence[float]) -> Span:
    return float(min(values)), float(max(values))
