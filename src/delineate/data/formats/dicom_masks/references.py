"""Which images a DICOM object says that it was made of. This, and never a file's name, tells whose mask it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["References", "references_of"]


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

    def fits(self, series: str, instances: frozenset[str] | set[str]) -> bool:
        """Whether the object is of a series.

        Args:
            series: its UID.
            instances: UIDs of its images.

        Returns:
            Whether all images that it names are of the series, or where it names none, whether it names the series.
        """
        if self.instances:
            return self.instances <= instances
        return series in self.series


def references_of(dataset: Any) -> References:
    """What a SEG or an RTSTRUCT refers to.

    Args:
        dataset: pydicom's data set.

    Returns:
        Everything that it names, from whichever of its sequences.
    """
    series: set[str] = set()
    instances: set[str] = set()
    for item in _items(dataset, "ReferencedSeriesSequence"):
        series.add(str(item.get("SeriesInstanceUID")))
        instances |= _instances(item, "ReferencedInstanceSequence")
    instances |= _instances(dataset, "SourceImageSequence")
    for group in _items(dataset, "PerFrameFunctionalGroupsSequence"):
        for derivation in _items(group, "DerivationImageSequence"):
            instances |= _instances(derivation, "SourceImageSequence")
    for frame in _items(dataset, "ReferencedFrameOfReferenceSequence"):
        for study in _items(frame, "RTReferencedStudySequence"):
            for item in _items(study, "RTReferencedSeriesSequence"):
                series.add(str(item.get("SeriesInstanceUID")))
                instances |= _instances(item, "ContourImageSequence")
    for roi in _items(dataset, "ROIContourSequence"):
        for contour in _items(roi, "ContourSequence"):
            instances |= _instances(contour, "ContourImageSequence")
    return References(
        str(dataset.get("StudyInstanceUID") or ""), frozenset(series), frozenset(instances), _frame(dataset)
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


def _instances(dataset: Any, keyword: str) -> set[str]:
    named = (item.get("ReferencedSOPInstanceUID") for item in _items(dataset, keyword))
    return {str(uid) for uid in named if uid}
