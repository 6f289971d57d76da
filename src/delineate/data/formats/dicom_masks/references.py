"""Which images a DICOM object says that it was made of. This, and never a file's name, tells whose mask it is."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delineate.data.formats.dicom.numbers import numbers

__all__ = ["References", "all_references", "references_of"]


@dataclass(frozen=True)
class References:
    """UIDs as a file states them."""

    study: str
    series: frozenset[str]
    """Of images; mostly one."""
    instances: frozenset[str]
    """SOP instances of images."""
    frame: str | None
    """Frame of reference."""
    frames: frozenset[tuple[str, int]] = frozenset()
    """Of multi-frame images: instance and number of the frame, from 1; none where only the files are named."""

    def fits(
        self, series: str, instances: frozenset[str] | set[str], frames: Set[tuple[str, int]] | None = None
    ) -> bool:
        """Whether the object is of a series.

        Args:
            series: its UID.
            instances: UIDs of its images.
            frames: their frames, where the series is one of several stacks of the same files; None: they do not matter.

        Returns:
            Whether all images that it names are of the series, or where it names none, whether it names the series.
        """
        if self.instances:
            return self.instances <= instances and (frames is None or self.frames <= frames)
        return series in self.series


def references_of(dataset: Any, path: Path) -> References:
    """What a SEG or an RTSTRUCT refers to.

    Args:
        dataset: pydicom's data set.
        path: of its file, for messages.

    Returns:
        Everything that it names, from whichever of its sequences.

    Raises:
        DataError: naming the file: the number of a frame cannot be.
    """
    frames: set[tuple[str, int]] = set()
    series: set[str] = set()
    instances: set[str] = set()
    for item in _items(dataset, "ReferencedSeriesSequence"):
        series.add(str(item.get("SeriesInstanceUID")))
        instances |= _instances(item, "ReferencedInstanceSequence")
    instances |= _instances(dataset, "SourceImageSequence")
    for group in _items(dataset, "PerFrameFunctionalGroupsSequence"):
        for derivation in _items(group, "DerivationImageSequence"):
            instances |= _instances(derivation, "SourceImageSequence")
            frames |= _frames(derivation, "SourceImageSequence", path)
    for frame in _items(dataset, "ReferencedFrameOfReferenceSequence"):
        for study in _items(frame, "RTReferencedStudySequence"):
            for item in _items(study, "RTReferencedSeriesSequence"):
                series.add(str(item.get("SeriesInstanceUID")))
                instances |= _instances(item, "ContourImageSequence")
    for roi in _items(dataset, "ROIContourSequence"):
        for contour in _items(roi, "ContourSequence"):
            instances |= _instances(contour, "ContourImageSequence")
            frames |= _frames(contour, "ContourImageSequence", path)
    study = str(dataset.get("StudyInstanceUID") or "")
    return References(study, frozenset(series), frozenset(instances), _frame(dataset), frozenset(frames))


def all_references(several: Sequence[References]) -> References:
    """What objects of one mask refer to together.

    Args:
        several: of each object.

    Returns:
        All that any of them names; the frame of reference where they have the same.
    """
    first, *others = several
    frames = {one.frame for one in several}
    return References(
        first.study,
        first.series.union(*(one.series for one in others)),
        first.instances.union(*(one.instances for one in others)),
        frames.pop() if len(frames) == 1 else None,
        first.frames.union(*(one.frames for one in others)),
    )


def _frame(dataset: Any) -> str | None:
    own = dataset.get("FrameOfReferenceUID")
    if own:
        return str(own)
    listed = _items(dataset, "ReferencedFrameOfReferenceSequence") or _items(dataset, "StructureSetROISequence")
    found = {str(item.get("FrameOfReferenceUID") or item.get("ReferencedFrameOfReferenceUID") or "") for item in listed}
    return found.pop() or None if len(found) == 1 else None


def _items(dataset: Any, keyword: str) -> list[Any]:
    return list(dataset.get(keyword) or [])


def _frames(dataset: Any, keyword: str, path: Path) -> set[tuple[str, int]]:
    return {
        (str(item.get("ReferencedSOPInstanceUID")), int(number))
        for item in _items(dataset, keyword)
        for number in numbers(item, "ReferencedFrameNumber", path)
    }


def _instances(dataset: Any, keyword: str) -> set[str]:
    named = (item.get("ReferencedSOPInstanceUID") for item in _items(dataset, keyword))
    return {str(uid) for uid in named if uid}
