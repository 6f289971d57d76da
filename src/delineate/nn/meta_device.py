"""Build a network for its shapes alone, on PyTorch's meta device: no memory for its weights, and no initialization."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["on_meta_device"]

_INITIALIZERS = frozenset(
    (
        *("uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "constant_"),
        *("fill_", "zero_", "clamp_", "erfinv_", "mul_", "add_"),
    )
)
"""Functions by which weights are initialized in place; none of them changes a shape."""


@contextmanager
def on_meta_device() -> Iterator[None]:
    """Networks built inside have weights on the meta device, which have a shape and no values."""
    with torch.device("meta"), _SkipInitialization():
        yield


class _SkipInitialization(TorchFunctionMode):
    """On the meta device torch runs initialization in Python, which takes most of the time to build a network."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in _INITIALIZERS:
            weight = args[0] if args else (kwargs or {})["tensor"]
            if weight.is_meta:
                return weight
        return func(*args, **(kwargs or {}))
