"""Which post-processing makes masks better: a search over labeled cases, by Dice.

Step by step, each on top of what was adopted before: the threshold, where masks come from one; then, class by class or from outer
to inner regions, components (all, the largest, none below a size), then holes. A step is adopted only where it gains more than
`MARGIN`, and more than chance lets expect (the standard error of the gain over the cases); of equally good choices the one that
changes least. Components are counted once: what a mask without some of them would
score follows from their counts.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.postprocessing import StructureRule
from delineate.data.core.manifest import IGNORE, ClassTable
from delineate.data.core.regions import is_one_of
from delineate.inference.components import components
from delineate.inference.postprocess import (
    Structure,
    cropped,
    fill_holes,
    postprocessed,
    structures_of,
)
from delineate.nn.output import Output

__all__ = ["MARGIN", "CaseMask", "Choice", "Trial", "levels_of", "search", "thresholds_around"]

MARGIN: Final = 0.001
"""Dice that a step must gain at least: the mean over the cases, of its class or region, less what the others lose by it."""
_Masks = NDArray[np.uint8]


@dataclass(frozen=True)
class Trial:
    """One step of the search."""

    what: str
    """What was chosen: "threshold", "liver: components", "liver: holes"."""
    best: str
    """The best choice; "as it is" where nothing is better."""
    gain: float
    """Of mean Dice, by that choice."""
    error: float
    """Its standard error over the cases."""
    adopted: bool


@dataclass(frozen=True)
class Choice:
    """What the search has found."""

    threshold: float | None
    """None: the one that there was."""
    rules: tuple[StructureRule, ...]
    """Empty: none."""
    before: dict[str, float]
    """Class or region → mean Dice over the cases (column `all`) with the threshold that there was and no rules."""
    after: dict[str, float]
    trials: tuple[Trial, ...]
    scores: NDArray[np.float64]
    """Dice with it, cases×structures; both empty = 1."""


class CaseMask:
    """A case's reference, and what the network made of it. Compressed in memory: masks are mostly one value."""

    def __init__(self, reference: _Masks, values: _Masks, pixel_size: float = 1.0) -> None:
        """
        Args:
            reference: Class indices; 255 = ignore.
            values: Class indices of the same shape; of a model with a threshold `levels_of` its probabilities, one map per channel.
            pixel_size: Of one pixel or voxel, in the unit of sizes.
        """
        assert values.shape[values.ndim - reference.ndim :] == reference.shape
        self.pixel_size = pixel_size
        self._reference, self._values = _packed(reference), _packed(values)

    @property
    def reference(self) -> _Masks:
        return _unpacked(*self._reference)

    @property
    def values(self) -> _Masks:
        return _unpacked(*self._values)


def thresholds_around(current: float) -> NDArray[np.float32]:
    """The thresholds that are tried, ascending: .05, .10 … .95 and the one that there is."""
    grid = {np.float32(step / 20) for step in range(1, 20)} | {np.float32(current)}
    return np.array(sorted(grid), np.float32)


def levels_of(plane: NDArray[np.float32], thresholds: NDArray[np.float32]) -> _Masks:
    """How many of the thresholds each probability reaches: all that is needed to apply any of them, exactly."""
    return np.searchsorted(thresholds, plane, side="right").astype(np.uint8)


def search(
    cases: Sequence[CaseMask], table: ClassTable, thresholds: NDArray[np.float32] | None = None, current: float = 0.5
) -> Choice:
    """Find the post-processing of the best mean Dice over the cases.

    Args:
        cases: At least two, with at least one valid pixel each.
        table: The model's classes, with its regions.
        thresholds: Those of the cases' levels; None: their values are class indices.
        current: The model's own threshold.

    Returns:
        What to do, and what it gains on the whole: nothing is chosen where all steps together do not gain `MARGIN`.
    """
    found = _Search(cases, table, thresholds, current)
    if thresholds is not None:
        found.choose_threshold()
    for structure in found.structures:
        found.choose_components(structure)
        found.choose_holes(structure)
    return found.choice()


