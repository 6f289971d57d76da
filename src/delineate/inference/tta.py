"""Test-time augmentation: a network sees an image and its mirrored and turned forms; probabilities, turned back, are averaged.

Only mirroring and quarter turns: they move whole pixels, so that turning back loses nothing. A copy costs one more forward pass.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import torch

from delineate.common.errors import DataError
from delineate.data.core.findings import some

__all__ = ["SAME", "Tta", "View", "of_a_side", "views_of"]

Tta = Literal["none", "flips", "flips+rotations"]
"""Flips: the image and its three mirrored forms. With rotations: all eight forms of a square."""
_SIDE = re.compile(r"(?<![a-z])(left|right|links|rechts|gauche|droite?|[lr])(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class View:
    """One form of an image: first rows and columns are swapped (or not), then either may be reversed.

    Example:
        >>> from delineate.inference.tta import views_of
        >>> image = torch.arange(6.0).view(1, 1, 2, 3)
        >>> all(torch.equal(view.undo(view.apply(image)), image) for view in views_of("flips+rotations"))
        True
    """

    swapped: bool = False
    reversed: tuple[int, ...] = ()
    """Of the dimensions -2 (rows) and -1 (columns)."""

    def apply(self, maps: torch.Tensor) -> torch.Tensor:
        """B×C×H×W → this form of it, B×C×H×W, or B×C×W×H where it is swapped. A copy, but for the image itself."""
        if self.swapped:
            maps = maps.transpose(-2, -1)
        return maps.flip(self.reversed) if self.reversed else maps

    def undo(self, maps: torch.Tensor) -> torch.Tensor:
        """Back from this form."""
        if self.reversed:
            maps = maps.flip(self.reversed)
        return maps.transpose(-2, -1) if self.swapped else maps


SAME = View()
"""The image as it is."""


def views_of(tta: Tta, size: tuple[int, int] | None = None) -> tuple[View, ...]:
    """The forms that are averaged, the image itself first.

    Args:
        tta: Which.
        size: Height and width of the network's input; None: any.

    Returns:
        One, four or eight.

    Raises:
        DataError: No such kind, or an input that is not square and would be turned.
    """
    if tta not in get_args(Tta):
        raise DataError(f"no test-time augmentation '{tta}'; there are {', '.join(get_args(Tta))}")
    if tta == "none":
        return (SAME,)
    turns = (False, True) if tta == "flips+rotations" else (False,)
    if len(turns) > 1 and size is not None and size[0] != size[1]:
        raise DataError(
            f"--tta {tta}: a quarter turn needs a square input, and the model's is {size[0]}×{size[1]}; use --tta flips"
        )
    flips: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
    return tuple(View(swapped, axes) for swapped, axes in product(turns, flips))


def of_a_side(names: Sequence[str]) -> str | None:
    """A warning where names of classes tell left from right, which a mirrored image swaps; None where none does."""
    sided = [name for name in names if _SIDE.search(name.replace("_", " "))]
    if not sided:
        return None
    return (
        f"test-time augmentation mirrors images, and {some(sided, 3)} {'tells' if len(sided) == 1 else 'tell'} left from right: "
        "mirrored images swap them; compare with --tta none on validation cases"
    )
