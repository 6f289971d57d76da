"""The most memory that a piece of work held, where the system tells."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch

__all__ = ["peak_memory", "reset_peak"]

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Begin to measure anew. (Linux: resident memory; CUDA: allocated memory.)"""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        _RESET.write_text("5", encoding="ascii")


def peak_memory() -> float | None:
    """MiB since `reset_peak`: of the GPU where there is one, else of this process; None where the system does not tell."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        line = next(line for line in _STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) / 1024
