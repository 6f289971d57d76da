"""Leakage between splits: pictures that a dataset holds more than once, and groups that lie in more than one split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from delineate.data.cases.census import Census, Examination, Progress, examine
from delineate.data.cases.facts import Watch
from delineate.data.cases.volumes import is_volume
from delineate.data.core.axes import AxisChoice
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.input_spec import Pixels
from delineate.data.core.joins import is_known, pairs_of, sharing
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.opencv_threads import single_threaded_opencv
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.layouts.source import Join
from delineate.data.splits.mask_agreement import masks_agree
from delineate.data.splits.near_duplicates import SURE, DuplicatePair, PictureHash, find_near_duplicates, picture_hash
from delineate.data.splits.numbered_series import neighbors

__all__ = ["Duplicates", "examine_duplicates", "leaks", "place"]


@dataclass(frozen=True)
class Duplicates:
    """Cases with the same picture."""

    exact: tuple[tuple[Case, ...], ...] = ()
    """Pixel for pixel (SHA-256 of the decoded pixels), two and more in each."""
    near: tuple[DuplicatePair, ...] = ()
    """Near duplicates in different groups. Of pixel-equal pictures, only the first is listed."""
    within_groups: int = 0
    """Number of near duplicates within one group, such as neighboring slices and frames. They are expected."""
    splits: Mapping[str, str] = field(default_factory=dict)
    """Case id → split ('unused' where it has none)."""
    hashes: Mapping[str, PictureHash] = field(default_factory=dict, repr=False, compare=False)
    """Of the pictures that were compared."""

    def across(self) -> list[DuplicatePair]:
        """The near duplicates that lie in different splits."""
        return [pair for pair in self.near if self.splits[pair.first] != self.splits[pair.second]]

    def pairs(self, join: Join = "near") -> list[tuple[str, str]]:
        """Ids of the cases that a split keeps together."""
        near = [(pair.first, pair.second) for pair in self.near] if join == "near" else []
        return [] if join == "none" else [*pairs_of(self.exact), *near]

    def placed(self, manifest: Manifest) -> Duplicates:
        """The same copies in the splits of the manifest."""
        cases = {case.id: case for case in manifest.cases}
        exact = tuple(tuple(cases[case.id] for case in members) for members in self.exact)
        return replace(self, exact=exact, splits={case.id: place(case) for case in manifest.cases})


def examine_duplicates(
    manifest: Manifest,
    *,
    near: bool = True,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Progress | None = None,
    watch: Watch | None = None,
    axis: AxisChoice | None = None,
    remembered: Path | None = None,
) -> tuple[Examination, Duplicates]:
    """`census.examine`, and the copies among the cases that could be read. `near`: whether to look for near duplicates, too.

    Near duplicates are looked for among pictures alone: slices of two patients look more alike than two copies of a photograph.
    """
    hashes: dict[str, PictureHash] = {}
    pictures = {case.id for case in manifest.cases if not is_volume(manifest, case)} if near else set()

    def look(name: str, image: Pixels) -> None:
        if watch is not None:
            watch(name, image)
        if name in pictures and (found := picture_hash(image)) is not None:
            hashes[name] = found

    seen = look if watch is not None or pictures else None
    with single_threaded_opencv():
        result = examine(
            manifest, max_pixels=max_pixels, progress=progress, watch=seen, axis=axis, remembered=remembered
        )
        return result, _find_duplicates(result.manifest, result.census, hashes, max_pixels=max_pixels)


def _find_duplicates(
    manifest: Manifest,
    census: Census,
    hashes: Mapping[str, PictureHash],
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Duplicates:
    """Exact and near duplicates among the cases. `hashes`: case id → perceptual hash, of the pictures that have one.

    A pair whose pictures alone leave a doubt is none where the two masks mark different places.
    """
    cases = {case.id: case for case in manifest.cases}
    facts = census.facts
    exact = sharing(manifest.cases, lambda case: None if facts[case.id].constant else facts[case.id].pixels)
    repeated = {case.id for members in exact for case in members[1:]}
    pairs = find_near_duplicates({name: hashes[name] for name in cases if name in hashes and name not in repeated})
    pairs = [pair for pair in pairs if pair.similarity >= SURE or masks_agree(manifest, pair, max_pixels=max_pixels)]
    near = [pair for pair in pairs if _apart(cases[pair.first], cases[pair.second])]
    splits = {case.id: place(case) for case in manifest.cases}
    return Duplicates(tuple(map(tuple, exact)), tuple(near), len(pairs) - len(near), splits, hashes)


def leaks(manifest: Manifest, duplicates: Duplicates) -> list[Finding]:
    """What lies in more than one split (warnings), and what occurs twice within one (notes)."""
    findings = []
    apart = [cases for cases in duplicates.exact if len({case.split for case in cases}) > 1]
    if apart:
        number = count(len(apart), "picture is", "pictures are")
        text = f"{number} in more than one split, pixel for pixel: {some([_places(cases) for cases in apart])}"
        findings.append(
            Finding(
                "warning", text, "scores on them say nothing; `--fix` keeps one of each, or take them out of one list"
            )
        )
    across = duplicates.across()
    if across:
        number = count(len(across), "pair of near duplicates lies", "pairs of near duplicates lie")
        text = f"{number} in different splits: {some([_pair(pair, duplicates) for pair in across])}"
        findings.append(
            Finding("warning", text, "look at them (--report) and move each pair into one split; `data split` does")
        )
    findings += _torn_groups(manifest) + neighbors(manifest, duplicates.hashes)
    within = [cases for cases in duplicates.exact if len({case.split for case in cases}) == 1]
    if within:
        number = count(len(within), "picture occurs", "pictures occur")
        text = f"{number} more than once within a split: {some([_places(cases) for cases in within])}"
        findings.append(Finding("note", text, "`--fix` keeps one of each"))
    beside = [pair for pair in duplicates.near if duplicates.splits[pair.first] == duplicates.splits[pair.second]]
    if beside:
        number = count(len(beside), "pair of near duplicates lies", "pairs of near duplicates lie")
        findings.append(
            Finding("note", f"{number} within a split: {some([_pair(pair, duplicates) for pair in beside])}")
        )
    if duplicates.within_groups:
        number = count(duplicates.within_groups, "pair")
        findings.append(
            Finding("note", f"{number} of near duplicates within one patient or sequence, as expected there")
        )
    return findings


def place(case: Case) -> str:
    """The case's split, or 'unused'."""
    return case.split or "unused"


def _torn_groups(manifest: Manifest) -> list[Finding]:
    spread = [
        cases
        for cases in sharing(manifest.cases, lambda case: case.group if is_known(case.group) else None)
        if len({case.split for case in cases if case.split}) > 1
    ]
    if not spread:
        return []
    names = some([str(cases[0].group) for cases in spread])
    number = count(len(spread), "patient or sequence is", "patients or sequences are")
    mend = "move each as a whole into one list; give --group-by none where these are no patients"
    return [Finding("warning", f"{number} in more than one split: {names}", mend)]


def _apart(first: Case, second: Case) -> bool:
    return first.group is None or first.group != second.group


def _places(cases: Iterable[Case]) -> str:
    return " = ".join(f"{case.id} ({place(case)})" for case in cases)


def _pair(pair: DuplicatePair, duplicates: Duplicates) -> str:
    first, second = (f"{name} ({duplicates.splits[name]})" for name in (pair.first, pair.second))
    return f"{first} ≈ {second}, {pair.similarity:.2f}"
