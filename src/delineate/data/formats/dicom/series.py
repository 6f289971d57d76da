"""Frames → series: stacks of parallel slices in the order of their positions, files of many frames, and single pictures.

The rules, which docs/how-to/dicom.md tells users:

- Slices belong together that have the same series UID, size, pixel spacing and orientation.
- Where several lie at one place, they are parted by the first tag that parts them (echo, phase, acquisition, b-value, …).
- The files of a slide (whole slide microscopy) are its sizes, and make one picture (`slide_levels`).
- A stack is sorted along its normal. It is refused, with positions, where two slices lie at one place or distances differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from delineate.data.core.geometry import Geometry
from delineate.data.formats.dicom.copies import once
from delineate.data.formats.dicom.grid import grid_of
from delineate.data.formats.dicom.header import Frame
from delineate.data.formats.dicom.numbers import tag_of
from delineate.data.formats.dicom.slide_levels import beside_slide, is_level, levels_of
from delineate.data.formats.dicom.stacks import stacks_of

__all__ = ["Kind", "Series", "series_of"]

Kind = Literal["series", "image", "slide"]
"""`series`: has slices or frames; `image`: a picture; `slide`: a picture in tiles, in several sizes."""
_ANGLE, _SPACING = 2e-3, 1e-3
"""Orientations (cosines) and spacings (share) that differ less are the same."""
_SLICES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.128")
"""Classes of images that are slices: CT, MR, PET."""
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_KEY = 10
"""Characters of a series' name: a hash, so that it says nothing of a patient, and stays when other files are added."""


@dataclass(frozen=True)
class Series:
    """Frames that make one image."""

    kind: Kind
    key: str
    """By which addresses name it."""
    frames: tuple[Frame, ...]
    """In the order of the image's slices; of a slide the first of each of its sizes, the largest first."""
    geometry: Geometry | None
    """Of a stack; None of a picture, of frames without positions, and of a stack with a fault."""
    notes: tuple[str, ...] = ()
    """What its owner should know."""
    fault: str = ""
    """Why it cannot be read as a volume, with positions; mostly ''."""
    part: str = ""
    """What tells it from other stacks of its series, such as `TriggerTime (50)`; '' where there are none."""
    disputed: bool = False
    """Whether two files claim to be the same slice, and differ: then no part of it can be read either."""

    @property
    def modality(self) -> str:
        """DICOM's code: CT, MR, US, …"""
        return self.frames[0].header.modality

    @property
    def is_localizer(self) -> bool:
        """Whether it is a scout, from which the real slices were planned."""
        return "LOCALIZER" in self.frames[0].header.image_type.upper()


def series_of(frames: Iterable[Frame]) -> list[Series]:
    """Group and sort frames.

    Args:
        frames: of any files, in any order.

    Returns:
        The series, by their number in the study, then by their names; stacks of one series in the order of what parts them.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from delineate.data.formats.dicom.files import read_dataset
        >>> from delineate.data.formats.dicom.header import read_frames
        >>> from delineate.data.formats.dicom.series import series_of
        >>> path = Path(get_testdata_file("CT_small.dcm"))
        >>> [(one.kind, len(one.frames)) for one in series_of(read_frames(path, read_dataset(path)))]
        [('series', 1)]
    """
    unique = once(frames)
    copies = unique.copies
    stacks: dict[str, list[list[Frame]]] = {}
    found: list[Series] = []
    alone: dict[str, list[Frame]] = {}
    slides: dict[str, list[Frame]] = {}
    for frame in unique.frames:
        if is_level(frame):
            slides.setdefault(frame.header.series or str(frame.path.parent), []).append(frame)
        elif frame.place is not None:
            _add(stacks.setdefault(frame.header.series or str(frame.path.parent), []), frame)
        else:
            alone.setdefault(frame.header.instance, []).append(frame)
    order: dict[str, tuple[str, int]] = {}
    for name, groups in stacks.items():
        parts = [part for group in groups for part in stacks_of(group)]
        for number, part in enumerate(parts):
            notes = [f"{copies[name]} copies of slices are left out"] if name in copies and not number else []
            told = part.by and f"{part.by}{part.value and f' ({part.value})'}"
            if len(parts) > 1:
                notes.append(f"one of {len(parts)} stacks of its series{told and f', parted by {told}'}")
            grid = grid_of(part.frames)
            key = name if len(parts) == 1 else f"{name} {_signature(part.frames)}{part.phase and f' {part.phase}'}"
            made = Series(
                "series", _hash(key), grid.frames, grid.geometry, (*notes, *grid.notes), grid.fault, part=told
            )
            order[made.key] = _hash(name), number
            found.append(made)
    for name, given in slides.items():
        kept, left = levels_of(given)
        found.append(Series("slide", _hash(f"slide {name}"), kept, None, left))
    found += [_frames_of_file(part) for part in alone.values() if not beside_slide(part[0], slides)]
    found = [_differing(one, unique.differing) for one in found]
    return sorted(found, key=lambda one: (_number(one), *order.get(one.key, (one.key, 0))))


