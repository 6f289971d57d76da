"""The training loop: one stage of one run, from top to bottom.

Where things are made:

- checkpoint: `StageRun.save_checkpoint`, written by `engine.checkpoint`;
- learning-rate scheduler: `engine.lr_scheduler`, applied in `StageRun.step`;
- gradient accumulation (micro-batches), gradient clipping, mixed precision: `StageRun._update`; devices, processes and autocast are
  chosen in `engine.run.make_fabric`;
- validation and the best weights: `StageRun.validate`, with `engine.validation` and `engine.best_weights`;
- early stopping: `StageRun._stop_early`;
- parts that are frozen: `engine.updates` gives them no gradient; frozen batch statistics: `engine.freezing`;
- time and memory that are told after the first steps: `engine.estimate`, measured in `StageRun.train`.

Everything random in a step is derived from (seed, stage, step, process). A run that is resumed from a checkpoint therefore
continues exactly as it would have, and no generator state is saved.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from delineate.common.errors import Diverged, Interrupted, RecipeError, TrainingError
from delineate.common.progress_log import FIRST
from delineate.data.core.findings import some
from delineate.engine.batch_source import BatchSource, divide, to_device
from delineate.engine.best_weights import is_better, measure_words
from delineate.engine.checkpoint import OWN, Checkpoint, apart, named_below, snapshot, together
from delineate.engine.data_module import PreparedData
from delineate.engine.distributed import agree_on, raise_together
from delineate.engine.diverged import diverged, loss_fault, weights_fault
from delineate.engine.estimate import StageClock, StageCost, memory_words
from delineate.engine.freezing import apply_frozen_statistics
from delineate.engine.loss_meter import LossMeter
from delineate.engine.lr_scheduler import Plateau, learning_rate_factor
from delineate.engine.memory import enough_values
from delineate.engine.memory_advice import told_of_memory
from delineate.engine.recipe import StageSettings
from delineate.engine.reporting import Validated
from delineate.engine.run_state import Run
from delineate.engine.seeds import mix_seed
from delineate.engine.tuning_notes import averaging_note, tuning_notes
from delineate.engine.updates import Updates
from delineate.engine.validation import ValidationJob, ValidationResult, forward_seconds
from delineate.methods.contract import Batch, Context, Method, Stage, Update

__all__ = ["StageRun"]

_FIRST = "first"
"""What the names of a stage's first buffers begin with, in its checkpoints."""
_SMALLEST_SCALE = 2.0**-14
"""Gradient scale of float16 mixed precision below which nothing is learned. It starts at 2^16; each overflow halves it."""


