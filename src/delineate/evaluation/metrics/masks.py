"""The two masks of one class of one case, with what the metrics share: counts, boundary points, distances, surface elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from delineate.evaluation.metrics.distances import Points, edge_points, nearest
from delineate.evaluation.metrics.pixel_counts import Counts
from delineate.evaluation.metrics.surface_elements import surface_elements

__all__ = [
    "Mask",
    "Masks",
    "Outcome",
    "Values",
    "outcome_of",
]

Mask = NDArray[np.bool_]
"""bool, of the image's shape."""
Values = NDArray[np.float64]
Outcome = Literal["found", "not_touched", "missed", "false_positive", "both_empty"]
"""Of a class in a case whose reference has it: found (the masks share a pixel), not touched (marked elsewhere only), missed
(marked nowhere); of a case whose reference lacks it: marked falsely, or rightly not."""


def outcome_of(reference: int, prediction: int, shared: int) -> Outcome:
    """What became of a class in a case, from counts of pixels (or objects).

    Args:
        reference: Pixels of the class in the reference.
        prediction: Pixels of the class in the prediction.
        shared: Pixels in both.

    Returns:
        The outcome, see `Outcome`.

    Example:
        >>> from delineate.evaluation.metrics.masks import outcome_of
        >>> outcome_of(reference=50, prediction=0, shared=0)
        'missed'
    """
    if reference:
        return "missed" if not prediction else "found" if shared else "not_touched"
    return "false_positive" if prediction else "both_empty"


