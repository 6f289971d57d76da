"""Units of work on several threads, where PyTorch would divide each of its small operations.

A scan in the cache is thousands of operations of some microseconds. If each were divided, threads would wait for each other at
the end of every one: no gain on an idle machine, and far slower on a busy one (measured: 50 times).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["run_in_threads"]

_Unit = TypeVar("_Unit")


def run_in_threads(work: Callable[[_Unit], None], units: Sequence[_Unit], threads: int) -> None:
    """`work(unit)` for each unit, on up to `threads` threads, each of which runs PyTorch's operations alone.

    Units must not write to the same memory; no gradients are recorded.
    """
    allowed, inference = torch.get_num_threads(), torch.is_inference_mode_enabled()

    def run(some: Iterable[_Unit]) -> None:
        # Inference mode and no_grad belong to a thread, so each sets its own.
        with torch.inference_mode(inference), torch.no_grad():
            for unit in some:
                work(unit)

    if allowed == 1 or not _can_set_threads():
        run(units)
        return
    try:
        if threads == 1 or len(units) == 1:
            torch.set_num_threads(1)
            run(units)
        else:
            # Threads live for this call only: 70 µs each, and a later fork finds none.
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                for _ in pool.map(lambda unit: run([unit]), units):
                    pass
    finally:
        torch.set_num_threads(allowed)


@functools.cache
def _can_set_threads() -> bool:
    """Only with OpenMP may the number of threads change while a program runs."""
    return "ATen parallel backend: OpenMP" in torch.__config__.parallel_info()