class _Search:
    def __init__(
        self,
        cases: Sequence[CaseMask],
        table: ClassTable,
        thresholds: NDArray[np.float32] | None,
        current: float,
    ) -> None:
        self.structures = structures_of(table)
        self._cases, self._table, self._thresholds = cases, table, thresholds
        self._classes = len(table.names)
        self._level = 0 if thresholds is None else 1 + int(np.searchsorted(thresholds, np.float32(current)))
        self._own_level = self._level
        self._rules: dict[str, StructureRule] = {}
        self._trials: list[Trial] = []
        self._masks: list[tuple[bytes, tuple[int, ...]]] = []
        """Of each case, with what was adopted so far."""
        self._take(self._network_mask)

    def choose_threshold(self) -> None:
        """Replace the masks by those of the best threshold, where it is better."""
        assert self._thresholds is not None
        levels = range(1, 1 + len(self._thresholds))
        totals = []
        for case in self._cases:
            values, reference = case.values, case.reference
            counts = [self._counted(self._at_level(values, level), reference) for level in levels]
            totals.append(self._dice(np.stack(counts)).sum(1))
        means = np.mean(totals, axis=0)
        # What there is comes first: of equals it stays, and of others the one that is nearest to it.
        order = sorted(range(len(means)), key=lambda at: abs(at + 1 - self._level))
        best = max(order, key=lambda at: means[at])
        words = f"{self._thresholds[best]:g}"
        gains = [one[best] - one[self._level - 1] for one in totals]
        if self._adopts("threshold", words, gains, same=best + 1 == self._level):
            self._level = best + 1
            self._take(self._network_mask)

    def choose_components(self, structure: Structure) -> None:
        """Take components of a structure away, where that is better."""
        tables = [self._components(at, structure) for at in range(len(self._cases))]
        sizes = np.concatenate([each.sizes for each in tables])
        least = [0.0, *_round_sizes(sizes)]
        choices = [(largest, size) for largest in (False, True) for size in least]
        totals = [self._dice(each.without(choices, structure.beneath)).sum(1) for each in tables]
        best = int(np.argmax(np.mean(totals, axis=0)))  # the first of equals, which changes least
        largest, size = choices[best]
        words = ["largest alone"] * largest + [f"none below {size:g}"] * (size > 0)
        gains = [one[best] - one[0] for one in totals]
        if self._adopts(f"{structure.name}: components", ", ".join(words), gains, same=best == 0):
            self._set(structure, largest=largest, min_size=size)

    def choose_holes(self, structure: Structure) -> None:
        """Fill the holes of a structure, where that is better."""
        if structure.paints is None:
            return
        gains = []
        for at, case in enumerate(self._cases):
            mask, reference = self._mask(at), case.reference
            before = self._dice(self._counted(mask, reference)[None]).sum()
            fill_holes(mask, structure)
            gains.append(float(self._dice(self._counted(mask, reference)[None]).sum() - before))
        if self._adopts(f"{structure.name}: holes", "filled", gains, same=bool(np.mean(gains) <= 0)):
            self._set(structure, fill_holes=True)

    def choice(self) -> Choice:
        """What was adopted, if it gains enough on the whole: measured anew, on the masks of the network."""
        level, rules = self._level, tuple(self._rules.values())
        before, after = self._scores(self._own_level, ()), self._scores(level, rules)
        if (after - before).sum(1).mean() <= MARGIN:
            level, rules, after = self._own_level, (), before
        changed = self._thresholds is not None and level != self._own_level
        threshold = float(f"{self._thresholds[level - 1]:g}") if changed and self._thresholds is not None else None
        return Choice(threshold, rules, self._means(before), self._means(after), tuple(self._trials), after)

    def _adopts(self, what: str, words: str, gains: Sequence[float], *, same: bool) -> bool:
        """`gains`: of each case, all classes or regions together; `same`: nothing is better than what there is."""
        if same:
            self._trials.append(Trial(what, "as it is", 0.0, 0.0, False))
            return False
        gain, error = float(np.mean(gains)), float(np.std(gains, ddof=1) / np.sqrt(len(gains)))
        adopted = gain > max(MARGIN, error * (1 + 1e-9))  # what helps in one case alone gains just its standard error
        self._trials.append(Trial(what, words, gain, error, adopted))
        return adopted

    def _set(self, structure: Structure, **chosen: Any) -> None:
        """Adopt a part of a rule. The masks are made anew, since the order in which all rules act is that of `postprocessed`."""
        known = self._rules.get(structure.name, StructureRule(name=structure.name))
        self._rules[structure.name] = known.model_copy(update=chosen)
        self._take(lambda case: self._with_rules(case, self._level, tuple(self._rules.values())))

    def _take(self, make: Callable[[CaseMask], _Masks]) -> None:
        self._masks = [_packed(make(case)) for case in self._cases]

    def _mask(self, at: int) -> _Masks:
        return _unpacked(*self._masks[at])

    def _network_mask(self, case: CaseMask) -> _Masks:
        return self._at_level(case.values, self._level)

    def _with_rules(self, case: CaseMask, level: int, rules: Sequence[StructureRule]) -> _Masks:
        return postprocessed(self._at_level(case.values, level), self._table, rules, case.pixel_size)

    def _at_level(self, values: _Masks, level: int) -> _Masks:
        """The mask of one of the thresholds, as the network's output is read."""
        if self._thresholds is None:
            return values
        planes: Iterable[Any] = values
        return Output.of(self._table).class_map(planes, level)

    def _scores(self, level: int, rules: Sequence[StructureRule]) -> NDArray[np.float64]:
        """Cases×structures."""
        made = [self._counted(self._with_rules(case, level, rules), case.reference) for case in self._cases]
        return self._dice(np.stack(made))

    def _means(self, scores: NDArray[np.float64]) -> dict[str, float]:
        names = [structure.name for structure in self.structures]
        return dict(zip(names, (float(one) for one in scores.mean(0)), strict=True))

    def _counted(self, mask: _Masks, reference: _Masks) -> NDArray[np.int64]:
        """Pixels by predicted × true class, without those ignored."""
        valid = reference != IGNORE
        pairs = mask[valid].astype(np.intp) * self._classes + reference[valid]
        return np.bincount(pairs, minlength=self._classes**2).reshape(self._classes, self._classes)

    def _dice(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        """Of candidates × predicted × true class → candidates × structures; both empty = 1."""
        columns = []
        for structure in self.structures:
            classes = list(structure.classes)
            ours, theirs = counts[:, classes].sum((1, 2)), counts[:, :, classes].sum((1, 2))
            both = counts[:, classes][:, :, classes].sum((1, 2))
            whole = ours + theirs
            columns.append(np.divide(2.0 * both, whole, out=np.ones(len(counts)), where=whole > 0))
        return np.stack(columns, axis=1)

    def _components(self, at: int, structure: Structure) -> _Components:
        mask, reference = self._mask(at), self._cases[at].reference
        whole = self._counted(mask, reference)
        window = cropped(mask, structure)
        if window is None:
            return _Components(np.zeros(0), np.zeros((0, *whole.shape), np.int64), whole)
        part, true = mask[window], reference[window]
        labels, count = components(is_one_of(part, structure.classes))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:] * np.float64(self._cases[at].pixel_size)
        valid = (labels > 0) & (true != IGNORE)
        pairs = part[valid].astype(np.intp) * self._classes + true[valid]
        keyed = (labels[valid].astype(np.intp) - 1) * self._classes**2 + pairs
        counts = np.bincount(keyed, minlength=count * self._classes**2)
        return _Components(sizes, counts.reshape(count, self._classes, self._classes), whole)


