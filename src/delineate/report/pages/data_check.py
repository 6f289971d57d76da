"""The page of `data check`: what was found, the gravest first, and the pictures that one must look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.facts import AS_STORED
from delineate.data.cases.overview import glance
from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.core.findings import Finding, count
from delineate.data.core.manifest import Case, Manifest
from delineate.data.doctor.balance import SPLITS
from delineate.data.doctor.check import CheckReport
from delineate.data.doctor.quality import agreement
from delineate.data.doctor.volumes import HEAD, volume_table
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.handle import DicomHandle
from delineate.data.formats.dicom.names import CoveredNames, cover_of, holds_dicom
from delineate.data.formats.dicom.scan import dicom_files
from delineate.data.formats.dicom.values import display_range
from delineate.data.formats.registry import open_image
from delineate.data.splits.leakage import place
from delineate.data.splits.near_duplicates import ORIENTATIONS, DuplicatePair, oriented
from delineate.inference.contact_sheet import turned
from delineate.inference.overlay import REFERENCE
from delineate.report.html.document import page, pictures, section, write_page
from delineate.report.html.elements import Html, element, facts, fold, join, number, table
from delineate.report.html.images import drawn, figure_of

__all__ = ["write_data_report"]

_PAIRS = 40
"""Pairs of equal pictures shown of each kind; those in different splits come first."""
_SAMPLES = 12
"""Pictures shown of every other kind."""
_SIDE = 200
_SIDE_BY_SIDE = "display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); align-items: center; gap: 2px"

_COVERED = (
    "not shown. Names of folders and files may tell who a patient is: on this page they are numbers (name-1); "
    "the terminal shows them"
)
_WORDS = {"error": "Must be fixed before training", "warning": "Makes scores doubtful", "note": "Worth knowing"}


def write_data_report(report: CheckReport, path: Path) -> Path:
    """Write the page and return its path. Names of DICOM's folders and files are covered. Raises `DelineateError` when it cannot be
    written."""
    title, folder = report.folder.resolve().name, str(report.folder)
    if _is_dicom(report):
        title, folder = "DICOM images", _COVERED
        report = _covered(report)
    parts = [_verdict(report, folder), _findings(report.findings)]
    if report.manifest is not None:
        cases = {case.id: case for case in report.manifest.cases}
        parts += [
            _copies(report, cases),
            _overview(report),
            _balance(report),
            _volumes(report),
            _sizes(report),
            _samples(report, report.manifest, cases),
        ]
    return write_page(path, page(title, "data check", *parts))


def _is_dicom(report: CheckReport) -> bool:
    """Whether the folder holds DICOM images; where nothing could be matched, whether it holds such files."""
    if report.manifest is not None:
        return holds_dicom(report.manifest)
    return report.folder.is_dir() and bool(dicom_files(report.folder))


def _covered(report: CheckReport) -> CheckReport:
    """The same without names of folders and files, which may tell who a patient is."""
    inside = cover_of(report.manifest) if report.manifest is not None else str
    alone = (
        report.manifest is None or Path(report.manifest.root).resolve() != report.folder.resolve()
    )  # an archive, a list
    outside = CoveredNames(report.folder, "DATA") if alone else str

    def cover(text: str) -> str:
        return outside(inside(text))

    findings = [replace(one, text=cover(one.text), mend=cover(one.mend)) for one in report.findings]
    return replace(report, rows=[(name, cover(text)) for name, text in report.rows], findings=findings)


def _verdict(report: CheckReport, folder: str) -> Html:
    counts = Counter(finding.severity for finding in report.findings)
    told = ", ".join(count(counts[kind], kind) for kind in ("error", "warning", "note") if counts[kind])
    ready = "Training can start" if report.usable else "Training cannot use these data yet"
    return element("p", f"{ready}: {told or 'no problems found'}. Folder: {folder}.", class_="lead")


def _findings(findings: Sequence[Finding]) -> Html | None:
    if not findings:
        return None

    def entry(finding: Finding) -> Html:
        return element("li", finding.text, element("p", f"→ {finding.mend}", class_="note") if finding.mend else None)

    parts = []
    for severity, words in _WORDS.items():
        own = [entry(finding) for finding in findings if finding.severity == severity]
        if own:
            parts += [element("h3", f"{words} ({len(own)})"), element("ul", *own)]
    return section("Findings", *parts)


def _copies(report: CheckReport, cases: dict[str, Case]) -> Html | None:
    exact = sorted(report.duplicates.exact, key=lambda members: len({case.split for case in members}) == 1)
    across = report.duplicates.across()
    near = [*across, *(pair for pair in report.duplicates.near if pair not in across)]
    if not exact and not near:
        return None
    parts: list[Html | None] = []
    if exact:
        words = [(members[0], members[1], 0, f"equal; {count(len(members), 'picture')} in all") for members in exact]
        parts += [element("h3", f"Pixel for pixel equal ({len(exact)})"), _pairs(report, words)]
    if near:
        pairs = [(cases[one.first], cases[one.second], one.orientation, _likeness(one)) for one in near]
        parts += [element("h3", f"Near duplicates ({len(near)})"), _pairs(report, pairs)]
    lead = (
        "Two pictures each, with the reference's outline; those in different splits come first. Agreement is the Dice of the "
        "two reference masks: low values mean that one of them is wrong."
    )
    return section("Equal and nearly equal pictures", *parts, lead=lead)


def _pairs(report: CheckReport, pairs: Sequence[tuple[Case, Case, int, str]]) -> Html:
    figures = []
    for first, second, orientation, words in pairs[:_PAIRS]:
        both = join(_picture(report, first), _picture(report, second))
        crossing = " · different splits" if first.split != second.split else ""
        names = f"{first.id} ({place(first)}) and {second.id} ({place(second)})"
        masks = _agreement(report, first, second, orientation)
        caption = element("small", f"{words}{crossing}; masks agree {masks}")
        figures.append(figure_of(element("div", both, style=_SIDE_BY_SIDE), names, element("br"), caption))
    rest = len(pairs) - _PAIRS
    return join(pictures(figures), element("p", f"… and {rest} more.", class_="note") if rest > 0 else None)


def _likeness(pair: DuplicatePair) -> str:
    turned = f", the second {ORIENTATIONS[pair.orientation]}" if pair.orientation else ""
    return f"similarity {pair.similarity:.3f}{turned}"


def _agreement(report: CheckReport, first: Case, second: Case, orientation: int) -> str:
    """Dice of the two masks, the second brought to the first's size; a cropped copy agrees a little less than it should."""
    try:
        one, other = (_pixels_of(report).mask(report.census.telling(case)) for case in (first, second))
    except DataError:
        return "unknown"
    if one is None or other is None:
        return "unknown"
    turned = oriented(other, orientation)
    return number(agreement(one, np.asarray(cv2.resize(turned, one.shape[::-1], interpolation=cv2.INTER_NEAREST))))


