"""clDice: does a tubular structure's center line lie in the other mask? For vessels, nerves, roads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delineate.evaluation.metrics.masks import Masks

__all__ = ["cldice"]


def cldice(masks: Masks) -> float:
    """2·T·S / (T + S), T = |skeleton(P) ∩ R| / |skeleton(P)|, S = |skeleton(R) ∩ P| / |skeleton(R)|: Shit et al., CVPR 2021.

    In [0, 1] without unit, higher is better; blind to a tube's width. Skeletons are scikit-image's: Zhang and Suen, CACM 27
    (1984) 236, in 2-D, Lee et al., CVGIP 56 (1994) 462, in 3-D; each pixel counts once, spacing plays no part. Both
    empty → 1; a miss or a false positive → 0.
    """
    if not masks.both:
        return float(masks.outcome == "both_empty")
    prediction, reference = masks.cropped
    precision, sensitivity = _inside(prediction, reference), _inside(reference, prediction)
    total = precision + sensitivity
    return 2 * precision * sensitivity / total if total else 0.0


def _inside(tube: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Share of the tube's skeleton that lies in the other mask."""
    line = _skeleton(tube)
    return float(np.count_nonzero(line & other) / np.count_nonzero(line))


def _skeleton(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from skimage.morphology import skeletonize  # here, since its import takes longer than everything else of the room

    line: NDArray[np.bool_] = skeletonize(mask)  # type: ignore[no-untyped-call]
    return line if line.any() else mask  # thinning in 3-D can wear a tiny blob away
