"""ConDSeg's training step (stage II, forward and backward): the library's form against the literal one, in one run.

    python benchmarks/condseg_step.py [--rounds N] [--batch 4] [--size 256] [--threads 2] [--only speed|memory|operator]

Time: all contestants have the same loss and take turns, so that other work on the machine meets each alike; a ratio is that
of the best rounds. Memory: each contestant does one step in a process of its own; what counts is the peak of
resident memory above what the process held with the network built and one small step done.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from delineate.methods import registry
from delineate.methods.condseg.network import ConDSeg
from delineate.methods.condseg.objective import Maps, segmentation_terms
from delineate.nn.output import Output
from delineate.nn.recompute import recompute
from delineate.nn.window_attention import WindowAggregation, attention_rows
from oracle import oracle
from turns import best_of_turns, print_times

Step = Callable[[], object]
CONTESTANTS = ("literal float32", "float32", "float32, recomputing", "bfloat16", "bfloat16, recomputing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("speed", "memory", "operator"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shape = (arguments.batch, 3, arguments.size, arguments.size)
    if arguments.only in (None, "operator"):
        compare_operator(arguments.batch, arguments.size // 2, arguments.rounds, arguments.threads)
    if arguments.only in (None, "memory"):
        compare_memory(shape, arguments.threads)
    if arguments.only in (None, "speed"):
        print_times(best_of_turns({name: step(name, shape) for name in CONTESTANTS}, arguments.rounds))


def step(name: str, shape: tuple[int, ...]) -> Step:
    """One training step of a contestant; gradients are written and dropped."""
    torch.manual_seed(0)
    maps: Callable[[Tensor], Maps]
    if name.startswith("literal"):
        network = oracle("condseg_literal").LiteralConDSeg().train()
        maps, layout = lambda image: Maps(*network(image)), torch.contiguous_format
    else:
        network = registry.build("condseg", options={"normalize": "none"}).train()
        assert isinstance(network, ConDSeg)
        network.to(memory_format=torch.channels_last)
        if name.endswith("recomputing"):
            recompute(network, network.info.checkpoint_modules)
        maps, layout = network.maps, torch.channels_last
    image = torch.rand(shape).contiguous(memory_format=layout)
    target = (torch.rand(shape[0], *shape[2:]) > 0.5).long()
    half = name.startswith("bfloat16")

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            found = maps(image)
        terms = segmentation_terms(found, target, Output(1), beta="one", detach_coverage=False, complement="logits")
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        network.zero_grad()

    return run


def compare_memory(shape: tuple[int, ...], threads: int) -> None:
    print_peaks(lambda name: in_own_process(_peak_of_step, name, shape, threads), CONTESTANTS)


def compare_operator(batch: int, side: int, rounds: int, threads: int) -> None:
    """The window operator alone, at the first level's size with 128 channels and 4 heads."""
    names = ("literal operator", "operator")
    print(f"window operator, {batch}×128×{side}×{side}, forward and backward")
    print_times(best_of_turns({name: operator_step(name, batch, side) for name in names}, rounds))
    print_peaks(lambda name: in_own_process(_peak_of_operator, name, (batch, side), threads), names)


def operator_step(name: str, batch: int, side: int) -> Step:
    torch.manual_seed(0)
    module = WindowAggregation(128, 128, 4)
    value = torch.randn(128, batch, side, side).transpose(0, 1).requires_grad_()
    guide = torch.randn(batch, 128, side, side).contiguous(memory_format=torch.channels_last).requires_grad_()
    if name == "operator":
        return lambda: module(value, guide).sum().backward()
    value, guide = (x.detach().contiguous().requires_grad_() for x in (value, guide))
    linear, back = copy.deepcopy(module.logits), attention_rows(4).argsort()
    linear.weight, linear.bias = (nn.Parameter(x.detach()[back]) for x in (linear.weight, linear.bias))
    literal = oracle("condseg_literal").window_attention
    return lambda: literal(value, guide, linear, 4).sum().backward()


def in_own_process(measure: Callable[..., float], name: str, size: tuple[int, ...], threads: int) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (name, size, threads))


def _peak_of_step(name: str, shape: tuple[int, ...], threads: int) -> float:
    torch.set_num_threads(threads)
    step(name, (2, 3, 32, 32))()
    run = step(name, shape)
    return _peak_of(run)


def _peak_of_operator(name: str, size: tuple[int, int], threads: int) -> float:
    torch.set_num_threads(threads)
    operator_step(name, 1, 8)()
    return _peak_of(operator_step(name, *size))


def _peak_of(run: Step) -> float:
    """MiB of resident memory that `run` needs above what there is before it. (Linux; `ru_maxrss` would not do, a child's
    begins with its parent's.)"""
    before = _memory("VmRSS")
    run()
    return _memory("VmHWM") - before


def _memory(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def print_peaks(measure: Callable[[str], float], names: Sequence[str]) -> None:
    """MiB of each, with its ratio to the first (the literal form)."""
    first = 0.0
    for name in names:
        peak = measure(name)
        first = first or peak
        print(f"{name:24s} {peak:8.0f} MiB {peak / first:5.0%}", flush=True)


if __name__ == "__main__":
    main()
