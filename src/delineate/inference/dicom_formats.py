"""Which images can have masks that are DICOM objects."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.scan import scan
from delineate.data.formats.dicom_masks.suffixes import MASK_SUFFIXES

__all__ = ["DicomFormat", "is_dicom_result", "why_not"]

DicomFormat = Literal["dicom-seg", "rtstruct"]


def is_dicom_result(path: Path) -> bool:
    """Whether a mask is to be a DICOM object, by its name."""
    return path.name.endswith(MASK_SUFFIXES)


def why_not(image: Path, format: DicomFormat) -> str:
    """Why there can be no DICOM mask of an image; '' where there can. Headers are read, if they were not before.

    Args:
        image: an address, or a file of any other format.
        format: of the mask.

    Returns:
        The end of a sentence that begins with the image's name.
    """
    address = DicomAddress.parse(image)
    if address is None:
        return "is no DICOM image, and a DICOM mask must refer to one"
    series = next((one for at, one in scan(address.place).series if at.key == address.key), None)
    if series is None:
        return ""  # reading it says what is wrong
    if series.kind == "slide":
        return "is a slide, of which no DICOM masks are written"
    header = series.frames[0].header
    if format == "rtstruct" and series.geometry is None:
        return "has no slices with positions, which an RTSTRUCT needs"
    if header.frame_of_reference is not None and header.frames == 1 and series.frames[0].place is None:
        return "has no position, orientation or pixel spacing, which a DICOM mask of such an image needs"
    if header.frame_of_reference is None and len(series.frames) > 1:
        return "has several frames but no frame of reference, and a DICOM mask needs one"
    if header.frame_of_reference is None and format == "rtstruct":
        return "has no frame of reference, which an RTSTRUCT needs"
    if header.frames > 1 and len({frame.path for frame in series.frames}) > 1:
        return "lies in several multi-frame files, and a DICOM mask is of one"
    return ""
