"""Masks → COCO's segmentations that say them exactly: polygons along the edges of pixels, or run lengths where there are holes.

Every polygon is drawn again by the rule that reads it (`formats.annotations.outlines`), and compared, before it is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.formats.annotations import run_lengths
from delineate.data.formats.annotations.outlines import Mark, Outline, painted

__all__ = ["Bits", "Region", "annotation_of", "objects_of", "polygons_of"]

Bits = NDArray[np.bool_]
_DIAGONAL, _STRAIGHT = 8, 4
"""Neighbors of a pixel that belong to its object; those that belong to its polygon."""


@dataclass(frozen=True)
class Region:
    """Pixels of a picture: a rectangle of it, and which of its pixels are meant."""

    inside: Bits
    top: int = 0
    left: int = 0


def objects_of(mask: Bits) -> list[Region]:
    """The connected regions of a mask; pixels that touch at a corner are connected."""
    number, regions, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=_DIAGONAL)
    found = []
    for at in range(1, number):
        left, top, width, height = (int(value) for value in boxes[at][:4])
        found.append(Region(regions[top : top + height, left : left + width] == at, top, left))
    return found


def annotation_of(region: Region, size: tuple[int, ...]) -> dict[str, Any]:
    """Segmentation, box and area of a region with at least one pixel, in a picture of that height and width, as COCO has them."""
    rows, columns = np.flatnonzero(region.inside.any(axis=1)), np.flatnonzero(region.inside.any(axis=0))
    tight = region.inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    found = Region(tight, region.top + int(rows[0]), region.left + int(columns[0]))
    return {
        "segmentation": polygons_of(found) or _runs(found, size),
        "bbox": [found.left, found.top, tight.shape[1], tight.shape[0]],
        "area": int(tight.sum()),
        "iscrowd": 0,
    }


def polygons_of(region: Region) -> list[list[int]] | None:
    """Corners x, y, x, y … of a polygon for each part of a region; None where polygons cannot say it, since a part has a hole."""
    mask = region.inside
    number, parts, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=_STRAIGHT)
    found = []
    for at in range(1, number):
        left, top, width, height = (int(value) for value in boxes[at][:4])
        part = parts[top : top + height, left : left + width] == at
        # Twice as large, the middles of the border's pixels tell on which side of the pixel its edge lies.
        doubled = np.kron(part.astype(np.uint8), np.ones((2, 2), np.uint8))
        outlines, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        if len(outlines) != 1:
            return None
        corners = _corners((outlines[0].reshape(-1, 2).astype(np.int64) + 1) // 2)
        found.append(corners + np.array([left, top]))
    drawn = painted([Mark(1, tuple(Outline(points.astype(np.float64)) for points in found))], mask.shape[:2])
    if not np.array_equal(drawn > 0, mask):
        return None
    return [(points + np.array([region.left, region.top])).ravel().tolist() for points in found]


def _corners(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """A closed line without the points at which it goes straight on, or stays."""
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    return points[(np.sign(before) != np.sign(after)).any(axis=1)]


def _runs(region: Region, size: tuple[int, ...]) -> dict[str, Any]:
    height, width = region.inside.shape
    mask = np.zeros(size, np.bool_)
    mask[region.top : region.top + height, region.left : region.left + width] = region.inside
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": run_lengths.encode(mask)}
