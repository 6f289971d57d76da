"""What training with few labels gained: the share of the gap to full supervision that was closed, and how many more labels would
have bought the same, each with an interval.

A point is one way of training with one number of labels: scores of its draws (each draw chose other labels, and was trained with
another seed) for all test cases. One joint resampling serves all figures. In resample r every point's mean m becomes

    m + a_r (m_r − m) + h_r Σ_d e_rd (m_d − m) / √(D (D − 1))

m_r: the mean over the test cases when their groups (patients) are drawn with replacement, the same groups for all points;
m_d: the mean of draw d, e_rd standard normal, the same for all points, which are paired by draw; D: the number of draws.
a_r and h_r widen the normal to the t distribution of as many groups and draws: √((n − 1)/χ²), and a_r by √(G/(G − 1)) more. With
one draw the last term is absent: nothing is then known of other labels. What the full supervision's seeds add is taken likewise,
from as many seeds as it has. Intervals are percentiles of the resamples.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delineate.evaluation.statistics.bootstrap import group_codes, weights
from delineate.evaluation.statistics.intervals import FEWEST

__all__ = ["Estimated", "Figure", "Share", "difference", "gap_closed", "labels_bought", "resample"]

_Floats = NDArray[np.float64]
_RESAMPLES = 10_000
_TAIL = 0.025
_NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Figure:
    """A number with its interval. Infinite ends and values: beyond all that was measured."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Estimated:
    """A mean, and what it is in each resample; no resamples where there are too few groups of test cases."""

    value: float
    resamples: _Floats

    def figure(self, bounds: tuple[float, float] = (-np.inf, np.inf), level: float = 0.95) -> Figure:
        """With its interval, cut off at `bounds`; without spread there is none."""
        if not len(self.resamples) or np.ptp(self.resamples) < _NO_SPREAD:
            return Figure(self.value, None, None)
        tail = (1 - level) / 2
        low, high = np.clip(np.quantile(self.resamples, (tail, 1 - tail)), *bounds)
        return Figure(self.value, float(low), float(high))


@dataclass(frozen=True)
class Share:
    """The share of a gap; None with the reason where it has no meaning."""

    figure: Figure | None
    why: str = ""


