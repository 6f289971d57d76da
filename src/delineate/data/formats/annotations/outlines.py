"""Outlines → pixels: the one rule by which polygons, circles and bitmaps of annotation files become masks.

A pixel belongs to an outline when its center lies inside. Coordinates are those of labeling tools: (0, 0) is the upper left
corner of the picture, so the pixel in row 0 and column 0 has its center at (0.5, 0.5). A center exactly on the outline belongs to
it on the left and upper side and not on the right and lower side, so that neighbors with a common border share no pixel. An
outline that crosses itself is filled by the even-odd rule; what lies outside of the picture is cut off.

A part of a picture is drawn without the rest, and has the pixels that it has in the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = [
    "Bitmap",
    "Circle",
    "Mark",
    "Outline",
    "Part",
    "Region",
    "Rings",
    "Segment",
    "Size",
    "boxes_of",
    "checked_points",
    "encloses",
    "hidden",
    "mask_type",
    "outline",
    "painted",
    "polygon",
    "rectangle",
]

Size = tuple[int, int]
"""Height and width."""
Part = tuple[int, int, int, int]
"""A rectangle of a picture: its first row and column, and those behind its last."""


@dataclass(frozen=True)
class Region:
    """A rectangle of a picture, and which of its pixels are meant."""

    top: int
    left: int
    inside: NDArray[np.bool_]

    def slices(self, top: int = 0, left: int = 0) -> tuple[slice, slice]:
        """Where it lies in the picture, or in a part of it whose first row and column are given."""
        height, width = self.inside.shape
        top, left = self.top - top, self.left - left
        return slice(top, top + height), slice(left, left + width)


_NOWHERE = Region(0, 0, np.zeros((0, 0), np.bool_))


class Segment(Protocol):
    """A shape that can be put on the grid of a picture."""

    def on(self, size: Size, part: Part | None = None) -> Region:
        """Its pixels within a picture of that size, or within a part of it."""

    def box(self, size: Size) -> tuple[float, float, float, float]:
        """A rectangle that it does not leave: top, left, bottom, right."""

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

    def on(self, size: Size, part: Part | None = None) -> Region:
        return _filled([self.points], part or (0, 0, *size))

    def box(self, size: Size) -> tuple[float, float, float, float]:
        return _bounds(self.points)

    def content(self) -> bytes:
        return b"outline" + self.points.tobytes()


@dataclass(frozen=True, eq=False)
class Rings:
    """A polygon with holes: its outer ring and those of the holes, filled together by the even-odd rule."""

    rings: tuple[NDArray[np.float64], ...]

    def on(self, size: Size, part: Part | None = None) -> Region:
        return _filled(self.rings, part or (0, 0, *size))

    def box(self, size: Size) -> tuple[float, float, float, float]:
        return _bounds(np.concatenate(self.rings))

    def content(self) -> bytes:
        lengths = np.array([len(ring) for ring in self.rings], np.int64)
        return b"rings" + lengths.tobytes() + b"".join(ring.tobytes() for ring in self.rings)


@dataclass(frozen=True)
class Circle:
    """All pixels whose center is no farther from (x, y) than the radius."""

    x: float
    y: float
    radius: float

    def on(self, size: Size, part: Part | None = None) -> Region:
        first, start, last, end = part or (0, 0, *size)
        top, bottom = _centers(self.y - self.radius, self.y + self.radius, (first, last), closed=True)
        left, right = _centers(self.x - self.radius, self.x + self.radius, (start, end), closed=True)
        if top >= bottom or left >= right:
            return _NOWHERE
        rows = np.arange(top, bottom)[:, None] + 0.5 - self.y
        columns = np.arange(left, right)[None, :] + 0.5 - self.x
        return Region(top, left, rows**2 + columns**2 <= self.radius**2)

    def box(self, size: Size) -> tuple[float, float, float, float]:
        return self.y - self.radius, self.x - self.radius, self.y + self.radius, self.x + self.radius

    def content(self) -> bytes:
        return b"circle" + np.array([self.x, self.y, self.radius]).tobytes()


@dataclass(frozen=True, eq=False)
class Bitmap:
    """Pixels that are given one by one, from row `top` and column `left` on."""

    top: int
    left: int
    inside: NDArray[np.bool_]

    def on(self, size: Size, part: Part | None = None) -> Region:
        height, width = self.inside.shape
        first, start, last, end = part or (0, 0, *size)
        top, left = max(first, self.top), max(start, self.left)
        bottom, right = min(last, self.top + height), min(end, self.left + width)
        if top >= bottom or left >= right:
            return _NOWHERE
        return Region(top, left, self.inside[top - self.top : bottom - self.top, left - self.left : right - self.left])

    def box(self, size: Size) -> tuple[float, float, float, float]:
        height, width = self.inside.shape
        return self.top, self.left, self.top + height, self.left + width

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


def painted(
    marks: Iterable[Mark], size: Size, part: Part | None = None, dtype: DTypeLike | None = None
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The marks on an empty picture, 0 where there is none; where they overlap, the later one is on top.

    `part`: what of the picture is drawn; all of it without. `dtype`: of the mask; the smallest that holds the values without.
    """
    marks = list(marks)
    top, left, bottom, right = part or (0, 0, *size)
    mask = np.zeros((bottom - top, right - left), dtype or mask_type(marks))
    for mark in marks:
        for segment in mark.segments:
            region = segment.on(size, part)
            mask[region.slices(top, left)][region.inside] = mark.value
    return mask


