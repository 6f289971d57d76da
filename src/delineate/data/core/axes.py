"""Names of the axes across the slices of volumes, in the canonical order (`data.formats.canonical`)."""

from __future__ import annotations

from typing import Final, Literal

from delineate.common.errors import DataError

__all__ = ["ALL", "AXES", "STORED_AXES", "Axis", "AxisChoice", "axis_choice", "axis_number"]

Axis = Literal[0, 1, 2]
AxisChoice = Literal[0, 1, 2, "all"]
ALL: Final = "all"
"""Slices across each of the three axes."""
AXES = ("right-left", "back-front", "feet-head")
"""Along what each axis goes."""
STORED_AXES = ("rows", "columns", "planes")
"""The same of volumes that tell no place in the patient, such as TIFF stacks."""
_PLANES: dict[str, Axis] = {"sagittal": 0, "coronal": 1, "axial": 2}
_KNOWN = "auto, axial (2, slices from feet to head), coronal (1, back to front) or sagittal (0, right to left)"


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
    if word == ALL:
        raise DataError(
            f"axis all is for `train` and `predict`, with methods that segment an image by itself; here use {_KNOWN}"
        )
    if isinstance(given, bool) or word not in numbers:
        raise DataError(f"axis {given!r} is not known; use {_KNOWN}")
    return numbers[word]


def axis_choice(given: str | int | None) -> AxisChoice | None:
    """The same where all three axes are a choice, too.

    Args:
        given: As for `axis_number`, or "all".

    Returns:
        As `axis_number`; "all" for "all".

    Raises:
        DataError: anything else.

    Example:
        >>> from delineate.data.core.axes import axis_choice
        >>> axis_choice("all"), axis_choice("axial")
        ('all', 2)
    """
    word = str(given).strip().lower()
    if word == ALL:
        return ALL
    try:
        return axis_number(given)
    except DataError:
        raise DataError(f"axis {given!r} is not known; use {_KNOWN}, or all") from None
