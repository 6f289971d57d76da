"""What a study will take before it starts: its runs, its labels, and the time, by a short trial of each way of training."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from delineate.common.progress_log import in_words
from delineate.data.core.findings import count
from delineate.studies import trial
from delineate.studies.labels.draws import ALL, list_file
from delineate.studies.labels.jobs import all_jobs
from delineate.studies.labels.setup import budget_words
from delineate.studies.labels.study import Prepared, save

__all__ = ["StudyEstimate", "estimate"]


@dataclass(frozen=True)
class StudyEstimate:
    """What a study will take, which was not begun yet.

    Example:
        ```python
        estimate = delineate.estimate_study_labels("polyps/", method="unet", labeled_cases=[40, 160], steps=2000, out="few")
        print(estimate.seconds / 3600, "hours")
        ```
    """

    prepared: Prepared
    seconds_per_step: dict[str, float]
    """Way of training → seconds, measured on this machine."""

    @property
    def seconds(self) -> float:
        """Of all training steps; predictions and scores come on top."""
        setup = self.prepared.setup
        jobs = all_jobs(Path(), setup)
        return sum(setup.steps * self.seconds_per_step[job.entrant.label] for job in jobs)

    def lines(self) -> list[str]:
        """For the reader.

        Returns:
            A line for each thing that is known.
        """
        setup, lists = self.prepared.setup, self.prepared.lists
        tests = sum(bool(case.masks) for case in self.prepared.pool.split("test"))
        parts = f"{count(len(setup.entrants), 'way')} × {count(len(setup.budgets), 'number')} of labels × "
        parts += f"{count(setup.draws, 'draw')} × {count(setup.seeds, 'seed')}, and full supervision"
        said = [f"{count(setup.runs, 'run')} of {setup.steps} steps: {parts}"]
        for at, budget in enumerate(setup.budgets):
            said.append(f"{budget_words(budget)}: {_sizes([one.cases for one in lists if one.budget == at])}")
        said.append(f"all: {_sizes([one.cases for one in lists if one.budget == ALL])}")
        said += [f"{label}: {seconds:.3g} s a step" for label, seconds in self.seconds_per_step.items()]
        said.append(
            f"about {in_words(self.seconds)} of training, and {count(setup.runs, 'prediction')} of {count(tests, 'test case')}"
        )
        return said


def estimate(prepared: Prepared, cache: Path | None) -> StudyEstimate:
    """Train each way for a few steps with the fewest labels; what is written is forgotten. Raises what `train` raises."""
    with tempfile.TemporaryDirectory(prefix="delineate-study-") as name:
        folder = Path(name)
        save(prepared, folder)
        manifest = list_file(folder, 0, 0)
        setup = prepared.setup
        found = {one.label: trial.seconds_per_step(one, manifest, setup.settings, cache) for one in setup.entrants}
    return StudyEstimate(prepared, found)


def _sizes(lists: Sequence[Sequence[str]]) -> str:
    numbers = sorted({len(one) for one in lists})
    return count(numbers[0], "labeled case") if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} labeled cases"
