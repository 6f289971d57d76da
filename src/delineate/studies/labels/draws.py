"""The labeled lists of a study: drawn once, by patient, and frozen in `draws.json`; every way of training gets the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delineate.common.errors import DataError
from delineate.common.files import read_json, write_json
from delineate.data.cases.census import Census
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import Manifest
from delineate.data.splits.label_budget import LabelBudget, labeled_groups, list_hash
from delineate.data.splits.label_share import missing_classes, without_masks
from delineate.studies.labels.setup import LabelSetup, Validation, budget_words

__all__ = ["ALL", "DRAWS", "LabelList", "freeze", "list_file", "pool", "read_lists", "write_lists"]

DRAWS = "draws.json"
ALL = -1
"""In place of a budget's number: all labels."""
_FORMAT = 1
_EVERY = 5
"""Of labeled groups, every fifth validates, where they do."""


@dataclass(frozen=True)
class LabelList:
    """The labels of one number of them and one draw."""

    budget: int
    """Its place among the setup's budgets, or `ALL`."""
    draw: int
    groups: int
    training: tuple[str, ...]
    """Ids of the cases whose masks are trained on."""
    validation: tuple[str, ...]
    """Ids of the labeled cases that choose the weights."""

    @property
    def cases(self) -> tuple[str, ...]:
        """All that had to be labeled."""
        return (*self.training, *self.validation)

    def manifest(self, pool: Manifest) -> Manifest:
        """What is trained on: these masks, the other training images without theirs, the test split."""
        labeled = {case.id for case in pool.split("train") if case.masks}
        bared = without_masks(pool, labeled - set(self.cases), self.words(len(labeled)))
        held = set(self.validation)
        cases = tuple(
            one.model_copy(update={"split": "val"}) if one.id in held else one
            for one in bared.cases
            if one.split is not None  # the data set's own validation cases are not even opened
        )
        return bared.model_copy(update={"cases": cases})

    def words(self, labeled: int) -> str:
        """For the card of the model."""
        which = "all labels" if self.budget == ALL else f"draw {self.draw}"
        inside = f", {count(len(self.validation), 'of them validates', 'of them validate')}" if self.validation else ""
        return f"{which}: masks of {len(self.cases)} of {labeled} training cases, list {list_hash(self.cases)[:12]}{inside}"

    def to_json(self, budgets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        asked = "all" if self.budget == ALL else budget_words(budgets[self.budget])
        return {
            "labels": asked,
            "budget": self.budget,
            "draw": self.draw,
            "groups": self.groups,
            "sha256": list_hash(self.cases),
            "training": list(self.training),
            "validation": list(self.validation),
        }


def pool(manifest: Manifest) -> Manifest:
    """The data set as the study uses it: its own validation cases take no part, neither for choosing nor as unlabeled images.

    Raises `DataError` where nothing is left to test on.
    """
    cases = tuple(case.model_copy(update={"split": None}) if case.split == "val" else case for case in manifest.cases)
    if not any(case.masks for case in manifest.split("test")):
        raise DataError(
            f"{manifest.root} has no test cases with masks, on which the study scores; give it a test list (`delineate data split`)"
        )
    return manifest.model_copy(update={"cases": cases})


def freeze(setup: LabelSetup, pool: Manifest, census: Census) -> list[LabelList]:
    """The lists of all numbers of labels and draws, and that of all labels, which is last.

    Raises `DataError`: more labels than there are, numbers that come to the same lists, masks that lack a class.
    """
    lists = [
        _list(setup.budget(at, draw), at, pool, setup.validation)
        for at in range(len(setup.budgets))
        for draw in range(setup.draws)
    ]
    groups = labeled_groups(pool)
    everything = [case.id for name in sorted(groups) for case in groups[name]]
    lists.append(_divided(ALL, 0, everything, pool, setup.validation))
    for one in lists:
        _check(one, setup, pool, census, everything)
    for draw in range(setup.draws):
        sizes = [len(one.cases) for one in lists if one.draw == draw and one.budget != ALL]
        if sizes != sorted(set(sizes)):
            given = ", ".join(map(budget_words, setup.budgets))
            raise DataError(
                f"the numbers of labels ({given}) must rise and differ: in draw {draw} they are {', '.join(map(str, sizes))} cases"
            )
    return lists


def write_lists(folder: Path, setup: LabelSetup, pool: Manifest, lists: Sequence[LabelList]) -> None:
    """Write `draws.json` and a manifest for each list."""
    for one in lists:
        one.manifest(pool).save(list_file(folder, one.budget, one.draw))
    content = [one.to_json(setup.budgets) for one in lists]
    write_json(
        folder / DRAWS,
        {
            "format": _FORMAT,
            "drawn": "by group, whole groups; within a draw a smaller list is part of a larger one",
            "lists": content,
        },
    )


def read_lists(folder: Path) -> list[LabelList]:
    """As `draws.json` has them. Raises `DataError` for a damaged one, or lists that are not those that were frozen."""
    path = folder / DRAWS
    try:
        lists = []
        for one in read_json(path)["lists"]:
            found = LabelList(
                int(one["budget"]),
                int(one["draw"]),
                int(one["groups"]),
                tuple(one["training"]),
                tuple(one["validation"]),
            )
            if list_hash(found.cases) != one["sha256"]:
                raise ValueError("a list is not the one that was frozen")
            lists.append(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); give another --out") from error
    return lists


def list_file(folder: Path, budget: int, draw: int) -> Path:
    """The manifest of a list."""
    return folder / "lists" / ("all.json" if budget == ALL else f"labels{budget}-draw{draw}.json")


def _list(budget: LabelBudget, at: int, pool: Manifest, validation: Validation) -> LabelList:
    return _divided(at, budget.draw, budget.chosen(pool), pool, validation)


def _divided(at: int, draw: int, ids: Sequence[str], pool: Manifest, validation: Validation) -> LabelList:
    """The labeled cases, in the order drawn; with `inside`, every fifth group of them validates, the last one of fewer."""
    group_of = {case.id: case.group or f"case {case.id}" for case in pool.split("train")}
    order = list(dict.fromkeys(group_of[name] for name in ids))
    held: set[str] = set()
    if validation == "inside":
        if len(order) < 2:
            raise DataError(
                f"--validation inside: draw {draw} has {count(len(order), 'labeled group')}, which cannot both train and validate; "
                "give more labels, or --validation none"
            )
        held = set(order[_EVERY - 1 :: _EVERY] or order[-1:])
    training = tuple(name for name in ids if group_of[name] not in held)
    validating = tuple(name for name in ids if group_of[name] in held)
    return LabelList(at, draw, len(order), training, validating)


def _check(one: LabelList, setup: LabelSetup, pool: Manifest, census: Census, everything: Sequence[str]) -> None:
    lacking = missing_classes(pool, census, one.training, everything)
    if lacking:
        asked = "all labels" if one.budget == ALL else f"{budget_words(setup.budgets[one.budget])}, draw {one.draw}"
        raise DataError(
            f"{asked}: {count(len(one.training), 'training mask')} without {some(lacking)}; give more labels"
        )
