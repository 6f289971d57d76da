"""The part of a window that lies inside of a picture."""

from __future__ import annotations

from delineate.data.formats.contract import ImageHandle

__all__ = ["inside"]


def inside(handle: ImageHandle, y: int, x: int, height: int, width: int) -> tuple[int, int, int, int]:
    """First row, first column, height and width of the part. Raises `IndexError` where there is none.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.registry import open_image
        >>> from delineate.data.formats.window_place import inside
        >>> inside(open_image(sorted(Path("polyps/images").iterdir())[0]), 30, -2, 8, 8)  # of 32×32 pixels
        (30, 0, 2, 6)
    """
    rows, columns = handle.shape
    top, left = min(max(y, 0), rows), min(max(x, 0), columns)
    height, width = min(y + height, rows) - top, min(x + width, columns) - left
    if min(height, width) < 1:
        raise IndexError(f"a window at row {y} and column {x} lies outside of {handle.path} ({columns}×{rows})")
    return top, left, height, width
