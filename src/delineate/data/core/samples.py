"""What is counted, cached and batched: a sample is a case's picture, or one slice of its volume. Slices that belong together are
a stack.

A patch is a part of a sample; loaders draw it (`data.loading.patch_loader`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from delineate.data.core.input_spec import PixelSpacing
from delineate.data.core.manifest import IGNORE, Case, Split

__all__ = ["Sample", "SliceStack", "foreground"]


@dataclass(frozen=True)
class Sample:
    """Where the pixels of one picture are, and what it shows."""

    case: Case
    """The files that hold it; all slices of a volume share one."""
    plane: int | None = None
    """Which slice of the case's volume, from 0 and in the canonical order (`data.formats.canonical`); None where the case is a
    picture."""
    pixels: Mapping[int, int] = field(default_factory=dict)
    """Foreground class (and 255 = ignore) → pixels at native size; classes that it lacks are absent."""
    size: tuple[int, int] = (0, 0)
    """Native height and width."""
    spacing: PixelSpacing | None = None
    """Of its pixels in mm; None where it is not known."""
    axis: int | None = None
    """Across which canonical axis the slice lies, where that is another than the data set's own (`Census.axis`)."""

    @property
    def name(self) -> str:
        """Unique in the data set: the case's id, `id#plane`, or across another axis than the data set's `id#plane@axis`."""
        if self.plane is None:
            return self.case.id
        across = "" if self.axis is None else f"@{self.axis}"
        return f"{self.case.id}#{self.plane}{across}"

    @property
    def labeled(self) -> bool:
        return bool(self.case.masks)

    @property
    def has_foreground(self) -> bool:
        """Whether it has a pixel of any class but the background, ignored ones not counted."""
        return any(0 < label < IGNORE for label in self.pixels)

    def holds(self, label: int, least: int = 1) -> bool:
        """Whether it shows a class.

        Args:
            label: index of the class.
            least: so many pixels at native size are enough.

        Returns:
            Whether it has as many or more.
        """
        return self.pixels.get(label, 0) >= least


@dataclass(frozen=True)
class SliceStack:
    """The slices of one volume, in order; a picture is a stack of one."""

    volume: str
    group: str
    """What must not be in support and query at once: the patient, or the volume where none is known."""
    split: Split | None
    slices: tuple[Sample, ...]

    def holding(self, label: int, least: int = 1) -> tuple[int, ...]:
        """The slices that show a class.

        Args:
            label: index of the class.
            least: so many pixels at native size are enough.

        Returns:
            Indices, ascending: first and last bound the extent of the class.
        """
        return tuple(at for at, one in enumerate(self.slices) if one.holds(label, least))


def foreground(counts: Mapping[int, int]) -> dict[int, int]:
    """Counts of pixels without the background and what is not there.

    Args:
        counts: class index → pixels.

    Returns:
        The same for the classes that are there, ascending.

    Example:
        >>> from delineate.data.core.samples import foreground
        >>> foreground({2: 7, 0: 90, 1: 0})
        {2: 7}
    """
    return {int(label): int(number) for label, number in sorted(counts.items()) if label and number}
