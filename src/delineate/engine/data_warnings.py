"""What training cannot learn and validation cannot judge, seen before training from the references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.data.augment.settings import AugmentSettings
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import IGNORE
from delineate.engine.best_weights import SCORE_WORDS, SelectBy

__all__ = ["side_warnings", "training_warnings", "validation_warnings"]

_SIDES = ({"left", "lt", "l"}, {"right", "rt", "r"})
"""Words in names of classes that tell the side of the body."""
_FLIPS = ("flip_horizontal", "flip_vertical")


def validation_warnings(
    references: Iterable[tuple[str, NDArray[Any]]], classes: Sequence[str], by: SelectBy = "dice"
) -> list[str]:
    """Sentences for the console; empty where every validation case can be judged and has every class.

    `references`: ids and class indices H×W (255 = ignored); `classes`: names, background first; `by`: the score that chooses the
    weights. Costs a pass over the masks.
    """
    unseen, counts, empty = list[str](), np.zeros(len(classes), np.int64), list[str]()
    total = 0
    for name, mask in references:
        pixels = np.bincount(mask.ravel(), minlength=IGNORE + 1)
        total += 1
        if pixels[:IGNORE].sum() == 0:
            unseen.append(name)
            continue
        there = pixels[: len(classes)] > 0
        counts += there
        if not there[1:].any():
            empty.append(name)
    return [
        *_unscored(unseen, total),
        *_without_foreground(empty, counts, total - len(unseen), classes, SCORE_WORDS[by]),
    ]


def training_warnings(training: Iterable[Mapping[int, int]]) -> list[str]:
    """A sentence where no training case shows any class; `training`: class index → pixels of each labeled training case."""
    shown = {index for pixels in training for index in pixels}
    if not shown or shown & set(range(1, IGNORE)):
        return []
    if shown == {IGNORE}:
        return [
            "WARNING: every pixel of every training mask is ignored (255): there is nothing to learn from; correct the masks"
        ]
    return [
        "WARNING: no training case has foreground, so the network can only learn background; add cases with foreground"
    ]


def side_warnings(classes: Sequence[str], augment: AugmentSettings) -> list[str]:
    """A sentence where classes differ by the side of the body alone and training flips images, so that they look alike.

    `classes`: names, background first. Two are a pair where their names are equal but for left and right.
    """
    flips = [f"augment.{key}={getattr(augment, key):g}" for key in _FLIPS if getattr(augment, key)]
    sides: dict[tuple[str, ...], dict[int, str]] = {}
    for name in classes[1:]:
        words = re.split(r"[^a-z0-9]+", name.lower())
        found = [side for side, known in enumerate(_SIDES) if known & set(words)]
        if len(found) == 1:
            rest = tuple(word for word in words if word not in _SIDES[found[0]])
            sides.setdefault(rest, {})[found[0]] = name
    pairs = [" and ".join(pair.values()) for pair in sides.values() if len(pair) > 1]
    if not flips or not pairs:
        return []
    without = " ".join(f"--set augment.{key}=0" for key in _FLIPS if getattr(augment, key))
    return [
        f"WARNING: {some(pairs, 3)} differ by their side, but training flips images ({', '.join(flips)}), so that a network can "
        f"hardly tell them apart; train with {without}"
    ]


def _unscored(unseen: Sequence[str], total: int) -> list[str]:
    if not unseen:
        return []
    if len(unseen) == total:
        return [
            "WARNING: every pixel of every validation mask is ignored (255), so nothing can be scored and the latest "
            "weights are kept; correct the masks, or put other cases into the validation split"
        ]
    number = count(len(unseen), "validation case has", "validation cases have")
    return [f"WARNING: {number} no valid pixel (all 255) and will not be scored: {some(unseen, 3)}"]


def _without_foreground(
    empty: Sequence[str], counts: NDArray[Any], scored: int, classes: Sequence[str], score: str
) -> list[str]:
    if not scored:
        return []
    if len(empty) == scored:
        return [
            f"WARNING: no validation case has foreground ({count(scored, 'case')}), so there is no Dice and the weights will be "
            "chosen by the validation loss; put cases with foreground into the validation split"
        ]
    lines = []
    absent = [name for name, number in zip(classes[1:], counts[1:], strict=True) if not number]
    if absent:
        number = count(len(absent), "class is", "classes are")
        lines.append(f"WARNING: {number} in no validation case and cannot be judged: {some(absent)}")
    if (counts[1:] < scored).any():
        which = (
            f"{len(empty)} of {scored} validation cases lack foreground"
            if len(classes) == 2
            else "some cases lack a class"
        )
        lines.append(f"{which}: the weights are chosen by {score} of the pixels of all validation cases together")
    return lines
