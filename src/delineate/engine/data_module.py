"""The data module: the seam between the loop, which knows no data, and what is trained on: single images here, episodes in
`fewshot`.

It has two states. `OpenedData` is read and checked, which is enough to settle a recipe and to build the method; `PreparedData`
is made from it then, with everything decoded, and trains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from delineate.common.errors import RecipeError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.engine.batch_source import BatchSource
from delineate.engine.finish import FinishSpec
from delineate.engine.planning import DataPlan
from delineate.engine.recipe import Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.run_folder import RunFolder
from delineate.engine.validation import ValidationJob, ValidationResult
from delineate.methods import registry
from delineate.methods.contract import Kind, Method, Stage
from delineate.nn.output import Output

__all__ = ["DataKind", "OpenedData", "PreparedData", "kind_for"]


class OpenedData(Protocol):
    """A data set that was read and checked. Apart from `whole`, it knows nothing of test cases."""

    @property
    def whole(self) -> Manifest:
        """All cases, to be saved with the run."""
        ...

    @property
    def output(self) -> Output:
        """What the channels of the network's output are."""
        ...

    def settle(self, recipe: Recipe) -> tuple[Recipe, InputSpec, DataPlan | None]:
        """What the recipe leaves to the data, decided. Raises `RecipeError` for what the data cannot give."""
        ...

    def check_method(self, recipe: Recipe, method: Method, spec: InputSpec, device: torch.device) -> None:
        """Raise `RecipeError` for a method that cannot learn from such batches, `DeviceError` where a step surely does not
        fit into memory."""
        ...

    def set_first_weights(self, recipe: Recipe, method: Method) -> None:
        """Set, in place, what of a new method's weights the recipe leaves to the data. Raises `RecipeError` for a method that
        cannot be set so."""
        ...

    def prepare(self, recipe: Recipe, spec: InputSpec) -> PreparedData:
        """Decode what training and validation read. `recipe`, `spec`: the settled ones. Raises `DataError`."""
        ...


class PreparedData(Protocol):
    """Training and validation cases, decoded for one recipe and one input specification."""

    def source(self, stage: Stage, *, index: int, rank: int, world: int) -> BatchSource:
        """The batches of the stage with that index."""
        ...

    @property
    def validation_size(self) -> int:
        """How many images (slices, tiles) one validation passes through the network; 0: there is no validation."""
        ...

    def validate(self, job: ValidationJob) -> ValidationResult:
        """The same cases each time; the caller keeps the best weights (`engine.best_weights`)."""
        ...

    def finish_spec(self) -> FinishSpec:
        """How its runs are scored at their end, and what model and card say of the data."""
        ...


@dataclass(frozen=True)
class DataKind:
    """Data for one kind of methods."""

    trains: Kind
    open: Callable[[TrainRequest, RunFolder, Recipe, Callable[[str], None]], OpenedData]
    """(request, run folder, recipe, note) → the data, or those of the run to go on with; `note` is told what was found.
    Raises `DataError`."""


def kind_for(method: str, kinds: Sequence[DataKind]) -> DataKind:
    """The kind of data that the method learns from. Raises `RecipeError` where it is none of `kinds`."""
    wanted = registry.method_class(method).kind
    for kind in kinds:
        if kind.trains == wanted:
            return kind
    if wanted == "episodic":
        raise RecipeError(f"method '{method}' is a few-shot method and learns from episodes, not from single images")
    raise RecipeError(f"method '{method}' is not a few-shot method; train it with `delineate train`")
