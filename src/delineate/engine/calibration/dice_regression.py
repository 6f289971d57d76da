"""A regression that tells what Dice a mask will have, fitted on validation cases and judged by cross-validation.

Least squares with a small penalty (ridge, of numbers brought to spread 1), in which more certainty never means less Dice. It is
kept where its mean absolute error is below that of the mean Dice by more than the standard error of that gain over groups.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from delineate.artefact.calibration import DiceLine, ExpectedDice
from delineate.data.core.findings import count
from delineate.engine.calibration.resampled import Resampled, folds_of
from delineate.inference.doubt import DoubtSums
from delineate.inference.expected_dice import DiceFeatures, expected

__all__ = ["FEWEST_GROUPS", "FittedDice", "fit_expected_dice"]

FEWEST_GROUPS: Final = 20
"""With fewer, a regression fits their chance."""
_PENALTY = 1.0
_FEWEST_ROWS = 5
"""Of cases in which a class was found, or was not: with fewer, their mean is all that is told."""
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FittedDice:
    """What came of it."""

    model: ExpectedDice | None
    remark: str | None
    """Why there is none."""
    crossed: tuple[float, ...] = ()
    """Of each case what the other folds expect; empty where nothing was tried."""
    scores: tuple[float, ...] = ()
    """Of each case its Dice, the mean over classes or regions."""
    confidence: tuple[float, ...] = ()
    """Of each case (`inference.doubt`)."""


def fit_expected_dice(doubts: Sequence[DoubtSums], scores: _Floats, groups: Sequence[Hashable]) -> FittedDice:
    """Fit the regression.

    Args:
        doubts: Of each case.
        scores: Dice cases×structures, both empty = 1.
        groups: Of each case.

    Returns:
        The regression, if it is better than the mean; else why there is none.
    """
    number = len(set(groups))
    if number < FEWEST_GROUPS:
        return FittedDice(
            None,
            f"no expected Dice: validation has {count(number, 'group')}, and a regression on fewer than {FEWEST_GROUPS} would "
            "fit their chance",
        )
    draws = Resampled(groups)
    folds, truth = folds_of(draws.codes), scores.mean(1)
    crossed, plain = np.zeros(len(truth)), np.zeros(len(truth))
    for fold in np.unique(folds):
        others, own = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        lines = _lines([doubts[at] for at in others.tolist()], scores[others])
        for at in own.tolist():
            crossed[at] = np.mean(list(expected(*lines, doubts[at]).values()))
        plain[own] = truth[others].mean()
    errors, plain_errors = np.abs(crossed - truth), np.abs(plain - truth)
    gain = plain_errors - errors
    told = tuple(map(float, crossed)), tuple(map(float, truth)), tuple(one.case.confidence for one in doubts)
    if gain.mean() <= draws.standard_error(gain):
        return FittedDice(
            None,
            f"no expected Dice: by cross-validation its mean absolute error is {errors.mean():.3f}, and that of the mean Dice "
            f"alone {plain_errors.mean():.3f}: it is not better by more than chance",
            *told,
        )
    found, missing = _lines(doubts, scores)
    intervals = [draws.interval(one) for one in (errors, plain_errors, gain)]
    model = ExpectedDice(found=found, missing=missing, error=intervals[0], baseline=intervals[1], gain=intervals[2])
    return FittedDice(model, None, *told)


def _lines(doubts: Sequence[DoubtSums], scores: _Floats) -> tuple[dict[str, DiceLine], dict[str, DiceLine]]:
    features = [DiceFeatures.of(one) for one in doubts]
    present = np.stack([one.present for one in features])
    found, missing = {}, {}
    for at, name in enumerate(doubts[0].names):
        here, whole = present[:, at], scores[:, at].mean()
        rows = np.stack([one.found[at] for one in features]), np.stack([one.missing[at] for one in features])
        # A larger mask is neither better nor worse by itself: its weight is free.
        found[name] = _line(rows[0][here], scores[here, at], whole, free=(2,))
        missing[name] = _line(rows[1][~here], scores[~here, at], whole)
    return found, missing


def _line(values: _Floats, dice: _Floats, whole: float, free: Sequence[int] = ()) -> DiceLine:
    """By cases×numbers and their Dice. `whole`: the mean Dice of all cases, which counts as one more; `free`: numbers whose weight
    may be negative."""
    numbers = values.shape[1]
    if len(dice) < _FEWEST_ROWS:
        level = (dice.sum() + whole) / (len(dice) + 1)
        zero = (0.0,) * numbers
        return DiceLine(intercept=float(level), weights=zero, low=zero, high=zero)
    middle, spread = values.mean(0), values.std(0) + 1e-6
    rows = np.vstack([(values - middle) / spread, np.sqrt(_PENALTY) * np.eye(numbers)])
    wanted = np.concatenate([dice - dice.mean(), np.zeros(numbers)])
    least = [-np.inf if at in free else 0.0 for at in range(numbers)]
    weights = lsq_linear(rows, wanted, bounds=(least, np.inf)).x / spread
    return DiceLine(
        intercept=float(dice.mean() - middle @ weights),
        weights=tuple(map(float, weights)),
        low=tuple(map(float, values.min(0))),
        high=tuple(map(float, values.max(0))),
    )