@dataclass(frozen=True, eq=False)
class Masks:
    """Prediction and reference of one foreground class in one case, H×W or D×H×W, true where the class is.

    This is what every metric takes. Make it with `Masks.of`. Ignored pixels are true in neither mask. Everything that is derived
    is computed when it is first asked for, and kept, so several metrics share counts and distances. What lies outside the array
    counts as background.

    Example:
        >>> from delineate.evaluation.metrics.masks import Masks
        >>> prediction, reference = np.zeros((2, 8, 8), bool)
        >>> reference[2:6, 2:6] = True
        >>> prediction[2:6, 3:7] = True
        >>> masks = Masks.of(prediction, reference, spacing=(0.5, 0.5))
        >>> masks.tp, masks.fp, masks.fn, masks.outcome
        (12, 4, 4, 'found')
        >>> float(masks.distances[0].max())  # mm
        0.5
    """

    prediction: Mask
    reference: Mask
    spacing: tuple[float, ...]
    """Size of a pixel along each axis of the arrays; all 1 where it is unknown."""
    valid: Mask | None = None
    """False where pixels are ignored; None: all are valid."""
    depth: float = 1.0
    """Thickness of the slice, where the masks were a volume of one slice."""

    @classmethod
    def of(
        cls,
        prediction: NDArray[Any],
        reference: NDArray[Any],
        *,
        spacing: Sequence[float] | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> Masks:
        """Masks from arrays of any type.

        Args:
            prediction: H×W or D×H×W, not 0 where the class is marked.
            reference: The same shape, not 0 where the class is.
            spacing: Size of a pixel along each axis of the arrays, in mm. None: 1, so lengths are in pixels.
            valid: The same shape, false where pixels are ignored. None: all are valid.

        Returns:
            The masks, with ignored pixels cleared.

        Raises:
            ValueError: Arrays that differ in shape or are not 2-D or 3-D, or a spacing that is not a positive number per axis.
        """
        if not prediction.shape == reference.shape == (prediction if valid is None else valid).shape:
            raise ValueError(f"prediction {prediction.shape}, reference {reference.shape} or valid differ in shape")
        if prediction.ndim not in (2, 3):
            raise ValueError(f"masks have 2 or 3 axes, not {prediction.ndim}")
        sizes = tuple(float(size) for size in spacing) if spacing is not None else (1.0,) * prediction.ndim
        if len(sizes) != prediction.ndim or not all(0 < size < math.inf for size in sizes):
            raise ValueError(f"spacing {sizes} is not a positive number for each of {prediction.ndim} axes")
        both = [mask.astype(bool, copy=False) for mask in (prediction, reference)]
        if valid is not None:
            both = [mask & valid for mask in both]
        return cls(both[0], both[1], sizes, valid)

    def as_picture(self) -> Masks:
        """A volume of a single slice as a 2-D image: in 3-D, every pixel of it would be surface.

        Returns:
            Masks of two axes without the axis of length 1 (of several, the coarsest); all other masks as they are.
        """
        single = [axis for axis, size in enumerate(self.prediction.shape) if size == 1]
        if self.prediction.ndim != 3 or not single:
            return self
        across = max(single, key=lambda axis: self.spacing[axis])
        return Masks(
            self.prediction.squeeze(across),
            self.reference.squeeze(across),
            tuple(size for axis, size in enumerate(self.spacing) if axis != across),
            None if self.valid is None else self.valid.squeeze(across),
            self.spacing[across],
        )

    @cached_property
    def tp(self) -> int:
        """Pixels of both masks."""
        return int(np.count_nonzero(self.prediction[self.box] & self.reference[self.box]))

    @cached_property
    def fp(self) -> int:
        """Pixels of the prediction only."""
        return int(np.count_nonzero(self.prediction[self.box])) - self.tp

    @cached_property
    def fn(self) -> int:
        """Pixels of the reference only."""
        return int(np.count_nonzero(self.reference[self.box])) - self.tp

    @cached_property
    def tn(self) -> int:
        """Valid pixels of neither mask."""
        pixels = self.prediction.size if self.valid is None else int(np.count_nonzero(self.valid))
        return pixels - self.tp - self.fp - self.fn

    @cached_property
    def counts(self) -> Counts:
        """tp, fp and fn as arrays of one element."""
        return Counts(np.array([self.tp]), np.array([self.fp]), np.array([self.fn]))

    @property
    def outcome(self) -> Outcome:
        """What became of the class."""
        return outcome_of(self.tp + self.fn, self.tp + self.fp, self.tp)

    @property
    def both(self) -> bool:
        """Whether both masks have pixels, be they shared or not: then there are distances between them."""
        return self.tp + self.fn > 0 and self.tp + self.fp > 0

    @property
    def pixel_size(self) -> float:
        """Area or volume of a pixel, in the spacing's unit; of a volume's only slice its volume."""
        return math.prod(self.spacing) * self.depth

    @property
    def diagonal(self) -> float:
        """Length of the whole array's diagonal, in the spacing's unit: what a miss or a false positive costs in distance."""
        return math.hypot(*(n * size for n, size in zip(self.prediction.shape, self.spacing, strict=True)))

    @cached_property
    def box(self) -> tuple[slice, ...]:
        """The smallest box with all foreground of both masks; empty slices where there is none."""
        box: list[slice] = []
        for axis in range(self.prediction.ndim):
            others = tuple(other for other in range(self.prediction.ndim) if other != axis)
            inside = self.prediction[tuple(box)].any(others) | self.reference[tuple(box)].any(others)
            hits = np.flatnonzero(inside)
            box.append(slice(int(hits[0]), int(hits[-1]) + 1) if hits.size else slice(0, 0))
        return tuple(box)

    @cached_property
    def cropped(self) -> tuple[Mask, Mask]:
        """Prediction and reference in the box, with one pixel of background around."""
        return np.pad(self.prediction[self.box], 1), np.pad(self.reference[self.box], 1)

    @cached_property
    def edges(self) -> tuple[Points, Points]:
        """Indices n×axes of the boundary pixels of prediction and reference in the cropped arrays: those with a face neighbor
        in the background."""
        prediction, reference = self.cropped
        return edge_points(prediction), edge_points(reference)

    @cached_property
    def distances(self) -> tuple[Values, Values]:
        """Distance of each boundary pixel of the prediction to the nearest of the reference, and the reverse.

        Between pixel centers, in the spacing's unit, exact. Raises `ValueError` unless both masks have pixels.
        """
        self._need_both()
        prediction, reference = self.edges
        shape = self.cropped[0].shape
        there = nearest(prediction, reference, shape, self.spacing)
        return there, nearest(reference, prediction, shape, self.spacing)

    @cached_property
    def surfaces(self) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
        """(distances, sizes) of the surface elements of the prediction to the nearest of the reference, and the reverse.

        Elements lie between 2×2 (2×2×2) pixels that are not all alike; sizes are lengths (areas), see `elements`. Raises
        `ValueError` unless both masks have pixels.
        """
        self._need_both()
        (prediction, ours), (reference, theirs) = (surface_elements(mask, self.spacing) for mask in self.cropped)
        shape = self.cropped[0].shape
        there = nearest(prediction, reference, shape, self.spacing)
        return (there, ours), (nearest(reference, prediction, shape, self.spacing), theirs)

    def _need_both(self) -> None:
        if not self.both:
            raise ValueError(f"no distance between masks of which one is empty ({self.outcome})")
