"""What a DICOM file says of its pixels and of each of its frames, as plain data. Nothing of it names a patient."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from delineate.common.errors import DataError
from delineate.data.core.geometry import Triple
from delineate.data.formats.dicom.numbers import number, numbers, tag_of, whole
from delineate.data.formats.dicom.people import has_private_tags, identifying_tags, may_show_a_face, may_show_text

__all__ = ["Frame", "Header", "NotAnImageError", "read_frames", "text_of"]

_NO_IMAGES = {
    "1.2.840.10008.1.3.10": "a DICOMDIR, which lists other files",
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66.5": "a segmentation of surfaces",
    "1.2.840.10008.5.1.4.1.1.481.2": "a radiation dose",
    "1.2.840.10008.5.1.4.1.1.481.3": "a structure set (RTSTRUCT)",
    "1.2.840.10008.5.1.4.1.1.481.5": "a radiation plan",
    "1.2.840.10008.5.1.4.1.1.30": "a parametric map",
}
"""Classes of objects that are no images of a patient, though some hold pixels."""
_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""VL Whole Slide Microscopy."""
_MASKS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.481.3")
"""Those of them that mark regions in images (`data.formats.dicom_masks`)."""
_MARKS = (
    "StackID",
    "TemporalPositionIndex",
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
    "EchoTime",
    "EchoNumbers",
    "EffectiveEchoTime",
    "InversionTime",
    "FlipAngle",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "ImageType",
    "FrameType",
    "ComplexImageComponent",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "ConvolutionKernel",
    "FrameReferenceTime",
)
"""Tags by which two slices of one place can be told apart, the plainest first. They are compared as text."""
_ORTHONORMAL = 1e-3
_MODALITY = re.compile(r"[A-Z]{2,3}|RTIMAGE|IVOCT|IVUS|OPTENF|OPTBSV|STAIN")
_PHOTOMETRIC = re.compile(r"(MONOCHROME|YBR_|RGB|PALETTE COLOR|ARGB|CMYK|HSV|XYB)[A-Z0-9_]*")
"""The codes that are in use. Messages quote them, so that nothing else may be in their place, such as a name."""
_CENTIMETERS = "3"
"""PhysicalUnitsXDirection of distances."""


class NotAnImageError(DataError):
    """A DICOM file holds something else. `is_mask`: regions of images, as a segmentation or a structure set."""

    def __init__(self, text: str, is_mask: bool) -> None:
        super().__init__(text)
        self.is_mask = is_mask


@dataclass(frozen=True, slots=True)
class Header:
    """What all frames of a file have in common."""

    path: Path
    instance: str
    """SOP instance UID."""
    series: str
    """Series instance UID; '' where the file has none."""
    sop_class: str
    modality: str
    """DICOM's code; '' where it is none."""
    patient: str
    """A hash of the patient's ID; '' where the file has none. Unsalted: it stays in memory (`data.layouts`)."""
    frame_of_reference: str | None
    rows: int
    columns: int
    frames: int
    samples: int
    bits: int
    """Stored, of one sample."""
    signed: bool
    photometric: str
    """'' where it is none that is known."""
    padding: tuple[int, int] | None
    """Stored values, from and to, that stand for no image."""
    has_lookup: bool
    """Whether a table (Modality LUT) turns stored values into those that are meant."""
    image_type: str
    number: int | None
    """InstanceNumber."""
    series_number: int | None
    pixel_size: tuple[float, float] | None
    """Of frames without positions: between rows and between columns, mm, as an ultrasound region or the detector tells it."""
    pixel_size_of: str
    """Who tells it, in words; '' where nobody does."""
    identifying: tuple[str, ...]
    """Tags that tell who the patient is and are filled."""
    private: bool
    """Whether there are private tags."""
    burned_in: bool
    """Whether the pixels may show text of the patient."""
    face: bool
    """Whether they may show a face."""
    matrix: tuple[int, int] | None
    """Of a slide, height and width of the picture that its frames are tiles of; None of other images."""
    size: int
    """Bytes that the pixels take, unpacked; of an unpacked file these are there, or it is truncated."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice: a frame of a file."""

    header: Header
    index: int
    """In its file, from 0."""
    position: Triple | None
    """Of the first pixel's center, LPS, mm."""
    orientation: tuple[float, ...] | None
    """Six numbers: the direction of growing columns, then that of growing rows."""
    spacing: tuple[float, float] | None
    """Between rows and between columns, mm."""
    thickness: float | None
    slope: float
    intercept: float
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> tuple[Triple, tuple[float, ...], tuple[float, float]] | None:
        """Position, orientation and spacing; None where one of them is missing."""
        if self.position is None or self.orientation is None or self.spacing is None:
            return None
        return self.position, self.orientation, self.spacing

    @property
    def path(self) -> Path:
        """Of the file."""
        return self.header.path


