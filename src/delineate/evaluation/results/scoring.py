"""From units to rows: each is read, scored and forgotten, several at a time, so that memory does not grow with their number."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.manifest import IGNORE, LabelRule, Manifest
from delineate.data.core.stacks import assemble, choose_spacing
from delineate.evaluation.inputs.instance_maps import read_instances
from delineate.evaluation.inputs.predictions import place_of
from delineate.evaluation.inputs.probability_maps import ProbabilityMaps
from delineate.evaluation.inputs.raters import Raters, rater_comparisons
from delineate.evaluation.inputs.scoring_units import Arrays, ScoringUnit, read_unit
from delineate.evaluation.metrics.metric_selection import MetricSelection
from delineate.evaluation.results.case_scores import Row, add_probabilities, confusion, score_case, score_instances
from delineate.evaluation.results.protocols import Pair, PaperProtocol, ProtocolScores, score_protocol

__all__ = [
    "Roles",
    "ScoredUnit",
    "ScoringJob",
    "content_hash",
    "joint_hash",
    "length_unit",
]

_WORKERS = 4
"""Units at a time; NumPy, OpenCV and SciPy let go of the interpreter while they compute."""
Roles = tuple[str, str, str]
"""What kind of comparison, whose mask was scored, against whose."""


@dataclass(frozen=True)
class ScoredUnit:
    """A unit's rows, and what the table must know of its arrays."""

    unit: str
    rows: list[Row]
    axes: int
    known: bool
    """Whether its spacing is known."""
    reference: str
    """SHA-256 of the reference."""
    raters: dict[Roles, list[Row]] = field(default_factory=dict)
    """The rows of each comparison with and among further raters."""
    by_class: list[Row] = field(default_factory=list)
    """Where regions are scored: overlap of the single classes."""
    confusion: NDArray[np.int64] | None = None
    """Pixels by class of the reference (row) and the prediction (column); None of instance maps."""


