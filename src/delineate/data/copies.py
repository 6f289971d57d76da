"""Pictures that a data set holds more than once, and groups that its splits tear apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from delineate.data.case import Case, Manifest
from delineate.data.duplicates import PictureHash, Twins, find_twins
from delineate.data.findings import Finding, count, some
from delineate.data.inspect import Census
from delineate.data.joins import sharing


@dataclass(frozen=True)
class Copies:
    """Cases with the same picture."""

    exact: tuple[tuple[Case, ...], ...] = ()
    """Pixel for pixel (SHA-256 of the decoded pixels), two and more in each."""
    near: tuple[Twins, ...] = ()
    """Near duplicates of different groups; of pixel-equal pictures the first stands for all."""
    akin: int = 0
    """Pairs of near duplicates within one group: neighbouring slices and frames, nothing to worry about."""
    splits: Mapping[str, str] = field(default_factory=dict)
    """Case id → split ('unused' where it has none)."""

    def across(self) -> list[Twins]:
        """The near duplicates that lie in different splits."""
        return [pair for pair in self.near if self.splits[pair.first] != self.splits[pair.second]]


def find_copies(manifest: Manifest, census: Census, hashes: Mapping[str, PictureHash]) -> Copies:
    """Exact and near duplicates among the cases. `hashes`: case id → perceptual hash, of the pictures that have one."""
    cases = {case.id: case for case in manifest.cases}
    facts = census.facts
    exact = sharing(manifest.cases, lambda case: None if facts[case.id].constant else facts[case.id].pixels)
    repeated = {case.id for members in exact for case in members[1:]}
    twins = find_twins({name: hashes[name] for name in cases if name in hashes and name not in repeated})
    near = [pair for pair in twins if _apart(cases[pair.first], cases[pair.second])]
    splits = {case.id: place(case) for case in manifest.cases}
    return Copies(tuple(map(tuple, exact)), tuple(near), len(twins) - len(near), splits)


def leaks(manifest: Manifest, copies: Copies) -> list[Finding]:
    """What lies in more than one split (warnings), and what occurs twice within one (notes)."""
    findings = []
    apart = [cases for cases in copies.exact if len({case.split for case in cases}) > 1]
    if apart:
        number = count(len(apart), "picture is", "pictures are")
        text = f"{number} in more than one split, pixel for pixel: {some([_places(cases) for cases in apart])}"
        findings.append(
            Finding(
                "warning", text, "scores on them say nothing; `--fix` keeps one of each, or take them out of one list"
            )
        )
    across = copies.across()
    if across:
        number = count(len(across), "pair of near duplicates lies", "pairs of near duplicates lie")
        text = f"{number} in different splits: {some([_pair(pair, copies) for pair in across])}"
        findings.append(
            Finding("warning", text, "look at them (--report) and move each pair into one split; `data split` does")
        )
    findings += _torn_groups(manifest)
    within = [cases for cases in copies.exact if len({case.split for case in cases}) == 1]
    if within:
        number = count(len(within), "picture occurs", "pictures occur")
        text = f"{number} more than once within a split: {some([_places(cases) for cases in within])}"
        findings.append(Finding("note", text, "`--fix` keeps one of each"))
    beside = [pair for pair in copies.near if copies.splits[pair.first] == copies.splits[pair.second]]
    if beside:
        number = count(len(beside), "pair of near duplicates lies", "pairs of near duplicates lie")
        findings.append(Finding("note", f"{number} within a split: {some([_pair(pair, copies) for pair in beside])}"))
    if copies.akin:
        number = count(copies.akin, "pair")
        findings.append(
            Finding("note", f"{number} of near duplicates within one patient or sequence, as expected there")
        )
    return findings


def place(case: Case) -> str:
    """The case's split, or 'unused'."""
    return case.split or "unused"


def _torn_groups(manifest: Manifest) -> list[Finding]:
    spread = [
        cases for cases in sharing(manifest.cases, lambda case: case.group) if len({case.split for case in cases}) > 1
    ]
    if not spread:
        return []
    names = some([str(cases[0].group) for cases in spread])
    number = count(len(spread), "patient or sequence (by file name) is", "patients or sequences (by file name) are")
    return [Finding("warning", f"{number} in more than one split: {names}", "move each as a whole into one list")]


def _apart(first: Case, second: Case) -> bool:
    return first.group is None or first.group != second.group


def _places(cases: Iterable[Case]) -> str:
    return " = ".join(f"{case.id} ({place(case)})" for case in cases)


def _pair(pair: Twins, copies: Copies) -> str:
    first, second = (f"{name} ({copies.splits[name]})" for name in (pair.first, pair.second))
    return f"{first} ≈ {second}, {pair.similarity:.2f}"
