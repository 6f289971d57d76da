"""Reads every file of a data set once: hashes, sizes, label values, duplicates. All faults are collected before any is raised."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from delineate.common.errors import DataError
from delineate.data.cases import volume_facts
from delineate.data.cases.facts import AS_STORED, Facts, Read, Watch, fullest, read_picture
from delineate.data.cases.large import is_large
from delineate.data.cases.large_facts import read_large
from delineate.data.cases.volumes import is_volume
from delineate.data.core.axes import ALL, AXES, STORED_AXES, AxisChoice
from delineate.data.core.findings import Finding, raise_errors, some
from delineate.data.core.label_reading import Reading, read_by_evidence, read_by_table
from delineate.data.core.manifest import IGNORE, Case, ClassTable, LabelRule, Manifest
from delineate.data.core.mask_values import MaskValues
from delineate.data.core.samples import Sample, foreground
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS

__all__ = ["OWN_VALUES", "Census", "Examination", "Progress", "examine", "inspect"]

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""
OWN_VALUES: Literal[32] = 32
"""Bits of pictures whose type does not tell what is white: floats and signed numbers."""
_VOLUME_WORKERS = 2
"""Volumes that are decoded at a time: each takes much memory."""


@dataclass(frozen=True)
class Census:
    """Facts of all cases by id, and their sums."""

    facts: dict[str, Facts] = field(default_factory=dict)
    empty: frozenset[str] = frozenset()
    """Ids of the labeled cases without any foreground."""
    axis: int | None = None
    """Across the slices of volumes; None where no case is one."""

    @property
    def all_axes(self) -> bool:
        """Whether volumes are cut across all three axes; `axis` is then the first of them."""
        return any(fact.further for fact in self.facts.values())

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """(height, width) → cases; of volumes cut across all axes, each counts for each of its sizes."""
        return Counter(size for fact in self.facts.values() for size in fact.sizes)

    @property
    def channels(self) -> Counter[str]:
        return Counter(fact.channels for fact in self.facts.values())

    @property
    def large(self) -> tuple[str, ...]:
        """Ids of the pictures that are read by windows."""
        return tuple(name for name, fact in self.facts.items() if fact.large)

    @property
    def depths(self) -> Counter[int]:
        """Bits per channel → cases."""
        return Counter(fact.bits for fact in self.facts.values())

    @property
    def bits(self) -> Literal[8, 16, 32]:
        """The bit depth that holds every image: what `InputSpec.source_bits` should be. 32: pictures with values of their own."""
        if OWN_VALUES in self.depths and self.axis is None:
            return OWN_VALUES
        return 16 if 16 in self.depths else 8

    @property
    def span(self) -> tuple[float, float] | None:
        """The least and the most of pictures with values of their own; None where there are none."""
        spans = [fact.span for fact in self.facts.values() if fact.span is not None]
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None

    @property
    def named(self) -> tuple[str, ...]:
        """Names of the channels, where each is a file of its own; the same in all cases of a data set."""
        return next(iter(self.facts.values())).named if self.facts else ()

    @property
    def gray(self) -> bool:
        """Whether every image has a single channel."""
        return set(self.channels) == {"gray"}

    @property
    def across(self) -> str:
        """What the axis across the slices is called."""
        assert self.axis is not None, "there are volumes"
        ways = {fact.volume.orientation for fact in self.facts.values() if fact.volume is not None}
        return (STORED_AXES if ways == {AS_STORED} else AXES)[self.axis]

    @property
    def values(self) -> Counter[int]:
        """Raw mask value → pixels."""
        total: Counter[int] = Counter()
        for fact in self.facts.values():
            total.update(fact.values)
        return total

    def read_by(self, rule: LabelRule) -> Census:
        """The same facts, with the empty masks by another rule."""
        return replace(self, empty=frozenset(name for name, fact in self.facts.items() if _is_empty(fact, rule)))

    def samples(self, cases: Iterable[Case], rule: LabelRule) -> tuple[Sample, ...]:
        """The cases as samples: pictures, and all slices of volumes. Nothing is told of masks that were taken away from a case."""
        return tuple(sample for case in cases for sample in self._samples(case, rule))

    def _samples(self, case: Case, rule: LabelRule) -> list[Sample]:
        fact = self.facts[case.id]

        def marked(counts: Mapping[int, int]) -> Mapping[int, int]:
            return foreground(rule.class_pixels(counts)) if case.masks else {}

        size = (fact.height, fact.width)
        if not fact.planes:
            return [Sample(case, None, marked(fact.values), size, fact.spacing)]
        found = [Sample(case, at, marked(counts), size, fact.spacing) for at, counts in enumerate(fact.planes)]
        for other in fact.further:
            size = (other.height, other.width)
            for at, counts in enumerate(other.values):
                found.append(Sample(case, at, marked(counts), size, other.spacing, other.axis))
        return found

    def telling(self, case: Case) -> Sample:
        """The one sample of a case that is worth showing: the picture, or the slice with most labels."""
        planes = self.facts[case.id].planes
        return Sample(case, fullest(planes) if planes else None)

    def of(self, cases: Sequence[Case]) -> Census:
        """The census of some of the cases."""
        ids = {case.id for case in cases}
        facts = {name: fact for name, fact in self.facts.items() if name in ids}
        return replace(self, facts=facts, empty=self.empty & ids)


@dataclass
class Examination:
    """Everything `examine` saw. Manifest and census are complete only if no finding is an error."""

    manifest: Manifest
    census: Census
    findings: list[Finding]
    labeled: bool = True
    """Whether the label rule of the manifest reads its masks."""


def inspect(
    manifest: Manifest,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[Manifest, Census]:
    """Read all files → the manifest with hashes, label rule and class table, and the census. Raises `DataError` on faults."""
    result = examine(manifest, max_pixels=max_pixels, workers=workers, progress=progress)
    raise_errors(result.findings)
    return result.manifest, result.census


def examine(
    manifest: Manifest,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    workers: int | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
    axis: AxisChoice | None = None,
    remembered: Path | None = None,
) -> Examination:
    """`inspect`, with faults as findings. A manifest with hashes keeps its label rule, and its files must match them.

    `watch` is shown each image while it is decoded, so that nobody needs to decode it again; without it, the images of volumes are
    not decoded. `axis`: across the slices of volumes, in the canonical order; None: that with the widest spacing, the last of
    equals; all: this and the two others.
    `remembered`: a folder in which the label values of their slices are kept, so that a second look decodes nothing.
    """
    cases: list[Case] = []
    facts: dict[str, Facts] = {}
    masks: dict[str, list[MaskValues]] = {}
    findings: list[Finding] = []
    grids = volume_facts.grids(manifest, findings)
    across = volume_facts.axis_across(grids.values(), axis)
    further = [one for one in range(3) if axis == ALL and one != across]

    def read(case: Case) -> Read:
        if (grid := grids.get(case.id)) is None:
            if is_large(manifest, case):
                return read_large(manifest, case, watch)
            return read_picture(manifest, case, max_pixels, watch)
        assert across is not None, "volumes have been seen"
        return volume_facts.read_volume(manifest, case, grid, across, remembered, watch, further=further)

    broken = {case.id for case in manifest.cases if is_volume(manifest, case)} - grids.keys()
    todo = [case for case in manifest.cases if case.id not in broken]
    with ThreadPoolExecutor(workers or (_VOLUME_WORKERS if grids else min(8, os.cpu_count() or 1))) as pool:
        jobs = [pool.submit(read, case) for case in todo]
        try:
            for done, (case, job) in enumerate(zip(todo, jobs, strict=True), start=1):
                try:
                    found = job.result()
                    facts[case.id], masks[case.id] = found.facts, found.masks
                    cases.append(found.case)
                except DataError as error:
                    findings.append(Finding("error", str(error)))
                if progress is not None:
                    progress(done, len(jobs))
        finally:
            pool.shutdown(cancel_futures=True)
    rule, classes, labeled = manifest.labels, manifest.classes, True
    if classes.labels is not None or not any(case.hashes for case in manifest.cases):
        reading = _reading(manifest, masks, findings)
        rule, classes = (reading.rule, reading.classes) if reading else (rule, ClassTable())
        labeled = reading is not None
    _check_kinds(facts, findings)
    facts = {name: replace(fact, values=_sum(masks[name], rule)) for name, fact in facts.items()}
    census = Census(facts, axis=across).read_by(rule)
    described = manifest.model_copy(update={"cases": tuple(cases), "labels": rule, "classes": classes})
    return Examination(described, census, findings, labeled)


def _check_kinds(facts: Mapping[str, Facts], findings: list[Finding]) -> None:
    """An error for pictures with values of their own among others: nothing tells how they compare."""
    own = [name for name, fact in facts.items() if fact.bits == OWN_VALUES and not fact.planes]
    others = [name for name in facts if name not in set(own)]
    if own and others:
        text = f"pictures of floats or signed numbers ({some(own, 3)}) and other images ({some(others, 3)}) are mixed"
        findings.append(Finding("error", text, "save all of them alike: nothing tells how their values compare"))


def _reading(manifest: Manifest, masks: Mapping[str, Sequence[MaskValues]], findings: list[Finding]) -> Reading | None:
    """The label rule over all masks; faults and what is worth knowing are added to `findings`."""
    files = [one for each in masks.values() for one in each]
    if not files:
        return None
    try:
        named = manifest.classes.labels is not None
        reading = read_by_table(manifest.classes, files) if named else read_by_evidence(files)
    except DataError as error:
        findings.append(Finding("error", str(error)))
        return None
    findings += [Finding("note", note) for note in reading.notes if reading.rule.threshold is None]
    if reading.doubt:
        findings.append(Finding("warning", reading.doubt, "look at a few of the masks"))
    return reading


def _sum(masks: Sequence[MaskValues], rule: LabelRule) -> dict[int, int]:
    total: Counter[int] = Counter()
    for one in masks:
        total.update(one.by(rule.coding))
    return dict(total)


def _is_empty(fact: Facts, rule: LabelRule) -> bool:
    if not fact.values:
        return False
    return not any(0 < index < IGNORE for index in fact.class_pixels(rule))