def read_frames(path: Path, dataset: Any) -> tuple[Frame, ...]:
    """The frames of a file.

    Args:
        path: of the file.
        dataset: its header (`files.read_dataset`).

    Returns:
        Them in the order of the file; of a slide, whose frames are tiles, the first one.

    Raises:
        NotAnImageError: in one line that names the file: it holds something else.
        DataError: in one line that names the file, and the tag where one is at fault.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from delineate.data.formats.dicom.files import read_dataset
        >>> from delineate.data.formats.dicom.header import read_frames
        >>> path = Path(get_testdata_file("CT_small.dcm"))
        >>> [frame.spacing for frame in read_frames(path, read_dataset(path))]
        [(0.661468, 0.661468)]
    """
    header = _header(path, dataset)
    shared = _items(dataset, "SharedFunctionalGroupsSequence")
    if header.matrix is not None:
        return (_frame(header, 0, [*shared[:1], dataset]),)
    each = _items(dataset, "PerFrameFunctionalGroupsSequence")
    if each and len(each) != header.frames:
        raise DataError(f"{path} describes {len(each)} frames but says that it has {header.frames}; restore it")
    common = [*(shared[:1]), dataset]
    if not each:
        return tuple(_frame(header, index, common) for index in range(header.frames))
    return tuple(_frame(header, index, [item, *common]) for index, item in enumerate(each))


def text_of(dataset: Any, keyword: str) -> str:
    """A tag as text.

    Args:
        dataset: pydicom's data set.
        keyword: of the tag.

    Returns:
        Its values, `\\` between; '' where it is absent or cannot be read.

    Example:
        >>> from pydicom import Dataset
        >>> from delineate.data.formats.dicom.header import text_of
        >>> text_of(Dataset(), "Modality")
        ''
    """
    try:
        value = dataset.get(keyword)
    except Exception:
        return ""
    if value is None:
        return ""
    parts = [value] if isinstance(value, str | int | float) or not hasattr(value, "__iter__") else list(value)
    return "\\".join(str(part).strip(" \0") for part in parts)


def _header(path: Path, dataset: Any) -> Header:
    meta = getattr(dataset, "file_meta", None)
    sop_class = text_of(dataset, "SOPClassUID") or text_of(meta or {}, "MediaStorageSOPClassUID")
    if what := _NO_IMAGES.get(sop_class):
        raise NotAnImageError(f"{path} is {what}, no image", sop_class in _MASKS)
    rows, columns = whole(dataset, "Rows", path), whole(dataset, "Columns", path)
    if rows is None or columns is None:
        raise DataError(f"{path} holds no image (no {tag_of('Rows')} and {tag_of('Columns')})")
    allocated = whole(dataset, "BitsAllocated", path)
    if allocated is None:
        raise DataError(f"{path}: {tag_of('BitsAllocated')} is missing; restore the file")
    frames, samples = whole(dataset, "NumberOfFrames", path) or 1, whole(dataset, "SamplesPerPixel", path) or 1
    patient = text_of(dataset, "PatientID")
    pixel_size, pixel_size_of = _pixel_size(path, dataset)
    return Header(
        path,
        instance=text_of(dataset, "SOPInstanceUID") or str(path),
        series=text_of(dataset, "SeriesInstanceUID"),
        sop_class=sop_class,
        modality=_code(text_of(dataset, "Modality"), _MODALITY),
        patient=hashlib.sha256(patient.encode()).hexdigest() if patient else "",
        frame_of_reference=text_of(dataset, "FrameOfReferenceUID") or None,
        rows=rows,
        columns=columns,
        frames=frames,
        samples=samples,
        bits=whole(dataset, "BitsStored", path) or allocated,
        signed=whole(dataset, "PixelRepresentation", path) == 1,
        photometric=_code(text_of(dataset, "PhotometricInterpretation") or "MONOCHROME2", _PHOTOMETRIC),
        padding=_padding(path, dataset),
        has_lookup="ModalityLUTSequence" in dataset,
        image_type=text_of(dataset, "ImageType"),
        number=whole(dataset, "InstanceNumber", path),
        series_number=whole(dataset, "SeriesNumber", path),
        pixel_size=pixel_size,
        pixel_size_of=pixel_size_of,
        identifying=identifying_tags(dataset),
        private=has_private_tags(dataset),
        burned_in=may_show_text(dataset),
        face=may_show_a_face(dataset),
        matrix=_matrix(path, dataset) if sop_class == _SLIDE else None,
        size=rows * columns * frames * samples * allocated // 8,
    )