def _overview(report: CheckReport) -> Html:
    return section("The set", facts({name or "…": value for name, value in report.rows}))


def _balance(report: CheckReport) -> Html | None:
    if not report.shares:
        return None
    splits = [split for split in SPLITS if any(share.split == split for share in report.shares)]
    head = ["class", *(f"{split}: {what}" for split in splits for what in ("cases", "pixels"))]
    rows: list[list[Any]] = []
    for index in sorted({share.index for share in report.shares}):
        own = {share.split: share for share in report.shares if share.index == index}
        cells = [f"{index} {next(iter(own.values())).name}"]
        for split in splits:
            cells += [f"{own[split].showing} of {own[split].cases}", f"{own[split].pixels:.2%}"]
        rows.append(cells)
    return section("Classes", table(head, rows), lead="Cases that show the class, and its share of the split's pixels.")


def _volumes(report: CheckReport) -> Html | None:
    rows = volume_table(report.census)
    if not rows:
        return None
    lead = "Sizes and spacings: right-left, back-front, feet-head. Orientation is that of the file's own axes."
    return section("Volumes", fold(f"{count(len(rows), 'volume')}", table(HEAD, rows)), lead=lead)


def _sizes(report: CheckReport) -> Html:
    census = report.census
    sizes = [[f"{width}×{height}", str(cases)] for (height, width), cases in census.sizes.most_common()]
    kinds = [[f"{bits} bit", str(cases)] for bits, cases in census.depths.items()]
    kinds += [[name, str(cases)] for name, cases in census.channels.items()]
    values = [[str(value), f"{pixels:,}".replace(",", " ")] for value, pixels in sorted(census.values.items())]
    return section(
        "Counts",
        fold(f"{count(len(sizes), 'size')}", table(["size", "cases"], sizes)),
        fold("Channels and bit depths", table(["kind", "cases"], kinds)),
        fold(f"{count(len(values), 'mask value')}", table(["value", "pixels"], values)),
    )