def resample(
    points: Sequence[_Floats],
    ceilings: Sequence[_Floats] = (),
    groups: Sequence[Hashable] | None = None,
    *,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> tuple[list[Estimated], list[Estimated]]:
    """The means of all points and of full supervision, resampled together.

    Args:
        points: Scores, draws × cases × classes each, with the same draws and cases in all; NaN: not counted.
        ceilings: Of full supervision, seeds × cases × classes each.
        groups: The group of each case; None: each is its own.
        resamples: How many.
        seed: Of the resampling.

    Returns:
        The points and the ceilings, in order.

    Example:
        >>> import numpy as np
        >>> from delineate.evaluation.statistics.label_gain import resample
        >>> scores = np.linspace(0.5, 0.9, 40).reshape(2, 20, 1)
        >>> (point,), _ = resample([scores])
        >>> round(point.value, 3), len(point.resamples)
        (0.7, 10000)
    """
    tables = [*points, *ceilings]
    codes = group_codes(tables[0].shape[1], groups)
    sums, counts = zip(*(_grouped(table, codes) for table in tables), strict=True)
    means = [_mean(one.mean(0), many.mean(0)) for one, many in zip(sums, counts, strict=True)]
    counted = counts[0].sum(0) > 0  # groups × classes
    size = int(counted.any(1).sum())
    if size < FEWEST or counted.sum(0).min() < FEWEST:
        none = np.empty(0)
        found = [Estimated(mean, none) for mean in means]
        return found[: len(points)], found[len(points) :]
    rng = np.random.default_rng(seed)
    by_cases = _by_cases(sums, counts, counted.any(1), resamples, rng)
    by_cases *= (np.sqrt(size / (size - 1)) * _t_width(size, resamples, rng))[:, None]
    moved = by_cases + np.array(means)
    for start, stop in ((0, len(points)), (len(points), len(tables))):
        units = len(tables[start]) if start < stop else 0
        if units < 2:
            continue
        normal = rng.standard_normal((resamples, units)) * _t_width(units, resamples, rng)[:, None]
        for at in range(start, stop):
            own = np.array([_mean(one, many) for one, many in zip(sums[at], counts[at], strict=True)])
            moved[:, at] += normal @ (own - own.mean()) / np.sqrt(units * (units - 1))
    found = [Estimated(mean, moved[:, at]) for at, mean in enumerate(means)]
    return found[: len(points)], found[len(points) :]


def difference(one: Estimated, two: Estimated) -> Estimated:
    """One minus the other, resample by resample."""
    return Estimated(one.value - two.value, one.resamples - two.resamples)


def gap_closed(point: Estimated, supervised: Estimated, full: Estimated) -> Share:
    """(point − supervised) / (full − supervised), higher scores being better.

    None where the gap itself is not clearly above 0: its 95 % interval holds 0, or there is none.
    """
    gap, gained = difference(full, supervised), difference(point, supervised)
    if not len(gap.resamples):
        return Share(None, f"fewer than {FEWEST} groups of test cases")
    if gap.value <= 0 or (gap.resamples <= 0).mean() > _TAIL:
        return Share(None, "supervised training is not clearly below full supervision")
    positive = gap.resamples > 0
    shares = np.where(gained.resamples > 0, np.inf, -np.inf)
    shares[positive] = gained.resamples[positive] / gap.resamples[positive]
    low, high = _percentiles(shares)
    if not np.isfinite((low, high)).all():
        return Share(None, "the gap to full supervision is too uncertain")
    return Share(Figure(gained.value / gap.value, low, high))


def labels_bought(point: Estimated, at: int, labels: Sequence[float], curve: Sequence[Estimated]) -> Figure:
    """How many labels more supervised training would have needed for the same score.

    The curve of supervised training is made monotone (isotonic regression) and read by linear interpolation on the logarithm of
    the number of labels; the gain is laid on it where the point is. The least number that reaches the score counts.

    Args:
        point: Another training with `labels[at]` labels.
        at: Its place on the curve.
        labels: Numbers of labels, rising; the last is all of them.
        curve: Of supervised training with so many labels; higher is better.

    Returns:
        0: none; infinite: more than all there are.
    """

    def read(values: _Floats, gained: _Floats) -> _Floats:
        smooth = _isotonic(values)
        return np.maximum(
            0.0, _least_labels(smooth, smooth[:, at] + gained, np.asarray(labels, np.float64)) - labels[at]
        )

    known = np.array([[one.value for one in curve]])
    value = float(read(known, np.array([point.value - curve[at].value]))[0])
    if not len(point.resamples):
        return Figure(value, None, None)
    drawn = read(np.stack([one.resamples for one in curve], 1), point.resamples - curve[at].resamples)
    return Figure(value, *_percentiles(drawn))


def _grouped(table: _Floats, codes: NDArray[np.int64]) -> tuple[_Floats, _Floats]:
    """Sums and numbers of the scores: draws × groups × classes."""
    counted = ~np.isnan(table)
    shape = (len(table), int(codes.max()) + 1, table.shape[2])
    sums, counts = np.zeros(shape), np.zeros(shape)
    for draw in range(len(table)):
        np.add.at(sums[draw], codes, np.where(counted[draw], table[draw], 0))
        np.add.at(counts[draw], codes, counted[draw])
    return sums, counts


def _mean(sums: _Floats, counts: _Floats) -> float:
    """Mean over the classes of each class's mean; groups × classes."""
    there = counts.sum(0) > 0
    return float((sums.sum(0)[there] / counts.sum(0)[there]).mean()) if there.any() else float("nan")


def _by_cases(
    sums: Sequence[_Floats],
    counts: Sequence[_Floats],
    used: NDArray[np.bool_],
    resamples: int,
    rng: np.random.Generator,
) -> _Floats:
    """By how much each mean differs when groups are drawn anew: resamples × points."""
    averaged = []
    for one, many in zip(sums, counts, strict=True):
        scored = many.sum((0, 1)) > 0
        averaged.append((one.mean(0)[used][:, scored], many.mean(0)[used][:, scored]))
    blocks = []
    for drawn in weights(int(used.sum()), resamples, rng):
        columns = []
        for one, many in averaged:
            with np.errstate(invalid="ignore", divide="ignore"):
                moved = (drawn @ one) / (drawn @ many) - one.sum(0) / many.sum(0)
            # Of a class of which no score was drawn nothing is known: it stays where it is.
            columns.append(np.nan_to_num(moved).sum(1) / max(1, moved.shape[1]))
        blocks.append(np.stack(columns, 1))
    return np.concatenate(blocks)


def _t_width(units: int, resamples: int, rng: np.random.Generator) -> _Floats:
    """What makes a t variable with units − 1 degrees of freedom of a normal one."""
    return np.asarray(np.sqrt((units - 1) / rng.chisquare(units - 1, resamples)))


def _percentiles(values: _Floats) -> tuple[float, float]:
    """Both ends of the 95 % interval; values that were drawn and not interpolated, since some may be infinite."""
    ordered = np.sort(values)
    first = int(_TAIL * len(ordered))
    return float(ordered[first]), float(ordered[-1 - first])


def _isotonic(values: _Floats) -> _Floats:
    """The nearest rising row to each row (least squares): maximum over starts of the minimum over ends of the means between."""
    points = values.shape[1]
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, 1)], 1)
    smooth = np.empty_like(values)
    for at in range(points):
        lowest = []
        for start in range(at + 1):
            ends = [(sums[:, end + 1] - sums[:, start]) / (end + 1 - start) for end in range(at, points)]
            lowest.append(np.min(ends, axis=0))
        smooth[:, at] = np.max(lowest, axis=0)
    return smooth


def _least_labels(curve: _Floats, wanted: _Floats, labels: _Floats) -> _Floats:
    """Of each rising curve, the least number of labels that reaches the wanted score; infinite where none does."""
    found = np.full(len(curve), np.inf)
    logs = np.log(labels)
    for at in range(len(labels) - 1, -1, -1):
        reached = wanted <= curve[:, at] + 1e-12
        number = np.full(len(curve), labels[at])
        if at:
            rise = curve[:, at] - curve[:, at - 1]
            part = np.divide(wanted - curve[:, at - 1], rise, out=np.ones(len(curve)), where=rise > 1e-12)
            number = np.exp(logs[at - 1] + np.clip(part, 0, 1) * (logs[at] - logs[at - 1]))
        found = np.where(reached, number, found)
    return found
