"""Work that is divided among threads as a whole, where PyTorch would divide each of its small operations.

A scan in the cache is thousands of operations of some microseconds. Were each divided, threads would wait for each other at
the end of every one: no gain on an idle machine, and on a busy one a loss without bound (measured: 50 times).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Unit = TypeVar("Unit")


def run_in_threads(work: Callable[[Unit], None], units: Sequence[Unit], threads: int) -> None:
    """`work(unit)` for each, on up to `threads` threads, with PyTorch's operations undivided. Units must not write to
    the same memory; no gradients are recorded."""
    allowed = torch.get_num_threads()
    if allowed == 1 or not _settable():
        _run(work, units, torch.is_inference_mode_enabled())
        return
    try:
        if threads == 1 or len(units) == 1:
            torch.set_num_threads(1)
            _run(work, units, torch.is_inference_mode_enabled())
        else:
            one = functools.partial(_run_one, work, inference=torch.is_inference_mode_enabled())
            # Threads live for this call only: 70 µs each, and nothing that a fork could break.
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                for _ in pool.map(one, units):
                    pass
    finally:
        torch.set_num_threads(allowed)


def _run_one(work: Callable[[Unit], None], unit: Unit, inference: bool) -> None:
    _run(work, [unit], inference)


def _run(work: Callable[[Unit], None], units: Iterable[Unit], inference: bool) -> None:
    """The modes belong to a thread, so each sets its own."""
    with torch.inference_mode(inference), torch.no_grad():
        for unit in units:
            work(unit)


@functools.cache
def _settable() -> bool:
    """Only with OpenMP may the number of threads change while a program runs."""
    return "ATen parallel backend: OpenMP" in torch.__config__.parallel_info()
