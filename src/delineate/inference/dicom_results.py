"""Masks of DICOM images as DICOM objects: which images can have one, and how it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.findings import some
from delineate.data.formats.dicom.handle import DicomHandle
from delineate.data.formats.dicom_masks.codes import Segment, default_segments, read_segments, segments_of
from delineate.data.formats.dicom_masks.packages import highdicom
from delineate.data.formats.dicom_masks.provenance import Provenance
from delineate.data.formats.dicom_masks.segmentation import SegmentationType, write_segmentation
from delineate.data.formats.dicom_masks.sources import read_sources
from delineate.data.formats.dicom_masks.structure_set import write_structure_set
from delineate.data.formats.dicom_masks.suffixes import SEGMENTATION_SUFFIX
from delineate.data.formats.registry import open_image
from delineate.inference.overlay import foreground_colors
from delineate.inference.segmenter import Segmenter

__all__ = ["DicomResults"]


@dataclass(frozen=True)
class DicomResults:
    """How the DICOM objects of a prediction are made."""

    segments: tuple[Segment, ...]
    """Of the foreground classes."""
    provenance: Provenance
    kind: SegmentationType = "binary"
    notes: tuple[str, ...] = ()
    """What their owner should know."""

    @classmethod
    def of(cls, predictor: Segmenter, kind: SegmentationType, codes: Path | None) -> Self:
        """For a model.

        Args:
            predictor: the model.
            kind: of segmentations.
            codes: a file that says what its classes are; None: those of its training, else SNOMED's of the classes' names.

        Raises:
            DataError: a package is missing, or the file has no code for a class.
        """
        highdicom()
        classes = predictor.classes
        names, colors = classes.names[1:], foreground_colors(classes)
        if codes is not None:
            found = read_segments(codes, names, colors)
        elif classes.codes:
            found = segments_of(names, classes.codes, colors)
        else:
            found = default_segments(names, colors)
        provenance = Provenance(predictor.title, predictor.model_sha256)
        return cls(found, provenance, kind, () if codes or classes.codes else _generic(found))

    def write(self, path: Path, indices: NDArray[np.uint8], image: Path) -> None:
        """Write the mask of a DICOM image.

        Args:
            path: its ending says what: `.seg.dcm` or `.rtstruct.dcm`.
            indices: class indices in the order of the image's file.
            image: its address.

        Raises:
            DataError: naming the image, of which there can be no such object.
        """
        handle = open_image(image)
        if not isinstance(handle, DicomHandle):
            raise DataError(f"{image} is no DICOM image, which a DICOM mask must refer to")
        sources = read_sources([(frame.path, frame.index) for frame in handle.frames])
        planes = np.ascontiguousarray(handle.as_frames(indices))
        if path.name.endswith(SEGMENTATION_SUFFIX):
            distance = None if handle.series.geometry is None else _normal_distance(handle)
            write_segmentation(path, planes, sources, self.segments, self.provenance, kind=self.kind, distance=distance)
            return
        assert handle.series.geometry is not None, "the plan asked `why_not`"
        write_structure_set(path, planes, sources, handle.series.geometry, self.segments, self.provenance)


def _normal_distance(handle: DicomHandle) -> float:
    """From slice to slice along their normal; along the way from one to the next it may be more, where a gantry was tilted."""
    assert handle.geometry is not None, "asked before"
    first, second, step = handle.geometry.direction.T
    return float(abs(np.cross(first, second) @ step) * handle.geometry.spacing[2])


def _generic(segments: Sequence[Segment]) -> tuple[str, ...]:
    unknown = [f"'{each.label}'" for each in segments if each.is_generic]
    if not unknown:
        return ()
    return (
        f"no SNOMED code is known for {some(unknown)}: viewers will show the name, coded as tissue; say what it is with "
        "--codes FILE",
    )
