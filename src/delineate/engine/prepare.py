"""From a request to all that a run is made of: data, method with its first weights, strategy, plan. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning.fabric import Fabric

from delineate.artefact import format as artefact_format
from delineate.artefact.inherit import inherit
from delineate.common.errors import ArtefactError, TrainingError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.engine.build import PlannedStage, build_method, build_strategy, make_plan
from delineate.engine.data_module import DataKind, OpenedData, PreparedData
from delineate.engine.diverged import weights_fault
from delineate.engine.first_weights import first_weights_remarks
from delineate.engine.planning import DataPlan
from delineate.engine.recipe import Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.run_folder import RunFolder
from delineate.methods.contract import Method
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.strategies.contract import Strategy

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """All that a run is made of, before anything is written."""

    recipe: Recipe
    spec: InputSpec
    opened: OpenedData
    strategy: Strategy
    data: PreparedData
    plan: list[PlannedStage]
    data_plan: DataPlan | None
    origins: Mapping[str, WeightsOrigin]
    """Where the encoders' pretrained weights come from; of a run that goes on, empty."""


def prepare(
    request: TrainRequest,
    recipe: Recipe,
    fabric: Fabric,
    folder: RunFolder,
    kind: DataKind,
    note: Callable[[str], None],
) -> Prepared:
    """Read the data, build the method with its first weights, plan the stages."""
    opened = kind.open(request, folder, recipe, note)
    recipe, spec, data_plan = opened.settle(recipe)
    method = build_method(recipe, opened.output, spec)
    recipe.check_stages(method.stages())
    opened.check_method(recipe, method, spec, fabric.device)
    origins: Mapping[str, WeightsOrigin] = {}
    if not request.resume:
        opened.set_first_weights(recipe, method)
        origins = _initial_weights(method, spec, opened.whole.classes, request.init, note)
        _check_weights(method)
    strategy = build_strategy(recipe, method)
    if not request.resume:
        for network in strategy.learners().values():
            if network is not method:
                opened.set_first_weights(recipe, network)
    data = opened.prepare(recipe, spec)
    plan = make_plan(recipe, method, data, fabric)
    return Prepared(recipe, spec, opened, strategy, data, plan, data_plan, origins)


def _initial_weights(
    method: Method, spec: InputSpec, classes: ClassTable, init: Path | None, note: Callable[[str], None]
) -> Mapping[str, WeightsOrigin]:
    """Load pretrained weights, then another model's. Returns where the pretrained ones come from.

    Raises `ArtefactError` where the other model's weights would be given other channels than they have learned.
    """
    origins = method.load_pretrained() or {}  # methods of other packages may return nothing
    for name, origin in origins.items():
        note(f"{name}: pretrained weights {origin.words}")
    for remark in first_weights_remarks(method, spec, origins):
        note(f"WARNING: {remark}")
    if init is None:
        return origins
    source = artefact_format.load(init)
    if source.spec.channels != spec.channels and (source.spec.named and spec.named):
        raise ArtefactError(
            f"--init {init} was trained on {source.spec.kind}, but the data have {spec.kind}: name and order the columns of the "
            "table as for that model, or train without --init"
        )
    for line in inherit(method, source, classes).lines():
        note(f"--init {init}: {line}")
    return origins


def _check_weights(method: Method) -> None:
    """Raise `TrainingError` for weights that are not finite before the first step: pretrained ones, or made so by the method."""
    if fault := weights_fault(method):
        raise TrainingError(f"before the first step {fault}; use other pretrained weights, or none")
