"""What Dice a mask will have, from how sure the model is of it: a weighted sum that `calibrate` has fitted on validation cases.

Of each class or region that the mask has, three numbers: the log-odds of the mean probability inside of the mask; those of the
share of all its probability that lies inside; the logarithm of the mask's share of the image. Where the mask lacks it, one: the
log-odds that the likeliest pixel is something else. The Dice of a case is the mean over all classes or regions; of one that neither
mask nor reference has it is 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.calibration import DiceLine, ExpectedDice
from delineate.inference.doubt import CaseDoubt, DoubtSums

__all__ = ["DiceFeatures", "case_doubt", "expected"]

_Lines = Mapping[str, DiceLine]
_ENDS = 0.01
"""Shares are brought this far from 0 and 1 before log-odds are taken: beyond, they are the network's manner more than knowledge."""


@dataclass(frozen=True)
class DiceFeatures:
    """Of the classes or regions of one case."""

    present: NDArray[np.bool_]
    """Whether the mask has each."""
    found: NDArray[np.float64]
    """Structures×3; of use where it is present."""
    missing: NDArray[np.float64]
    """Structures×1; of use where it is not."""

    @classmethod
    def of(cls, sums: DoubtSums) -> DiceFeatures:
        """From what was summed over the pixels of a case."""
        marked = np.maximum(sums.marked, 1)
        inside, share = sums.met / marked, sums.met / np.maximum(sums.expected, 1e-9)
        found = np.stack([_log_odds(inside), _log_odds(share), np.log(marked / sums.pixels)], axis=1)
        return cls(sums.marked > 0, found, _log_odds(1 - sums.most)[:, None])


def expected(found: _Lines, missing: _Lines, sums: DoubtSums) -> dict[str, float]:
    """The Dice of each class or region of a case, in [0, 1]. `found`, `missing`: as in `ExpectedDice`."""
    features = DiceFeatures.of(sums)
    result = {}
    for at, name in enumerate(sums.names):
        here = features.present[at]
        line, values = (found[name], features.found[at]) if here else (missing[name], features.missing[at])
        inside = np.clip(values, line.low, line.high)
        result[name] = float(np.clip(line.intercept + inside @ np.asarray(line.weights), 0, 1))
    return result


def case_doubt(sums: DoubtSums, model: ExpectedDice | None) -> CaseDoubt:
    """How sure a model is of a case, with the Dice that is expected where the model knows it."""
    case = sums.case
    if model is None:
        return case
    told = expected(model.found, model.missing, sums)
    dice, error = float(np.mean(list(told.values()))), model.error.value
    words = f"validation expects a Dice of {dice:.2f} ± {error:.2f}"
    if len(told) > 1:
        least = min(told, key=lambda name: told[name])
        words += f", {told[least]:.2f} of {least}"
    return replace(case, expected_dice=dice, expected_error=error, reason=f"{words}; {case.reason}")


def _log_odds(share: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(share, _ENDS, 1 - _ENDS)
    return np.log(inside / (1 - inside))
