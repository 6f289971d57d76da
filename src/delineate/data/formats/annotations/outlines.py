"""Outlines → pixels: the one rule by which polygons, circles and bitmaps of annotation files become masks.

A pixel belongs to an outline when its center lies inside. Coordinates are those of labeling tools: (0, 0) is the upper left
corner of the picture, so the pixel in row 0 and column 0 has its center at (0.5, 0.5). A center exactly on the outline belongs to
it on the left and upper side and not on the right and lower side, so that neighbors with a common border share no pixel. An
outline that crosses itself is filled by the even-odd rule; what lies outside of the picture is cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Bitmap",
    "Circle",
    "Mark",
    "Outline",
    "Region",
    "Segment",
    "Size",
    "checked_points",
    "encloses",
    "hidden",
    "outline",
    "painted",
    "polygon",
    "rectangle",
]

Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True)
class Region:
    """A rectangle of a picture, and which of its pixels are meant."""

    top: int
    left: int
    inside: NDArray[np.bool_]

    def slices(self) -> tuple[slice, slice]:
        """Where it lies in the picture."""
        height, width = self.inside.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


_NOWHERE = Region(0, 0, np.zeros((0, 0), np.bool_))


class Segment(Protocol):
    """A shape that can be put on the grid of a picture."""

    def on(self, size: Size) -> Region:
        """Its pixels within a picture of that size."""

    def content(self) -> bytes:
        """What it is known by: equal for equal shapes alone."""


@dataclass(frozen=True)
class Mark:
    """One object of an annotation file: the value of its pixels, and the shapes whose union it is."""

    value: int
    segments: tuple[Segment, ...]
    name: str = ""
    """What the file calls it, for messages."""


@dataclass(frozen=True, eq=False)
class Outline:
    """A closed polygon. `points`: N×2, (x, y) of each corner."""

    points: NDArray[np.float64]

    def on(self, size: Size) -> Region:
        """By the crossings of each row's center line with the edges: between an odd one and the next, centers lie inside."""
        if len(self.points) < 3:
            return _NOWHERE
        corners = np.stack([self.points, np.roll(self.points, -1, axis=0)])
        # Each edge from its upper end to its lower one: two outlines round its crossings alike, whichever way they go along it.
        corners = np.where(
            corners[0, :, 1] <= corners[1, :, 1], corners.transpose(2, 0, 1), corners[::-1].transpose(2, 0, 1)
        )
        (x0, x1), (y0, y1) = corners
        top, bottom = _centers(y0.min(), y1.max(), size[0])
        left, right = _centers(self.points[:, 0].min(), self.points[:, 0].max(), size[1])
        if top >= bottom or left >= right:
            return _NOWHERE
        # Rows whose center line an edge crosses: from the first center at or below its upper end to the last above its lower end.
        first = np.clip(np.ceil(y0 - 0.5), top, bottom).astype(np.int64)
        last = np.clip(np.ceil(y1 - 0.5), top, bottom).astype(np.int64)
        each = last - first
        edge = np.repeat(np.arange(len(each)), each)
        row = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each) + first[edge]
        share = (row + 0.5 - y0[edge]) / (y1[edge] - y0[edge])
        column = np.ceil(x0[edge] + share * (x1[edge] - x0[edge]) - 0.5)
        column = np.clip(column, left, right).astype(np.int64)
        width = right - left + 1
        flips = np.bincount((row - top) * width + column - left, minlength=(bottom - top) * width)
        odd = np.cumsum(flips.reshape(-1, width)[:, :-1], axis=1, dtype=np.int32) & 1
        return Region(top, left, odd.astype(np.bool_))

    def content(self) -> bytes:
        return b"outline" + self.points.tobytes()


