"""The flat border around a picture: the black ring of a fundus camera, the corners of an endoscope, the dark around an
ultrasound sector.

All pictures of a device share it, and its sharp edge would dominate a comparison. It is found in each picture by itself and removed
before pictures are compared.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["fill_border", "inside_border"]

_Plane = NDArray[np.float32]
_Seen = NDArray[np.bool_]

_FLAT = 0.04
"""A frame's values lie within this share of the picture's range."""
_LEAST_FRAME = 0.01
_LEAST_SEEN = 0.2
"""Shares of the picture: a smaller frame does no harm, and a larger one is a dark background with objects in it."""
_WHOLE = 0.6
_SOLID = 0.9
"""The picture inside a frame is one piece without bays: it holds at least this share of what is not frame, and of its convex hull.
Objects on a dark background do not."""
_LETTERING = 0.1
"""Parts smaller than this share of the largest one are lettering on the frame."""
_CORNER = 4
_RIM = 2
"""Pixels inside of the edge that still feel it."""


def inside_border(plane: _Plane) -> _Seen | None:
    """Where a gray picture is more than its frame, True there; None for a picture without one.

    Values of a small copy (about 100×100 pixels) in any unit. A frame starts in a corner, is flat and is the darkest or the
    brightest that there is; what is written on it belongs to it.
    """
    low, high = np.percentile(plane, (1, 99))
    flat = _FLAT * max(float(high - low), 1e-6)
    frame = np.zeros(plane.shape, bool)
    for rows in (slice(None, _CORNER), slice(-_CORNER, None)):
        for columns in (slice(None, _CORNER), slice(-_CORNER, None)):
            corner = plane[rows, columns]
            level = float(np.median(corner))
            if np.ptp(corner) <= 2 * flat and not low + 2 * flat < level < high - 2 * flat:
                frame |= _connected(np.abs(plane - level) <= flat, rows, columns)
    if frame.mean() < _LEAST_FRAME:
        return None
    seen = _without_lettering(~frame)
    if seen.mean() < _LEAST_SEEN or seen.sum() < max(_WHOLE * (~frame).sum(), _SOLID * _hull_area(seen)):
        return None
    return cv2.erode(seen.astype(np.uint8), np.ones((2 * _RIM + 1,) * 2, np.uint8), borderValue=1) > 0


def fill_border(plane: _Plane, seen: _Seen) -> _Plane:
    """The picture with its frame overpainted by the nearest pixels inside, so that nothing of the frame's edge is left."""
    outside = (~seen).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros(int(labels.max()) + 1, np.float32)
    values[labels[seen]] = plane[seen]
    return np.asarray(np.where(seen, plane, values[labels]), np.float32)


def _hull_area(mask: _Seen) -> float:
    # The first and last pixels of the rows have the hull of all pixels, at a twentieth of the time.
    rows = np.flatnonzero(mask.any(axis=1))
    ends = mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    hull = cv2.convexHull(np.concatenate([np.stack([each, rows], axis=1) for each in ends]).astype(np.int32))
    filled = cv2.fillConvexPoly(np.zeros(mask.shape, np.uint8), hull, 1)
    return float(filled.sum())


def _connected(mask: _Seen, rows: slice, columns: slice) -> _Seen:
    """The connected parts of a mask that reach into a corner."""
    number, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    chosen = np.zeros(number, bool)
    chosen[labels[rows, columns].ravel()] = True
    chosen[0] = False
    return np.asarray(chosen[labels])


def _without_lettering(mask: _Seen) -> _Seen:
    """The large connected parts of a mask."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return mask
    large = np.append(False, areas >= _LETTERING * areas.max())
    return np.asarray(large[labels])
