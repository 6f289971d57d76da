"""Names of the axes across the slices of volumes, in the canonical order (`data.formats.canonical`)."""

from __future__ import annotations

from typing import Literal

from delineate.common.errors import DataError

__all__ = ["AXES", "Axis", "axis_number"]

Axis = Literal[0, 1, 2]
AXES = ("right-left", "back-front", "feet-head")
"""Along what each axis goes."""
_PLANES: dict[str, Axis] = {"sagittal": 0, "coronal": 1, "axial": 2}


def axis_number(given: str | int | None) -> Axis | None:
    """What a user calls the axis across slices, or the plane that they lie in.

    Args:
        given: "axial", "coronal", "sagittal", the number of the axis (also as text), or "auto".

    Returns:
        0 right-left, 1 back-front, 2 feet-head; None for "auto" and None.

    Raises:
        DataError: anything else.

    Example:
        >>> from delineate.data.core.axes import axis_number
        >>> axis_number("axial"), axis_number("0"), axis_number("auto")
        (2, 0, None)
    """
    word = str(given).strip().lower()
    if given is None or word == "auto":
        return None
    numbers: dict[str, Axis] = {"0": 0, "1": 1, "2": 2, **_PLANES}
    if isinstance(given, bool) or word not in numbers:
        raise DataError(
            f"axis {given!r} is not known; use auto, axial (2, slices from feet to head), coronal (1, back to front) or sagittal "
            "(0, right to left)"
        )
    return numbers[word]
