"""Timing of several contestants that take turns, so that other work on the machine meets each alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def best_of_turns(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each contestant's fastest round; the first round warms up and does not count."""
    best = dict.fromkeys(contestants, float("inf"))
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
            if turn:
                best[name] = min(best[name], seconds)
    return best
