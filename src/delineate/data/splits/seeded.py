"""Random splits for a dataset that has none, or has no validation cases. Groups and equal pictures stay together; cases with empty
masks are spread evenly over the parts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from delineate.common.errors import DataError
from delineate.data.core.joins import Pairs, described, equal_pictures, join, joins_in_words, members_of, ways_apart
from delineate.data.core.manifest import Case, Manifest, Split
from delineate.data.splits.label_share import place_unlabeled

__all__ = ["TooFewPictures", "complete"]

_VAL_SHARE = 0.1
_TEST_SHARE = 0.1


class TooFewPictures(DataError):  # noqa: N818 - it is what the data have
    """There would be enough cases to split if duplicates of a picture were not kept together."""


def complete(
    manifest: Manifest,
    empty: Collection[str] = (),
    *,
    seed: int = 0,
    pairs: Pairs | None = None,
    validation: bool = True,
) -> Manifest:
    """Draw the splits that are missing, so that there are training and validation cases.

    Existing splits stay as they are. Without validation cases, a tenth of the training groups become validation cases. Without any
    split, a tenth each become validation and test cases. Groups and duplicates are never divided. Cases without masks are used
    for training only (`data.splits.label_share.place_unlabeled`).

    Args:
        manifest: The cases.
        empty: Ids of cases without foreground, which are spread evenly over the parts.
        seed: For drawing.
        pairs: Pairs of ids of duplicates. None: those with equal pictures.
        validation: Whether there must be validation cases. False: none are drawn.

    Returns:
        The manifest with splits.

    Raises:
        TooFewPictures: There are too few groups, but only because duplicates are kept together.
        DataError: There are too few groups, or no training cases.
    """
    present = {case.split for case in manifest.cases if case.split and case.masks}
    if not present:
        shares: dict[Split, float] = {"val": _VAL_SHARE, "test": _TEST_SHARE}
        pool = [case for case in manifest.cases if case.masks]
        said = "seeded: train/val/test 80/10/10"
        if not validation:
            shares, said = {"test": _TEST_SHARE}, "seeded: train/test 90/10"
    elif "train" not in present:
        raise DataError(
            f"{manifest.root} has no training cases, only {', '.join(sorted(present))}; add a train list or folder"
        )
    elif "val" in present or not validation:
        return place_unlabeled(manifest)
    else:
        shares, pool = {"val": _VAL_SHARE}, [case for case in manifest.split("train") if case.masks]
        said = f"{manifest.split_origin}; val seeded: 10 % of the training cases"
    pairs = equal_pictures(pool) if pairs is None else list(pairs)
    groups = members_of(pool, join(pool, pairs))
    if len(groups) < len(shares) + 1:
        raise _too_few(groups, pool, shares, manifest)
    assigned = _draw(groups, shares, empty, seed)
    together = ", copies together" if len(groups) < len(members_of(pool, join(pool, ()))) else ""
    origin = f"{said} by {described(pool)}{together}, seed {seed}"
    cases = tuple(case.model_copy(update={"split": assigned.get(case.id, case.split)}) for case in manifest.cases)
    return place_unlabeled(manifest.model_copy(update={"cases": cases, "split_origin": origin}))


def _draw(
    groups: Mapping[str, Sequence[Case]], shares: Mapping[Split, float], empty: Collection[str], seed: int
) -> dict[str, Split]:
    """Case id → split. Groups are drawn whole; each stratum gives its share, rounded so that the totals come out right."""
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


def _too_few(
    groups: Mapping[str, Sequence[Case]], pool: Sequence[Case], shares: Mapping[Split, float], manifest: Manifest
) -> DataError:
    parts = ", ".join(["train", *shares])
    apart = members_of(pool, join(pool, ()))
    if len(apart) > len(shares):
        return TooFewPictures(
            f"too few different pictures ({len(groups)}) to split into {parts}: {joins_in_words(groups)}; "
            f"give {ways_apart(pool, len(shares) + 1)}"
        )
    if described(pool) == "case":
        return DataError(f"too few cases ({len(groups)}) to split into {parts}; add more or bring lists")
    known = f": {manifest.grouping}" if manifest.grouping else ""
    return DataError(
        f"too few patients or sequences ({len(groups)}{known}) to split into {parts}; add more or bring lists; give "
        "--group-by none where these are no patients"
    )


def _spread(groups: Mapping[str, Sequence[Case]], empty: Collection[str], rng: np.random.Generator) -> list[str]:
    """Group names in random order, empty groups after the others: even steps through it meet both in proportion."""
    names = sorted(groups)
    shuffled = [names[index] for index in rng.permutation(len(names))]
    return sorted(shuffled, key=lambda name: all(case.id in empty for case in groups[name]))
