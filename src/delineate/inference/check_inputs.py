"""`data check` of files: the images that `predict` would make of them, all of their pixels read, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding
from delineate.data.core.geometry import sizes
from delineate.data.doctor.dicom_rows import dicom_words
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, ImageHandle
from delineate.data.formats.dicom.handle import DicomHandle
from delineate.data.formats.dicom.slide import DicomSlide
from delineate.data.formats.registry import open_image
from delineate.inference.inputs import find_inputs

__all__ = ["CheckedImages", "check_images"]


@dataclass(frozen=True)
class CheckedImages:
    """What images there are, and what is wrong."""

    rows: tuple[tuple[str, str], ...]
    """Of each image, how its mask would be called, and what it is."""
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether each of them can be predicted."""
        return not any(finding.severity == "error" for finding in self.findings)


def check_images(
    files: Sequence[Path],
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Callable[[int, int], None] | None = None,
) -> CheckedImages:
    """Put files together to images as `predict` does, and read each.

    Args:
        files: of images; DICOM files become series.
        max_pixels: larger images are refused.
        progress: called with (images read, images in all).

    Returns:
        Images and faults.

    Raises:
        DataError: there is no image among the files.
    """
    found = find_inputs(files)
    findings = [Finding("note", note) for note in found.notes]
    rows = []
    for done, one in enumerate(found.images, 1):
        try:
            handle = open_image(one.image, max_pixels=max_pixels)
            handle.read()
            rows.append((one.name, f"{one.image}: {_words(handle)}"))
            if not (isinstance(handle, DicomHandle) and handle.series.geometry is not None):  # else the words have them
                findings += [Finding("warning", f"{one.image}: {note}") for note in handle.notes]
        except DataError as error:
            findings.append(Finding("error", str(error)))
        if progress is not None:
            progress(done, len(found.images))
    return CheckedImages(tuple(rows), tuple(findings))


def _words(handle: ImageHandle) -> str:
    if isinstance(handle, DicomHandle | DicomSlide):
        return dicom_words(handle)
    return f"{sizes(handle.shape)}, {' + '.join(handle.channels)}, {handle.dtype}"
