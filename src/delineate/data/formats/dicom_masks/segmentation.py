"""A class volume → a DICOM segmentation object (SEG), on the very frames of the images that it is of.

BINARY has one bit for each voxel and class, which all viewers read. LABELMAP has one byte for each voxel, packed by run lengths:
far smaller, but newer (2024), and few viewers read it yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import atomic_path
from delineate.data.formats.dicom.package import pydicom
from delineate.data.formats.dicom_masks.codes import Segment
from delineate.data.formats.dicom_masks.packages import highdicom, quietly
from delineate.data.formats.dicom_masks.provenance import Provenance
from delineate.data.formats.dicom_masks.sources import Sources, result_series_number

__all__ = ["SegmentationType", "write_segmentation"]

SegmentationType = Literal["binary", "labelmap"]
_EXPLICIT, _RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
_MANUFACTURER = "Delineate"


def write_segmentation(
    path: Path,
    volume: NDArray[np.uint8],
    sources: Sources,
    segments: Sequence[Segment],
    provenance: Provenance,
    *,
    kind: SegmentationType = "binary",
    distance: float | None = None,
) -> None:
    """Write class indices as a SEG, atomically. Patient and study are those of the sources, as the standard wants.

    Args:
        path: of the file.
        volume: slices × rows × columns of class indices, in the order of the sources; all 0 is a valid result.
        sources: the images that it is of.
        segments: of the foreground classes: that of index 1 first.
        provenance: what made it.
        kind: of the segmentation.
        distance: from slice to slice along their normal, in mm, where the slices are evenly spaced.

    Raises:
        DataError: naming the images: they are such that the standard has no segmentation of them.
        ValueError: the volume has another shape than the images.
    """
    shape = (sources.slices, *sources.size)
    if volume.shape != shape:
        raise ValueError(f"a mask of {sources.path} has the shape {shape}, not {volume.shape}")
    with quietly():
        try:
            made = _object(volume, sources, segments, provenance, kind)
            _set_frames(made, sources)
            _set_distance(made, distance)
        except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError) as error:
            raise DataError(
                f"{sources.path} and its series cannot have a DICOM segmentation ({_line(error)}); give --format nifti or png"
            ) from error
        with atomic_path(path) as temporary:
            made.save_as(temporary)


def _object(
    frames: NDArray[np.uint8],
    sources: Sources,
    segments: Sequence[Segment],
    provenance: Provenance,
    kind: SegmentationType,
) -> Any:
    new = pydicom().uid.generate_uid
    return highdicom().seg.Segmentation(
        source_images=sources.as_slices(),
        pixel_array=frames,
        segmentation_type="LABELMAP" if kind == "labelmap" else "BINARY",
        segment_descriptions=[_description(each, at, provenance) for at, each in enumerate(segments, 1)],
        series_instance_uid=new(prefix=None),
        series_number=result_series_number(sources),
        sop_instance_uid=new(prefix=None),
        instance_number=1,
        manufacturer=_MANUFACTURER,
        manufacturer_model_name=provenance.method[:64],
        software_versions=provenance.version,
        device_serial_number=provenance.serial,
        transfer_syntax_uid=_RLE if kind == "labelmap" else _EXPLICIT,
        content_label="SEGMENTATION",
        content_description="Automatic segmentation",
        series_description=f"Segmentation ({provenance.method})"[:64],
        content_qualification="RESEARCH",
        # A label map of all slices costs little, and readers then know the whole grid.
        omit_empty_frames=kind == "binary" and bool(frames.any()),
    )


def _set_frames(made: Any, sources: Sources) -> None:
    """Slices are numbered as highdicom was shown them; references name the frames of the file."""
    named: dict[int, Any] = {}  # frames of several segments share what they refer to
    for group in made.PerFrameFunctionalGroupsSequence if sources.frames else ():
        for derivation in group.get("DerivationImageSequence") or []:
            named |= {id(image): image for image in derivation.get("SourceImageSequence") or []}
    for image in named.values():
        if "ReferencedFrameNumber" in image:
            image.ReferencedFrameNumber = sources.frames[image.ReferencedFrameNumber - 1] + 1


def _set_distance(made: Any, distance: float | None) -> None:
    """Of slices that a tilted gantry shears, highdicom does not note it; then nobody could tell which empty slices are left out."""
    measures = made.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence")
    if measures and distance is not None and "SpacingBetweenSlices" not in measures[0]:
        measures[0].SpacingBetweenSlices = f"{distance:.10g}"


def _description(segment: Segment, number: int, provenance: Provenance) -> Any:
    family = pydicom().sr.codedict.codes.DCM.ArtificialIntelligence
    algorithm = highdicom().AlgorithmIdentificationSequence(
        name=provenance.method[:64],
        family=family,
        version=provenance.version,
        source=_MANUFACTURER,
    )
    algorithm[0].AlgorithmParameters = provenance.parameters
    made = highdicom().seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.label[:64],
        segmented_property_category=_concept(segment.category),
        segmented_property_type=_concept(segment.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=pydicom().uid.generate_uid(prefix=None),
        tracking_id=segment.label[:64],
        anatomic_regions=None if segment.region is None else [_concept(segment.region)],
        display_color=highdicom().color.CIELabColor.from_rgb(*segment.color),
    )
    if segment.modifier is not None:
        made.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            _concept(segment.modifier)
        ]
    return made


def _concept(code: Any) -> Any:
    return highdicom().sr.CodedConcept(code.value, code.scheme, code.meaning)


def _line(error: Exception) -> str:
    """What highdicom says, in one line without its full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