@dataclass(frozen=True)
class _Components:
    """The components of a structure in one case."""

    sizes: NDArray[np.float64]
    """In the unit of sizes."""
    counts: NDArray[np.int64]
    """Pixels of each by predicted × true class, without those ignored."""
    whole: NDArray[np.int64]
    """Of the whole case."""

    def without(self, choices: Sequence[tuple[bool, float]], beneath: int) -> NDArray[np.int64]:
        """The counts of the whole case by each choice of (largest alone, smallest size)."""
        away = np.stack([self._away(*choice) for choice in choices])
        moved = np.tensordot(away.astype(np.int64), self.counts, axes=1)
        result = self.whole[None] - moved
        result[:, beneath] += moved.sum(1)
        return result

    def _away(self, largest: bool, least: float) -> NDArray[np.bool_]:
        away = self.sizes < least
        if largest and len(away):
            away = away | (np.arange(len(away)) != np.argmax(self.sizes))
        return away


def _round_sizes(sizes: NDArray[np.float64]) -> list[float]:
    """The smallest sizes that are tried: 1, 2, 5, 10 … that lie above the smallest component and not above the largest."""
    if not len(sizes):
        return []
    low, high = sizes.min(), sizes.max()
    powers = range(int(np.floor(np.log10(low))), 1 + int(np.ceil(np.log10(high))))
    series = [float(f"{step}e{power}") for power in powers for step in (1, 2, 5)]
    return [size for size in series if low < size <= high]


def _packed(array: _Masks) -> tuple[bytes, tuple[int, ...]]:
    return zlib.compress(np.ascontiguousarray(array).tobytes(), 1), array.shape


def _unpacked(content: bytes, shape: tuple[int, ...]) -> _Masks:
    return np.frombuffer(bytearray(zlib.decompress(content)), np.uint8).reshape(shape)
