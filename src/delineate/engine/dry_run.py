"""A dry run: a few steps of every stage on the real data, which tell time and memory of the whole training. Nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from delineate.common.errors import RecipeError
from delineate.common.progress_log import in_words
from delineate.engine.checkpoint import Checkpoints, Progress
from delineate.engine.data_module import DataKind, kind_for
from delineate.engine.dense import DENSE
from delineate.engine.distributed import raise_together
from delineate.engine.estimate import StageCost, memory_words
from delineate.engine.first_weights import check_available
from delineate.engine.loop import StageRun
from delineate.engine.memory import peak_bytes
from delineate.engine.prepare import prepare
from delineate.engine.reporting import Silent
from delineate.engine.request import TrainRequest
from delineate.engine.run import make_fabric
from delineate.engine.run_folder import RunFolder
from delineate.engine.run_state import Run
from delineate.engine.tuning_notes import tuning_notes

__all__ = ["TrainingEstimate", "estimate_training"]


@dataclass(frozen=True)
class TrainingEstimate:
    """What a training will take; times in seconds.

    Example:
        ```python
        estimate = delineate.estimate_training("polyps/", method="unet", preset="small", out="runs/unet")
        print(estimate.seconds / 60, "minutes")
        ```
    """

    stages: dict[str, StageCost]
    """By name, in order."""
    peak_bytes: int | None
    """Memory that a process used at most: on a GPU its tensors, else all of it. None where it cannot be told."""
    memory_words: str
    first_process: bool = True

    @property
    def seconds(self) -> float:
        """Of all stages, without the scoring and the report at the end."""
        return sum(cost.seconds for cost in self.stages.values())

    def lines(self) -> list[str]:
        """For the reader.

        Returns:
            A line for each stage, then one for the whole.
        """
        told = [f"{name}: {cost.words()}" for name, cost in self.stages.items()]
        bound = "at most" if any(cost.may_end_early for cost in self.stages.values()) else "about"
        return [*told, f"in all {bound} {in_words(self.seconds)}, then scores and report{self.memory_words}"]


def estimate_training(
    request: TrainRequest, note: Callable[[str], None] = lambda _: None, kinds: Sequence[DataKind] = (DENSE,)
) -> TrainingEstimate:
    """Make a few steps of each stage of a new run. `note` is told what `train` says of data and plan.

    Nothing is written but decoded images in the cache, which the training itself then reads. Raises what `train` would raise before
    its first step, and `DeviceError` where memory does not suffice.
    """
    if request.resume:
        raise RecipeError(
            "a dry run is one of a new run, without --resume; a run that goes on says after a few steps how long the rest takes"
        )
    folder, kind = RunFolder(request.out), kind_for(request.method, kinds)
    recipe = request.recipe()
    check_available(recipe)
    fabric = make_fabric(recipe)
    first = fabric.is_global_zero
    if first:
        folder.check_free()
    fabric.launch()
    with raise_together(fabric):
        prepared = prepare(request, recipe, fabric, folder, kind, note if first else lambda _: None)
    run = Run(fabric, prepared.recipe, prepared.strategy, prepared.spec, folder, Checkpoints(folder.steps), Silent())
    stages = {}
    for index, planned in enumerate(prepared.plan):
        run.progress = Progress(stage=index)
        stage = StageRun(run, prepared.data, planned.stage, planned.source, planned.steps, None)
        if first:
            for line in tuning_notes(run.method, stage.settings, planned.steps):
                note(f"{planned.stage.name}: {line}")
        stages[planned.stage.name] = stage.rehearse()
    return TrainingEstimate(stages, peak_bytes(fabric.device), memory_words(fabric), first)
