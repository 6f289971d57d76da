"""Seeded splits for data that brings none, or no validation cases: groups and equal pictures stay whole, empty and non-empty masks
are spread evenly."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from delineate.common.errors import DataError
from delineate.data.case import Case, Manifest, Split
from delineate.data.joins import equal_pictures, join, members_of
from delineate.data.unlabelled import settled

VAL_SHARE = 0.1
TEST_SHARE = 0.1


def complete(manifest: Manifest, empty: Collection[str] = (), *, seed: int = 0) -> Manifest:
    """The manifest with training and validation cases for certain.

    A split that is there stays as it is. Without validation cases, a tenth of the training groups become them; without any split,
    a tenth each become validation and test. No draw divides a group, nor cases with equal pictures. `empty`: ids of cases without
    foreground, spread evenly over the parts. Cases without masks are for training alone (`data.unlabelled.settled`).
    Raises `DataError` when there are too few groups, or no training cases.
    """
    present = {case.split for case in manifest.cases if case.split and case.masks}
    if not present:
        shares: dict[Split, float] = {"val": VAL_SHARE, "test": TEST_SHARE}
        pool = [case for case in manifest.cases if case.masks]
        said = "seeded: train/val/test 80/10/10"
    elif "train" not in present:
        raise DataError(
            f"{manifest.root} has no training cases, only {', '.join(sorted(present))}; add a train list or folder"
        )
    elif "val" in present:
        return settled(manifest)
    else:
        shares, pool = {"val": VAL_SHARE}, [case for case in manifest.split("train") if case.masks]
        said = f"{manifest.split_origin}; val seeded: 10 % of the training cases"
    groups = members_of(pool, join(pool, equal_pictures(pool)))
    assigned = _draw(groups, shares, empty, seed, manifest)
    origin = f"{said} {_by_what(pool, groups)}, seed {seed}"
    cases = tuple(case.model_copy(update={"split": assigned.get(case.id, case.split)}) for case in manifest.cases)
    return settled(manifest.model_copy(update={"cases": cases, "split_origin": origin}))


def _by_what(pool: Sequence[Case], groups: Mapping[str, Sequence[Case]]) -> str:
    """What was drawn as one, in words; nobody is told of groups where none are known."""
    if any(case.group for case in pool):
        return "by group"
    return "by case" if len(groups) == len(pool) else "by case, equal pictures together"


def _draw(
    groups: Mapping[str, Sequence[Case]],
    shares: Mapping[Split, float],
    empty: Collection[str],
    seed: int,
    manifest: Manifest,
) -> dict[str, Split]:
    """Case id → split. Groups are drawn whole; each stratum gives its share, rounded so that the totals come out right."""
    if len(groups) < len(shares) + 1:
        raise _too_few(groups, shares, manifest)
    order = _spread(groups, empty, np.random.default_rng([seed, len(groups)]))
    assigned: dict[str, Split] = {}
    taken: set[str] = set()
    for split, share in shares.items():
        free = [name for name in order if name not in taken]
        number = max(1, round(share * len(groups)))
        # Every k-th of an order in which the strata are spread evenly.
        chosen = [free[int((index + 0.5) * len(free) / number)] for index in range(number)]
        taken.update(chosen)
        assigned |= {case.id: split for name in chosen for case in groups[name]}
    return assigned | {case.id: "train" for name in groups if name not in taken for case in groups[name]}


def _too_few(groups: Mapping[str, Sequence[Case]], shares: Mapping[Split, float], manifest: Manifest) -> DataError:
    parts = ", ".join(["train", *shares])
    cure = "add more or bring lists"
    if any(case.group for members in groups.values() for case in members):
        what, known = "patients or sequences", f": {manifest.grouping}" if manifest.grouping else ""
        cure += "; give --group-by none where these are no patients"
    else:
        alike = any(len(members) > 1 for members in groups.values())
        what, known = "different pictures" if alike else "cases", ""
    return DataError(f"too few {what} ({len(groups)}{known}) to split into {parts}; {cure}")


def _spread(groups: Mapping[str, Sequence[Case]], empty: Collection[str], rng: np.random.Generator) -> list[str]:
    """Group names in random order, empty groups after the others: even steps through it meet both in proportion."""
    names = sorted(groups)
    shuffled = [names[index] for index in rng.permutation(len(names))]
    return sorted(shuffled, key=lambda name: all(case.id in empty for case in groups[name]))
