"""Weights of classes in cross-entropy and focal loss: numbers, or a rule that makes them from how often classes are seen.

Each training image counts as much as any other, as it does in training. With f_c the mean share of its pixels that class c has:

    inverse_frequency   1 / f_c
    median_frequency    median(g) / g_c, with g_c the mean share in those images that have class c (Eigen and Fergus, ICCV 2015)
    log_frequency       1 / ln(1.02 + f_c) (Paszke et al.: ENet, 2016): at most 36 times the smallest

Weights are then divided by the smallest, since losses divide by their sum anyway, and bounded by `MOST`. "Effective numbers" (Cui
et al., CVPR 2019) are left out: of as many pixels as masks have they are the inverse frequency, or all equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Final

from pydantic import AfterValidator
from torch import Tensor

from delineate.common.errors import RecipeError
from delineate.common.names import did_you_mean

__all__ = [
    "DESCRIPTION",
    "MOST",
    "RULES",
    "ClassWeights",
    "Frequency",
    "checked_weights",
    "weights_by_rule",
    "weights_of",
]

DESCRIPTION = (
    "for cross-entropy and focal: one per class, background first (binary: two), or one per region after that of the background; "
    "or by the training masks: inverse_frequency, median_frequency, log_frequency"
)
"""Of an option of this type."""

MOST: Final = 50.0
"""The largest weight that a rule gives, that of the most frequent class being 1."""


@dataclass(frozen=True)
class Frequency:
    """How often a class is seen in the training images."""

    share: float
    """Of the pixels of an image, mean over all images."""
    share_where_present: float
    """The same over the images that have the class; 0 where none has."""


def _inverse(seen: Sequence[Frequency]) -> list[float]:
    return [1 / one.share for one in seen]


def _median(seen: Sequence[Frequency]) -> list[float]:
    middle = median(one.share_where_present for one in seen)
    return [middle / one.share_where_present for one in seen]


def _log(seen: Sequence[Frequency]) -> list[float]:
    return [1 / math.log(1.02 + one.share) for one in seen]


RULES: Mapping[str, Callable[[Sequence[Frequency]], list[float]]] = {
    "inverse_frequency": _inverse,
    "median_frequency": _median,
    "log_frequency": _log,
}
"""Name → weights of classes that are all seen somewhere."""


def _known(given: tuple[float, ...] | str | None) -> tuple[float, ...] | str | None:
    if isinstance(given, str) and given not in RULES:
        raise ValueError(f"no rule is called '{given}': {did_you_mean(given, RULES)}")
    return given


ClassWeights = Annotated[tuple[float, ...] | str | None, AfterValidator(_known)]
"""An option of a loss: numbers, the name of a rule, or none. `delineate train` puts numbers in the place of a rule at its start."""


def weights_by_rule(rule: str, seen: Sequence[Frequency]) -> tuple[float, ...]:
    """The weights by a rule, to four digits; a class that no image has gets the largest of the others'.

    `seen`: what lies outside of all classes or regions, then each of these.
    """
    present = [one for one in seen if one.share > 0]
    raw = RULES[rule](present) if present else []
    scaled = [min(MOST, weight / min(raw)) for weight in raw]
    largest, following = max(scaled, default=1.0), iter(scaled)
    return tuple(float(f"{next(following) if one.share > 0 else largest:.4g}") for one in seen)


def weights_of(given: tuple[float, ...] | str | None, logits: Tensor, target: Tensor) -> tuple[float, ...] | None:
    """The numbers, checked to be as many as logits B×K×H×W and a target (`nn.losses`) need. Raises `RecipeError`."""
    if isinstance(given, str):
        raise RecipeError(
            f"class_weights: '{given}' is settled by the training masks when `delineate train` starts; elsewhere give numbers"
        )
    return checked_weights(given, logits.shape[1], regions=target.ndim == 4)


def checked_weights(given: tuple[float, ...] | None, channels: int, *, regions: bool) -> tuple[float, ...] | None:
    """The same numbers. Raises `RecipeError` where they are not as many as so many channels need, or are no weights: one below 0
    would reward mistakes, and with zeros alone nothing would be learned."""
    needed = channels + 1 if regions else max(2, channels)
    if given is not None and len(given) != needed:
        what = f"{channels} regions and what lies outside" if regions else f"{needed} classes"
        raise RecipeError(f"class_weights: {len(given)} weights given for {what} (background first)")
    if given is not None and (min(given) < 0 or not any(given)):
        raise RecipeError("class_weights: give numbers of 0 or more, at least one of them above 0")
    return given
