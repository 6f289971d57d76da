"""`train`: from a data set and a recipe to a finished run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import nn

from delineate.artefact import format as artefact_format
from delineate.common.errors import DelineateError, Diverged, Interrupted, RecipeError, TrainingError
from delineate.common.files import read_json, write_json
from delineate.common.folder_lock import hold_folder
from delineate.data.core.manifest import Manifest
from delineate.engine.build import PlannedStage
from delineate.engine.checkpoint import Checkpoint, Checkpoints, Progress
from delineate.engine.class_weights import rules_of
from delineate.engine.data_module import DataKind, PreparedData, kind_for
from delineate.engine.dense import DENSE
from delineate.engine.distributed import agree_on, raise_together
from delineate.engine.finish import finish_run
from delineate.engine.first_weights import check_available
from delineate.engine.intensity_plan import planned_keys
from delineate.engine.loop import StageRun
from delineate.engine.memory_advice import ways_to_save_memory
from delineate.engine.planning import planned_sections
from delineate.engine.prepare import prepare
from delineate.engine.recipe import Recipe
from delineate.engine.reporting import ConsoleReporter, Reporter, Silent
from delineate.engine.request import DIVERGED, TrainRequest, check_folder, needs_report_only
from delineate.engine.resume_data import check_same_data, check_same_start, data_description
from delineate.engine.run_folder import RunFolder, environment, environment_changes
from delineate.engine.run_state import Run
from delineate.engine.signals import raise_on_signals, stop_on_signals
from delineate.engine.tensorboard import TensorBoardReporter, check_installed
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.inference.device import resolve_device
from delineate.methods.contract import Method

__all__ = ["RunResult", "make_fabric", "train"]


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


def train(
    request: TrainRequest,
    reporter: Reporter | None = None,
    kinds: Sequence[DataKind] = (DENSE,),
    report: Callable[[Path], object] | None = None,
) -> RunResult:
    """Train as asked and write the run folder. `kinds`: of data, of which the method's kind chooses one.

    `report`: writes the page of a run folder; a run is finished when it has done so. The folder is this process's alone meanwhile.
    Raises `DelineateError` subclasses with one line for everything a user can mend; before the first step nothing is
    written. `Interrupted` after a signal, with the state saved.
    """
    folder = RunFolder(request.out)
    kind = kind_for(request.method, kinds)
    recipe = request.recipe(planned_sections(folder) if request.resume else None)
    if not request.resume:
        check_available(recipe)
    fabric = make_fabric(recipe)
    first = fabric.is_global_zero
    reporter = (reporter or ConsoleReporter()) if first else Silent()
    with hold_folder(folder.path, reporter.note) if first else nullcontext():
        if first:
            check_folder(folder, recipe, resume=request.resume, report=report is not None)
        if request.resume and report is not None and needs_report_only(folder):
            return _report_only(folder, report, reporter)
        if first and request.resume:
            check_same_data(folder, request, reporter.note)
            check_same_start(folder, request.init)
        if recipe.engine.tensorboard:
            check_installed()
        # A process that can end by itself notes how; the lock is ours, so that no other one runs.
        killed = request.resume and folder.read_summary().get("status") == "running"
        fabric.launch()
        with raise_together(fabric):
            run, data, plan = _open(request, recipe, fabric, folder, kind, reporter)
        fabric.barrier()
        with _noted_end(run):
            state = _take_up(run, plan) if request.resume else None
            if killed:
                _note_kill(run, plan)
            if fabric.world_size > 1:
                _synchronize_batchnorm(run)
            _run_stages(run, data, plan, state)
            dice = _complete(run, data, report) if first else 0.0
        if first:
            run.states.discard()
    return RunResult(folder.path, folder.model, dice, run.seconds / 60, first)


def _open(
    request: TrainRequest, recipe: Recipe, fabric: Fabric, folder: RunFolder, kind: DataKind, reporter: Reporter
) -> tuple[Run, PreparedData, list[PlannedStage]]:
    """Prepare a run; of a new one, write what describes it."""
    if request.resume:
        recipe = Recipe.load(folder.recipe)
    weight_rules, asked = rules_of(recipe), recipe
    prepared = prepare(request, recipe, fabric, folder, kind, reporter.note)
    recipe, whole = prepared.recipe, prepared.opened.whole
    if fabric.is_global_zero:
        if not request.resume:
            _note_init(folder, request.init)
            if prepared.origins:
                write_json(folder.pretrained, {name: origin.to_json() for name, origin in prepared.origins.items()})
            _describe(folder, recipe, whole, fabric.device)
            if prepared.data_plan is not None:
                prepared.data_plan.save(folder)
            if weight_rules:
                folder.update_summary(class_weights=weight_rules)
            if planned := planned_keys(asked, recipe):
                folder.update_summary(planned_input=planned)
        _summarize(folder, request, recipe, whole, prepared.strategy.method, prepared.plan)
        if recipe.engine.tensorboard:
            reporter = TensorBoardReporter(reporter, folder.path / "tensorboard")
    run = Run(fabric, recipe, prepared.strategy, prepared.spec, folder, Checkpoints(folder.steps), reporter)
    return run, prepared.data, prepared.plan


def _take_up(run: Run, plan: list[PlannedStage]) -> Checkpoint:
    """Put the run back to where its newest whole state was saved."""
    with raise_together(run.fabric):
        state = run.states.load(run.reporter.note)
        assert state is not None  # `check_folder` has seen it
        try:
            run.method.load_state_dict(state.model)
        except RuntimeError as error:
            raise TrainingError(
                f"{run.states.folder}: the checkpoint does not fit the network that method '{run.recipe.name}' builds here; "
                "continue with the version of Delineate that started the run"
            ) from error
    run.progress = state.progress
    run.fabric.barrier()  # all have read; now the first may tidy up
    if run.fabric.is_global_zero:
        run.states.forget_after(state.progress)
        run.folder.rewind_log([planned.stage.name for planned in plan], state.progress.stage, state.progress.step)
        _note_changes(run)
    at = plan[state.progress.stage].stage.name
    run.reporter.note(f"continuing {run.folder.path} at step {state.progress.step} of stage '{at}'")
    return state


def _note_kill(run: Run, plan: list[PlannedStage]) -> None:
    """What kills a process without a word is most often the system, where memory runs out."""
    stage = plan[run.progress.stage].stage.name
    ways = ways_to_save_memory(run.recipe, stage, run.method.info, run.spec.size, run.fabric.device)
    run.reporter.note(
        f"the run was killed before; if that happens again, and memory was short, a new run needs less of it with {', '.join(ways)}"
    )


def _note_changes(run: Run) -> None:
    """Say which versions and settings differ from those that the run was started with."""
    try:
        before = read_json(run.folder.environment)
    except (OSError, ValueError):
        return
    if found := environment_changes(before, environment(str(run.fabric.device), torch.get_num_threads())):
        run.reporter.note(
            f"changed since the run was started: {', '.join(found)}; the result may differ in the last bits from that of a run "
            "that was never stopped"
        )
        run.folder.update_summary(resumed_with=found)


def _run_stages(run: Run, data: PreparedData, plan: list[PlannedStage], state: Checkpoint | None) -> None:
    with stop_on_signals() as request:
        run.stop_requested = request
        try:
            for index in range(run.progress.stage, len(plan)):
                planned = plan[index]
                stage_run = StageRun(run, data, planned.stage, planned.source, planned.steps, state)
                state = None
                stage_run.train()
                if index + 1 < len(plan):
                    stage_run.hand_on()
                    done = run.progress
                    run.progress = Progress(stage=index + 1, seconds=done.seconds, images_seen=done.images_seen)
            if reason := agree_on(run.fabric, request()):  # it came during the last step or its validation
                raise Interrupted(reason)
        except Interrupted as stop:
            said = Interrupted(
                f"stopped by {stop} after step {run.progress.step} of stage '{planned.stage.name}'; the checkpoint is saved; "
                "continue with the same command and --resume"
            )
            said.told_elsewhere = not run.fabric.is_global_zero
            _note_end(run, said)
            run.fabric.barrier()  # a process that ends takes the others with it: not before the first has noted it
            raise said from None
        finally:
            run.reporter.close()


def _complete(run: Run, data: PreparedData, report: Callable[[Path], object] | None) -> float | None:
    """Write all that belongs to a finished run, and say last that it is finished."""
    folder = run.folder
    folder.update_summary(status="completing")
    with raise_on_signals(
        "training is complete and saved; run the same command with --resume to write the missing files"
    ):
        dice = finish_run(run, data.finish_spec())
        if report is not None:
            report(folder.path)
        folder.update_summary(status="finished")
    return dice


def _report_only(folder: RunFolder, report: Callable[[Path], object], reporter: Reporter) -> RunResult:
    """The page of a run that was finished but for it."""
    reporter.note(f"{folder.path} is trained; only its {folder.report.name} is missing")
    report(folder.path)
    summary = folder.read_summary()
    headline = summary.get("headline")  # not there in runs of the first version
    dice = ScoresFile.read(folder.validation).mean("dice")["mean"] if headline is None else headline["dice"]
    return RunResult(folder.path, folder.model, dice, float(summary.get("minutes", 0.0)))


@contextmanager
def _noted_end(run: Run) -> Iterator[None]:
    """Whatever ends the block early is noted in `run.json`."""
    try:
        yield
    except BaseException as error:
        _note_end(run, error)
        raise


def _note_end(run: Run, error: BaseException) -> None:
    if not run.fabric.is_global_zero:
        return
    if isinstance(error, KeyboardInterrupt):
        run.folder.end("interrupted", "Ctrl-C", run.seconds / 60)
    elif isinstance(error, Interrupted):
        run.folder.end("interrupted", str(error), run.seconds / 60)
    else:
        reason = str(error) if isinstance(error, DelineateError) else f"{type(error).__name__}: {error}"
        run.folder.end(DIVERGED if isinstance(error, Diverged) else "failed", reason, run.seconds / 60)


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


def _note_init(folder: RunFolder, init: Path | None) -> None:
    """What the weights have seen that the run starts from: pictures, and the training of pretrained weights before them."""
    if init is not None:
        known = artefact_format.read_header(init).provenance
        before = {key: known.get(key, {}) for key in ("pictures", "pretrained")}
        write_json(folder.started_from, {"model": str(init), **before})


def _describe(folder: RunFolder, recipe: Recipe, manifest: Manifest, device: torch.device) -> None:
    """What a new run is made from; the recipe last, since a folder with a recipe is a run."""
    manifest.save(folder.manifest)
    write_json(folder.environment, environment(str(device), torch.get_num_threads()))
    recipe.save(folder.recipe)


def _summarize(
    folder: RunFolder,
    request: TrainRequest,
    recipe: Recipe,
    manifest: Manifest,
    method: Method,
    plan: list[PlannedStage],
) -> None:
    started = folder.read_summary().get("started") or time.strftime("%Y-%m-%d %H:%M:%S")
    folder.update_summary(
        status="running",
        reason=None,
        method=recipe.name,
        title=method.info.title,
        preset=recipe.preset,
        strategy=recipe.strategy["name"],
        seed=recipe.engine.seed,
        parameters=sum(p.numel() for p in method.parameters()),
        first_weights=folder.first_weights(),
        stages=[{"name": planned.stage.name, "steps": planned.steps} for planned in plan],
        classes=list(manifest.classes.names),
        leaks=list(manifest.leaks or ()),
        started=started,
        data=data_description(request),
    )


def _synchronize_batchnorm(run: Run) -> None:
    """BatchNorm statistics over all processes, where the device can (CUDA)."""
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in run.strategy.modules()):
        return
    if run.fabric.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(run.strategy)  # type: ignore[no-untyped-call]
        run.reporter.note("BatchNorm statistics are synchronized across processes")
    else:
        run.reporter.note(
            f"BatchNorm cannot be synchronized on {run.fabric.device.type}: each process normalizes its own share of the batch"
        )
