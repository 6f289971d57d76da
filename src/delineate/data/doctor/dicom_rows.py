"""The DICOM images of a data set, in a line each, and what is odd about those that are pictures."""

from __future__ import annotations

from collections import Counter

from delineate.data.core.findings import Finding, count
from delineate.data.core.geometry import sizes
from delineate.data.core.manifest import Case, Manifest
from delineate.data.doctor.overview import Row
from delineate.data.formats.contract import ANY_SIZE
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.handle import DicomHandle
from delineate.data.formats.dicom.slide import DicomSlide
from delineate.data.formats.registry import open_image

__all__ = ["dicom_rows", "dicom_words", "picture_notes"]

_MOST = 20
"""Images that are listed."""


def dicom_rows(manifest: Manifest) -> list[Row]:
    """What each DICOM image is: its address, modality, size and distances. Headers alone are read."""
    cases = [case for case in manifest.cases if case.images and DicomAddress.parse(case.images[0]) is not None]
    rows = [(case.id, _line(manifest, case)) for case in cases[:_MOST]]
    if len(cases) > _MOST:
        rows.append(("…", f"{count(len(cases) - _MOST, 'more DICOM image')}"))
    return rows


def picture_notes(manifest: Manifest) -> list[Finding]:
    """What is odd about DICOM images that are pictures, each once with how many are so. Of volumes it is told with their grids."""
    told: Counter[str] = Counter()
    cases = [case for case in manifest.cases if case.images and DicomAddress.parse(case.images[0]) is not None]
    for case in cases:
        handle = open_image(manifest.path(case.images[0]), max_pixels=ANY_SIZE)
        if not handle.is_volume:
            told.update(handle.notes)
    return [
        Finding("warning", f"{number} of {count(len(cases), 'DICOM image')}: {note}") for note, number in told.items()
    ]


def _line(manifest: Manifest, case: Case) -> str:
    handle = open_image(manifest.path(case.images[0]), max_pixels=ANY_SIZE)
    assert isinstance(handle, DicomHandle | DicomSlide), "an address of DICOM"
    return f"{case.images[0]}: {dicom_words(handle)}"


def dicom_words(handle: DicomHandle | DicomSlide) -> str:
    """What a DICOM image is.

    Args:
        handle: the image, of which headers alone are read.

    Returns:
        Modality, size, number of files, distances, and what is odd.
    """
    files = len({frame.path for frame in handle.frames})
    what = f"{handle.modality or 'unknown modality'}, {sizes(handle.shape)}, {count(files, 'file')}"
    if isinstance(handle, DicomSlide):
        pixels = (
            "" if handle.microns is None else f", pixels of {sizes([round(each, 4) for each in handle.microns])} µm"
        )
        return f"{what} of a slide{pixels}"
    geometry = handle.series.geometry
    apart = "" if geometry is None else f", {sizes([round(each, 3) for each in geometry.spacing])} mm"
    told = f" ({'; '.join(handle.notes)})" if handle.notes and geometry is not None else ""
    return f"{what}{apart}{told}"