@dataclass(frozen=True)
class Circle:
    """All pixels whose center is no farther from (x, y) than the radius."""

    x: float
    y: float
    radius: float

    def on(self, size: Size) -> Region:
        top, bottom = _centers(self.y - self.radius, self.y + self.radius, size[0], closed=True)
        left, right = _centers(self.x - self.radius, self.x + self.radius, size[1], closed=True)
        if top >= bottom or left >= right:
            return _NOWHERE
        rows = np.arange(top, bottom)[:, None] + 0.5 - self.y
        columns = np.arange(left, right)[None, :] + 0.5 - self.x
        return Region(top, left, rows**2 + columns**2 <= self.radius**2)

    def content(self) -> bytes:
        return b"circle" + np.array([self.x, self.y, self.radius]).tobytes()


@dataclass(frozen=True, eq=False)
class Bitmap:
    """Pixels that are given one by one, from row `top` and column `left` on."""

    top: int
    left: int
    inside: NDArray[np.bool_]

    def on(self, size: Size) -> Region:
        height, width = self.inside.shape
        top, left = max(0, self.top), max(0, self.left)
        bottom, right = min(size[0], self.top + height), min(size[1], self.left + width)
        if top >= bottom or left >= right:
            return _NOWHERE
        return Region(top, left, self.inside[top - self.top : bottom - self.top, left - self.left : right - self.left])

    def content(self) -> bytes:
        where = np.array([self.top, self.left, *self.inside.shape], np.int64)
        return b"bitmap" + where.tobytes() + np.packbits(self.inside).tobytes()


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Outline:
    """A rectangle by two opposite corners."""
    return Outline(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64))


def outline(numbers: Sequence[float] | NDArray[np.float64]) -> Outline:
    """A polygon from x, y, x, y … Raises `ValueError` for an odd number of them, and for what is no finite number."""
    if len(numbers) % 2:
        raise ValueError(f"an outline of {len(numbers)} numbers, which are no pairs of x and y")
    return Outline(checked_points(np.asarray(numbers, np.float64).reshape(-1, 2)))


def polygon(points: NDArray[np.float64]) -> Outline:
    """A polygon of N×2 corners. Raises `ValueError` for fewer than three of them, and as `checked_points`."""
    if len(points) < 3:
        raise ValueError(f"an outline of {len(points)} corners")
    return Outline(checked_points(points))


def checked_points(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points; raises `ValueError` where one is not finite."""
    if not np.isfinite(points).all():
        raise ValueError("an outline with a corner that is no finite number")
    return points


def encloses(points: NDArray[np.float64], point: NDArray[np.float64]) -> bool:
    """Whether a point lies inside of an outline, by the even-odd rule."""
    (x, y), ends = point, np.roll(points, -1, axis=0)
    crossing = (points[:, 1] > y) != (ends[:, 1] > y)
    start, end = points[crossing], ends[crossing]
    at = start[:, 0] + (y - start[:, 1]) / (end[:, 1] - start[:, 1]) * (end[:, 0] - start[:, 0])
    return bool((at > x).sum() % 2)


def painted(marks: Iterable[Mark], size: Size) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The marks on an empty picture, 0 where there is none; where they overlap, the later one is on top."""
    marks = list(marks)
    wide = max((mark.value for mark in marks), default=0) > np.iinfo(np.uint8).max
    mask = np.zeros(size, np.uint16 if wide else np.uint8)
    for mark in marks:
        for segment in mark.segments:
            region = segment.on(size)
            mask[region.slices()][region.inside] = mark.value
    return mask


def hidden(marks: Sequence[Mark], size: Size) -> int:
    """Pixels at which marks of different values overlap, so that their order decides."""
    seen, lost = np.zeros(size, np.uint32), np.zeros(size, np.bool_)
    for mark in marks:
        for segment in mark.segments:
            region = segment.on(size)
            there = seen[region.slices()]
            lost[region.slices()] |= region.inside & (there > 0) & (there != mark.value + 1)
            there[region.inside] = mark.value + 1
    return int(lost.sum())


def _centers(low: float, high: float, size: int, *, closed: bool = False) -> tuple[int, int]:
    """The pixels along an axis whose centers lie between two coordinates: the first, and one behind the last."""
    first = np.clip(np.ceil(low - 0.5), 0, size)
    behind = np.clip(np.floor(high - 0.5) + 1 if closed else np.ceil(high - 0.5), 0, size)
    return int(first), int(behind)
