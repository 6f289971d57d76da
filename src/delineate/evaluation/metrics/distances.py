"""Boundary pixels, and the exact distance from each point of one set to the nearest of another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

__all__ = [
    "Points",
    "edge_points",
    "nearest",
    "points",
]

Points = NDArray[np.intp]
"""Indices n×axes."""
_DENSE = 0.1
"""Share of the array's pixels above which a distance transform of all pixels is faster than a tree of the points.

(`benchmarks/metrics.py --routes` measures both, and OpenCV's transform, which is faster than the tree for dense points of equal
spacing in 2-D only: boundaries are not that dense.)"""


def edge_points(mask: NDArray[np.bool_]) -> Points:
    """Pixels of `mask` with a face neighbor (4 in 2-D, 6 in 3-D) that is not; the array's rim must be background."""
    inner = (slice(1, -1),) * mask.ndim
    deep = mask[inner].copy()
    for axis in range(mask.ndim):
        for side in (slice(None, -2), slice(2, None)):
            deep &= mask[(*inner[:axis], side, *inner[axis + 1 :])]
    edge = mask.copy()
    edge[inner] &= ~deep
    return points(edge)


def points(mask: NDArray[np.bool_]) -> Points:
    """Indices n×axes of the true pixels, in the array's order. (Faster than `numpy.argwhere`.)"""
    return np.stack(np.unravel_index(np.flatnonzero(mask), mask.shape), axis=1)


def nearest(queries: Points, targets: Points, shape: tuple[int, ...], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Euclidean distance of each query to the nearest target: √Σ((i − j)·spacing)², in float64.

    Both are indices into an array of `shape`; there is at least one target.
    """
    if len(queries) + len(targets) > 2 * _DENSE * math.prod(shape):
        away = np.ones(shape, bool)
        away[tuple(targets.T)] = False
        return distance_transform_edt(away, sampling=spacing)[tuple(queries.T)]
    scale = np.asarray(spacing, np.float64)
    tree = cKDTree(targets * scale, balanced_tree=False, compact_nodes=False)
    _, found = tree.query(queries * scale)
    # From the indices' differences, not from scaled coordinates: these are free of rounding, so that a distance of
    # exactly the tolerance counts as within it.
    steps = (queries - targets[found]) * scale
    return np.sqrt(np.einsum("ij,ij->i", steps, steps))
