"""The runs of a study: how far each is, and doing one; and which there are of a benchmark."""

from __future__ import annotations

import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from traceback import format_exception
from typing import Any, Literal

from delineate.common.config import merge
from delineate.common.errors import DelineateError, Interrupted, TrainingError
from delineate.common.files import read_json, write_json, write_text
from delineate.common.folder_lock import folder_holder
from delineate.data.core.manifest import Manifest
from delineate.engine.checkpoint import Checkpoints, DamagedCheckpoint
from delineate.engine.reporting import Reporter
from delineate.engine.request import TrainRequest, needs_report_only
from delineate.engine.run import train
from delineate.engine.run_folder import RunFolder
from delineate.inference.dataset_inputs import of_cases
from delineate.inference.files import predict_files
from delineate.inference.predictor import load
from delineate.report.pages.run import write_run_report
from delineate.studies.memory import peak_memory, reset_peak
from delineate.studies.setup import BenchmarkSetup, Entrant

__all__ = [
    "RESULT",
    "Announce",
    "Job",
    "State",
    "StudyJob",
    "all_jobs",
    "do_all",
    "predictions_folder",
    "scores_folder",
    "slug",
    "time_left",
]

Announce = Callable[[str], None]

State = Literal["waiting", "begun", "running", "trained", "done", "failed"]
RESULT, _TRACEBACK = "job.json", "error.txt"


@dataclass(frozen=True)
class StudyJob(ABC):
    """One run of a study: a training, and its masks of the test cases."""

    folder: Path
    """Of the study."""
    entrant: Entrant

    @property
    @abstractmethod
    def name(self) -> str:
        """For people."""

    @property
    @abstractmethod
    def run(self) -> Path:
        """Its run folder."""

    @property
    @abstractmethod
    def predictions(self) -> Path:
        """The masks of its test cases."""

    @property
    @abstractmethod
    def scores(self) -> Path:
        """The evaluation that these masks are part of."""

    @property
    @abstractmethod
    def manifest(self) -> Path:
        """What it is trained on and tests."""

    @abstractmethod
    def engine(self, setup: Any) -> Mapping[str, Any]:
        """Settings of the engine that the study states: seed and length."""

    @property
    def state(self) -> State:
        """How far it is, from what lies in its folder. One that failed is tried again by the next call."""
        result = self.result()
        if result:
            return "failed" if "error" in result else "done"
        return "running" if folder_holder(self.run) else self._progress

    @property
    def _progress(self) -> State:
        run = RunFolder(self.run)
        if not run.recipe.exists():
            return "waiting"
        with suppress(TrainingError):  # a damaged summary: training says what to do
            if run.read_summary().get("status") == "finished" and not run.missing_files(report=True):
                return "trained"
        return "begun"

    def result(self) -> dict[str, float | str]:
        """What was noted when it ended: minutes, peak memory, or the error; empty while it has not, and where it is damaged."""
        try:
            content = read_json(self.run / RESULT)
        except (OSError, ValueError):
            return {}
        known = isinstance(content, dict) and ("error" in content or _is_number(content.get("minutes")))
        return content if known else {}

    def do(self, setup: Any, cache: Path | None, reporter: Reporter | None) -> None:
        """Train, going on where it was stopped, and predict the test cases. `setup`: the study's, with its `settings`.

        A `DelineateError` of the method is noted as the job's failure; `Interrupted` passes through with the state saved.
        """
        reset_peak()
        if self._progress != "trained":
            self._train(setup, cache, reporter)
        # Scores of earlier masks must not be taken for those of the ones made now.
        (self.scores / "scores.json").unlink(missing_ok=True)
        shutil.rmtree(self.predictions, ignore_errors=True)
        manifest = Manifest.load(self.manifest)
        cases = [case for case in manifest.split("test") if case.masks]
        result = predict_files(load(self.run, ensemble=self._second()), of_cases(manifest, cases), self.predictions)
        if result.failures:
            raise DelineateError(f"{self.name}: {result.failures[0].error}")
        minutes = RunFolder(self.run).read_summary()["minutes"]
        write_json(self.run / RESULT, {"minutes": minutes, "peak_mib": peak_memory()})

    def _second(self) -> list[Path]:
        """The network that the run saved beside its model, if any: they predict together."""
        second = RunFolder(self.run).second
        return [second.path] if second.model.exists() else []

    def fail(self, error: Exception) -> None:
        """Note why it cannot be done: a line, and for what is a defect of the method or of this project where it came from."""
        line = str(error) if isinstance(error, DelineateError) else f"{type(error).__name__}: {error}"
        write_json(self.run / RESULT, {"error": " ".join(line.split())})
        if not isinstance(error, DelineateError):
            write_text(self.run / _TRACEBACK, "".join(format_exception(error)))

    def _train(self, setup: Any, cache: Path | None, reporter: Reporter | None) -> None:
        try:
            self._train_on(setup, cache, reporter, resume=Checkpoints(self.run / "steps").any())
        except DamagedCheckpoint:
            self._train_on(setup, cache, reporter, resume=False)

    def _train_on(self, setup: Any, cache: Path | None, reporter: Reporter | None, *, resume: bool) -> None:
        whole = resume or needs_report_only(RunFolder(self.run))
        if not whole and RunFolder(self.run).recipe.is_file():
            shutil.rmtree(self.run, ignore_errors=True)  # a run that was killed before its first state: begin anew
        request = TrainRequest(
            data=self.manifest,
            method=self.entrant.method,
            out=self.run,
            preset=self.entrant.preset,
            resume=whole,
            settings=setup.settings,
            options=merge({"engine": dict(self.engine(setup))}, self.entrant.options),
            cache_folder=cache,
        )
        train(request, reporter, report=write_run_report)