def _matrix(path: Path, dataset: Any) -> tuple[int, int] | None:
    rows, columns = whole(dataset, "TotalPixelMatrixRows", path), whole(dataset, "TotalPixelMatrixColumns", path)
    return None if rows is None or columns is None else (rows, columns)


def _pixel_size(path: Path, dataset: Any) -> tuple[tuple[float, float] | None, str]:
    """Between rows and between columns in mm, and who tells it."""
    if spacing := numbers(dataset, "PixelSpacing", path, 2):
        return (spacing[0], spacing[1]), "PixelSpacing"
    regions = set()
    for region in _items(dataset, "SequenceOfUltrasoundRegions"):
        units = {text_of(region, "PhysicalUnitsXDirection"), text_of(region, "PhysicalUnitsYDirection")}
        across, down = (number(region, f"PhysicalDelta{axis}", path) for axis in "XY")
        if units == {_CENTIMETERS} and across and down:
            regions.add((abs(down) * 10, abs(across) * 10))
    if len(regions) == 1:
        return regions.pop(), "its ultrasound region"
    if spacing := numbers(dataset, "ImagerPixelSpacing", path, 2):
        return (spacing[0], spacing[1]), "ImagerPixelSpacing, at the detector"
    return None, ""


def _code(text: str, known: re.Pattern[str]) -> str:
    return text if known.fullmatch(text) else ""


def _padding(path: Path, dataset: Any) -> tuple[int, int] | None:
    value, limit = whole(dataset, "PixelPaddingValue", path), whole(dataset, "PixelPaddingRangeLimit", path)
    if value is None:
        return None
    return (value, value) if limit is None else (min(value, limit), max(value, limit))


def _frame(header: Header, index: int, places: list[Any]) -> Frame:
    """`places`: data sets that may tell of the frame, the nearest first."""
    path = header.path
    position = _found(places, "ImagePositionPatient", "PlanePositionSequence", path, 3)
    orientation = _found(places, "ImageOrientationPatient", "PlaneOrientationSequence", path, 6)
    spacing = _found(places, "PixelSpacing", "PixelMeasuresSequence", path, 2)
    thickness = _found(places, "SliceThickness", "PixelMeasuresSequence", path, 1, zero_is_none=True)
    slope = _found(places, "RescaleSlope", "PixelValueTransformationSequence", path, 1)
    intercept = _found(places, "RescaleIntercept", "PixelValueTransformationSequence", path, 1)
    if orientation:
        _check_orientation(path, orientation)
    return Frame(
        header,
        index,
        position=(position[0], position[1], position[2]) if position else None,
        orientation=orientation or None,
        spacing=(spacing[0], spacing[1]) if spacing else None,
        thickness=thickness[0] if thickness else None,
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        marks=_marks(places),
    )


def _found(
    places: list[Any], keyword: str, group: str, path: Path, count: int, zero_is_none: bool = False
) -> tuple[float, ...]:
    """Numbers of a frame: in its own group, in that of all frames, or in the file's own tag."""
    for place in places:
        for holder in (*_items(place, group)[:1], place):
            if zero_is_none and text_of(holder, keyword).strip("0.") == "":
                continue
            if values := numbers(holder, keyword, path, count):
                return values
    return ()


def _check_orientation(path: Path, values: tuple[float, ...]) -> None:
    row, column = np.array(values[:3]), np.array(values[3:])
    off = max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column))
    if off > _ORTHONORMAL:
        raise DataError(
            f"{path}: {tag_of('ImageOrientationPatient')} has directions that are not perpendicular and of length 1; "
            "correct the header"
        )


def _marks(places: list[Any]) -> dict[str, str]:
    """What tells slices of one place apart."""
    found: dict[str, str] = {}
    for place in places:
        holders = [place]
        if "FrameContentSequence" in place:
            groups = ("FrameContentSequence", "MREchoSequence", "MRDiffusionSequence", "MRImageFrameTypeSequence")
            holders += [item for group in (*groups, "CardiacSynchronizationSequence") for item in _items(place, group)]
        for holder in holders:
            for keyword in _MARKS:
                if keyword not in found and (text := text_of(holder, keyword)):
                    found[keyword] = text
    return found


def _items(dataset: Any, keyword: str) -> list[Any]:
    """The items of a sequence; none where it is absent or damaged."""
    try:
        value = dataset.get(keyword)
    except Exception:
        return []
    return list(value) if value is not None and not isinstance(value, str | bytes | int | float) else []
