"""Temperatures that make probabilities mean what they say, fitted by the likelihood of validation pixels.

By the inverse of a temperature the negative log-likelihood is convex, for one of all channels as for one of each, so that there is
one best choice. What it is worth is measured by cross-validation: each group's pixels get the temperatures that were fitted on the
other folds. One for all is adopted where it lowers that likelihood by more than the standard error over groups; one for each
channel where it lowers it further by more than twice that; neither where it raises the Brier score.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, softmax

from delineate.artefact.calibration import Figure, ProbabilityFigures
from delineate.engine.calibration.logit_samples import LogitSample
from delineate.engine.calibration.resampled import Resampled, folds_of, interval
from delineate.evaluation.metrics.calibration import BINS

__all__ = ["FEWEST_GROUPS", "Bins", "Found", "find_temperatures"]

FEWEST_GROUPS: Final = 5
"""Below, resampling groups says nothing."""
_MOST = 20.0
"""Temperatures lie between its inverse and it: beyond, all pixels are alike."""
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bins:
    """For a plot: where probabilities say one thing and references another. Empty bins are left out."""

    stated: tuple[float, ...]
    """Mean probability in each bin."""
    right: tuple[float, ...]
    """Share of pixels that have what was stated."""
    share: tuple[float, ...]
    """Of all pixels."""


@dataclass(frozen=True)
class Found:
    """What was found."""

    temperatures: tuple[float, ...]
    """Empty: none was better."""
    figures: ProbabilityFigures
    folds: int
    before: Bins
    after: Bins
    steps: tuple[tuple[str, str, float, float, bool], ...]
    """Of each step: what, the temperatures, how much it lowers the likelihood, its standard error, and whether it was adopted."""


def find_temperatures(samples: Sequence[LogitSample], groups: Sequence[Hashable], own: float = 1.0) -> Found:
    """Fit temperatures, and tell what they are worth.

    Args:
        samples: Of each case.
        groups: Of each case; at least `FEWEST_GROUPS` different ones.
        own: The model's own temperature, which counts as before.

    Returns:
        What was found.
    """
    pixels = _Pixels.of(samples)
    draws, cases = Resampled(groups), np.arange(len(samples))
    folds = folds_of(draws.codes)
    best = plain = pixels.judged(np.full((len(samples), 1), own))
    chosen: tuple[float, ...] = ()
    shown, steps = None, []
    tries = [("temperature", False, 1), ("one for each channel", True, 2)]
    for what, each, errors in tries if pixels.logits.shape[1] > 1 else tries[:1]:
        rival = pixels.judged(_cross_fitted(pixels, folds, each=each))
        shown = shown or rival
        gain = best.nll - rival.nll
        error = draws.standard_error(gain)
        whole = _fitted(pixels, cases, each=each).tolist()
        adopted = bool(gain.mean() > errors * error and rival.brier.mean() <= best.brier.mean())
        steps.append((what, ", ".join(f"{one:.3g}" for one in whole), float(gain.mean()), error, adopted))
        if adopted:
            best, chosen = rival, tuple(whole)
    after = best if chosen else shown or plain
    figures = ProbabilityFigures(
        nll=_figure(draws, plain.nll, after.nll),
        ece=_ece_figure(draws, plain.bins, after.bins),
        brier=_figure(draws, plain.brier, after.brier),
    )
    return Found(
        chosen,
        figures,
        int(folds.max()) + 1,
        _plotted(plain.bins),
        _plotted(after.bins),
        tuple(steps),
    )


@dataclass(frozen=True)
class _Judged:
    """Of each case; bins are cases×channels×3×bins: share of its pixels, sum of what is stated, and of what is right."""

    nll: _Floats
    brier: _Floats
    bins: _Floats


@dataclass(frozen=True)
class _Pixels:
    logits: NDArray[np.float32]
    truth: NDArray[Any]
    case: NDArray[np.int64]
    """Of each pixel."""
    cases: int

    @classmethod
    def of(cls, samples: Sequence[LogitSample]) -> _Pixels:
        sizes = [len(one.logits) for one in samples]
        return cls(
            np.concatenate([one.logits for one in samples]),
            np.concatenate([one.truth for one in samples]),
            np.repeat(np.arange(len(samples)), sizes),
            len(samples),
        )

    @property
    def independent(self) -> bool:
        """Whether each channel has a probability of its own."""
        return self.truth.ndim == 2

    def loss(self, inverse: _Floats, weights: _Floats, part: NDArray[np.intp]) -> tuple[float, _Floats]:
        """Weighted negative log-likelihood of some pixels and its slope by the inverse of each channel's temperature."""
        logits, truth = self.logits[part], self.truth[part]
        scaled = logits * inverse.astype(np.float32)
        if self.independent:
            losses = (np.logaddexp(0, scaled) - truth * scaled).mean(1)
            slopes = (expit(scaled) - truth) * logits / logits.shape[1]
        else:
            losses = logsumexp(scaled, axis=1) - np.take_along_axis(scaled, truth[:, None], 1)[:, 0]
            slopes = softmax(scaled, axis=1)
            np.subtract.at(slopes, (np.arange(len(truth)), truth), 1)
            slopes *= logits
        return float(weights @ losses), weights @ slopes

    def judged(self, temperatures: _Floats) -> _Judged:
        """What each case's probabilities are worth. `temperatures`: of each case, cases×1 or cases×K."""
        scaled = self.logits / temperatures[self.case].astype(np.float32)
        count = np.bincount(self.case, minlength=self.cases)
        if self.independent:
            found, truth = expit(scaled), self.truth.astype(np.float32)
            losses, squares = (np.logaddexp(0, scaled) - truth * scaled).mean(1), ((found - truth) ** 2).mean(1)
            stated, right = found, truth
        else:
            found = softmax(scaled, axis=1)
            losses = logsumexp(scaled, axis=1) - np.take_along_axis(scaled, self.truth[:, None], 1)[:, 0]
            missed = found.copy()
            np.subtract.at(missed, (np.arange(len(missed)), self.truth), 1)
            squares = (missed**2).sum(1)
            stated, right = found.max(1, keepdims=True), (found.argmax(1) == self.truth)[:, None]
        nll, brier = (np.bincount(self.case, one, self.cases) / count for one in (losses, squares))
        return _Judged(nll, brier, self._binned(stated, right, count))

    def _binned(self, stated: NDArray[Any], right: NDArray[Any], count: NDArray[Any]) -> _Floats:
        channels = stated.shape[1]
        result = np.zeros((self.cases, channels, 3, BINS))
        edges = np.linspace(0, 1, BINS + 1)[1:-1]
        for channel in range(channels):
            keys = self.case * BINS + np.searchsorted(edges, stated[:, channel])
            for at, values in enumerate((None, stated[:, channel], right[:, channel])):
                sums = np.bincount(keys, values, self.cases * BINS)
                result[:, channel, at] = sums.reshape(self.cases, BINS) / count[:, None]
        return result


