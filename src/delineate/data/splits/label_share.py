"""Training cases without masks: where they may go, and taking the masks of a part of the cases away.

None may be of a group that is validated or tested on, since a network would then have seen those patients.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from delineate.common.errors import DataError
from delineate.data.cases.census import Census
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import IGNORE, Case, Manifest

__all__ = ["for_training", "keep_labeled", "place_unlabeled"]


def place_unlabeled(manifest: Manifest) -> Manifest:
    """Unlabeled cases in their place: for training, unless their group is validated or tested on; those for testing stay."""
    held_out = {case.group for case in manifest.cases if case.masks and case.group and case.split in ("val", "test")}

    def placed(case: Case) -> Case:
        if case.masks or case.split == "test":
            return case
        split = None if case.group in held_out else "train"
        return case.model_copy(update={"split": split, "fold": None})

    return manifest.model_copy(update={"cases": tuple(map(placed, manifest.cases))})


def for_training(manifest: Manifest, *, uses_unlabeled: bool) -> tuple[Manifest, str]:
    """The manifest as a method trains on it, and a line about its unlabeled images; '' where there are none.

    They are left out for a method that learns from masks alone. Raises `DataError` when no training case has masks.
    """
    training = manifest.split("train")
    bare = [case.id for case in training if not case.masks]
    if training and len(bare) == len(training):
        raise DataError(f"{manifest.root}: none of the {count(len(bare), 'training case')} has a mask; add some")
    if not bare:
        return manifest, ""
    number = count(len(bare), "training image")
    if uses_unlabeled:
        return manifest, f"{number} of {len(training)} without masks: used by the terms that need none"
    out = set(bare)
    kept = tuple(case for case in manifest.cases if case.id not in out)
    return manifest.model_copy(
        update={"cases": kept}
    ), f"{number} without masks left out: method and strategy learn from masks only"


def keep_labeled(manifest: Manifest, census: Census, share: float, *, seed: int) -> Manifest:
    """The manifest with the masks of a share of the training groups; those of the others it does not know any more.

    Groups are kept whole: `share` of the groups with masks, at least one. Of one seed, the smaller share is part of the larger.
    Raises `DataError` for a share that is not between 0 and 1, and when the kept masks lack a class that the others show.
    """
    if not 0 < share < 1:
        raise DataError(f"--labeled {share:g} is not between 0 and 1; 0.1 keeps the masks of a tenth")
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in manifest.split("train"):
        if case.masks:
            groups[case.group or f"case {case.id}"].append(case)
    names = sorted(groups)
    if len(names) < 2:
        raise DataError(
            f"{manifest.root} has {count(len(names), 'training group')} with masks; there is nothing to choose from"
        )
    order = np.random.default_rng([seed, len(names)]).permutation(len(names))
    number = min(len(names) - 1, max(1, round(share * len(names))))
    kept = {case.id for at in order[:number] for case in groups[names[at]]}
    dropped = {case.id for members in groups.values() for case in members} - kept
    _check_classes(manifest, census, kept, kept | dropped, share)
    words = "cases" if all(len(members) == 1 for members in groups.values()) else "groups"
    chosen = f"masks of {number} of {len(names)} training {words} ({len(kept)} of {len(kept | dropped)} images)"
    cases = tuple(_bared(case) if case.id in dropped else case for case in manifest.cases)
    origin = f"{manifest.split_origin}; {chosen}, seed {seed}"
    return place_unlabeled(manifest.model_copy(update={"cases": cases, "split_origin": origin}))


def _bared(case: Case) -> Case:
    hashes = {name: value for name, value in case.hashes.items() if name in case.images}
    return case.model_copy(update={"masks": (), "raters": (), "hashes": hashes})


def _check_classes(manifest: Manifest, census: Census, kept: set[str], training: set[str], share: float) -> None:
    def shown(ids: set[str]) -> set[int]:
        found = (census.facts[name].class_pixels(manifest.labels) for name in ids)
        return {index for pixels in found for index in pixels if 0 < index < IGNORE}

    lacking = [manifest.classes.names[index] for index in sorted(shown(training) - shown(kept))]
    if lacking:
        raise DataError(
            f"--labeled {share:g} keeps {count(len(kept), 'training mask')} without {some(lacking)}; raise it or change --seed"
        )
