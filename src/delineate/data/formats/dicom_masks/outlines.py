"""Regions of a slice ⇄ polygons on the edges of its pixels.

Traced, a region becomes one polygon for each piece (pixels that share an edge), its holes joined to the outline by cuts of no width
(key-holes), as programs for planning radiotherapy expect. Filled by the even-odd rule at pixels' centers, it comes back exactly.
Coordinates are (x, y) in pixels, centers at whole numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fill_polygon", "trace_region"]

_Corners = list[tuple[int, int]]
"""(row, column) between pixels: (0, 0) is the upper left corner of the first pixel."""


def trace_region(region: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """The outlines of a region.

    Args:
        region: rows × columns.

    Returns:
        N×2 corners of each piece, without the first one again at the end.

    Example:
        >>> import numpy as np
        >>> from delineate.data.formats.dicom_masks.outlines import trace_region
        >>> trace_region(np.array([[True, True], [False, False]]))[0].tolist()
        [[-0.5, -0.5], [1.5, -0.5], [1.5, 0.5], [-0.5, 0.5]]
    """
    from scipy.ndimage import label  # 0.2 s, and few need it

    if not region.any():
        return []
    pieces, _ = label(region)  # pixels that share an edge
    padded = np.pad(pieces, 1)
    outer: dict[int, _Corners] = {}
    holes: list[tuple[int, _Corners]] = []
    for cycle in _cycles(region):
        row, column = cycle[0]
        own, above = int(padded[row + 1, column + 1]), int(padded[row, column + 1])
        if own:
            outer[own] = cycle
        else:
            holes.append((above, cycle))
    for piece, hole in sorted(holes, key=lambda one: one[1][0]):
        _join(outer[piece], hole)
    return [np.array(corners, np.float64)[:, ::-1] - 0.5 for corners in outer.values()]


def fill_polygon(points: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centers lie inside a polygon, by the even-odd rule.

    Args:
        points: N×2 corners.
        shape: rows and columns.

    Returns:
        Rows × columns. What lies beyond them is left out.

    Example:
        >>> import numpy as np
        >>> from delineate.data.formats.dicom_masks.outlines import fill_polygon
        >>> fill_polygon(np.array([[-0.5, -0.5], [1.5, -0.5], [1.5, 0.5], [-0.5, 0.5]]), (2, 3)).astype(int).tolist()
        [[1, 1, 0], [0, 0, 0]]
    """
    one, other = points, np.roll(points, -1, axis=0)
    low, high = np.minimum(one[:, 1], other[:, 1]), np.maximum(one[:, 1], other[:, 1])
    first = np.clip(np.ceil(low), 0, shape[0]).astype(int)
    last = np.clip(np.ceil(high), 0, shape[0]).astype(int)  # not crossed itself
    counts = last - first
    edges = np.repeat(np.arange(len(points)), counts)
    rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[edges]
    share = (rows - one[edges, 1]) / (other[edges, 1] - one[edges, 1])
    crossing = one[edges, 0] + share * (other[edges, 0] - one[edges, 0])
    filled = np.zeros(shape, bool)
    if not len(rows):
        return filled
    columns = np.clip(np.ceil(crossing), 0, shape[1]).astype(int)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    toggles = np.zeros((bottom - top, right - left), bool)
    np.logical_xor.at(toggles, (rows - top, columns - left), True)
    filled[top:bottom, left:right] = np.logical_xor.accumulate(toggles, axis=1)[:, : shape[1] - left]
    return filled


def _cycles(region: NDArray[np.bool_]) -> list[_Corners]:
    """All closed lines along the edges of the region, each from its uppermost, then leftmost corner.

    Along a row of the grid of corners, every line in it runs between two corners next to each other, and along a column as well. So
    each corner has one partner in its row and one in its column, and a cycle goes from one to the other in turn. Where two pixels
    touch at a corner only, the corner is there twice, once for each of them.
    """
    inside = np.pad(region, 1).astype(np.int8)
    upper_left, upper_right, lower_left, lower_right = (
        inside[:-1, :-1],
        inside[:-1, 1:],
        inside[1:, :-1],
        inside[1:, 1:],
    )
    touching = (upper_left == lower_right) & (upper_right == lower_left) & (upper_left != upper_right)
    rows, columns = np.nonzero(((upper_left + upper_right + lower_left + lower_right) % 2 == 1) | touching)
    twice = touching[rows, columns]
    falling = upper_left[rows, columns] == 1  # of corners that are there twice: the pixels lie along \ and not /
    rows, columns, falling = (np.concatenate([each, each[twice]]) for each in (rows, columns, falling))
    second = np.arange(len(rows)) >= len(twice)
    beside = _partners(np.lexsort((second, columns, rows)))
    above = _partners(np.lexsort((np.where(falling, second, ~second), rows, columns)))
    return _walked(rows.tolist(), columns.tolist(), beside, above)


def _partners(order: NDArray[np.intp]) -> list[int]:
    partners = np.empty_like(order)
    partners[order[::2]], partners[order[1::2]] = order[1::2], order[::2]
    return [int(each) for each in partners]


def _walked(rows: list[int], columns: list[int], beside: list[int], above: list[int]) -> list[_Corners]:
    found = []
    left = [True] * len(rows)
    for start in sorted(range(len(rows)), key=lambda at: (rows[at], columns[at])):
        if not left[start]:
            continue
        cycle, at, along_row = [], start, True
        while left[at]:
            left[at] = False
            cycle.append((rows[at], columns[at]))
            at = beside[at] if along_row else above[at]
            along_row = not along_row
        found.append(cycle)
    return found


def _join(outline: _Corners, hole: _Corners) -> None:
    """Cut from a hole's first corner straight up to the outline, which holes further up are part of already."""
    row, column = hole[0]
    best, at = -1, -1
    for index, (one, other) in enumerate(zip(outline, outline[1:] + outline[:1], strict=True)):
        across = one[0] == other[0] and min(one[1], other[1]) <= column < max(one[1], other[1])
        if across and best < one[0] < row:
            best, at = one[0], index
    cut = (best, column)
    backwards = [hole[0], *reversed(hole)]  # so that it counts as a hole by the direction of turning, too
    outline[at + 1 : at + 1] = [cut, *backwards, cut]
