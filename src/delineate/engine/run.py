"""`train`: from a data set and a recipe to a finished run folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import nn

from delineate.artefact import format as artefact_format
from delineate.artefact.inherit import inherit
from delineate.common.errors import Diverged, Interrupted, RecipeError, TrainingError
from delineate.common.files import write_json
from delineate.data.case import Manifest
from delineate.engine.console import ConsoleReporter, Reporter, Silent
from delineate.engine.dense import DENSE
from delineate.engine.diverged import weights_fault
from delineate.engine.folder import RunFolder, environment
from delineate.engine.loop import Run, StageRun
from delineate.engine.plan import Planned, build_method, make_plan
from delineate.engine.planning import planned_sections
from delineate.engine.recipe import Recipe
from delineate.engine.request import DIVERGED, TrainRequest, check_folder
from delineate.engine.signals import stop_on_signals
from delineate.engine.state import Progress, State, States
from delineate.engine.task import TaskKind
from delineate.engine.tensorboard import TensorBoardReporter, check_installed
from delineate.inference.device import resolve_device
from delineate.methods.contract import Method


@dataclass(frozen=True)
class RunResult:
    """A finished run. In a run of several processes only the first writes files."""

    folder: Path
    model: Path
    dice: float | None
    """Mean Dice on the validation split at native resolution (the headline column of `validation/scores.json`); None where no
    case could be scored."""
    minutes: float
    first_process: bool = True


def train(request: TrainRequest, reporter: Reporter | None = None, kind: TaskKind = DENSE) -> RunResult:
    """Train as asked and write the run folder. `kind`: what a batch is made of; single images, unless it is given.

    Raises `DelineateError` subclasses with one line for everything a user can mend; before the first step nothing is
    written. `Interrupted` after a signal, with the state saved.
    """
    folder = RunFolder(request.out)
    kind.check_method(request.method)
    recipe = request.recipe(planned_sections(folder) if request.resume else None)
    fabric = make_fabric(recipe)
    if fabric.is_global_zero:
        check_folder(folder, recipe, request.resume)
    if recipe.engine.tensorboard:
        check_installed()
    fabric.launch()
    reporter = (reporter or ConsoleReporter()) if fabric.is_global_zero else Silent()
    if request.resume:
        recipe = Recipe.load(folder.recipe)
    task = kind.open(request, folder, recipe, reporter)
    recipe, spec, data_plan = task.settle(recipe)
    method = build_method(recipe, task.outputs, spec)
    recipe.check_stages(method.stages())
    task.check_memory(recipe, method, spec, fabric.device)
    if not request.resume:
        _initial_weights(method, request.init, reporter)
        _check_weights(method)
    task.prepare(recipe, spec)
    plan = make_plan(recipe, method, task, fabric)
    if fabric.is_global_zero and not request.resume:
        _open_folder(folder, recipe, task.whole, method, plan, fabric.device)
        if data_plan is not None:
            data_plan.save(folder)
    if fabric.is_global_zero and recipe.engine.tensorboard:
        reporter = TensorBoardReporter(reporter, folder.path / "tensorboard")
    fabric.barrier()
    run = Run(fabric, recipe, method, spec, task, folder, States(folder.steps), reporter)
    state = _take_up(run, plan) if request.resume else None
    if fabric.world_size > 1:
        _synchronise_batchnorm(run)
    _run_stages(run, plan, state)
    dice = task.finish(run) if fabric.is_global_zero else 0.0
    return RunResult(folder.path, folder.model, dice, run.seconds / 60, fabric.is_global_zero)


def _take_up(run: Run, plan: list[Planned]) -> State:
    """Put the run back to where its newest state was saved."""
    state = run.states.load()
    assert state is not None  # `check_folder` has seen it
    run.method.load_state_dict(state.model)
    run.progress = state.progress
    if run.fabric.is_global_zero:
        run.folder.rewind_log([planned.stage.name for planned in plan], state.progress.stage, state.progress.step)
        run.folder.update_summary(status="running")
    at = plan[state.progress.stage].stage.name
    run.reporter.note(f"going on with {run.folder.path} at step {state.progress.step} of stage '{at}'")
    return state


def _run_stages(run: Run, plan: list[Planned], state: State | None) -> None:
    with stop_on_signals() as request:
        run.stop_requested = request
        try:
            for index in range(run.progress.stage, len(plan)):
                planned = plan[index]
                stage_run = StageRun(run, planned.stage, planned.source, planned.steps, state)
                state = None
                stage_run.train()
                if index + 1 < len(plan):
                    done = run.progress
                    run.progress = Progress(stage=index + 1, seconds=done.seconds, images_seen=done.images_seen)
        except Diverged as error:
            if run.fabric.is_global_zero:
                run.folder.update_summary(status=DIVERGED, minutes=run.seconds / 60, error=str(error))
            raise
        except Interrupted as stop:
            if run.fabric.is_global_zero:
                run.folder.update_summary(status="interrupted", minutes=run.seconds / 60)
            raise Interrupted(
                f"stopped by {stop} after step {run.progress.step} of stage '{planned.stage.name}'; the state is saved, go on "
                "with the same command and --resume"
            ) from None
        finally:
            run.reporter.close()


def make_fabric(recipe: Recipe) -> Fabric:
    """Device, processes and precision of a recipe. Raises `RecipeError` for a precision that the device lacks."""
    device = resolve_device(recipe.engine.device)
    precision = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[recipe.engine.precision]
    if precision == "16-mixed" and device.type == "cpu":
        raise RecipeError("engine.precision=16 needs a GPU; on the CPU use bf16 or 32")
    if device.type == "cuda" and precision == "bf16-mixed" and not torch.cuda.is_bf16_supported():
        raise RecipeError("engine.precision=bf16: this GPU has no bfloat16; use 16 or 32")
    devices = recipe.engine.devices
    return Fabric(
        accelerator=device.type,
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        precision=precision,  # type: ignore[arg-type]
    )


def _initial_weights(method: Method, init: Path | None, reporter: Reporter) -> None:
    method.load_pretrained()
    if init is None:
        return
    for line in inherit(method, artefact_format.load(init)).lines():
        reporter.note(f"--init {init}: {line}")


def _check_weights(method: Method) -> None:
    """Raise `TrainingError` for weights that are not finite before the first step: pretrained ones, or made so by the method."""
    if fault := weights_fault(method):
        raise TrainingError(f"before the first step {fault}; give other pretrained weights, or none")


def _open_folder(
    folder: RunFolder, recipe: Recipe, manifest: Manifest, method: Method, plan: list[Planned], device: torch.device
) -> None:
    folder.claim()
    manifest.save(folder.manifest)
    folder.update_summary(
        status="running",
        method=recipe.name,
        title=method.info.title,
        preset=recipe.preset,
        seed=recipe.engine.seed,
        parameters=sum(p.numel() for p in method.parameters()),
        stages=[{"name": planned.stage.name, "steps": planned.steps} for planned in plan],
        classes=list(manifest.classes.names),
        leaks=list(manifest.leaks or ()),
        started=time.strftime("%Y-%m-%d %H:%M:%S"),
    )
    write_json(folder.environment, environment(str(device), torch.get_num_threads()))
    recipe.save(folder.recipe)


def _synchronise_batchnorm(run: Run) -> None:
    """BatchNorm statistics over all processes, where the device can (CUDA)."""
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in run.method.modules()):
        return
    if run.fabric.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(run.method)  # type: ignore[no-untyped-call]
        run.reporter.note("BatchNorm is synchronised over the processes")
    else:
        run.reporter.note(
            f"BatchNorm cannot be synchronised on {run.fabric.device.type}: each process normalises its own share of the batch"
        )
