"""Training cases without masks: which split they may be in, and removing the masks of a part of the cases.

Unlabeled cases of groups in the validation or test split are not trained on: the network would have seen those patients.
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
    """Put unlabeled cases into the training split, or into none if their group is validated or tested on. Test cases
    stay."""
    held_out = {case.group for case in manifest.cases if case.masks and case.group and case.split in ("val", "test")}

    def placed(case: Case) -> Case:
        if case.masks or case.split == "test":
            return case
        split = None if case.group in held_out else "train"
        return case.model_copy(update={"split": split, "fold": None})

    return manifest.model_copy(update={"cases": tuple(map(placed, manifest.cases))})


def for_training(manifest: Manifest, *, uses_unlabeled: bool) -> tuple[Manifest, str]:
    """The manifest as a method trains on it: without unlabeled training images, if the method learns only from masks.

    Args:
        manifest: The cases with their splits.
        uses_unlabeled: Whether method or strategy learns from images without masks.

    Returns:
        The manifest, and a line about its unlabeled images ('' if there are none).

    Raises:
        DataError: No training case has a mask.
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
    """Keep the masks of a share of the training groups, and remove the other masks from the manifest.

    With the same seed, a smaller share is part of a larger one.

    Args:
        manifest: The cases with their splits.
        census: What their files hold.
        share: Share of the training groups with masks that keep them, between 0 and 1; at least one group does.
        seed: For drawing.

    Returns:
        The manifest, in which the other training cases have no masks.

    Raises:
        DataError: The share is not between 0 and 1, or the kept masks lack a class that the others show.
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
