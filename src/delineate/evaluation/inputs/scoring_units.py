"""What is scored as one: an image, a volume, or the slices of a volume put together again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core import labels
from delineate.data.core.grouping import describe_rule, group_cases
from delineate.data.core.manifest import IGNORE, Case, LabelRule, Manifest
from delineate.data.core.stacks import Stack, assemble, choose_spacing, stack_names
from delineate.evaluation.inputs.predictions import read_prediction
from delineate.evaluation.inputs.references import read_reference
from delineate.evaluation.inputs.sparse_masks import shared_grid, values_on

__all__ = [
    "Arrays",
    "Labels",
    "Level",
    "ScoringUnit",
    "make_units",
    "read_unit",
]

Labels = NDArray[np.uint8]
Level = Literal["image", "volume"]


@dataclass(frozen=True)
class ScoringUnit:
    """One case of the table, with the files it is made of."""

    name: str
    group: str | None
    members: tuple[tuple[Path, Case], ...]
    """Prediction and reference of each slice; a single pair for an image or a volume file."""
    stack: Stack | None = None

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """In mm, as the reference's file tells; None of images, and of volumes put together from them."""
        return self.members[0][1].spacing if self.stack is None else None


@dataclass(frozen=True)
class Arrays:
    """Class indices of prediction and reference, and the size of their pixels in mm where it is known."""

    prediction: Labels
    reference: Labels
    spacing: tuple[float, ...] | None


def make_units(
    pairs: Sequence[tuple[Path, Case]], *, stack: str | None = None, group_by: str | None = None
) -> tuple[list[ScoringUnit], str]:
    """The units of the pairs, and in words what their groups are.

    `stack`: a slice rule (`data.core.stacks`); None: each pair is a unit. `group_by`: a group rule (`data.core.grouping`) on the
    units' names; None: the groups the data set knows. Raises `DataError` for a rule that does not fit.
    """
    by_name = {case.id: (prediction, case) for prediction, case in pairs}
    if stack is None:
        units = [ScoringUnit(name, case.group, ((prediction, case),)) for name, (prediction, case) in by_name.items()]
    else:
        stacks = stack_names(list(by_name), stack)
        units = [_stacked(one, [by_name[name] for name in one.slices]) for one in stacks]
    if group_by is not None:
        groups = group_cases(group_by, [unit.name for unit in units])
        units = [ScoringUnit(unit.name, groups[unit.name], unit.members, unit.stack) for unit in units]
        return units, describe_rule(group_by)
    known = any(unit.group for unit in units)
    return units, "groups of the data set" if known else "each case is its own group"


def read_unit(
    unit: ScoringUnit, manifest: Manifest, predicted: LabelRule, spacing: Sequence[float] | None = None
) -> Arrays | None:
    """Read and assemble; None where the reference has only ignored pixels, so that there is nothing to score.

    `predicted`: how the values of predictions are read; `spacing`: the user's, in mm, along the axes of the array. Raises
    `DataError`: files that cannot be read, sizes that differ, a spacing that contradicts the file.
    """
    parts = [_read_pair(prediction, case, manifest, predicted) for prediction, case in unit.members]
    if unit.stack is None:
        prediction, reference = parts[0]
    else:
        prediction, reference = (assemble(unit.stack, [part[which] for part in parts]) for which in (0, 1))
    if (reference == IGNORE).all():
        return None
    grid = (
        None if unit.stack is not None else shared_grid(unit.members[0][0], manifest.path(unit.members[0][1].masks[0]))
    )
    own = unit.spacing if grid is None else grid.spacing
    return Arrays(prediction, reference, choose_spacing(spacing, own, prediction.ndim, case=unit.name))


def _stacked(stack: Stack, members: Sequence[tuple[Path, Case]]) -> ScoringUnit:
    groups = {case.group for _, case in members}
    if len(groups) > 1:
        raise DataError(
            f"the slices of '{stack.volume}' belong to different groups ({', '.join(map(str, sorted(map(str, groups))))}); "
            "mend the slice rule"
        )
    return ScoringUnit(stack.volume, groups.pop(), tuple(members), stack)


def _read_pair(prediction: Path, case: Case, manifest: Manifest, rule: LabelRule) -> tuple[Labels, Labels]:
    where = manifest.path(case.masks[0])
    grid = shared_grid(prediction, where)
    if grid is None:
        predicted, reference = read_prediction(prediction, rule, where), read_reference(manifest, case)
    else:
        predicted = labels.apply(rule, values_on(prediction, grid, where), prediction)
        reference = read_reference(manifest, case, grid)
    if predicted.shape != reference.shape:
        raise DataError(
            f"{prediction} is {_size(predicted)} pixels but its reference {where} is {_size(reference)}; predict on the "
            "original images, masks are scored at native size"
        )
    if (predicted == IGNORE).any():  # a copy of the references, ignored pixels and all
        if (reference[predicted == IGNORE] != IGNORE).any():
            raise DataError(f"{prediction} ignores pixels (255) that its reference {where} does not; give each a class")
        predicted = np.where(predicted == IGNORE, np.uint8(0), predicted)
    return predicted, reference


def _size(mask: Labels) -> str:
    return "×".join(str(size) for size in reversed(mask.shape))
