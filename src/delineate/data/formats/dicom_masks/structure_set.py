"""A class volume → outlines of radiotherapy (RTSTRUCT), slice by slice, on the edges of pixels.

Written with pydicom alone. The numbers of a contour have four digits behind the point: a ten-thousandth of a millimeter.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import atomic_path
from delineate.data.core.class_codes import Code
from delineate.data.core.geometry import Geometry
from delineate.data.formats.dicom.package import pydicom
from delineate.data.formats.dicom_masks.codes import Segment
from delineate.data.formats.dicom_masks.outlines import trace_region
from delineate.data.formats.dicom_masks.packages import quietly
from delineate.data.formats.dicom_masks.provenance import Provenance
from delineate.data.formats.dicom_masks.sources import Sources, result_series_number

__all__ = ["STRUCTURE_SET", "write_structure_set"]

STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
"""SOP class."""
_EXPLICIT, _STUDIES = "1.2.840.10008.1.2.1", "1.2.840.10008.3.1.2.3.1"
_COPIED = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
)
"""Patient and study of the images, as the standard wants."""


def write_structure_set(
    path: Path,
    volume: NDArray[np.uint8],
    sources: Sources,
    grid: Geometry,
    segments: Sequence[Segment],
    provenance: Provenance,
) -> None:
    """Write class indices as an RTSTRUCT, atomically.

    Args:
        path: of the file.
        volume: slices × rows × columns of class indices, in the order of the sources; all 0 is a valid result.
        sources: the images that it is of.
        grid: where their voxels lie: x along a row, y along a column, z from slice to slice.
        segments: of the foreground classes: that of index 1 first.
        provenance: what made it.

    Raises:
        DataError: naming the images: they have no frame of reference.
        ValueError: the volume has another shape than the images.
    """
    shape = (sources.slices, *sources.size)
    if volume.shape != shape or grid.shape != shape[::-1]:
        raise ValueError(f"a mask of {sources.path} has the shape {shape}, not {volume.shape}")
    if not sources.first.get("FrameOfReferenceUID"):
        raise DataError(
            f"{sources.path} has no frame of reference, which an RTSTRUCT needs; give --format dicom-seg or nifti"
        )
    with quietly():
        made = _header(sources, provenance)
        made.StructureSetROISequence = [_roi(each, at, sources, provenance) for at, each in enumerate(segments, 1)]
        made.ROIContourSequence = [_contours(each, at, volume, sources, grid) for at, each in enumerate(segments, 1)]
        made.RTROIObservationsSequence = [_observation(each, at) for at, each in enumerate(segments, 1)]
        with atomic_path(path) as temporary:
            made.save_as(temporary, enforce_file_format=True)


def _header(sources: Sources, provenance: Provenance) -> Any:
    dataset = pydicom().dataset
    new = pydicom().uid.generate_uid
    made = dataset.FileDataset("", {}, file_meta=dataset.FileMetaDataset(), preamble=b"\0" * 128)
    made.file_meta.TransferSyntaxUID = _EXPLICIT
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = STRUCTURE_SET
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = new(prefix=None)
    for keyword in _COPIED:
        if keyword in sources.first:
            made[keyword] = sources.first[keyword]
    now = datetime.datetime.now()
    made.InstanceCreationDate, made.InstanceCreationTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made.Modality, made.SeriesInstanceUID = "RTSTRUCT", new(prefix=None)
    made.SeriesNumber, made.InstanceNumber = result_series_number(sources), 1
    made.SeriesDescription = f"Segmentation ({provenance.method})"[:64]
    made.Manufacturer, made.ManufacturerModelName = "Delineate", provenance.method[:64]
    made.SoftwareVersions, made.DeviceSerialNumber = provenance.version, provenance.serial
    made.OperatorsName, made.PositionReferenceIndicator = "", sources.first.get("PositionReferenceIndicator") or ""
    made.StructureSetLabel, made.StructureSetName = "SEGMENTATION", f"Segmentation ({provenance.method})"[:64]
    made.StructureSetDescription = f"Automatic segmentation, {provenance.parameters}"
    made.StructureSetDate, made.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made.ApprovalStatus = "UNAPPROVED"
    made.ReferencedFrameOfReferenceSequence = [_referenced(sources)]
    return made


def _referenced(sources: Sources) -> Any:
    """Frame of reference → study → series → images."""
    frame, study, series = (pydicom().Dataset() for _ in range(3))
    frame.FrameOfReferenceUID = sources.first.FrameOfReferenceUID
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDIES, sources.first.StudyInstanceUID
    series.SeriesInstanceUID = sources.first.SeriesInstanceUID
    series.ContourImageSequence = [_image(sources, at) for at in range(sources.slices)]
    study.RTReferencedSeriesSequence = [series]
    frame.RTReferencedStudySequence = [study]
    return frame


def _image(sources: Sources, at: int) -> Any:
    header, item = sources.headers[0 if sources.frames else at], pydicom().Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    if sources.frames:
        item.ReferencedFrameNumber = sources.frames[at] + 1
    return item


def _roi(segment: Segment, number: int, sources: Sources, provenance: Provenance) -> Any:
    item = pydicom().Dataset()
    item.ROINumber, item.ROIName = number, segment.label[:64]
    item.ReferencedFrameOfReferenceUID = sources.first.FrameOfReferenceUID
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIGenerationDescription = f"Delineate {provenance.version}, {provenance.method}"[:64]
    return item


def _contours(segment: Segment, number: int, volume: NDArray[np.uint8], sources: Sources, grid: Geometry) -> Any:
    item = pydicom().Dataset()
    item.ReferencedROINumber, item.ROIDisplayColor = number, list(segment.color)
    contours: list[Any] = []
    for at, polygon in _outlines(volume, number):
        positions = grid.positions(np.column_stack([polygon, np.full(len(polygon), at)]))
        contour = pydicom().Dataset()
        contour.ContourImageSequence = [_image(sources, at)]
        contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(polygon)
        contour.ContourNumber = len(contours) + 1
        _set_points(contour, positions)
        contours.append(contour)
    if contours:
        item.ContourSequence = contours
    return item


def _set_points(contour: Any, positions: NDArray[np.float64]) -> None:
    """ContourData as it lies in the file: pydicom's own numbers would take most of the time of writing."""
    text = "\\".join(f"{value:.4f}" for value in positions.ravel().tolist())
    content = f"{text} "[: len(text) + len(text) % 2].encode("ascii")
    tag = pydicom().tag.Tag("ContourData")
    contour[tag] = pydicom().dataelem.RawDataElement(tag, "DS", len(content), content, 0, False, True)
    contour.set_original_encoding(False, True, pydicom().charset.default_encoding)


def _outlines(volume: NDArray[np.uint8], number: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Slice and corners (x, y) of each piece of a class."""
    for at, plane in enumerate(volume):
        region = plane == number
        rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
        if len(rows):
            top, left = int(rows[0]), int(columns[0])
            for polygon in trace_region(region[top : rows[-1] + 1, left : columns[-1] + 1]):
                yield at, polygon + np.array([left, top])


def _observation(segment: Segment, number: int) -> Any:
    item = pydicom().Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.ROIObservationLabel = segment.label[:16]
    item.RTROIInterpretedType, item.ROIInterpreter = "", ""
    item.RTROIIdentificationCodeSequence = [_concept(segment.type)]
    return item


def _concept(code: Code) -> Any:
    item = pydicom().Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item
