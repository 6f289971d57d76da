"""Activation checkpointing (gradient checkpointing): submodules keep only their input and compute their activations again in the
backward pass.

Less memory for more time, with the same result: the same random numbers are drawn again, and buffers
(BatchNorm's running statistics) change once per step, not twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["recompute"]


def recompute(module: nn.Module, names: Iterable[str]) -> None:
    """Make the submodules `names` of `module` recompute their activations while training; in eval mode nothing changes.

    It cannot be undone and survives `copy.deepcopy`. The submodules' inputs must not be changed in place afterwards.
    Raises `AttributeError` for a name that is not a submodule.
    """
    for name in names:
        part = module.get_submodule(name)
        if not getattr(part, "recomputes", False):
            part.__class__ = _recomputing(type(part))


def _recomputing(kind: type[nn.Module]) -> type[nn.Module]:
    """A subclass of `kind` whose forward is checkpointed. A class, not a wrapped bound method: that would tie copies of the
    module to the original."""

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if not (self.training and torch.is_grad_enabled()):
            return kind.forward(self, *args, **kwargs)

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            """For the first forward pass, and for the one that recomputes."""
            return nullcontext(), _discard_buffer_changes(self)

        def run(*inner: Any) -> Any:
            return kind.forward(self, *inner, **kwargs)

        return checkpoint(run, *args, use_reentrant=False, context_fn=contexts)

    return type(kind.__name__, (kind,), {"forward": forward, "recomputes": True, "__module__": kind.__module__})


@contextmanager
def _discard_buffer_changes(module: nn.Module) -> Iterator[None]:
    """While open, `module` writes to copies of its buffers, which are thrown away."""
    kept = [(part, dict(part._buffers)) for part in module.modules() if part._buffers]
    try:
        for part, buffers in kept:
            part._buffers.update({name: None if value is None else value.clone() for name, value in buffers.items()})
        yield
    finally:
        for part, buffers in kept:
            part._buffers.update(buffers)
