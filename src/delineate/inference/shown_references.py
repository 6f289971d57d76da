"""Reference masks that overlays show beside the predictions, as those who draw them see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from delineate.data.formats.canonical import Canonical

__all__ = ["NoReferences", "ShownReferences"]


class ShownReferences(Protocol):
    """Where references are from is for `overlay_references` to know."""

    def mask(self, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
        """Of the output `name`, class indices H×W (255 = ignore); None where there is none that can be drawn."""

    def volume(self, name: str, volume: Canonical) -> NDArray[np.uint8] | None:
        """The same of a volume, in the canonical order of its axes."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not drawn, and why."""


@dataclass(frozen=True)
class NoReferences:
    """Of images without references."""

    notes: tuple[str, ...] = ()

    def mask(self, name: str, shape: tuple[int, ...]) -> None:
        """As `ShownReferences.mask`."""

    def volume(self, name: str, volume: Canonical) -> None:
        """As `ShownReferences.volume`."""
