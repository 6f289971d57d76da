"""The seam between the loop, which knows no data, and the kinds of training: single images here, episodes in `fewshot`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from delineate.common.errors import RecipeError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.engine.console import Reporter
from delineate.engine.folder import RunFolder
from delineate.engine.planning import DataPlan
from delineate.engine.recipe import Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.run_state import Run
from delineate.engine.sources import Source
from delineate.engine.validation import ValidationResult
from delineate.methods import registry
from delineate.methods.contract import Context, Method, Stage


class Task(Protocol):
    """A data set that was opened for training: gives batches, validates, and brings a run to its end.

    It is asked in the order of its methods. Apart from `whole`, it knows nothing of test cases.
    """

    @property
    def whole(self) -> Manifest:
        """All cases, to be saved with the run."""
        ...

    @property
    def outputs(self) -> int:
        """Channels of the network's output."""
        ...

    def settle(self, recipe: Recipe) -> tuple[Recipe, InputSpec, DataPlan | None]:
        """What the recipe leaves to the data, decided. Raises `RecipeError` for what the data cannot give."""
        ...

    def check_memory(self, recipe: Recipe, method: Method, spec: InputSpec, device: torch.device) -> None:
        """Raise `DeviceError` where a step surely does not fit into memory."""
        ...

    def prepare(self, recipe: Recipe, spec: InputSpec) -> None:
        """Decode what training and validation read. Raises `DataError`."""
        ...

    def source(self, recipe: Recipe, stage: Stage, *, index: int, rank: int, world: int) -> Source:
        """The batches of the stage with that index, as the recipe wants them."""
        ...

    def validate(self, run: Run, stage: Stage, method: Method, ctx: Context) -> ValidationResult:
        """The same cases each time; the caller keeps the best weights (`engine.selection`)."""
        ...

    def finish(self, run: Run) -> float | None:
        """Write model, scores, pictures and card of a run whose method holds the best weights; the headline Dice,
        None where no case could be scored."""
        ...


@dataclass(frozen=True)
class TaskKind:
    """A kind of training."""

    methods: Literal["dense", "episodic"]
    """Kind of method that it trains (`Method.kind`)."""
    open: Callable[[TrainRequest, RunFolder, Recipe, Reporter], Task]

    def check_method(self, name: str) -> None:
        """Raise `RecipeError` naming the right command for a method of another kind."""
        kind = registry.method_class(name).kind
        if kind == self.methods:
            return
        if kind == "episodic":
            raise RecipeError(f"method '{name}' learns from episodes; train it with `delineate fewshot train`")
        raise RecipeError(f"method '{name}' segments an image alone, without examples; train it with `delineate train`")
