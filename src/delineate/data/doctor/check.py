"""`data check`: everything that can be said about a data set, without stopping at the first fault."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.cases.census import Census, Examination, Progress
from delineate.data.cases.turned import turned_apart
from delineate.data.cases.volumes import is_volume
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.input_spec import Pixels
from delineate.data.core.manifest import LabelRule, Manifest
from delineate.data.core.opencv_threads import single_threaded_opencv
from delineate.data.doctor.balance import Share, class_balance, unseen_classes
from delineate.data.doctor.dicom_rows import dicom_rows, picture_notes
from delineate.data.doctor.intensities import taken_for_ct
from delineate.data.doctor.overview import Row, counted, overview
from delineate.data.doctor.quality import SMALL, SPECK, Light, Objects, constant_and_dark, light_of, measure_objects
from delineate.data.doctor.volumes import odd_volumes, volume_rows
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.layouts.class_masks import overlaps
from delineate.data.layouts.discover import recognize, to_manifest
from delineate.data.layouts.source import DataSource, Join, as_source
from delineate.data.layouts.tables import match_table
from delineate.data.loading.open_data import divided
from delineate.data.splits.leakage import Duplicates, examine_duplicates, leaks

__all__ = ["CheckReport", "check"]

_LOSSY = frozenset({".jpg", ".jpeg"})
_DECODED = 2
"""Volumes with files of one class each whose overlaps are looked for: they may have a hundred files."""


@dataclass
class CheckReport:
    """What was matched and what is wrong with it."""

    folder: Path
    layout: str = ""
    """Empty when none was recognized."""
    rows: list[Row] = field(default_factory=list)
    """The census, for people."""
    findings: list[Finding] = field(default_factory=list)
    """Errors first, then warnings, then notes; the gravest of each first."""
    manifest: Manifest | None = None
    """The cases that could be read, with the splits that training would use. None when there are none."""
    census: Census = field(default_factory=Census)
    proposed: LabelRule | None = None
    """How the masks should be read; None when no rule fits."""
    duplicates: Duplicates = field(default_factory=Duplicates)
    shares: list[Share] = field(default_factory=list)
    objects: dict[str, Objects] = field(default_factory=dict)
    constant: list[str] = field(default_factory=list)
    dark: list[str] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether training on the data can start: there is no error."""
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def small(self) -> list[str]:
        """Ids of the cases with little foreground, the least first."""
        shares = {name: one.share for name, one in self.objects.items() if one.share < SMALL}
        return sorted(shares, key=lambda name: shares[name])

    @property
    def speckled(self) -> list[str]:
        """Ids of the cases with specks, the most first."""
        specks = {name: one.specks for name, one in self.objects.items() if one.specks}
        return sorted(specks, key=lambda name: -specks[name])


def check(
    data: Path | DataSource,
    *,
    seed: int = 0,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Progress | None = None,
) -> CheckReport:
    """Examine a data set (a folder or a manifest); faults of the data become findings.

    `seed` draws the split that training would draw.
    Raises `DataError` for a group rule that does not fit.
    """
    source = as_source(data)
    source.check()
    report = CheckReport(source.archive or source.path)
    report.findings += [Finding("note", note) for note in source.notes]
    try:
        manifest = source.named(_opened(report, source))
    except DataError as error:
        report.findings.append(Finding("error", str(error)))
        return report
    manifest = source.grouped(manifest)
    report.layout = manifest.layout
    lights: dict[str, Light] = {}

    def watch(name: str, image: Pixels) -> None:
        lights[name] = light_of(image)

    result, report.duplicates = examine_duplicates(manifest, max_pixels=max_pixels, progress=progress, watch=watch)
    report.findings += result.findings
    if result.labeled and report.usable:
        try:
            result.manifest = source.coded(result.manifest)
        except DataError as error:
            report.findings.append(Finding("error", str(error)))
    if result.manifest.cases:
        with single_threaded_opencv():
            _examined(report, result, lights, source.join, seed, max_pixels)
    report.findings.sort(key=lambda finding: ("error", "warning", "note").index(finding.severity))
    return report


def _opened(report: CheckReport, source: DataSource) -> Manifest:
    """As `DataSource.manifest`, with a folder's faults as findings."""
    if source.is_manifest:
        return Manifest.load(source.path)
    match = (
        match_table(source.path)
        if source.is_table
        else recognize(source.path, source.images, source.masks, source.unmarked, source.telling_codes)
    )
    report.findings += match.findings
    return to_manifest(match)