def _fitted(pixels: _Pixels, cases: NDArray[Any], *, each: bool) -> _Floats:
    """The temperatures of the best likelihood over some cases."""
    part = np.flatnonzero(np.isin(pixels.case, cases))
    count = np.bincount(pixels.case[part], minlength=pixels.cases)
    weights = 1 / (len(cases) * count[pixels.case[part]])
    channels = pixels.logits.shape[1]
    free = channels if each else 1

    def loss(inverse: _Floats) -> tuple[float, _Floats]:
        value, slope = pixels.loss(np.broadcast_to(inverse, channels), weights, part)
        return value, slope if each else slope.sum(keepdims=True)

    bounds = [(1 / _MOST, _MOST)] * free
    return np.asarray(1 / minimize(loss, np.ones(free), jac=True, method="L-BFGS-B", bounds=bounds).x)


def _cross_fitted(pixels: _Pixels, folds: NDArray[Any], *, each: bool) -> _Floats:
    """Of each case the temperatures that the other folds gave."""
    rows = {fold: _fitted(pixels, np.flatnonzero(folds != fold), each=each) for fold in np.unique(folds)}
    return np.stack([rows[fold] for fold in folds])


def _figure(draws: Resampled, before: _Floats, after: _Floats) -> Figure:
    return Figure(before=draws.interval(before), after=draws.interval(after), change=draws.interval(after - before))


def _ece_figure(draws: Resampled, before: _Floats, after: _Floats) -> Figure:
    pairs = [tuple(_ece(one) for one in draws.means(bins)) for bins in (before, after)]
    (first, firsts), (second, seconds) = pairs
    return Figure(
        before=interval(first, firsts),
        after=interval(second, seconds),
        change=interval(second - first, seconds - firsts),
    )


def _ece(bins: _Floats) -> Any:
    """Of …×channels×3×bins: the mean over channels."""
    return np.abs(bins[..., 1, :] - bins[..., 2, :]).sum(-1).mean(-1)


def _plotted(bins: _Floats) -> Bins:
    share, stated, right = bins.mean(0).mean(0)
    kept = share > 0
    rows = (stated[kept] / share[kept], right[kept] / share[kept], share[kept])
    return Bins(*(tuple(row.tolist()) for row in rows))
