"""Weights that rise while a stage is trained."""

from __future__ import annotations

import math

__all__ = ["sigmoid_ramp"]


def sigmoid_ramp(progress: float, length: float) -> float:
    """exp(−5 (1 − t)²) with t = progress / length, at most 1 (Laine, Aila: Temporal ensembling, ICLR 2017).

    Args:
        progress: Share of the stage that is done, as `Context.progress`.
        length: Share of the stage in which the weight rises; 0: it is 1 at once.

    Returns:
        Factor from .0067 at the start to 1.

    Example:
        >>> from delineate.nn.ramps import sigmoid_ramp
        >>> round(sigmoid_ramp(0, 0.5), 4), sigmoid_ramp(0.5, 0.5)
        (0.0067, 1.0)
    """
    done = min(1.0, progress / length) if length else 1.0
    return math.exp(-5 * (1 - done) ** 2)
