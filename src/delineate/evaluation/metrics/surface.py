"""Distances between the boundaries of two masks.

Boundary: `Masks.edges`, pixels with a face neighbor in the background, each counting once (as MONAI and MedPy do); for the names
that end in `weighted` the surface elements of `Masks.surfaces`, each counting by its length or area (as Nikolov et al. do,
J. Med. Internet Res. 23 (2021) e26151, in the package surface-distance). What is outside the array counts as background.

With P→R the distances of the prediction's boundary to the reference's, and R→P the reverse. Distances are in [0, ∞) in the
spacing's unit, lower is better; if one of the masks or both are empty they are NaN. NSD is in [0, 1], higher is better; both
empty → 1, a miss or a false positive → 0. All are symmetric in prediction and reference.
"""

from __future__ import annotations

import math

import numpy as np

from delineate.evaluation.metrics.masks import Masks, Values

__all__ = [
    "TOLERANCE",
    "assd",
    "assd_weighted",
    "hausdorff",
    "hd95_max",
    "hd95_pooled",
    "hd95_weighted",
    "masd",
    "nsd",
    "nsd_weighted",
]

_ROBUST = 95
"""Percentile of the HD95."""
TOLERANCE = 2.0
"""Of the NSD where none is given, in the spacing's unit."""


def hausdorff(masks: Masks) -> float:
    """max(max P→R, max R→P): Hausdorff, Grundzüge der Mengenlehre (1914)."""
    if not masks.both:
        return math.nan
    return float(max(part.max() for part in masks.distances))


def hd95_max(masks: Masks) -> float:
    """max(95th percentile of P→R, 95th percentile of R→P), percentiles interpolated linearly. (MONAI.)"""
    if not masks.both:
        return math.nan
    return float(max(np.percentile(part, _ROBUST) for part in masks.distances))


def hd95_pooled(masks: Masks) -> float:
    """95th percentile of P→R and R→P taken together, interpolated linearly. (MedPy.)"""
    if not masks.both:
        return math.nan
    return float(np.percentile(np.concatenate(masks.distances), _ROBUST))


def hd95_weighted(masks: Masks) -> float:
    """max over both directions of the distance within which 95 % of the contour's length (surface's area) lies.

    The smallest distance whose share reaches 95 %, not interpolated. (surface-distance's robust Hausdorff distance.)
    """
    if not masks.both:
        return math.nan
    return max(_weighted_percentile(*part) for part in masks.surfaces)


def assd(masks: Masks) -> float:
    """Mean of P→R and R→P taken together, so that a longer boundary weighs more. (MedPy from 0.5 on, MONAI's symmetric form.)"""
    if not masks.both:
        return math.nan
    return float(np.concatenate(masks.distances).mean())


def masd(masks: Masks) -> float:
    """(mean of P→R + mean of R→P) / 2, both boundaries weigh the same. (MedPy's `assd` before 0.5.)"""
    if not masks.both:
        return math.nan
    return float(sum(part.mean() for part in masks.distances)) / 2


def assd_weighted(masks: Masks) -> float:
    """Σ distance·size / Σ size over the surface elements of both masks."""
    if not masks.both:
        return math.nan
    return sum(float(far @ size) for far, size in masks.surfaces) / sum(float(size.sum()) for _, size in masks.surfaces)


def nsd(masks: Masks, tolerance: float = TOLERANCE) -> float:
    """Share of the boundary pixels of both masks that are at most `tolerance` (spacing's unit) from the other boundary. (MONAI.)"""
    if not masks.both:
        return float(masks.outcome == "both_empty")
    far = np.concatenate(masks.distances)
    return float(np.count_nonzero(far <= tolerance)) / far.size


def nsd_weighted(masks: Masks, tolerance: float = TOLERANCE) -> float:
    """Share of both contours' length (surfaces' area) that is at most `tolerance` (spacing's unit) from the other boundary.

    (Nikolov et al. 2021.)
    """
    if not masks.both:
        return float(masks.outcome == "both_empty")
    within = sum(float(size[far <= tolerance].sum()) for far, size in masks.surfaces)
    return within / sum(float(size.sum()) for _, size in masks.surfaces)


def _weighted_percentile(far: Values, size: Values) -> float:
    order = np.lexsort((size, far))
    share = np.cumsum(size[order]) / np.sum(size)
    return float(far[order][min(int(np.searchsorted(share, _ROBUST / 100)), far.size - 1)])
