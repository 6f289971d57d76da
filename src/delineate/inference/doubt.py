"""How sure a model is of a mask: a number for each case, and a map.

Confidence is the soft Dice confidence of Borges et al. (arXiv 2402.10665), 2 Σ p in the mask / (pixels of the mask + Σ p): the Dice
that the probabilities themselves expect of the mask, if they mean what they say. Entropy is that of the probabilities. Disagreement
is the part of it that comes from several models or views (mutual information): the entropy of their mean less the mean of their
entropies. All are measured at the network's size; sums of slices add up to those of a volume.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delineate.data.core.manifest import ClassTable
from delineate.data.core.regions import is_one_of
from delineate.inference.segmenter import Probabilities

__all__ = ["CaseDoubt", "DoubtSums", "entropy_of", "measure"]

_LEAST = np.float32(1e-12)
"""Added to probabilities before their logarithm is taken."""
_SPLIT = 0.25
"""From this share of the entropy on, disagreement is the reason to look."""


@dataclass(frozen=True)
class CaseDoubt:
    """Of one case."""

    confidence: float
    """In [0, 1]: the mean over the classes or regions that were found. Where nothing was found, the probability that the pixel most
    likely to be something is nothing."""
    entropy: float
    """Mean over the pixels, in [0, 1]: 1 where all classes are equally probable."""
    disagreement: float | None
    """Likewise; None of one model with one view."""
    reason: str
    """What makes it doubtful, in words."""
    expected_dice: float | None = None
    """What Dice validation cases of the same certainty had (`inference.expected_dice`); None: the model does not know."""
    expected_error: float | None = None
    """Its mean absolute error."""


@dataclass(frozen=True)
class DoubtSums:
    """What adds up over the pixels of a case."""

    names: tuple[str, ...]
    """Of the classes, or of the regions where there are some."""
    marked: NDArray[np.float64]
    """Pixels of each in the mask."""
    expected: NDArray[np.float64]
    """Sums of its probabilities."""
    met: NDArray[np.float64]
    """The same inside of the mask."""
    most: NDArray[np.float64]
    """Its greatest probability."""
    entropy: float
    spread: float | None
    """Sum of the members' mean entropies; None: there is one member."""
    pixels: int

    def __add__(self, other: DoubtSums) -> DoubtSums:
        spread = None if self.spread is None or other.spread is None else self.spread + other.spread
        return DoubtSums(
            self.names,
            self.marked + other.marked,
            self.expected + other.expected,
            self.met + other.met,
            np.maximum(self.most, other.most),
            self.entropy + other.entropy,
            spread,
            self.pixels + other.pixels,
        )

    @property
    def case(self) -> CaseDoubt:
        """The numbers of the whole."""
        found = self.marked > 0
        shares = 2 * self.met[found] / (self.marked[found] + self.expected[found])
        confidence = float(shares.mean()) if found.any() else float(1 - self.most.max())
        entropy = self.entropy / self.pixels
        disagreement = None if self.spread is None else max(0.0, (self.entropy - self.spread) / self.pixels)
        return CaseDoubt(confidence, entropy, disagreement, self._reason(shares, found, entropy, disagreement))

    def _reason(
        self, shares: NDArray[np.float64], found: NDArray[np.bool_], entropy: float, disagreement: float | None
    ) -> str:
        if not found.any():
            at = int(self.most.argmax())
            return f"nothing found; the likeliest pixel of {self.names[at]} has probability {self.most[at]:.2f}"
        names = [name for name, one in zip(self.names, found, strict=True) if one]
        least = int(shares.argmin())
        words = f"{names[least]}: its probabilities expect a Dice of {shares[least]:.2f}"
        if disagreement is not None and entropy and disagreement > _SPLIT * entropy:
            words += f"; models or views disagree ({disagreement / entropy:.0%} of the entropy)"
        return words


def measure(
    values: Probabilities, indices: NDArray[np.uint8], table: ClassTable, spread: Probabilities | None
) -> DoubtSums:
    """What the probabilities of an image say of its mask.

    Args:
        values: K×h×w, without padding.
        indices: The mask h×w, at the same size.
        table: Names of the classes, and regions where the model has some.
        spread: Mean entropy h×w of the members; None: there is one.

    Returns:
        The sums.
    """
    channels = values if _independent(table) else values[1:]
    marks = [is_one_of(indices, classes) for classes in table.structures.values()]
    return DoubtSums(
        tuple(table.structures),
        np.array([mark.sum() for mark in marks], np.float64),
        np.array([plane.sum(dtype=np.float64) for plane in channels]),
        np.array([plane[mark].sum(dtype=np.float64) for plane, mark in zip(channels, marks, strict=True)]),
        np.array([plane.max() for plane in channels], np.float64),
        float(entropy_of(values, table).sum(dtype=np.float64)),
        None if spread is None else float(spread.sum(dtype=np.float64)),
        indices.size,
    )


def entropy_of(planes: Iterable[Probabilities], table: ClassTable) -> Probabilities:
    """Entropy of each pixel, in [0, 1].

    Args:
        planes: Probabilities of each channel in turn; three planes are in memory at a time.
        table: Of the model. Where each channel has a probability of its own, their entropies are averaged.

    Returns:
        Float32, of the shape of a plane: 1 where all is equally probable.
    """
    total: Probabilities | None = None
    independent, number = _independent(table), 0
    for plane in planes:
        found = -plane * np.log2(plane + _LEAST)
        if independent:
            other = np.maximum(1 - plane, 0)  # where tiles overlap, a sum of weights may be above 1 by rounding
            found -= other * np.log2(other + _LEAST)
        total = found if total is None else np.add(total, found, out=total)
        number += 1
    assert total is not None, "an output has a channel"
    whole = number if independent else np.log2(number)
    return np.clip(total / np.float32(whole), 0, 1)


def _independent(table: ClassTable) -> bool:
    return table.outputs == 1 or bool(table.regions)
