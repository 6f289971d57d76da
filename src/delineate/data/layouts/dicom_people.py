"""What the owner of DICOM files should know of the people in them, before the files are shared."""

from __future__ import annotations

from collections.abc import Sequence

from delineate.data.core.findings import Finding, count
from delineate.data.formats.dicom.header import Header

__all__ = ["people_findings"]

_SHARE = "runs and models hold none of it; de-identify the files before you share them"


def people_findings(headers: Sequence[Header]) -> list[Finding]:
    """Warnings of tags and pixels that may tell who a patient is. What they hold is not said.

    Args:
        headers: of all DICOM files of a data set.

    Returns:
        A warning for each kind; none where nothing tells.
    """
    findings = []
    if tags := sorted({tag for header in headers for tag in header.identifying}):
        number = sum(bool(header.identifying) for header in headers)
        text = f"{_of(number, headers)} tell who the patient is ({', '.join(tags)})"
        findings.append(Finding("warning", text, _SHARE))
    if private := sum(header.private for header in headers):
        text = f"{_of(private, headers)} have private tags, which may hold anything, a name too"
        findings.append(Finding("warning", text, _SHARE))
    if marked := [header for header in headers if header.burned_in]:
        text = (
            f"{count(len(marked), 'DICOM file')} may show the patient's name or dates in the picture itself "
            f"({_first(marked)})"
        )
        findings.append(Finding("warning", text, "look at them; text in pictures goes into overlays and reports"))
    if faces := [header for header in headers if header.face]:
        text = f"{count(len(faces), 'DICOM file')} may show a face that can be recognized ({_first(faces)})"
        findings.append(
            Finding("warning", text, "overlays and reports show slices of it; remove faces before you share")
        )
    return findings


def _of(number: int, headers: Sequence[Header]) -> str:
    return f"{number} of {count(len(headers), 'DICOM file')}"


def _first(headers: Sequence[Header]) -> str:
    return f"{headers[0].path.name}{', …' if len(headers) > 1 else ''}"
