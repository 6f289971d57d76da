"""Mixed precision (autocast): which type is in use, and how to leave it where rounding would show."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["autocast_dtype", "without_autocast"]


def autocast_dtype(device: str) -> torch.dtype | None:
    """The type that autocast computes in on this kind of device ("cpu", "cuda" …); None where it is off or unknown."""
    active = _has_autocast(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if active else None


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _has_autocast(device: str) -> bool:
    """Asked while a network is compiled or exported, not in it: PyTorch 2.10 cannot trace the question."""
    return torch.amp.is_autocast_available(device)


def without_autocast(device: str) -> AbstractContextManager[None]:
    """Inside, operations keep the type of their inputs."""
    return nullcontext() if autocast_dtype(device) is None else torch.autocast(device, enabled=False)