def mask_type(marks: Iterable[Mark]) -> type[np.uint8] | type[np.uint16]:
    """The smallest type that holds the values."""
    return np.uint16 if max((mark.value for mark in marks), default=0) > np.iinfo(np.uint8).max else np.uint8


def boxes_of(marks: Sequence[Mark], size: Size) -> NDArray[np.float64]:
    """A rectangle around each mark: N×4, as `Segment.box` gives them; an empty one where a mark has no shape."""
    boxes = np.full((len(marks), 4), (np.inf, np.inf, -np.inf, -np.inf))
    for box, mark in zip(boxes, marks, strict=True):
        for segment in mark.segments:
            own = segment.box(size)
            box[:2], box[2:] = np.minimum(box[:2], own[:2]), np.maximum(box[2:], own[2:])
    return boxes


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


def _filled(rings: Sequence[NDArray[np.float64]], part: Part) -> Region:
    """By the crossings of each row's center line with the edges: between an odd one and the next, centers lie inside.

    Slides have a hundred thousand small outlines, so the number of calls counts here, more than that of corners.
    """
    rings = [ring for ring in rings if len(ring) > 2]
    if not rings:
        return _NOWHERE
    starts = np.concatenate(rings)
    ends = np.concatenate([piece for ring in rings for piece in (ring[1:], ring[:1])])
    top, bottom = _centers(starts[:, 1].min(), starts[:, 1].max(), (part[0], part[2]))
    left, right = _centers(starts[:, 0].min(), starts[:, 0].max(), (part[1], part[3]))
    if top >= bottom or left >= right:
        return _NOWHERE
    # Each edge from its upper end to its lower one: two outlines round its crossings alike, whichever way they go along it.
    down = starts[:, 1:] <= ends[:, 1:]
    (x0, y0), (x1, y1) = np.where(down, starts, ends).T, np.where(down, ends, starts).T
    # Rows whose center line an edge crosses: from the first center at or below its upper end to the last above its lower end.
    first = _within(np.ceil(y0 - 0.5), top, bottom)
    each = _within(np.ceil(y1 - 0.5), top, bottom) - first
    edge = np.repeat(np.arange(len(each)), each)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(each) - each, each) + first[edge]
    share = (row + 0.5 - y0[edge]) / (y1[edge] - y0[edge])
    column = np.ceil(x0[edge] + share * (x1[edge] - x0[edge]) - 0.5)
    column = _within(column, left, right)  # crossings left of the part count at its border
    width = right - left + 1
    flips = np.bincount((row - top) * width + column - left, minlength=(bottom - top) * width)
    odd = np.cumsum(flips.reshape(-1, width)[:, :-1], axis=1, dtype=np.int32) & 1
    return Region(top, left, odd.astype(np.bool_))


def _within(values: NDArray[np.float64], low: int, high: int) -> NDArray[np.int64]:
    return np.minimum(np.maximum(values, low), high).astype(np.int64)


def _bounds(points: NDArray[np.float64]) -> tuple[float, float, float, float]:
    if not len(points):
        return math.inf, math.inf, -math.inf, -math.inf
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return top, left, bottom, right


def _centers(low: float, high: float, limits: tuple[int, int], *, closed: bool = False) -> tuple[int, int]:
    """The pixels along an axis whose centers lie between two coordinates: the first, and one behind the last; within limits."""
    lowest, highest = limits
    low, high = (min(max(one, lowest - 1), highest + 1) for one in (low, high))
    behind = math.floor(high - 0.5) + 1 if closed else math.ceil(high - 0.5)
    return max(math.ceil(low - 0.5), lowest), min(max(behind, lowest), highest)
