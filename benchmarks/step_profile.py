"""Where a training step spends its time on this machine's CPU: every method, by kind of operator, in one run.

    python benchmarks/step_profile.py [METHOD ...] [--preset tiny] [--steps 4] [--rounds 3] [--threads 1] [--set KEY=VALUE]
        [--data FOLDER] [--operators METHOD]

A step is what training does with one batch of drawn images (or of --data): loss, gradients, optimizer, in the method's last stage.

First table: each call of an operator counts with its shortest time in --steps steps, by itself (what it calls is counted
there), so that other work on the machine hardly shows. Columns are shares of the step in percent:

- convolution, matrix: convolutions and matrix products, the arithmetic that nobody can save without another network;
- normalize, sample: batch, layer, group normalization; resizing, pooling and gathering;
- own: inside this library's own operators (window attention, selective scan, large kernels), whatever they call;
- layout: copies, concatenation, padding, fills; elementwise: all other arithmetic; optimizer; and PyTorch's own share
  between operators.
- loss: what of all this (forward alone) lies outside the network's modules. data: making a batch, in one thread, beside
  the step and in percent of it.

GFLOP/s is the arithmetic of convolutions and matrix products (forward and backward) over the whole step.
Second table (--rounds > 0): the same step in the other memory layout and in bfloat16, taking turns, as processor time of the best
round; × = times as fast as the preset.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from delineate.data.cases.phantom import write_phantoms
from delineate.data.core.input_spec import InputSpec
from delineate.engine.build import build_method, build_strategy
from delineate.engine.data_module import kind_for
from delineate.engine.dense import DENSE
from delineate.engine.recipe import Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.run import make_fabric
from delineate.engine.run_folder import RunFolder
from delineate.engine.updates import Updates
from delineate.fewshot.training import EPISODIC
from delineate.methods.contract import Batch, Context, Stage
from operator_times import KINDS, Call, operator_times
from turns import best_of_turns

METHODS = ("unet", "resenc", "condseg", "din", "mslkseg", "mfel", "alpnet", "panet", "ipsl")


@dataclass(frozen=True)
class Step:
    """A method's training step on one batch that is given over and over."""

    recipe: Recipe
    network: nn.Module
    run: Callable[[], None]
    batch_size: int
    batch_seconds: float
    """Of processor time for making one batch."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--data", type=Path, help="a data set; default: drawn images of 128×128")
    parser.add_argument("--operators", action="store_true", help="also print the slowest operators of each method")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(hardware(arguments.threads))
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or write_phantoms(Path(folder) / "data", count=60, size=128, seed=0)

        def prepare(method: str, *settings: str) -> Step:
            request = TrainRequest(data, method, Path(folder) / "run", arguments.preset)
            return prepare_step(replace(request, settings=(*settings, *arguments.settings)))

        print_row("method", "batch", "seconds", "GFLOP/s", *KINDS, "loss", "data")
        for method in arguments.methods:
            print_profile(prepare(method), arguments.steps, operators=arguments.operators)
        if arguments.rounds:
            print_row("method", "as preset", "other layout", "bfloat16")
            for method in arguments.methods:
                compare_settings(method, prepare, arguments.rounds)


def hardware(threads: int) -> str:
    half = "in hardware" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "emulated: slower than float32"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"PyTorch {torch.__version__}, {capability}, {threads} thread(s); bfloat16 {half}"


def prepare_step(request: TrainRequest) -> Step:
    """As the engine builds it, in the method's last stage."""
    recipe = request.recipe()
    opened = kind_for(request.method, (DENSE, EPISODIC)).open(request, RunFolder(request.out), recipe, lambda _: None)
    recipe, spec, _ = opened.settle(recipe)
    method = build_method(recipe, opened.output, spec)
    stages = method.stages()
    source = opened.prepare(recipe, spec).source(stages[-1], index=len(stages) - 1, rank=0, world=1)
    batch, seconds = timed_batch(source.batches(0, 10**6))
    return Step(recipe, method, step_of(recipe, spec, method, stages[-1], batch), len(batch["sample_id"]), seconds)


def timed_batch(batches: Iterator[Batch], count: int = 6) -> tuple[Batch, float]:
    """A batch, and the processor time that one takes (threads of the loader included)."""
    batch = next(batches)
    start = time.process_time()
    for _ in islice(batches, count):
        pass
    return batch, (time.process_time() - start) / count


def step_of(recipe: Recipe, spec: InputSpec, method: Any, stage: Stage, batch: Batch) -> Callable[[], None]:
    strategy = build_strategy(recipe, method)
    strategy.begin(stage, strategy.options)
    updates = Updates(strategy, stage, recipe.stage_settings(stage.name), total=1)
    fabric = make_fabric(recipe)
    terms = updates.wrap(fabric)
    strategy.train()

    def run() -> None:
        strategy.ctx = Context(stage.name, 0, 1, torch.Generator().manual_seed(0))
        for update in updates.due(0):
            strategy.update = update
            updates.optimizer(update).zero_grad(set_to_none=True)
            fabric.backward(sum(terms(batch).values()))
            updates.optimizer(update).step()

    return run


def print_profile(step: Step, rounds: int, *, operators: bool) -> None:
    with FlopCounterMode(display=False) as counter:
        step.run()
    spent = best_of_turns({"": step.run}, rounds)[""].cpu
    calls = operator_times(step.run, rounds)
    total = sum(call.seconds for call in calls)
    seconds: defaultdict[str, float] = defaultdict(float)
    for call in calls:
        seconds[call.kind] += call.seconds
    parts = (*(seconds[kind] for kind in KINDS), sum(call.seconds for call in calls if call.loss))
    shares = [f"{100 * part / total:.1f}" for part in parts]
    data, speed = 100 * step.batch_seconds / spent, counter.get_total_flops() / 1e9 / spent
    print_row(step.recipe.name, step.batch_size, f"{spent:.2f}", f"{speed:.1f}", *shares, f"{data:.1f}")
    if operators:
        print_operators(calls, total)


def print_operators(calls: list[Call], total: float, most: int = 14) -> None:
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    counts = Counter[tuple[str, str]]()
    for call in calls:
        seconds[call.kind, call.name] += call.seconds
        counts[call.kind, call.name] += 1
    for (kind, name), spent in sorted(seconds.items(), key=lambda item: -item[1])[:most]:
        print(f"    {100 * spent / total:5.1f} %  {counts[kind, name]:5d} calls  {kind:12s} {name}")


def compare_settings(method: str, prepare: Callable[..., Step], rounds: int) -> None:
    as_set = prepare(method)
    other = str(not as_set.recipe.engine.channels_last).lower()
    contestants = {
        "as set": as_set.run,
        "layout": prepare(method, f"engine.channels_last={other}").run,
        "bfloat16": prepare(method, "engine.precision=bf16").run,
    }
    best = best_of_turns(contestants, rounds)
    first, layout, half = (best[name].cpu for name in contestants)
    print_row(method, f"{first:.2f} s", f"{first / layout:.2f}×", f"{first / half:.2f}×")


def print_row(*cells: object) -> None:
    print("".join(f"{cell!s:>12}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
