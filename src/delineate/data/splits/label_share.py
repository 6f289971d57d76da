"""Training cases without masks: which split they may be in, and removing the masks of a part of the cases.

Unlabeled cases of groups in the validation or test split are not trained on: the network would have seen those patients.
"""

from __future__ import annotations

from collections.abc import Collection

from delineate.common.errors import DataError
from delineate.data.cases.census import Census
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.splits.label_budget import LabelBudget, labeled_groups, list_hash

__all__ = ["bared", "for_training", "keep_labeled", "missing_classes", "place_unlabeled", "without_masks"]


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


def keep_labeled(
    manifest: Manifest,
    census: Census,
    wanted: float | LabelBudget,
    *,
    seed: int = 0,
    cure: str = "raise it or change --seed",
) -> Manifest:
    """Keep the masks of a part of the training cases, and remove the other masks from the manifest: nothing reads them then.

    With the same seed, a smaller part is in a larger one.

    Args:
        manifest: The cases with their splits.
        census: What their files hold.
        wanted: Share of the training groups with masks that keep them, between 0 and 1; at least one group does. Or a budget.
        seed: For drawing, where `wanted` is a share.
        cure: What to do where a class is left without masks.

    Returns:
        The manifest, in which the other training cases have no masks.

    Raises:
        DataError: There is no such part of the training cases, or the kept masks lack a class that the others show.
    """
    budget = wanted if isinstance(wanted, LabelBudget) else LabelBudget(share=wanted, draw=seed)
    kept = set(budget.chosen(manifest))
    groups = labeled_groups(manifest)
    labeled = {case.id for members in groups.values() for case in members}
    _check_classes(manifest, census, kept, labeled, f"{budget.words} keeps", cure)
    number = sum(any(case.id in kept for case in members) for members in groups.values())
    words = "cases" if all(len(members) == 1 for members in groups.values()) else "groups"
    chosen = f"masks of {number} of {len(groups)} training {words} ({len(kept)} of {len(labeled)} images)"
    drawn = "" if budget.listed is not None else f"seed {budget.draw}, "
    return without_masks(manifest, labeled - kept, f"{chosen}, {drawn}list {list_hash(kept)[:12]}")


def without_masks(manifest: Manifest, cases: Collection[str], said: str) -> Manifest:
    """The manifest without the masks of some training cases. `said`: of the split's origin."""
    kept = tuple(bared(case) if case.id in cases else case for case in manifest.cases)
    origin = f"{manifest.split_origin}; {said}"
    return place_unlabeled(manifest.model_copy(update={"cases": kept, "split_origin": origin}))


def bared(case: Case) -> Case:
    """The case without its masks: nothing reads them then."""
    hashes = {name: value for name, value in case.hashes.items() if name in case.images}
    return case.model_copy(update={"masks": (), "raters": (), "hashes": hashes})


def missing_classes(manifest: Manifest, census: Census, kept: Collection[str], training: Collection[str]) -> list[str]:
    """Names of the classes that some training mask shows, and none of the kept ones."""

    def shown(ids: Collection[str]) -> set[int]:
        found = (census.facts[name].class_pixels(manifest.labels) for name in ids)
        return {index for pixels in found for index in pixels if 0 < index < IGNORE}

    return [manifest.classes.names[index] for index in sorted(shown(training) - shown(kept))]


def _check_classes(
    manifest: Manifest, census: Census, kept: set[str], training: set[str], what: str, cure: str
) -> None:
    lacking = missing_classes(manifest, census, kept, training)
    if lacking:
        raise DataError(f"{what} {count(len(kept), 'training mask')} without {some(lacking)}; {cure}")
