"""Reads every file of a data set once: hashes, sizes, label values, duplicates. All faults are collected before any is raised."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from delineate.common.errors import DataError
from delineate.data import labels
from delineate.data.case import IGNORE, Case, ClassTable, LabelRule, Manifest
from delineate.data.findings import Finding, raise_errors, some
from delineate.data.images import DEFAULT_MAX_PIXELS, decode_image, decode_mask, read_content
from delineate.data.spec import Pixels

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

    def class_pixels(self, rule: LabelRule) -> dict[int, int]:
        """Class index → pixels, as the rule reads the raw values; several masks of one image are counted each."""
        found: Counter[int] = Counter()
        for value, number in self.values.items():
            index = (
                int(value >= rule.threshold) if rule.threshold is not None else (rule.values or {}).get(value, IGNORE)
            )
            found[index] += number
        return dict(found)


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
    findings: list[Finding] = []
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(_read_case, manifest, case, max_pixels, watch) for case in manifest.cases]
        try:
            for done, (case, job) in enumerate(zip(manifest.cases, jobs, strict=True), start=1):
                try:
                    hashes, facts[case.id] = job.result()
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
    if not any(case.hashes for case in manifest.cases):
        reading = _reading(cases, facts, findings)
        rule, classes = reading or (rule, classes)
        labelled = reading is not None
    census = Census(facts, frozenset(name for name, fact in facts.items() if _is_empty(fact, rule)))
    found = manifest.model_copy(update={"cases": tuple(cases), "labels": rule, "classes": classes})
    return Examination(found, census, findings, labelled)


def _read_case(manifest: Manifest, case: Case, max_pixels: int, watch: Watch | None) -> tuple[dict[str, str], Facts]:
    hashes: dict[str, str] = {}
    image_path = manifest.path(case.images[0])
    image = decode_image(_content(manifest, case, case.images[0], hashes), image_path, max_pixels=max_pixels)
    values: Counter[int] = Counter()
    for relative in case.masks:
        path = manifest.path(relative)
        mask = decode_mask(_content(manifest, case, relative, hashes), path, max_pixels=max_pixels)
        if mask.shape != image.shape[:2]:
            raise _differing(path, mask.shape[:2], image_path, image.shape[:2])
        values.update(labels.count_values(mask))
    if watch is not None:
        watch(case.id, image)
    return hashes, _facts(image, dict(values))


def _differing(mask_path: Path, mask: tuple[int, ...], image_path: Path, image: tuple[int, ...]) -> DataError:
    turned = " (the image may be turned by its EXIF orientation, which the mask lacks)" if mask == image[::-1] else ""
    return DataError(
        f"{mask_path} is {mask[1]}×{mask[0]} pixels but its image {image_path} is {image[1]}×{image[0]}{turned}; "
        "export the mask at the image's size"
    )


def _content(manifest: Manifest, case: Case, relative: str, hashes: dict[str, str]) -> bytes:
    """A file's bytes; its hash is added to `hashes`, and compared with the manifest's where that has one."""
    path = manifest.path(relative)
    content = read_content(path)
    hashes[relative] = hashlib.sha256(content).hexdigest()
    if case.hashes.get(relative, hashes[relative]) != hashes[relative]:
        raise DataError(
            f"{path} is not the file that the manifest was made from; restore it or start from the folder anew"
        )
    return content


def _facts(image: Pixels, values: dict[int, int]) -> Facts:
    channels = "grey" if image.ndim == 2 else {3: "RGB", 4: "RGBA"}[image.shape[2]]
    digest = hashlib.sha256(f"{image.shape} {image.dtype}".encode())
    digest.update(image.tobytes() if not image.flags.c_contiguous else image.data)
    constant = bool((image == image[:1, :1]).all())
    bits = image.dtype.itemsize * 8
    return Facts(image.shape[0], image.shape[1], channels, bits, values, digest.hexdigest(), constant)


def _reading(
    cases: Sequence[Case], facts: dict[str, Facts], findings: list[Finding]
) -> tuple[LabelRule, ClassTable] | None:
    """The label rule over all masks; a fault is added to `findings`, naming the files with the rarest value."""
    labelled = {case.id: case for case in cases if case.masks}
    counts: Counter[int] = Counter()
    holders: dict[int, list[str]] = defaultdict(list)
    for name, case in labelled.items():
        counts.update(facts[name].values)
        for value in facts[name].values:
            holders[value].append(case.masks[0])
    if not counts:
        return None
    try:
        return labels.infer(counts, {value: len(files) for value, files in holders.items()})
    except DataError as error:
        rarest = min(holders, key=lambda value: len(holders[value]))
        rare = f" ({rarest} is only in {some(holders[rarest], 3)})" if len(holders[rarest]) < len(labelled) / 2 else ""
        findings.append(Finding("error", f"{error}{rare}"))
        return None


def _is_empty(fact: Facts, rule: LabelRule) -> bool:
    if not fact.values:
        return False
    return not any(0 < index < IGNORE for index in fact.class_pixels(rule))
