"""The files of a slide in DICOM: which are its sizes, and which are pictures of its label or of all of the glass."""

from __future__ import annotations

from collections.abc import Container, Sequence

from delineate.data.core.findings import count
from delineate.data.formats.dicom.header import Frame

__all__ = ["beside_slide", "is_level", "levels_of"]

_NO_LEVELS = ("LABEL", "OVERVIEW", "THUMBNAIL", "LOCALIZER")
"""Third values of ImageType."""
_SHAPE = 0.02
"""Sides of one slide's sizes have the same ratio, but for the pixels that were cut off where it was halved."""


def is_level(frame: Frame) -> bool:
    """Whether a file is one of the sizes of a slide."""
    kinds = frame.header.image_type.upper().split("\\")
    return frame.header.matrix is not None and not any(kind in kinds for kind in _NO_LEVELS)


def beside_slide(frame: Frame, slides: Container[str]) -> bool:
    """Whether a file is a picture of a slide's label or glass, and the slide is here, too."""
    return frame.header.matrix is not None and (frame.header.series or str(frame.path.parent)) in slides


def levels_of(frames: Sequence[Frame]) -> tuple[tuple[Frame, ...], tuple[str, ...]]:
    """The sizes of a slide, the largest first, and what was left out, in words."""
    ordered = sorted(frames, key=lambda one: (*(-side for side in _matrix(one)), one.header.number or 0, str(one.path)))
    height, width = _matrix(ordered[0])
    kept: list[Frame] = []
    twice = other = 0
    for frame in ordered:
        rows, columns = _matrix(frame)
        if kept and (rows, columns) == _matrix(kept[-1]):
            twice += 1
        elif abs(height / rows / (width / columns) - 1) > max(_SHAPE, 2 / min(rows, columns)):
            other += 1
        else:
            kept.append(frame)
    notes = [f"{count(twice, 'file')} of a size that is there already (other planes or channels?) left out"] * (
        twice > 0
    )
    notes += [f"{count(other, 'file')} of another shape than the slide left out"] * (other > 0)
    return tuple(kept), tuple(notes)


def _matrix(frame: Frame) -> tuple[int, int]:
    assert frame.header.matrix is not None, "a slide has one"
    return frame.header.matrix