def _examined(
    report: CheckReport,
    result: Examination,
    lights: dict[str, Light],
    join: Join,
    seed: int,
    max_pixels: int,
) -> None:
    """Fill the report from what reading has shown."""
    manifest, census = result.manifest, result.census
    unmixed = None if result.labeled else _unmixed(census)
    if unmixed is not None:
        manifest, census = manifest.model_copy(update={"labels": unmixed}), census.read_by(unmixed)
    if not manifest.folds:
        try:
            manifest, torn = divided(manifest, census, report.duplicates, join, seed)
            report.findings += [Finding("warning", line) for line in torn]
        except DataError as error:
            report.findings.append(Finding("error", str(error)))
    report.manifest, report.census = manifest, census
    report.duplicates = report.duplicates.placed(manifest)
    report.constant, report.dark = constant_and_dark({case.id: lights[case.id] for case in manifest.cases})
    report.findings += leaks(manifest, report.duplicates) + turned_apart(manifest.cases, census.facts)
    if result.labeled or unmixed is not None:
        report.proposed = manifest.labels
        report.shares = class_balance(manifest, census)
        report.objects = measure_objects(manifest, max_pixels=max_pixels)
        report.findings += unseen_classes(report.shares) + _label_oddities(report, manifest, census)
    if unmixed is not None:
        text = "some masks hold 0 and 1, others 0 and 255"
        fix = "`--fix` writes them alike" if not any(fact.planes for fact in census.facts.values()) else ""
        mend = f"if 1 and 255 mean the same, --labels 1=NAME,255=NAME says so{f', and {fix}' if fix else ''}"
        report.findings.append(Finding("note", text, mend))
    report.findings += _image_oddities(report, census)
    report.findings += odd_volumes(census)
    if any(is_volume(manifest, case) for case in manifest.cases):
        report.findings += overlaps(Path(manifest.root), manifest.cases, most=_DECODED)
    report.rows = overview(manifest, census, report.proposed, report.shares)
    report.rows += volume_rows(census)
    report.rows += _intensity_row(manifest, census) + dicom_rows(manifest)
    report.findings += picture_notes(manifest)


def _intensity_row(manifest: Manifest, census: Census) -> list[Row]:
    """Of volumes: how training would show their values, and why."""
    cases = [case for case in manifest.split("train") if case.masks and is_volume(manifest, case)]
    if not cases:
        return []
    ct, why = taken_for_ct(manifest, census, cases)
    window, percentiles = "a window, measured in the labeled voxels", "each volume's 0.5th to 99.5th percentile"
    if ct and len(ct) < len(manifest.channels):
        others = ", ".join(name for at, name in enumerate(manifest.channels) if at not in ct)
        return [("intensity", f"{window} ({why}); of {others} {percentiles}")]
    return [("intensity", f"{window if ct else percentiles}: {why}")]


def _unmixed(census: Census) -> LabelRule | None:
    """The rule for masks of which some hold 0 and 1, others 0 and 255: each file's foreground is its only other value."""
    kinds = Counter(frozenset(fact.values) - {0} for fact in census.facts.values())
    if (
        kinds[frozenset({1})]
        and kinds[frozenset({255})]
        and set(kinds) <= {frozenset(), frozenset({1}), frozenset({255})}
    ):
        return LabelRule(values={0: 0, 1: 1, 255: 1}, reason="masks of 0/1 and of 0/255: background and foreground")
    return None


def _label_oddities(report: CheckReport, manifest: Manifest, census: Census) -> list[Finding]:
    findings = []
    if manifest.labels.threshold is not None:
        noisy = [name for name, fact in census.facts.items() if set(fact.values) - {0, 255}]
        text = f"{count(len(noisy), 'mask holds', 'masks hold')} gray between black and white: {some(noisy)}"
        findings.append(Finding("note", text, "read as foreground from 128 on; `--fix` writes them clean"))
    lossy = [mask for case in manifest.cases for mask in case.masks if Path(mask).suffix.lower() in _LOSSY]
    if lossy:
        text = f"{count(len(lossy), 'mask is', 'masks are')} stored as JPEG, which blurs labels: {some(lossy, 3)}"
        findings.append(Finding("note", text, "`--fix` writes PNG"))
    if report.small:
        number = count(len(report.small), "case has", "cases have")
        text = f"{number} less foreground than {SMALL:.1%} of the picture: {some(report.small)}"
        findings.append(Finding("note", text, "it may vanish at a small working size"))
    if report.speckled:
        specks = sum(report.objects[name].specks for name in report.speckled)
        number = count(len(report.speckled), "case has", "cases have")
        text = f"{number} parts of fewer than {SPECK} pixels ({specks} in all): {some(report.speckled)}"
        findings.append(Finding("note", text, "slips of the pen, or objects at the edge"))
    return findings


def _own_values(low: float, high: float) -> tuple[str, str]:
    """How pictures of floats are read, and how to state a range."""
    level, width = (low + high) / 2, (high - low) or 1
    window = f"--set input.intensity=window --set input.window_level={level:g} --set input.window_width={width:g}"
    text = (
        f"the pictures hold values of their own, from {low:g} to {high:g}, and nothing says which are black and white"
    )
    return text, f"training takes each picture's percentiles; a range for all is stated so: {window}"


def _image_oddities(report: CheckReport, census: Census) -> list[Finding]:
    findings = []
    if report.constant:
        number = count(len(report.constant), "picture has", "pictures have")
        findings.append(
            Finding("warning", f"{number} one value throughout: {some(report.constant)}", "restore or remove them")
        )
    if report.dark:
        number = count(len(report.dark), "picture is", "pictures are")
        text = f"{number} much darker than the others: {some(report.dark)}"
        findings.append(Finding("warning", text, "look whether anything can be seen"))
    if census.span is not None:
        findings.append(Finding("note", *_own_values(*census.span)))
    elif len(census.depths) > 1:
        text = f"8-bit ({census.depths[8]}) and 16-bit ({census.depths[16]}) images are mixed; all are read as 16-bit"
        findings.append(Finding("warning", text, "check that their gray values mean the same"))
    if "gray" in census.channels and len(census.channels) > 1:
        findings.append(
            Finding("note", f"gray and color images are mixed ({counted(census.channels)}); all are read as RGB")
        )
    return findings
