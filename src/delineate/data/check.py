"""`data check`: everything that can be said about a data set, without stopping at the first fault."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.case import Case, Manifest
from delineate.data.findings import Finding, count, some
from delineate.data.images import DEFAULT_MAX_PIXELS
from delineate.data.inspect import Census, Progress, examine
from delineate.data.layouts import recognise, to_manifest
from delineate.data.splits import complete

Row = tuple[str, str]
"""What, and what was found."""


@dataclass
class CheckReport:
    """What was matched and what is wrong with it."""

    folder: Path
    layout: str = ""
    """Empty when none was recognised."""
    rows: list[Row] = field(default_factory=list)
    """The census, for people."""
    findings: list[Finding] = field(default_factory=list)
    """Errors first, then warnings, then notes."""

    @property
    def usable(self) -> bool:
        """Whether training on the data can start: there is no error."""
        return not any(finding.severity == "error" for finding in self.findings)


def check(
    folder: Path, *, seed: int = 0, max_pixels: int = DEFAULT_MAX_PIXELS, progress: Progress | None = None
) -> CheckReport:
    """Examine a data set; faults of the data become findings. `seed` draws the split that training would draw."""
    report = CheckReport(Path(folder))
    try:
        match = recognise(report.folder)
    except DataError as error:
        report.findings.append(Finding("error", str(error)))
        return report
    report.layout = match.layout
    result = examine(to_manifest(report.folder, match), max_pixels=max_pixels, progress=progress)
    manifest, census = result.manifest, result.census
    report.findings += match.findings + result.findings
    if manifest.cases:
        try:
            manifest = complete(manifest, census.empty, seed=seed)
        except DataError as error:
            report.findings.append(Finding("error", str(error)))
        report.findings += _leaks(manifest, census) + _oddities(manifest, census)
        report.rows = _rows(manifest, census, labelled=not _has_label_fault(result.findings))
    report.findings.sort(key=lambda finding: ("error", "warning", "note").index(finding.severity))
    return report


def _has_label_fault(findings: Iterable[Finding]) -> bool:
    return any(finding.severity == "error" for finding in findings)


def _leaks(manifest: Manifest, census: Census) -> list[Finding]:
    """Equal pictures, and groups, that lie in more than one split."""
    findings = []
    twins = _groups(manifest.cases, lambda case: census.facts[case.id].pixels)
    apart = [cases for cases in twins if len({case.split for case in cases}) > 1]
    if apart:
        number = count(len(apart), "picture is", "pictures are")
        text = f"{number} in more than one split, pixel for pixel: {some([_places(cases) for cases in apart])}"
        findings.append(Finding("warning", text, "scores on them say nothing; take them out of one list"))
    within = [cases for cases in twins if len({case.split for case in cases}) == 1]
    if within:
        number = count(len(within), "picture occurs", "pictures occur")
        text = f"{number} more than once within a split: {some([_places(cases) for cases in within])}"
        findings.append(Finding("note", text))
    spread = [
        cases for cases in _groups(manifest.cases, lambda case: case.group) if len({case.split for case in cases}) > 1
    ]
    if spread:
        names = some([str(cases[0].group) for cases in spread])
        number = count(len(spread), "patient or sequence (by file name) is", "patients or sequences (by file name) are")
        text = f"{number} in more than one split: {names}"
        findings.append(Finding("warning", text, "move each as a whole into one list"))
    return findings


def _oddities(manifest: Manifest, census: Census) -> list[Finding]:
    findings = []
    if len(census.depths) > 1:
        text = f"8-bit ({census.depths[8]}) and 16-bit ({census.depths[16]}) images are mixed; all are read as 16-bit"
        findings.append(Finding("warning", text, "check that their grey values mean the same"))
    if "grey" in census.channels and len(census.channels) > 1:
        findings.append(
            Finding("note", f"grey and colour images are mixed ({_counted(census.channels)}); all are read as RGB")
        )
    rule = manifest.labels.values or {}
    seen = {rule.get(value) for case in manifest.split("train") for value in census.facts[case.id].values}
    unseen = [name for index, name in enumerate(manifest.classes.names) if index and index not in seen]
    if rule and unseen and manifest.split("train"):
        findings.append(
            Finding("warning", f"no training case shows {some(unseen)}", "bring cases that do, or drop the class")
        )
    return findings


def _rows(manifest: Manifest, census: Census, *, labelled: bool) -> list[Row]:
    first, last = manifest.cases[0], manifest.cases[-1]
    examples = _pair(first) + (f" … {_pair(last)}" if last != first else "")
    rows = [
        ("layout", manifest.layout),
        ("matched", f"{count(len(manifest.cases), 'image')} with masks, {examples}"),
        ("sizes", _sizes(census)),
        ("channels", f"{_counted(census.channels)}, {_counted(census.depths, ' bit')}"),
        ("label values", _values(census)),
    ]
    if labelled:
        rows += [
            ("read as", manifest.labels.reason),
            ("classes", ", ".join(f"{index} {name}" for index, name in enumerate(manifest.classes.names))),
            ("empty masks", _by_split(manifest, census.empty)),
        ]
    groups = len({case.group for case in manifest.cases if case.group})
    if groups:
        rows.append(("groups", f"{groups} patients or sequences, by file name"))
    counts = ", ".join(f"{len(manifest.split(name))} {name}" for name in ("train", "val", "test"))
    return [*rows, ("splits", f"{counts} ({manifest.split_origin or 'none'})")]


def _groups(cases: Iterable[Case], key: Callable[[Case], str | None]) -> list[list[Case]]:
    """The cases that share a key with another one; no key is shared by nobody."""
    found: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if (name := key(case)) is not None:
            found[name].append(case)
    return [members for members in found.values() if len(members) > 1]


def _places(cases: Iterable[Case]) -> str:
    return " = ".join(f"{case.id} ({case.split or 'unused'})" for case in cases)


def _pair(case: Case) -> str:
    return f"{case.images[0]} + {' + '.join(case.masks)}"


def _sizes(census: Census) -> str:
    sizes = census.sizes
    if len(sizes) == 1:
        height, width = next(iter(sizes))
        return f"all {width}×{height}"
    common = ", ".join(f"{width}×{height} ({count})" for (height, width), count in sizes.most_common(3))
    widths, heights = [width for _, width in sizes], [height for height, _ in sizes]
    return (
        f"{len(sizes)} sizes, widths {min(widths)}–{max(widths)}, heights {min(heights)}–{max(heights)}; most: {common}"
    )


def _values(census: Census, most: int = 8) -> str:
    values = census.values
    total = max(1, sum(values.values()))
    shown = sorted(value for value, _ in values.most_common(most))
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(f"{value}: {values[value] / total:.2%}" for value in shown) + more


def _by_split(manifest: Manifest, ids: Iterable[str]) -> str:
    chosen = set(ids)
    if not chosen:
        return "none"
    counts = Counter(case.split or "unused" for case in manifest.cases if case.id in chosen)
    return f"{len(chosen)} ({', '.join(f'{counts[name]} {name}' for name in ('train', 'val', 'test', 'unused') if counts[name])})"


def _counted(counts: Counter[str] | Counter[int], unit: str = "") -> str:
    if len(counts) == 1:
        return f"all {next(iter(counts))}{unit}"
    return ", ".join(f"{count} {name}{unit}" for name, count in counts.most_common())