def _samples(report: CheckReport, manifest: Manifest, cases: dict[str, Case]) -> Html | None:
    kinds = {
        "Pictures of one value": report.constant,
        "Dark pictures": report.dark,
        "Little foreground": report.small,
        "Small spots in the reference": report.speckled,
        "Empty masks": [case.id for case in manifest.cases if case.id in report.census.empty],
    }
    parts = []
    for title, names in kinds.items():
        if names:
            figures = [
                figure_of(_picture(report, cases[name]), f"{name} ({place(cases[name])})") for name in names[:_SAMPLES]
            ]
            parts.append(fold(f"{title} ({len(names)})", pictures(figures)))
    return section("To look at", *parts) if parts else None


def _picture(report: CheckReport, case: Case) -> Html:
    """The case's picture, or the slice of its volume with most labels, with the outline of its reference."""
    pixels, sample = _pixels_of(report), report.census.telling(case)
    try:
        if report.census.facts[case.id].large:
            return _glimpse(report, case)
        window = None if sample.plane is None else _display_range(report, case)
        if window is None:
            image = pixels.view(sample)
        else:
            own = pixels.with_numbers("own").image(sample)
            image = np.rint(255 * np.clip((own - window[0]) / (window[1] - window[0]), 0, 1)).astype(np.uint8)
        mask = pixels.mask(sample)
    except DataError as error:
        return element("p", str(error), class_="note")
    if sample.plane is not None:
        volume = report.census.facts[case.id].volume
        placed = volume is None or volume.orientation != AS_STORED
        image, mask = turned(image, placed), None if mask is None else turned(mask, placed)
    return drawn(_outlined(_eight_bits(image), mask), f"{case.id} with its reference", longest=_SIDE)


def _glimpse(report: CheckReport, case: Case) -> Html:
    """A large picture in a small copy. Its reference is not drawn: fine structures are lost in it."""
    assert report.manifest is not None, "it has cases"
    image = glance(report.manifest.path(case.images[0]))
    return drawn(_eight_bits(image), f"{case.id} in a small copy", longest=_SIDE)


def _display_range(report: CheckReport, case: Case) -> tuple[float, float] | None:
    """Black and white of a DICOM series as a viewer shows it, by the window of its middle slice; None where there is no such."""
    assert report.manifest is not None, "it has cases"
    if report.manifest.channels or DicomAddress.parse(case.images[0]) is None:
        return None
    handle = open_image(report.manifest.path(case.images[0]))
    if not isinstance(handle, DicomHandle) or handle.series.geometry is None:
        return None
    return display_range(handle.frames[len(handle.frames) // 2])


def _pixels_of(report: CheckReport) -> SamplePixels:
    """What reads the samples of a report's data set, which has cases."""
    assert report.manifest is not None
    return SamplePixels(report.manifest, report.census.axis)


def _eight_bits(image: NDArray[Any]) -> NDArray[np.uint8]:
    """RGB for the eye; 16-bit values are stretched to what occurs."""
    image = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    image = image[..., :3]
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    low, high = int(image.min()), int(image.max())
    return ((image.astype(np.float32) - low) * (255 / max(1, high - low))).astype(np.uint8)


def _outlined(image: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """Shrunk to what the page shows, with the outline of the foreground drawn on it."""
    scale = min(1.0, 2 * _SIDE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    if mask is None:
        return small
    binary = cv2.resize(((mask > 0) & (mask < 255)).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(binary, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(small.copy(), contours, -1, REFERENCE, 2), np.uint8)
