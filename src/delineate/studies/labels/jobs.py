"""The runs of a study of few labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delineate.studies.jobs import StudyJob, slug
from delineate.studies.labels.draws import ALL, list_file
from delineate.studies.labels.setup import LabelSetup, budget_words

__all__ = ["LabelJob", "all_jobs"]

_VALIDATIONS = 20
"""So often a run is validated, or its losses are noted."""


@dataclass(frozen=True)
class LabelJob(StudyJob):
    """One way of training with one list of labels and one seed."""

    budget: int
    """Place of the number of labels in the setup, or `ALL`."""
    draw: int
    repetition: int
    seed: int
    """Of the training: another one for each draw and repetition."""
    words: str
    """The number of labels as it was asked for."""

    @property
    def name(self) -> str:
        where = "all labels" if self.budget == ALL else f"{self.words}, draw {self.draw}"
        return f"{self.entrant.label}, {where}, seed {self.seed}"

    @property
    def _key(self) -> str:
        which = "all" if self.budget == ALL else f"labels{self.budget}-draw{self.draw}"
        return f"{which}-seed{self.seed}"

    @property
    def run(self) -> Path:
        return self.folder / "runs" / slug(self.entrant.label) / self._key

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions" / slug(self.entrant.label) / self._key

    @property
    def scores(self) -> Path:
        return self.folder / "scores" / slug(self.entrant.label) / self._key

    @property
    def manifest(self) -> Path:
        return list_file(self.folder, self.budget, self.draw)

    def engine(self, setup: LabelSetup) -> Mapping[str, Any]:
        return {"seed": self.seed, "steps": setup.steps, "validate_steps": max(1, setup.steps // _VALIDATIONS)}


def all_jobs(folder: Path, setup: LabelSetup) -> list[LabelJob]:
    """Full supervision first, then draw by draw and number by number all ways of training, so that an early end leaves runs that
    can be compared. Seeds differ between draws: the part of a draw and that of its seed are not told apart, and both vary."""
    jobs = [
        LabelJob(folder, entrant, ALL, 0, repetition, repetition, "all")
        for repetition in range(setup.seeds)
        for entrant in setup.supervised
    ]
    jobs += [
        LabelJob(folder, entrant, at, draw, repetition, draw * setup.seeds + repetition, budget_words(budget))
        for draw in range(setup.draws)
        for repetition in range(setup.seeds)
        for at, budget in enumerate(setup.budgets)
        for entrant in setup.entrants
    ]
    return jobs
