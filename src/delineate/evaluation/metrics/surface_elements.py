"""Surface elements of a mask: pieces of contour (2-D) or surface (3-D) between neighboring pixels, with their sizes.

Pixel centers are the corners of a dual grid. In each of its cells (2×2 or 2×2×2 pixels) the surface runs through the
midpoints of the edges that join a pixel of the mask with one of the background (Lorensen and Cline, Computer Graphics 21
(1987) 163: marching cubes at level ½). A cell that has any surface is one element; its size is the length (area) of all
pieces inside. Sizes follow from these rules:

- on a face whose pixels alternate, the rarer kind of the cell's pixels is cut off, corner by corner;
- a polygon through more than three midpoints is filled with triangles, those of the largest total area at spacing 1. (Where several
  are largest, they agree at every spacing.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from delineate.evaluation.metrics.distances import Points, points

__all__ = [
    "Corner",
    "Point",
    "Segment",
    "Vectors",
    "element_sizes",
    "surface_elements",
]

Corner = tuple[int, ...]
Point = tuple[float, ...]
Segment = tuple[Point, Point]
Vectors = NDArray[np.float64]


def surface_elements(mask: NDArray[np.bool_], spacing: Sequence[float]) -> tuple[Points, NDArray[np.float64]]:
    """Indices n×axes of the cells that the surface crosses, and the length (2-D) or area (3-D) of each one's piece.

    A cell's index is that of its first pixel; the array's rim must be background. Sizes are in the spacing's unit.
    """
    codes = np.zeros(tuple(n - 1 for n in mask.shape), np.uint8)
    for bit, corner in enumerate(_corners(mask.ndim)):
        window = mask[tuple(slice(c, n - 1 + c) for c, n in zip(corner, mask.shape, strict=True))]
        codes |= window.view(np.uint8) << bit
    full = 2 ** (2**mask.ndim) - 1
    cells = points((codes != 0) & (codes != full))
    return cells, element_sizes(tuple(spacing))[codes[tuple(cells.T)]]


def element_sizes(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Size of the surface in a cell for each pattern of its pixels, a bit per corner in `itertools.product` order."""
    if len(spacing) == 2:
        steps = _patterns_2d() * np.array(spacing)
        return np.sqrt((steps**2).sum(-1)).sum(-1)
    across = np.array(spacing).prod() / np.array(spacing)
    return np.sqrt(((_patterns_3d() * across) ** 2).sum(-1)).sum(-1)


@cache
def _patterns_2d() -> Vectors:
    """16 patterns × up to 2 segments × 2: the segments' vectors."""
    return _table([[np.subtract(b, a) for a, b in _segments(inside)] for inside in _patterns(2)])


@cache
def _patterns_3d() -> Vectors:
    """256 patterns × up to 5 triangles × 3: the triangles' normals, as long as their areas."""
    return _table([[normal for loop in _loops(inside) for normal in _fill(loop)] for inside in _patterns(3)])


def _patterns(axes: int) -> Iterator[frozenset[Corner]]:
    """For each code the corners whose pixels are of the rarer kind. (A pattern and its inverse have the same surface.)"""
    corners = _corners(axes)
    for code in range(2 ** len(corners)):
        inside = {corner for bit, corner in enumerate(corners) if code >> bit & 1}
        yield frozenset(inside if 2 * len(inside) <= len(corners) else set(corners) - inside)


def _corners(axes: int) -> list[Corner]:
    return list(product((0, 1), repeat=axes))


def _segments(inside: frozenset[Corner], axes: Sequence[int] = (0, 1), origin: Corner = (0, 0)) -> list[Segment]:
    """Where the surface crosses the square along `axes` at `origin`: none, one or two segments between edge midpoints."""
    ring = [tuple(origin[i] + (i == axes[0]) * a + (i == axes[1]) * b for i in range(len(origin))) for a, b in _RING]
    sides = list(pairwise([*ring, ring[0]]))
    cuts = [_middle(a, b) for a, b in sides if (a in inside) != (b in inside)]
    if len(cuts) < 4:
        return [(cuts[0], cuts[1])] if cuts else []
    # Pixels alternate. Corner k lies between sides k − 1 and k.
    return [(cuts[k - 1], cuts[k]) for k, corner in enumerate(ring) if corner in inside]


_RING = ((0, 0), (0, 1), (1, 1), (1, 0))


def _middle(a: Corner, b: Corner) -> Point:
    return tuple((x + y) / 2 for x, y in zip(a, b, strict=True))


def _loops(inside: frozenset[Corner]) -> list[list[Point]]:
    """The segments on the six faces of a cube, joined to closed polygons."""
    left = [
        segment
        for axis in range(3)
        for side in (0, 1)
        for segment in _segments(
            inside, tuple(i for i in range(3) if i != axis), tuple(side * (i == axis) for i in range(3))
        )
    ]
    loops = []
    while left:
        loop = list(left.pop())
        while loop[-1] != loop[0]:
            following = next(segment for segment in left if loop[-1] in segment)
            left.remove(following)
            loop.append(following[following[0] == loop[-1]])
        loops.append(loop[:-1])
    return loops


def _fill(loop: list[Point]) -> list[NDArray[np.float64]]:
    """Area vectors of the triangles that fill a polygon with the largest area."""
    choices = [[_area_vector(*triangle) for triangle in triangles] for triangles in _triangulations(loop)]
    return max(choices, key=lambda vectors: math.fsum(float(np.linalg.norm(vector)) for vector in vectors))


def _triangulations(loop: Sequence[Point]) -> list[list[tuple[Point, Point, Point]]]:
    """Every way to cut a polygon into triangles at its corners: one of them stands on the side from the first to the last."""
    if len(loop) < 3:
        return [[]]
    return [
        [(loop[0], loop[k], loop[-1]), *left, *right]
        for k in range(1, len(loop) - 1)
        for left in _triangulations(loop[: k + 1])
        for right in _triangulations(loop[k:])
    ]


def _area_vector(a: Point, b: Point, c: Point) -> NDArray[np.float64]:
    return np.cross(np.subtract(b, a), np.subtract(c, a)) / 2


def _table(vectors: list[list[NDArray[np.float64]]]) -> Vectors:
    """Lists of unequal length as one array, filled up with zeros."""
    most = max(len(row) for row in vectors)
    axes = next(len(row[0]) for row in vectors if row)
    return np.array([[*row, *[np.zeros(axes)] * (most - len(row))] for row in vectors])