class StageRun:
    """One stage: its optimizers, scheduler and batches. Trains, validates, saves checkpoints, resumes."""

    def __init__(
        self, run: Run, data: PreparedData, stage: Stage, source: BatchSource, total: int, resumed: Checkpoint | None
    ) -> None:
        self.run, self.data, self.stage, self.source, self.total = run, data, stage, source, total
        self.settings: StageSettings = run.recipe.stage_settings(stage.name)
        self.strategy = run.strategy
        self.strategy.begin(stage, run.recipe.strategy_options(stage.name))
        for network in self.strategy.learners().values():
            apply_frozen_statistics(network, self.settings.freeze_batchnorm)
        self.updates = Updates(self.strategy, stage, self.settings, total)
        self.plateau = Plateau()
        engine = run.recipe.engine
        self.validate_steps = engine.validate_steps or max(1, round(engine.validate_every * source.steps_per_epoch))
        self.keeps_last = engine.select_by == "last"
        self.clock = self._new_clock(self.updates.thaws)
        self.meter = LossMeter()
        self.saved = None if resumed is None else run.progress.step
        """Step of the newest checkpoint on disk."""
        self.saved_at = time.perf_counter()
        self.faults = 0
        """Validations in which something was not finite."""
        self.first_buffers = {} if stage.hands_on == "all" else _copied_buffers(run.method)
        """Those that the stage began with, where the next one begins with them too."""
        if resumed is not None:
            self._restore(resumed)
        self.terms = self.updates.wrap(run.fabric)
        """The strategy, wrapped: batch → terms of its current update."""

    def train(self) -> None:
        """Train to the end of the stage, to early stopping, or until a signal asks to stop (`Interrupted`, checkpoint saved)."""
        run, progress = self.run, self.run.progress
        for line in tuning_notes(run.method, self.settings, self.total):
            run.reporter.note(f"{self.stage.name}: {line}")
        if self.strategy.average is not None:
            note = averaging_note(self.strategy.decay(self._context(self.total)), self.total)
            if note is not None:
                run.reporter.note(f"{self.stage.name}: {note}")
        run.reporter.begin(self.stage.name, progress.step, self.total)
        self.strategy.train()
        self.saved_at = time.perf_counter()
        if progress.step == 0:
            self.save_checkpoint()
        # Leaving `batches` ends the threads of the loader.
        with self._told_of_memory(), closing(self.source.batches(progress.step, self.total)) as batches:
            for loaded in batches:
                self.step(batch := to_device(loaded, run.fabric.device))
                if self.clock.stepped(progress.step):
                    self._tell_cost(batch)
                if progress.step % self.validate_steps == 0 or progress.step == self.total:
                    started, step = time.perf_counter(), progress.step
                    self.validate()
                    if self.settings.early_stop is not None and progress.waited >= self.settings.early_stop:
                        self._stop_early()
                    self.save_checkpoint()
                    if progress.step >= self.total:
                        break
                    if self.clock.validated(time.perf_counter() - started, step):
                        self._tell_cost()
                # With several processes each of these two questions costs a small all-reduce in every step.
                elif agree_on(run.fabric, self._checkpoint_is_due() or None):
                    self.save_checkpoint()
                if reason := agree_on(run.fabric, run.stop_requested()):
                    self.save_checkpoint()
                    raise Interrupted(reason)
        self._load_best_weights()

    def rehearse(self) -> StageCost:
        """Make as many steps as tell what the stage costs, some for each part of it in which as much is frozen. Writes nothing."""
        self.strategy.train()
        seconds = 0.0
        for start, stop in pairwise([0, *self.updates.thaws, self.total]):
            clock = self._new_clock()
            with self._told_of_memory(), closing(self.source.batches(start, sys.maxsize)) as batches:
                for number, loaded in enumerate(batches):
                    self.run.progress.step = start + number % (stop - start)
                    self.step(batch := to_device(loaded, self.run.fabric.device))
                    clock.stepped(number)
                    # By the first process's clock, or some would make one more step and wait in it for the others.
                    clock.step = agree_on(self.run.fabric, clock.step if self.run.fabric.is_global_zero else None)
                    if clock.step is not None:
                        break
            assert clock.step is not None
            seconds += clock.step * (stop - start)
        clock.expect(self._expected_validation(batch))
        return replace(clock.cost(0), step=seconds / self.total)

    def hand_on(self) -> None:
        """After `train`, where another stage follows: what that does not take of the best weights is as it was at first."""
        self.run.method.load_state_dict(self.first_buffers, strict=False)

    def step(self, batch: Batch) -> None:
        """One optimizer step of each update that is due in this step."""
        run, progress = self.run, self.run.progress
        factor = learning_rate_factor(progress.step, self.total, self.settings, self.plateau)
        ctx = self._context(progress.step)
        torch.manual_seed(mix_seed(run.recipe.engine.seed, progress.stage, progress.step, run.fabric.global_rank))
        total = 0.0
        for update in self.updates.due(progress.step):
            self.updates.set_rate(update, factor)
            total += self._update(update, batch, ctx)
        self.strategy.after_step(ctx)
        self.meter.steps += 1
        progress.step += 1
        progress.images_seen += len(batch["sample_id"]) * run.fabric.world_size
        run.reporter.step(total, len(batch["sample_id"]) * run.fabric.world_size)

    def validate(self) -> None:
        """Validate on the first process and tell the others; log; keep the best weights. Raises `Diverged` if the weights are lost.

        Costs a forward pass over the validation split, one synchronization for each batch and loss term, and a copy of the
        weights to disk if they are the best so far. Without validation cases (`engine.select_by=last`) it only logs the losses.
        """
        run, progress = self.run, self.run.progress
        result: ValidationResult | None = None
        network = self.strategy.validated()
        with raise_together(run.fabric):
            if run.fabric.is_global_zero:
                if fault := self._fault_of_weights():
                    raise self._diverged(f"after step {progress.step} of stage '{self.stage.name}': {fault}")
                if self.data.validation_size:
                    result, network = self._validate_candidates()
        result = run.fabric.broadcast(result)
        better = self._is_better(result)
        if better:
            if result is not None:
                progress.best_dice, progress.best_iou = result.dice, result.iou
                progress.best_loss, progress.measure = result.loss["total"], result.judgment.measure
            progress.best_step, progress.waited = progress.step, 0
            with raise_together(run.fabric):
                if run.fabric.is_global_zero:
                    run.states.save_best(self.stage.name, progress.step, together(network, self.strategy.companion()))
        else:
            progress.waited += 1
        if result is not None and result.fault is None:
            self.plateau.observe(result.loss["total"], self.settings)
        elif result is not None and result.fault is not None:
            self._note_fault(result.fault)
        self._log(result, better)

    def _validate_candidates(self) -> tuple[ValidationResult, Method]:
        """The network that is best at this step, of those that may become the model, and what it scores."""
        ctx, by = self._context(self.run.progress.step), self.run.recipe.engine.select_by
        # Where nothing is chosen by validation, the first one is the model.
        networks = (self.strategy.validated(),) if self.keeps_last else self.strategy.candidates()
        found = []
        for network in networks:
            with torch.random.fork_rng(devices=[]):  # validation must not change what the next step draws
                found.append((self.data.validate(self._validation_job(network, ctx)), network))
        best, *others = found
        for one in others:
            if one[0].is_better_than(best[0], by):
                best = one
        return best

    def _is_better(self, result: ValidationResult | None) -> bool:
        """Whether the weights take the place of the best: by their validation, or by being the last of the stage."""
        progress = self.run.progress
        if result is not None and result.fault is not None:
            return False
        if self.keeps_last or result is None:
            return progress.step == self.total
        return is_better(result.judgment, result.loss["total"], progress.best, self.run.recipe.engine.select_by)

    def save_checkpoint(self) -> None:
        """Write a checkpoint on the first process. If that fails, all processes raise the reason: `Diverged`, with the checkpoint
        before it kept, if a number is not finite.

        Copies weights and optimizer to the CPU and to disk (with Adam three times the size of the model); training waits meanwhile.
        """
        with raise_together(self.run.fabric):
            if self.run.fabric.is_global_zero:
                self._write_checkpoint()
        self.saved_at = time.perf_counter()
        self.clock.mark()

    def _new_clock(self, thaws: Sequence[int] = ()) -> StageClock:
        return StageClock(
            self.total,
            self.validate_steps,
            may_end_early=self.settings.early_stop is not None,
            thaws=thaws,
            validates=bool(self.data.validation_size),
        )

    def _tell_cost(self, batch: Batch | None = None) -> None:
        """Say what is left of the stage; `batch`: one on which a validation's forward pass is timed, where none was yet."""
        if not self.run.fabric.is_global_zero:
            return
        if batch is not None:
            self.clock.expect(self._expected_validation(batch))
        cost = self.clock.cost(self.run.progress.step)
        if cost.seconds >= FIRST:  # quick work says nothing
            self.run.reporter.note(f"{self.stage.name}: {cost.words()}{memory_words(self.run.fabric)}")

    def _expected_validation(self, batch: Batch) -> float:
        """Seconds of a validation, reckoned from a batch. No more than a validation does it change what the next step finds."""
        if not self.data.validation_size:
            return 0.0
        job = self._validation_job(self.strategy.validated(), self._context(self.run.progress.step))
        with torch.random.fork_rng(devices=[]):
            return forward_seconds(job, batch) * self.data.validation_size / len(batch["sample_id"])

    def _told_of_memory(self) -> AbstractContextManager[None]:
        run = self.run
        return told_of_memory(run.fabric.device, run.recipe, self.stage.name, run.method.info, run.spec.size)

    def _checkpoint_is_due(self) -> bool:
        return time.perf_counter() - self.saved_at > 60 * self.run.recipe.engine.save_minutes

    def _write_checkpoint(self) -> None:
        run = self.run
        tensors, values = self.updates.pack()
        tensors |= {f"{OWN}.{name}": tensor.detach() for name, tensor in self.strategy.own_state().items()}
        tensors |= {f"{_FIRST}.{name}": tensor for name, tensor in self.first_buffers.items()}
        values |= {"plateau": self.plateau.as_dict(), "sums": dict(self.meter.sums), "summed": self.meter.steps}
        values["scaler"] = run.fabric._precision.state_dict()
        progress = copy.copy(run.progress)
        progress.seconds = run.seconds
        best = run.states.best_name(self.stage.name, progress.best_step)
        state = Checkpoint(progress, snapshot(run.method), tensors, values, best)
        if bad := state.not_finite():
            where = f"after step {progress.step} of stage '{self.stage.name}'"
            raise self._diverged(f"{where}: weights or optimizer are not finite ({some(bad, 3)})")
        run.states.save(state)
        self.saved = progress.step

    def _update(self, update: Update, batch: Batch, ctx: Context) -> float:
        """Forward, backward and optimizer step of one update, with gradient accumulation and mixed precision. Returns the loss.

        The batch is divided into `accumulate` micro-batches, whose gradients add up: memory of one, gradient of all. Raises
        `Diverged` if the loss is not finite. Gradients are not checked unless they are clipped, since that would cost a
        synchronization: one that is not finite ruins the weights, which the next loss, validation or checkpoint shows before
        anything is kept.
        """
        run = self.run
        parts = min(self.settings.accumulate, len(batch["sample_id"]))
        ctx = replace(ctx, labeled_share=self._labeled_share(batch, parts))
        self.strategy.update, self.strategy.ctx = update, ctx
        optimizer = self.updates.optimizer(update)
        optimizer.zero_grad(set_to_none=True)
        loss_sum = 0.0
        for index, part in enumerate(divide(batch, parts)):
            # Processes exchange gradients (all-reduce) once, with the last micro-batch.
            unfinished = run.fabric.world_size > 1 and index + 1 < parts
            with run.fabric.no_backward_sync(self.terms, enabled=unfinished):
                with enough_values(len(part["sample_id"]), run.spec.size, part["labeled"]):
                    terms = self.terms(part)
                loss = torch.stack([term.float() for term in terms.values()]).sum()
                weight = len(part["sample_id"]) / len(batch["sample_id"])
                with raise_together(run.fabric):
                    if not loss.requires_grad:
                        raise self._nothing_learns(update)
                    # float() waits for the forward pass: a CPU-GPU synchronization in each micro-batch.
                    if not math.isfinite(value := float(loss.detach())):
                        raise self._diverged(loss_fault(terms, part, ctx, run.method))
                run.fabric.backward(loss * weight)
            self.meter.add(terms, weight)  # reads each term; the forward pass is done, so this costs little more
            loss_sum += value * weight
        if self.settings.clip_norm is not None:
            self._clip(self.updates.raw(update), self.settings.clip_norm, ctx)
        optimizer.step()
        return loss_sum

    def _labeled_share(self, batch: Batch, parts: int) -> float | None:
        """Share of samples with masks over all micro-batches and processes; None if there is one part, or if all have masks.

        Costs a synchronization, and with several processes a small all-reduce.
        """
        fabric = self.run.fabric
        if not self.updates.unlabeled or parts * fabric.world_size == 1:
            return None
        return float(fabric.all_reduce(batch["labeled"].float().mean(), reduce_op="mean"))  # type: ignore[arg-type]

    def _clip(self, optimizer: torch.optim.Optimizer, most: float, ctx: Context) -> None:
        """Clip gradients by their norm. In float16 an infinite norm is normal: the scaler skips the step and lowers its scale.

        The norm is read only if there is no scaler: one synchronization.
        """
        scaler = self._scaler
        if scaler is not None:
            scaler.unscale_(optimizer)
        moved = (parameter for group in optimizer.param_groups for parameter in group["params"])
        norm = nn.utils.clip_grad_norm_(moved, most)
        if scaler is None and not math.isfinite(float(norm)):
            raise self._diverged(f"the gradient is not finite at step {ctx.step + 1} of stage '{ctx.stage}'")

    @property
    def _scaler(self) -> Any:
        """The gradient scaler of float16 mixed precision; else None."""
        return getattr(self.run.fabric._precision, "scaler", None)

    def _fault_of_weights(self) -> str | None:
        """Why training cannot continue, or None. Costs a pass over the weights and a synchronization."""
        if fault := weights_fault(self.strategy):
            return fault
        overflows = self._scaler is not None and self._scaler.get_scale() < _SMALLEST_SCALE
        return "gradients overflow in float16 at every step" if overflows else None

    def _diverged(self, fault: str) -> Diverged:
        return diverged(fault, self.run.recipe, self.stage.name, self.saved)

    def _nothing_learns(self, update: Update) -> RecipeError:
        key = self.run.recipe.stage_key(self.stage.name, "freeze")
        return RecipeError(
            f"{key}: no term of update '{update.name}' ({update.objective}) of stage '{self.stage.name}' depends on anything that "
            "learns; freeze less"
        )

    def _note_fault(self, fault: str) -> None:
        """Report the first one; the number of them is reported at the end of the stage."""
        self.faults += 1
        if self.faults == 1:
            self.run.reporter.note(
                f"validation at step {self.run.progress.step} is not finite ({fault}): such weights are not kept"
            )

    def _validation_job(self, method: Method, ctx: Context) -> ValidationJob:
        return ValidationJob(
            module=method,
            objective=getattr(method, self.stage.updates[0].objective),
            logits=getattr(method, self.stage.logits),
            ctx=ctx,
            batch_size=self.settings.batch_size,
            device=self.run.fabric.device,
            autocast=self.run.fabric.autocast,
        )

    def _context(self, step: int) -> Context:
        run = self.run
        generator = torch.Generator(run.fabric.device)
        generator.manual_seed(mix_seed(run.recipe.engine.seed, run.progress.stage, step, run.fabric.global_rank) ^ 1)
        return Context(self.stage.name, step, self.total, generator, steps_per_epoch=self.source.steps_per_epoch)

    def _log(self, result: ValidationResult | None, better: bool) -> None:
        run, progress = self.run, self.run.progress
        losses = self.meter.means(run.fabric)
        lr = self.settings.lr * learning_rate_factor(progress.step - 1, self.total, self.settings, self.plateau)
        epoch = progress.step / self.source.steps_per_epoch
        by = run.recipe.engine.select_by
        scalars = None if result is None else result.to_json(by)
        with raise_together(run.fabric):
            if run.fabric.is_global_zero:
                run.folder.log(
                    {
                        "stage": self.stage.name,
                        "step": progress.step,
                        "total_steps": self.total,
                        "epoch": round(epoch, 3),
                        "lr": lr,
                        "loss": losses,
                        **({} if scalars is None else {"val": scalars}),
                        "images_per_second": progress.images_seen / max(1e-9, run.seconds),
                        "seconds": run.seconds,
                    }
                )
        run.reporter.validated(
            Validated(
                stage=self.stage.name,
                epoch=epoch,
                step=progress.step,
                dice=None if result is None else result.dice,
                best=better and not self.keeps_last,
                loss=losses,
                validation_loss={} if result is None else result.loss,
                lr=lr,
                seconds=run.seconds,
                words="" if result is None else result.words(by),
            )
        )

    def _stop_early(self) -> None:
        """Early stopping: end the stage here, since `early_stop` validations in a row were no better than the best."""
        progress = self.run.progress
        what = measure_words(progress.measure, self.run.recipe.engine.select_by).partition(",")[0]
        self.run.reporter.note(f"{self.stage.name}: no better {what} in {progress.waited} validations, stopping early")
        progress.step = self.total

    def _load_best_weights(self) -> None:
        """Give the best weights of the stage to the next stage, or to the end of the run."""
        self.run.fabric.barrier()
        if self.faults > 1:
            self.run.reporter.note(
                f"{self.stage.name}: {self.faults} validations were not finite; their weights are not kept"
            )
        best = self.run.states.load_best(self.stage.name, self.run.progress.best_step)
        if best is None:
            raise self._diverged(
                f"no validation of stage '{self.stage.name}' gave finite numbers, so no weights were kept"
            )
        own, self.run.companion = apart(best)
        self.run.method.load_state_dict(own)

    def _restore(self, state: Checkpoint) -> None:
        """Put the stage back to where the checkpoint was saved. Raises `TrainingError` for one of another version's form."""
        try:
            self.updates.unpack(state.tensors, state.values)
            self.strategy.load_own_state(named_below(OWN, state.tensors))
            self.first_buffers = named_below(_FIRST, state.tensors)
            self.plateau = Plateau.from_dict(state.values["plateau"])
            self.meter.sums.update(state.values["sums"])
            self.meter.steps = state.values["summed"]
            self.run.fabric._precision.load_state_dict(state.values["scaler"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise TrainingError(
                f"{self.run.states.folder}: the checkpoint was not saved by this version "
                f"({str(error).splitlines()[0]}); continue with the version of Delineate that started the run"
            ) from error


def _copied_buffers(method: Method) -> dict[str, torch.Tensor]:
    """The buffers that belong to the method's state, by name."""
    buffers = {name for name, _ in method.named_buffers()}
    return {name: tensor.clone() for name, tensor in snapshot(method).items() if name in buffers}
