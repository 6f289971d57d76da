"""Whether a series of images, taken together, lies apart from the training images: a little darker each, none of them outside.

Each case gets its rank among the held-out cases by distance, and among the training images by each statistic. If the series is like
them, the mean of n ranks is normal, about 1/2, with the variance (1/n + 1/N)/12 (a rank-sum test). Half of the rate of false alarms
goes to the distance, half is shared by the statistics (Bonferroni). It holds for images that are independent of each other: those
of one patient resemble one another, and such a series is told apart more often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from delineate.artefact.training_images import LEVELS, TrainingImages
from delineate.data.core.image_statistics import statistic_of
from delineate.inference.outside import PLAIN, CaseDrift

__all__ = ["FEWEST", "SeriesDrift", "compare_series"]

FEWEST: Final = 5
"""Cases of a series."""


@dataclass(frozen=True)
class SeriesDrift:
    """How a series lies to the training images.

    Example:
        ```python
        result = delineate.predict("runs/first", ["scans/"], out="masks")
        print(result.series.words, result.series.outside)
        ```
    """

    cases: int
    outside: int
    """Cases that lie outside by themselves."""
    reason: str | None
    """How the series differs as a whole; None: it does not."""
    rate: float
    """Of false alarms."""

    @property
    def words(self) -> str:
        """A line."""
        if self.reason is None:
            return f"the {self.cases} images, taken together, lie among the training images (false alarms: {100 * self.rate:g} %)"
        return (
            f"the {self.cases} images, taken together, differ from the training images: {self.reason} (false "
            f"alarms: {100 * self.rate:g} % where images are independent)"
        )


def compare_series(
    training: TrainingImages, cases: Sequence[CaseDrift], *, pictures: bool = True
) -> SeriesDrift | None:
    """Test a series.

    Args:
        training: Of the model.
        cases: Of the series.
        pictures: Whether they are pictures. Of volumes only distances are compared: ranges are those of slices.

    Returns:
        What was found; None for fewer than `FEWEST`, or where there is no threshold to compare with.
    """
    number = len(cases)
    if training.threshold is None or number < FEWEST:
        return None
    said = []
    threshold, known, held_out = training.threshold, training.statistics.held_out, training.held_out
    if training.encoder is not None and all(one.encoder for one in cases):
        threshold, known, held_out = training.encoder.threshold, training.encoder.held_out, training.encoder.cases
    place = float(_ranks(known, [one.distance * threshold for one in cases]).mean())
    if _deviation(place, number, held_out) > NormalDist().inv_cdf(1 - training.rate / 2):
        said.append(f"their distances have the mean rank {place:.2f} among held-out ones, where 0.5 is usual")
    if pictures and (one := _statistic(training, np.array([case.statistics for case in cases]))):
        said.insert(0, one)
    return SeriesDrift(number, sum(one.outside for one in cases), "; ".join(said) or None, training.rate)


def _statistic(training: TrainingImages, vectors: NDArray[np.float64]) -> str | None:
    """The statistic that lies most to one side, if that is no chance."""
    ranks = [_ranks(quantiles, own).mean() for quantiles, own in zip(training.quantiles, vectors.T, strict=True)]
    deviations = [_deviation(float(rank), len(vectors), training.images) for rank in ranks]
    least = NormalDist().inv_cdf(1 - training.rate / (4 * len(ranks)))
    plain = [abs(one) if name in PLAIN else 0.0 for one, name in zip(deviations, training.names, strict=True)]
    at = int(np.argmax(plain if max(plain) > least else np.abs(deviations)))
    known = statistic_of(training.names[at])
    if known is None or abs(deviations[at]) <= least:
        return None
    middle, usual = float(np.median(vectors[:, at])), training.quantiles[at][LEVELS.index(0.5)]
    word = known.more if deviations[at] > 0 else known.less
    return f"{word}: {known.what} {known.shown(middle)} in the middle, training {known.shown(usual)}"


def _ranks(quantiles: Sequence[float], values: ArrayLike) -> NDArray[np.float64]:
    """In [0, 1]; of a value that many have, the middle of theirs."""
    found = np.asarray(values, np.float64)
    grid, levels = np.asarray(quantiles), np.asarray(LEVELS)
    upper = np.interp(found, grid, levels)
    lower = 1 - np.interp(-found, -grid[::-1], (1 - levels)[::-1])
    return (upper + lower) / 2


def _deviation(rank: float, number: int, reference: int) -> float:
    """Of a mean rank from 1/2, in standard deviations."""
    return float((rank - 0.5) / np.sqrt((1 / number + 1 / reference) / 12))
