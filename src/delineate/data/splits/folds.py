"""K-fold cross-validation with a held-out test split: grouped, so that nothing leaks, and stratified, so that the parts are alike.

Groups are assigned one after another, those with rare content and many cases first. Each goes to the part that lacks most of what
the group holds. Balanced are the number of cases, the cases that show each class, and the cases in each quarter of foreground
size (and without foreground).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.census import Census, Progress
from delineate.data.core.findings import Finding, count, raise_errors, some
from delineate.data.core.joins import described, join, joins_in_words, members_of, ways_apart
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.layouts.source import DataSource, Join, as_source
from delineate.data.splits.label_share import place_unlabeled
from delineate.data.splits.leakage import Duplicates, examine_duplicates

__all__ = ["SplitResult", "deal", "split_data"]

_Counts = NDArray[np.float64]

_QUARTERS = 4
_CASES_WEIGHT = 10.0
"""How much more an even number of cases matters than an even number in any one stratum."""


_TOGETHER: dict[Join, str] = {
    "near": "duplicates together",
    "exact": "equal pictures together",
    "none": "copies of a picture apart",
}


@dataclass(frozen=True)
class SplitResult:
    """A manifest with splits or folds, and warnings about them."""

    manifest: Manifest
    findings: list[Finding]


def split_data(
    data: Path | DataSource,
    *,
    folds: int,
    test_fraction: float | None = None,
    seed: int = 0,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Progress | None = None,
) -> SplitResult:
    """Read a dataset and divide its cases into folds. Each case gets a fold, or belongs to the test split.

    Groups are those of the source. Duplicates are put into one group, as its `join` says.

    Args:
        data: Folder of the dataset, or a source with options.
        folds: Number of folds, at least 2.
        test_fraction: Share of the cases for a new test split, between 0 and 1. None: keep the dataset's own test split, if
            it has one, and leave out cases that duplicate a test case.
        seed: For drawing.
        max_pixels: Larger images are refused.
        progress: Called with (files read, files in all).

    Returns:
        The manifest with folds, and warnings.

    Raises:
        DataError: As `open_data`; there are fewer groups than parts; a kept test split shares groups with the rest; a new test
            split leaves itself or the folds without a class.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.splits.folds import split_data
        >>> result = split_data(Path("polyps"), folds=2, test_fraction=0.25, seed=0)
        >>> sorted({case.fold for case in result.manifest.cases if case.split != "test"})
        [0, 1]
    """
    source = as_source(data)
    manifest = source.manifest()
    near = source.join == "near"
    result, duplicates = examine_duplicates(manifest, near=near, max_pixels=max_pixels, progress=progress)
    raise_errors(result.findings)
    return deal(
        source.coded(result.manifest),
        result.census,
        duplicates,
        folds=folds,
        test_fraction=test_fraction,
        seed=seed,
        join_copies=source.join,
    )


def deal(
    manifest: Manifest,
    census: Census,
    duplicates: Duplicates,
    *,
    folds: int,
    test_fraction: float | None,
    seed: int,
    join_copies: Join = "near",
) -> SplitResult:
    """`split_data` for a dataset that was read already. Equal arguments give equal folds."""
    if folds < 2:
        raise DataError(f"{folds} folds are too few; give 2 or more")
    if test_fraction is not None and not 0 < test_fraction < 1:
        raise DataError(f"a test fraction of {test_fraction:g} is not between 0 and 1")
    joined = join(manifest.cases, duplicates.pairs(join_copies))
    findings: list[Finding] = []
    labeled = [case for case in manifest.cases if case.masks]
    listed = any(case.split for case in labeled)
    pool = [case for case in labeled if case.split or not listed]
    if test_fraction is None:
        pool, left_out = _without_test(pool, joined)
        if left_out:
            number = count(len(left_out), "case is a duplicate", "cases are duplicates")
            text = f"{number} of test cases and left out: {some(left_out)}"
            findings.append(Finding("warning", text))
    parts = _dealt(pool, joined, manifest, census, folds, test_fraction, seed)
    cases = tuple(_placed(case, joined[case.id], parts, test_fraction) for case in manifest.cases)
    origin = f"{folds} folds{'' if test_fraction is None else f' and {test_fraction:.0%} test'}"
    origin += f" (by {described(manifest.cases)}, {_TOGETHER[join_copies]}, stratified by class and foreground size, seed {seed})"
    found = place_unlabeled(manifest.model_copy(update={"cases": cases, "split_origin": origin}))
    return SplitResult(found, findings + _unseen(found, census, test_fraction))


def _without_test(pool: Sequence[Case], joined: Mapping[str, str | None]) -> tuple[list[Case], list[str]]:
    """The cases to be dealt beside a test split that stays, and the ids of those that duplicate a test case."""
    test = [case for case in pool if case.split == "test"]
    rest = [case for case in pool if case.split != "test"]
    torn = sorted({case.group for case in test if case.group} & {case.group for case in rest if case.group})
    if torn:
        number = count(len(torn), "group is", "groups are")
        raise DataError(
            f"{number} in the test split and outside of it ({some(torn)}); move each as a whole, draw a new test split "
            "with --test-fraction, or give --group-by none where these are no patients"
        )
    taken = {joined[case.id] for case in test if joined[case.id]}
    left_out = [case.id for case in rest if joined[case.id] in taken]
    return [case for case in rest if joined[case.id] not in taken], left_out


def _dealt(
    pool: Sequence[Case],
    joined: Mapping[str, str | None],
    manifest: Manifest,
    census: Census,
    folds: int,
    test_fraction: float | None,
    seed: int,
) -> dict[str, int]:
    """Case id → part: a fold, or −1 for the test split."""
    members = members_of(pool, joined)
    shares = np.full(folds, 1 / folds)
    if test_fraction is not None:
        shares = np.append(shares * (1 - test_fraction), test_fraction)
    if len(members) < len(shares):
        raise _too_few(
            pool, members, len(shares), f"{folds} folds{'' if test_fraction is None else ' and a test split'}"
        )
    strata = _strata(pool, manifest, census)
    table = np.array([np.sum([strata[case.id] for case in cases], axis=0) for cases in members.values()])
    chosen = _allocate(table, shares, np.random.default_rng([seed, len(members)]))
    return {
        case.id: -1 if part == folds else part
        for cases, part in zip(members.values(), chosen, strict=True)
        for case in cases
    }


def _too_few(pool: Sequence[Case], members: Mapping[str, Sequence[Case]], needed: int, what: str) -> DataError:
    """Too few groups; where it is the joined copies that make them few, this is said, and how to keep them apart."""
    apart = len(members_of(pool, join(pool, ())))
    text = f"{what} need at least {needed} {described(pool)}s, there are {apart}"
    if apart < needed:
        cure = " or --group-by none where these are no patients" if described(pool) == "group" else ""
        return DataError(f"{text}; give fewer --folds{cure}")
    return DataError(
        f"{text}, but only {len(members)} that differ: {joins_in_words(members)}; give fewer --folds, {ways_apart(pool, needed)}"
    )


def _strata(pool: Sequence[Case], manifest: Manifest, census: Census) -> dict[str, _Counts]:
    """Case id → what is to be held level: 1 for the case, 1 for each class it shows, 1 in its quarter of foreground size."""
    classes = len(manifest.classes.names)
    pixels = {case.id: census.facts[case.id].class_pixels(manifest.labels) for case in pool}
    sizes = {
        name: sum(number for index, number in found.items() if 0 < index < IGNORE) / max(1, sum(found.values()))
        for name, found in pixels.items()
    }
    seen = [size for size in sizes.values() if size > 0]
    limits = np.quantile(seen, np.arange(1, _QUARTERS) / _QUARTERS) if seen else np.zeros(_QUARTERS - 1)
    strata = {}
    for name, found in pixels.items():
        row = np.zeros(classes + _QUARTERS + 1)
        row[0] = 1
        row[[index for index in found if 0 < index < classes]] = 1
        row[classes + (0 if sizes[name] == 0 else 1 + int(np.searchsorted(limits, sizes[name])))] = 1
        strata[name] = row
    return strata


def _allocate(table: _Counts, shares: _Counts, rng: np.random.Generator) -> list[int]:
    """A part for each group (row), so that each part's sums of the columns come near its share; no part stays empty.

    Each group goes where it lowers Σ (sum − target)² / (share · total²) most.
    """
    totals = table.sum(axis=0)
    table, totals = table[:, totals > 0], totals[totals > 0]
    scaled = table / totals
    weights = np.ones(len(totals))
    weights[0] = _CASES_WEIGHT
    order = np.lexsort((rng.random(len(table)), -scaled.sum(axis=1)))
    sums = np.zeros((len(shares), len(totals)))
    chosen = [0] * len(table)
    for done, group in enumerate(order.tolist()):
        row = scaled[group]
        change = ((2 * (sums - shares[:, None]) * row + row**2) / shares[:, None]) @ weights
        empty = ~sums.any(axis=1)
        if len(order) - done <= empty.sum():
            change[~empty] = np.inf
        part = int(np.argmin(change))
        sums[part] += row
        chosen[group] = part
    return chosen


def _placed(case: Case, group: str | None, parts: Mapping[str, int], test_fraction: float | None) -> Case:
    if case.id in parts:
        part = parts[case.id]
        update = {"split": "test", "fold": None} if part < 0 else {"split": "train", "fold": part}
    else:
        update = {"split": "test" if case.split == "test" and test_fraction is None else None, "fold": None}
    return case.model_copy(update={**update, "group": group})


def _unseen(manifest: Manifest, census: Census, test_fraction: float | None) -> list[Finding]:
    """Warnings of the folds that lack a class. Raises `DataError` when a drawn test split takes or leaves none of a class."""
    shown = {case.id: set(census.facts[case.id].class_pixels(manifest.labels)) for case in manifest.cases if case.split}

    def lacking(cases: Sequence[Case]) -> list[str]:
        seen = set().union(*(shown[case.id] for case in cases))
        return [name for index, name in enumerate(manifest.classes.names) if index in everywhere - seen and index]

    everywhere = set().union(*shown.values())
    test, dealt = manifest.split("test"), [case for case in manifest.cases if case.fold is not None]
    for what, cases in (("test split", test), ("folds", dealt)):
        if test_fraction is not None and (names := lacking(cases)):
            advice = "raise" if what == "test split" else "lower"
            raise DataError(
                f"a test fraction of {test_fraction:g} leaves the {what} ({count(len(cases), 'case')}) without {some(names)}; "
                f"{advice} --test-fraction, or drop the class"
            )
    findings = []
    for fold in range(manifest.folds):
        for what, cases in (
            ("training", [case for case in dealt if case.fold != fold]),
            ("validation", [case for case in dealt if case.fold == fold]),
        ):
            if names := lacking(cases):
                findings.append(Finding("warning", f"fold {fold}: no {what} case shows {some(names)}"))
    return findings
