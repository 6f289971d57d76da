"""Timing of several contestants that take turns, so that other work on the machine meets each alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Best(NamedTuple):
    """Of the fastest round: seconds on the clock; and, of the thriftiest, seconds of processor time over all threads."""

    wall: float
    cpu: float


def best_of_turns(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Best]:
    """The best of each contestant; the first round warms up and does not count."""
    best = dict.fromkeys(contestants, Best(float("inf"), float("inf")))
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            found = Best(time.perf_counter() - wall, time.process_time() - cpu)
            if turn:
                best[name] = Best(*map(min, best[name], found))
    return best


def print_times(best: Mapping[str, Best]) -> None:
    """A line each, with ratios to the first. Processor time says more than the clock where the machine is not idle."""
    first = next(iter(best.values()))
    for name, (wall, cpu) in best.items():
        ratios = f"{first.wall / wall:5.2f}×   processor {cpu:8.3f} s {first.cpu / cpu:5.2f}×"
        print(f"{name:24s} {wall:8.3f} s {ratios}", flush=True)