@dataclass(frozen=True)
class Job(StudyJob):
    """One entrant of a benchmark on one fold with one seed."""

    fold: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.entrant.label}, fold {self.fold}, seed {self.seed}"

    @property
    def run(self) -> Path:
        return self.folder / "runs" / slug(self.entrant.label) / f"fold{self.fold}-seed{self.seed}"

    @property
    def predictions(self) -> Path:
        """Of this fold's test cases; a folder inside those of all folds."""
        return predictions_folder(self.folder, self.entrant, self.seed) / f"fold{self.fold}"

    @property
    def scores(self) -> Path:
        return scores_folder(self.folder, self.entrant, self.seed)

    @property
    def manifest(self) -> Path:
        return self.folder / "folds" / f"fold{self.fold}.json"

    def engine(self, setup: BenchmarkSetup) -> Mapping[str, Any]:
        """The length is not there where it is the preset's."""
        if self.entrant.steps is not None:
            return {"seed": self.seed, "steps": self.entrant.steps}
        return {"seed": self.seed} | ({} if setup.epochs is None else {"epochs": setup.epochs})


def do_all(
    jobs: Sequence[StudyJob], setup: Any, cache: Path | None, reporter: Reporter | None, announce: Announce
) -> None:
    """Do those that are not done yet; one that fails is noted and the others go on. `Interrupted` passes through."""
    for at, job in enumerate(jobs):
        if job.state == "done":
            continue
        announce(f"run {at + 1} of {len(jobs)}: {job.name} ({time_left(jobs, jobs[at:])})")
        try:
            job.do(setup, cache, reporter)
        except Interrupted:
            raise
        except Exception as error:  # also a defect of one method must not cost the others' runs
            job.fail(error)
            announce(f"failed: {job.name}: {job.result()['error']}")


def time_left(jobs: Sequence[StudyJob], todo: Sequence[StudyJob]) -> str:
    """Of those to do, from the minutes of the finished runs of each entrant; entrants without any are taken to cost the mean."""
    spent: dict[str, list[float]] = {}
    for job in jobs:
        if job.state == "done":
            spent.setdefault(job.entrant.label, []).append(float(job.result()["minutes"]))
    if not spent:
        return "time left not known yet"
    means = {label: sum(minutes) / len(minutes) for label, minutes in spent.items()}
    usual = sum(means.values()) / len(means)
    left = sum(means.get(job.entrant.label, usual) for job in todo if job.state != "done")
    return f"about {left:.0f} min left" if left >= 1 else "less than a minute left"


def all_jobs(folder: Path, setup: BenchmarkSetup) -> list[Job]:
    """Seed by seed and fold by fold, the methods in turn, so that an early end leaves comparable runs."""
    return [
        Job(folder, entrant, fold, seed)
        for seed in range(setup.seeds)
        for fold in range(setup.folds)
        for entrant in setup.entrants
    ]


def predictions_folder(folder: Path, entrant: Entrant, seed: int) -> Path:
    """Of one entrant and seed, all folds together."""
    return folder / "predictions" / f"{slug(entrant.label)}-seed{seed}"


def scores_folder(folder: Path, entrant: Entrant, seed: int) -> Path:
    """The evaluation of these predictions."""
    return folder / "scores" / f"{slug(entrant.label)}-seed{seed}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def slug(label: str) -> str:
    """A label as a folder's name: `smp:unet/resnet18` has characters that paths have not."""
    return "".join(letter if letter.isalnum() or letter in "-_@." else "-" for letter in label)
