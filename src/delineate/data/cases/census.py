"""Reads every file of a data set once: hashes, sizes, label values, duplicates. All faults are collected before any is raised."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding, raise_errors
from delineate.data.core.input_spec import Pixels
from delineate.data.core.known import picture_digest
from delineate.data.core.label_reading import Reading, read_by_evidence, read_by_table
from delineate.data.core.manifest import IGNORE, Case, ClassTable, LabelRule, Manifest
from delineate.data.core.mask_values import MaskValues, mask_values
from delineate.data.core.samples import Sample, foreground
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.headers import stated_orientation
from delineate.data.formats.images import decode_image, raw_mask, read_content

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""
Watch = Callable[[str, Pixels], None]
"""Called with a case's id and its decoded image, from several threads."""


@dataclass(frozen=True)
class Facts:
    """What reading one case showed."""

    height: int
    width: int
    channels: str
    """'grey', 'RGB' or 'RGBA'."""
    bits: int
    values: dict[int, int]
    """Raw mask value → pixels, over all masks of the case."""
    pixels: str
    """SHA-256 of the decoded image: equal pictures have equal hashes, whatever their file format."""
    constant: bool = False
    """Whether the image has one value throughout: such pictures are equal without being copies."""
    turns: tuple[int, ...] = ()
    """EXIF orientations that the image's file and those of its masks state (`data.formats.orientation`); 1 is upright."""

    def class_pixels(self, rule: LabelRule) -> dict[int, int]:
        """Class index → pixels, as the rule reads the raw values; several masks of one image are counted each."""
        return rule.class_pixels(self.values)


@dataclass(frozen=True)
class Census:
    """Facts of all cases by id, and their sums."""

    facts: dict[str, Facts] = field(default_factory=dict)
    empty: frozenset[str] = frozenset()
    """Ids of the labelled cases without any foreground."""

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """(height, width) → cases."""
        return Counter((fact.height, fact.width) for fact in self.facts.values())

    @property
    def channels(self) -> Counter[str]:
        return Counter(fact.channels for fact in self.facts.values())

    @property
    def depths(self) -> Counter[int]:
        """Bits per channel → cases."""
        return Counter(fact.bits for fact in self.facts.values())

    @property
    def bits(self) -> Literal[8, 16]:
        """The bit depth that holds every image: what `InputSpec.source_bits` should be."""
        return 16 if 16 in self.depths else 8

    @property
    def grey(self) -> bool:
        """Whether every image has a single channel."""
        return set(self.channels) == {"grey"}

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
        """The cases, which are pictures, as samples."""
        found = ((case, self.facts[case.id]) for case in cases)
        return tuple(
            Sample(case, pixels=foreground(fact.class_pixels(rule)), size=(fact.height, fact.width))
            for case, fact in found
        )

    def of(self, cases: Sequence[Case]) -> Census:
        """The census of some of the cases."""
        ids = {case.id for case in cases}
        facts = {name: fact for name, fact in self.facts.items() if name in ids}
        return Census(facts, self.empty & ids)


@dataclass
class Examination:
    """Everything `examine` saw. Manifest and census are complete only if no finding is an error."""

    manifest: Manifest
    census: Census
    findings: list[Finding]
    labelled: bool = True
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
) -> Examination:
    """`inspect`, with faults as findings. A manifest with hashes keeps its label rule, and its files must match them.

    `watch` is shown each image while it is decoded, so that nobody needs to decode it again.
    """
    cases: list[Case] = []
    facts: dict[str, Facts] = {}
    masks: dict[str, list[MaskValues]] = {}
    findings: list[Finding] = []
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(_read_case, manifest, case, max_pixels, watch) for case in manifest.cases]
        try:
            for done, (case, job) in enumerate(zip(manifest.cases, jobs, strict=True), start=1):
                try:
                    hashes, facts[case.id], masks[case.id] = job.result()
                    fact = facts[case.id]
                    seen = None if fact.constant else fact.pixels
                    cases.append(case.model_copy(update={"hashes": hashes, "pixels": seen}))
                except DataError as error:
                    findings.append(Finding("error", str(error)))
                if progress is not None:
                    progress(done, len(jobs))
        finally:
            pool.shutdown(cancel_futures=True)
    rule, classes, labelled = manifest.labels, manifest.classes, True
    if classes.labels is not None or not any(case.hashes for case in manifest.cases):
        reading = _reading(manifest, masks, findings)
        rule, classes = (reading.rule, reading.classes) if reading else (rule, ClassTable())
        labelled = reading is not None
    facts = {name: replace(fact, values=_sum(masks[name], rule)) for name, fact in facts.items()}
    census = Census(facts).read_by(rule)
    found = manifest.model_copy(update={"cases": tuple(cases), "labels": rule, "classes": classes})
    return Examination(found, census, findings, labelled)


def _read_case(
    manifest: Manifest, case: Case, max_pixels: int, watch: Watch | None
) -> tuple[dict[str, str], Facts, list[MaskValues]]:
    hashes: dict[str, str] = {}
    turns: list[int] = []
    image_path = manifest.path(case.images[0])
    image = decode_image(
        _content(manifest, case, case.images[0], hashes, turns, max_pixels), image_path, max_pixels=max_pixels
    )
    masks = []
    for relative in case.masks:
        path = manifest.path(relative)
        mask = raw_mask(_content(manifest, case, relative, hashes, turns, max_pixels), path, max_pixels=max_pixels)
        if mask.pixels.shape[:2] != image.shape[:2]:
            raise _differing(path, mask.pixels.shape[:2], image_path, image.shape[:2])
        masks.append(mask_values(mask, relative))
    if watch is not None:
        watch(case.id, image)
    return hashes, replace(_facts(image), turns=tuple(turns)), masks


def _differing(mask_path: Path, mask: tuple[int, ...], image_path: Path, image: tuple[int, ...]) -> DataError:
    turned = " (the image may be turned by its EXIF orientation, which the mask lacks)" if mask == image[::-1] else ""
    return DataError(
        f"{mask_path} is {mask[1]}×{mask[0]} pixels but its image {image_path} is {image[1]}×{image[0]}{turned}; "
        "export the mask at the image's size"
    )


def _content(
    manifest: Manifest, case: Case, relative: str, hashes: dict[str, str], turns: list[int], max_pixels: int
) -> bytes:
    """A file's bytes. Its hash is added to `hashes` and compared with the manifest's, where that has one; its turn to `turns`."""
    path = manifest.path(relative)
    content = read_content(path, max_pixels)
    hashes[relative] = hashlib.sha256(content).hexdigest()
    turns.append(stated_orientation(content))
    if case.hashes.get(relative, hashes[relative]) != hashes[relative]:
        raise DataError(
            f"{path} is not the file that the manifest was made from; restore it or start from the folder anew"
        )
    return content


def _facts(image: Pixels) -> Facts:
    channels = "grey" if image.ndim == 2 else {3: "RGB", 4: "RGBA"}[image.shape[2]]
    digest = picture_digest(image)
    constant = bool((image[0] == image[0, 0]).all() and (image == image[0, 0]).all())  # a row first: it mostly tells
    bits = image.dtype.itemsize * 8
    return Facts(image.shape[0], image.shape[1], channels, bits, {}, digest, constant)


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
