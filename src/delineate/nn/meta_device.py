"""Build a network to ask for its shapes: no memory is taken for its weights, and no number is worked out for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

FILLING = frozenset(
    (
        *("uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "constant_"),
        *("fill_", "zero_", "clamp_", "erfinv_", "mul_", "add_"),
    )
)
"""What initialization does to a weight in place; none of it changes a shape."""


@contextmanager
def on_meta_device() -> Iterator[None]:
    """Networks built inside have weights on the meta device, which have a shape and nothing else."""
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Leaves out initialization. On the meta device torch runs it in Python, which takes most of the time to build a network."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in FILLING:
            weight = args[0] if args else (kwargs or {})["tensor"]
            if weight.is_meta:
                return weight
        return func(*args, **(kwargs or {}))