def _differing(found: Series, pairs: Mapping[str, tuple[Path, Path]]) -> Series:
    """A series with the fault that two files claim to be the same image, where two of its files do."""
    pair = next((pairs[frame.header.instance] for frame in found.frames if frame.header.instance in pairs), None)
    if pair is None:
        return found
    text = f"{pair[0]} and {pair[1]} have the same instance UID, but other pixels or places; which is meant? remove the other"
    return replace(found, geometry=None, fault=text, disputed=True)


def _add(groups: list[list[Frame]], frame: Frame) -> None:
    """To the group whose slices it is parallel to."""
    for group in groups:
        if _is_parallel(group[0], frame):
            group.append(frame)
            return
    groups.append([frame])


def _is_parallel(one: Frame, other: Frame) -> bool:
    first, second = one.header, other.header
    if (first.rows, first.columns, first.samples) != (second.rows, second.columns, second.samples):
        return False
    if one.place is None or other.place is None:
        return False
    (_, direction, spacing), (_, other_direction, other_spacing) = one.place, other.place
    turned = np.abs(np.subtract(direction, other_direction)).max()
    spread = np.abs(np.subtract(spacing, other_spacing)).max()
    return bool(turned <= _ANGLE and spread <= _SPACING * max(spacing))


def _frames_of_file(frames: list[Frame]) -> Series:
    first = frames[0]
    key = _hash(f"{first.header.series} {first.header.instance}")
    kind: Kind = "image" if len(frames) == 1 else "series"
    return Series(kind, key, tuple(frames), None, _notes_of_picture(first) if kind == "image" else ())


def _notes_of_picture(frame: Frame) -> tuple[str, ...]:
    """Whether a picture ought to be a slice of a volume."""
    if frame.header.sop_class not in _SLICES:
        return ()
    found = (frame.position, frame.orientation, frame.spacing)
    lost = [tag_of(tag) for tag, value in zip(_PLACE, found, strict=True) if value is None]
    return (f"a slice without {' and '.join(lost)}: it can be no part of a volume, and is a picture of its own",)


def _signature(part: Sequence[Frame]) -> str:
    """What part of a series a stack is, the same however many slices it has."""
    first = part[0]
    assert first.place is not None, "a stack has places"
    _, orientation, spacing = first.place
    marks = {mark: text for mark, text in first.marks.items() if all(one.marks.get(mark) == text for one in part)}
    turned = [round(value, 2) + 0.0 for value in orientation]
    return f"{first.header.rows} {first.header.columns} {spacing} {turned} {sorted(marks.items())}"


def _number(one: Series) -> int:
    number = one.frames[0].header.series_number
    return 1 << 32 if number is None else number


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY]
