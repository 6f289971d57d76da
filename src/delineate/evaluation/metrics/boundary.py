"""Boundary IoU: the IoU of the bands inside the two contours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delineate.evaluation.metrics.masks import Masks

__all__ = ["RATIO", "boundary_iou"]

RATIO = 0.02
"""Width of the band as a share of the image's diagonal, as in the paper."""


def boundary_iou(masks: Masks, ratio: float = RATIO) -> float:
    """|P_d ∩ R_d| / |P_d ∪ R_d|, P_d the pixels of P at most d from its outside: Cheng et al., CVPR 2021.

    In [0, 1] without unit, higher is better. d = `ratio` · the image's diagonal, along each axis a whole number of pixels, at
    least 1; distance is the chessboard's, and what is outside the image counts as outside, as the authors compute it. (They
    have 2-D only; in 3-D the diagonal is the volume's.) Both empty → 1; a miss or a false positive → 0.
    """
    if not masks.both:
        return float(masks.outcome == "both_empty")
    widths = [max(1, round(ratio * masks.diagonal / size)) for size in masks.spacing]
    ours, theirs = (mask & ~_eroded(mask, widths) for mask in masks.cropped)
    return float(np.count_nonzero(ours & theirs) / np.count_nonzero(ours | theirs))


def _eroded(mask: NDArray[np.bool_], widths: list[int]) -> NDArray[np.bool_]:
    """Pixels whose whole neighborhood, `widths` to each side of each axis, is in the mask and in the array."""
    deep = mask
    for axis, width in enumerate(widths):
        deep = _runs(deep, axis, 2 * width + 1)
    eroded = np.zeros_like(mask)
    if deep.size:
        eroded[tuple(slice(width, n - width) for width, n in zip(widths, mask.shape, strict=True))] = deep
    return eroded


def _runs(mask: NDArray[np.bool_], axis: int, length: int) -> NDArray[np.bool_]:
    """Where a run of `length` pixels along an axis is all true; shorter by length − 1. (By doubling: log₂ length steps.)"""
    n = mask.shape[axis]
    if n < length:
        return mask.take([], axis)
    done = 1
    while done < length:
        step = min(done, length - done)
        ahead, behind = (_along(mask, axis, part) for part in (slice(step, None), slice(None, -step)))
        mask = behind & ahead
        done += step
    return mask


def _along(mask: NDArray[np.bool_], axis: int, part: slice) -> NDArray[np.bool_]:
    return mask[(*(slice(None),) * axis, part)]