@dataclass(frozen=True)
class ScoringJob:
    """How units are read and scored."""

    manifest: Manifest
    selection: MetricSelection
    probabilities: ProbabilityMaps | None = None
    raters: Raters | None = None
    predicted: LabelRule | None = None
    """How the values of predictions are read; None for instance maps, whose values are numbers of objects."""
    progress: Callable[[int, int], None] | None = None
    """Called with (cases scored, cases in all)."""

    def run(self, units: Sequence[ScoringUnit], spacing: Sequence[float] | None = None) -> list[ScoredUnit]:
        """Score all units that have something to score, in their order; `spacing` is the user's, in mm.

        Raises `DataError` as reading does, and when there is nothing to score at all.
        """
        score = self._score_instance_maps if self.selection.instances else self._score_masks
        scored: list[ScoredUnit] = []
        with ThreadPoolExecutor(_WORKERS) as pool:
            for done, one in enumerate(pool.map(lambda unit: score(unit, spacing), units), start=1):
                scored += [] if one is None else [one]
                self._report_progress(done, len(units))
        return _not_empty(scored)

    def run_protocol(
        self, units: Sequence[ScoringUnit], protocol: PaperProtocol
    ) -> tuple[list[ScoredUnit], ProtocolScores]:
        """Score all units as a paper's lineage does: rows with that lineage's scores (none where it knows no scores of cases).

        It knows classes alone: regions are left out.
        """
        if self.manifest.classes.regions:
            classes = self.manifest.classes.with_regions({})
            plain = replace(self, manifest=self.manifest.model_copy(update={"classes": classes}))
            return plain.run_protocol(units, protocol)
        bases: list[ScoredUnit] = []

        def pairs() -> Iterator[Pair]:
            for done, unit in enumerate(units):
                self._report_progress(done, len(units))
                arrays = self._read(unit, None)
                if arrays is None:
                    continue
                rows = self._rows(unit, arrays.prediction, arrays.reference, None)
                digest = content_hash(arrays.reference)
                mixed = confusion(arrays.prediction, arrays.reference, self.manifest.classes)
                bases.append(ScoredUnit(unit.name, rows, arrays.prediction.ndim, False, digest, confusion=mixed))
                probabilities = self._probability_map(unit, arrays) if self.probabilities is not None else None
                yield Pair(unit.name, arrays.reference, arrays.prediction, probabilities)

        try:
            scores = score_protocol(protocol, pairs(), self.manifest.classes)
        except ValueError:
            _not_empty(bases)
            raise
        numbers = iter(scores.rows)
        for base in bases:
            for at, row in enumerate(base.rows):
                found = next(numbers).numbers
                base.rows[at] = replace(row, scores={name: found[name] for name in protocol.scores if name in found})
        return bases, scores

    def _report_progress(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total)

    def _read(self, unit: ScoringUnit, spacing: Sequence[float] | None) -> Arrays | None:
        assert self.predicted is not None, "only instance maps are read without a rule"
        return read_unit(unit, self.manifest, self.predicted, spacing)

    def _score_masks(self, unit: ScoringUnit, given: Sequence[float] | None) -> ScoredUnit | None:
        arrays = self._read(unit, given)
        if arrays is None:
            return None
        rows = self._rows(unit, arrays.prediction, arrays.reference, arrays.spacing)
        if self.selection.probabilities:
            assert self.probabilities is not None, "opened when they are needed"
            planes = self.probabilities.of_structures(self._probability_map(unit, arrays), self.manifest.classes)
            rows = add_probabilities(
                rows, planes, arrays.reference, self.selection.probabilities, self.manifest.classes
            )
        return ScoredUnit(
            unit.name,
            rows,
            arrays.prediction.ndim,
            arrays.spacing is not None,
            content_hash(arrays.reference),
            self._raters(unit, arrays),
            self._by_class(unit, arrays),
            confusion(arrays.prediction, arrays.reference, self.manifest.classes),
        )

    def _rows(
        self,
        unit: ScoringUnit,
        prediction: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        spacing: Sequence[float] | None,
    ) -> list[Row]:
        return score_case(
            unit.name,
            prediction,
            reference,
            self.manifest.classes,
            metrics=self.selection.masks,
            spacing=spacing,
            group=unit.group,
        )

    def _by_class(self, unit: ScoringUnit, arrays: Arrays) -> list[Row]:
        classes = self.manifest.classes
        if not classes.regions:
            return []
        plain = classes.with_regions({})
        return score_case(unit.name, arrays.prediction, arrays.reference, plain, group=unit.group)

    def _probability_map(self, unit: ScoringUnit, arrays: Arrays) -> NDArray[np.float32]:
        """The unit's probability map, checked to fit its reference."""
        assert self.probabilities is not None, "opened when they are needed"
        maps = [self.probabilities.read(case.id, self.manifest.path(case.masks[0])) for _, case in unit.members]
        probabilities = maps[0] if unit.stack is None else np.stack(maps, axis=maps[0].ndim - 2)
        if probabilities.shape == (*arrays.reference.shape, 1):  # as `Predictor.probabilities` gives them
            probabilities = probabilities[..., 0]
        if probabilities.shape[probabilities.ndim - arrays.reference.ndim :] != arrays.reference.shape:
            raise DataError(
                f"the probability map of '{unit.name}' has the shape {probabilities.shape}, its reference {arrays.reference.shape}"
            )
        return probabilities

    def _raters(self, unit: ScoringUnit, arrays: Arrays) -> dict[Roles, list[Row]]:
        if self.raters is None:
            return {}
        read = [self.raters.read(case.id) for _, case in unit.members]
        masks = {
            name: read[0][name] if unit.stack is None else assemble(unit.stack, [one[name] for one in read])
            for name in self.raters.names
        }
        return {
            (one.kind, one.first, one.second): self._rows(unit, one.prediction, one.reference, arrays.spacing)
            for one in rater_comparisons(arrays.prediction, masks)
            if not (one.reference == IGNORE).all()
        }

    def _score_instance_maps(self, unit: ScoringUnit, given: Sequence[float] | None) -> ScoredUnit:
        ((prediction, case),) = unit.members
        reference = self.manifest.path(case.masks[0])
        ours, theirs = read_instances(prediction), read_instances(reference)
        if (way := place_of(prediction, reference)) is not None:
            ours = way.apply(ours)
        if ours.shape != theirs.shape:
            raise DataError(f"{prediction} has the shape {ours.shape}, its reference {reference} {theirs.shape}")
        spacing = choose_spacing(given, case.spacing, ours.ndim, case=unit.name)
        row = score_instances(
            unit.name,
            ours,
            theirs,
            metrics=self.selection.instances,
            mask_metrics=self.selection.masks,
            spacing=spacing,
            group=unit.group,
        )
        return ScoredUnit(unit.name, [row], ours.ndim, spacing is not None, content_hash(theirs))


def _not_empty(scored: list[ScoredUnit]) -> list[ScoredUnit]:
    if not scored:
        raise DataError("all references have only ignored pixels (255): there is nothing to score")
    return scored


def length_unit(units: Sequence[ScoringUnit], scored: Sequence[ScoredUnit]) -> str:
    """mm, px or voxel. Raises `DataError` when only some units know their spacing."""
    known = [one.known for one in scored]
    if any(known) and not all(known):
        bare = units[known.index(False)].name
        raise DataError(f"the spacing of '{bare}' is not known but that of others is; give --spacing for all")
    return "mm" if all(known) else "voxel" if scored[0].axes == 3 else "px"


def joint_hash(references: Mapping[str, str]) -> str:
    """One hash over all references, whatever their order; `references`: case → SHA-256 of its content (`content_hash`)."""
    lines = sorted(f"{name} {digest}" for name, digest in references.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def content_hash(reference: NDArray[Any]) -> str:
    """SHA-256 of a reference's class indices, pixels to ignore included, and of its shape."""
    return hashlib.sha256(f"{reference.shape}".encode() + np.ascontiguousarray(reference).tobytes()).hexdigest()
