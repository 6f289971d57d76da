"""The outlines of a mask that comes a few rows at a time, as polygons with holes along the edges of its pixels.

Only the corners of the outlines are kept, so memory grows with what is outlined, not with the picture. Filling the polygons gives
the mask again, pixel by pixel. Pixels that touch at a corner alone belong to different polygons, and no ring touches itself, so
that programs which insist on valid polygons take them.

Every corner has one horizontal and one vertical edge. On each line between two rows, corners from left to right are by turns the
beginning and the end of an edge; so are those of each line between two columns, from top to bottom. That joins them to rings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Outlines", "Polygon", "Ring"]

Ring = list[tuple[int, int]]
"""Corners (column, row) in pixels from the upper left corner of the picture; the last is joined to the first."""
Polygon = list[Ring]
"""The outer ring, then its holes."""
_ROWS = 512
"""Rows that are looked at together."""


@dataclass
class _Corners:
    """Of one class: where they are, and by what they are sorted and joined."""

    rows: list[NDArray[np.int64]] = field(default_factory=list)
    """5×n each: row, column, order among the corners of one place along the row and along the column, number of the part."""
    inner: list[NDArray[np.bool_]] = field(default_factory=list)
    """Whether three of the four pixels about a corner are in the class."""


class Outlines:
    """Collects corners row by row.

    Example:
        >>> import numpy as np
        >>> from delineate.inference.outlines import Outlines
        >>> outlines = Outlines(4)
        >>> outlines.add(np.array([[0, 1, 1, 0], [0, 0, 1, 0]], np.uint8))
        >>> list(outlines.polygons())
        [(1, [[(1, 0), (3, 0), (3, 2), (2, 2), (2, 1), (1, 1)]])]
    """

    def __init__(self, width: int) -> None:
        """`width`: of the picture, in pixels."""
        self._above = np.zeros(width, np.uint8)
        self._parts_above = np.zeros(width, np.int64)
        self._top = 0
        self._parent = [0]
        self._corners: dict[int, _Corners] = defaultdict(_Corners)

    def add(self, indices: NDArray[np.uint8]) -> None:
        """The next rows r×W of class indices, from the top. 0 is outlined by what lies around it."""
        for top in range(0, len(indices), _ROWS):
            self._add(indices[top : top + _ROWS])

    def polygons(self) -> Iterator[tuple[int, Polygon]]:
        """Class and outline of each part, class by class; call it once all rows are there."""
        self._add(np.zeros((1, len(self._above)), np.uint8))
        for index in sorted(self._corners):
            found = self._corners.pop(index)
            outer: dict[int, Polygon] = {}
            holes: dict[int, Polygon] = defaultdict(list)
            for part, ring in _rings(np.concatenate(found.rows, axis=1), np.concatenate(found.inner)):
                root = self._root(part)
                if _area(ring) > 0:
                    outer[root] = [ring]
                else:
                    holes[root].append(ring)
            for root, polygon in outer.items():
                yield index, polygon + holes[root]

    def _add(self, rows: NDArray[np.uint8]) -> None:
        parts = np.zeros(rows.shape, np.int64)
        for index in np.unique(np.concatenate([self._above[None], rows])).tolist():
            if index:
                self._add_class(index, rows, parts)
        self._top += len(rows)
        self._above, self._parts_above = rows[-1].copy(), parts[-1].copy()

    def _add_class(self, index: int, rows: NDArray[np.uint8], parts: NDArray[np.int64]) -> None:
        """The corners between the rows of one class and those above them; `parts` gets the numbers of its connected parts."""
        inside, above = rows == index, self._above == index
        number, labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
        parts[inside] = labels[inside] + (len(self._parent) - 1)
        self._parent += range(len(self._parent), len(self._parent) + number - 1)
        both = above & inside[0]
        pairs = np.unique(np.stack([self._parts_above[both], parts[0][both]]), axis=1)
        for one, other in pairs.T.tolist():
            self._join(one, other)
        numbers = np.pad(
            np.vstack([np.where(above, self._parts_above, 0), np.where(inside, parts, 0)]), ((0, 0), (1, 1))
        )
        self._keep(index, numbers)

    def _keep(self, index: int, numbers: NDArray[np.int64]) -> None:
        around = np.stack([numbers[:-1, :-1], numbers[:-1, 1:], numbers[1:, :-1], numbers[1:, 1:]])
        there = around > 0
        count = there.sum(axis=0, dtype=np.uint8)
        kept = self._corners[index]
        y, x = np.nonzero(count % 2 == 1)
        if len(y):
            part, none = around[:, y, x].max(axis=0), np.zeros(len(y), np.int64)
            kept.rows.append(np.stack([y + self._top, x, none, none, part]))
            kept.inner.append(count[y, x] == 3)
        y, x = np.nonzero((count == 2) & (there[0] == there[3]))
        if not len(y):
            return
        falling = there[0, y, x]  # the pixels above left and below right; else above right and below left
        upper = np.where(falling, around[0, y, x], around[1, y, x])
        lower = np.where(falling, around[3, y, x], around[2, y, x])
        one, two = np.zeros(len(y), np.int64), np.ones(len(y), np.int64)
        # The corner of the upper pixel ends an edge from above; whether its other edge ends or begins depends on its side.
        kept.rows.append(np.stack([y + self._top, x, np.where(falling, one, two), one, upper]))
        kept.rows.append(np.stack([y + self._top, x, np.where(falling, two, one), two, lower]))
        kept.inner += [np.zeros(len(y), bool)] * 2

    def _root(self, part: int) -> int:
        parent = self._parent
        while parent[part] != part:
            parent[part] = parent[parent[part]]
            part = parent[part]
        return part

    def _join(self, one: int, other: int) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        self._parent[second] = first


def _rings(corners: NDArray[np.int64], inner: NDArray[np.bool_]) -> Iterator[tuple[int, Ring]]:
    """Part and corners of each ring, with the class on its right-hand side; none of them touches itself."""
    y, x, along_row, along_column, part = corners
    by_row, by_column = np.lexsort((along_row, x, y)), np.lexsort((along_column, y, x))
    across, down = (_partners(order) for order in (by_row, by_column))
    places, parts, inside = list(zip(x.tolist(), y.tolist(), strict=True)), part.tolist(), inner.tolist()
    seen = bytearray(len(places))
    for start in by_row.tolist():
        if seen[start]:
            continue
        ring, at = [], start
        while not seen[at]:
            other = across[at]
            seen[at] = seen[other] = 1
            ring += [places[at], places[other]]
            at = down[other]
        if inside[start]:  # the first corner from the top is one of a hole
            ring.reverse()
        yield from ((parts[start], one) for one in _apart(ring))


def _partners(order: NDArray[np.int64]) -> list[int]:
    """Of each corner the other end of its edge; `order`: corners as they lie on their lines."""
    found = np.empty_like(order)
    found[order[::2]], found[order[1::2]] = order[1::2], order[::2]
    return found.tolist()


def _apart(ring: Ring) -> list[Ring]:
    """A ring that touches itself as several that do not."""
    if len(set(ring)) == len(ring):
        return [ring]
    found: list[Ring] = []
    path: Ring = []
    where: dict[tuple[int, int], int] = {}
    for place in ring:
        if place in where:
            first = where[place]
            found.append(path[first:])
            for gone in path[first + 1 :]:
                del where[gone]
            del path[first + 1 :]
        else:
            where[place] = len(path)
            path.append(place)
    return [*found, path]


def _area(ring: Ring) -> int:
    """Twice the area, positive where the inside is on the right-hand side as one looks at the picture."""
    return sum(x * below - right * y for (x, y), (right, below) in zip(ring, ring[1:] + ring[:1], strict=True))
