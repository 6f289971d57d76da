"""Activation checkpointing: submodules that keep only their input and compute the rest again in the backward pass.

Less memory for more time, with the same result: random numbers are drawn again as they were, and what a module keeps in
buffers (BatchNorm's running statistics) changes once per step, not twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute(module: nn.Module, names: Iterable[str]) -> None:
    """Make the submodules `names` of `module` recompute their activations while training; in eval mode nothing changes.

    It holds from then on and survives `copy.deepcopy`. The submodules' inputs must not be changed in place afterwards.
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
            return nullcontext(), _on_copies_of_buffers(self)

        def run(*inner: Any) -> Any:
            return kind.forward(self, *inner, **kwargs)

        return checkpoint(run, *args, use_reentrant=False, context_fn=contexts)

    return type(kind.__name__, (kind,), {"forward": forward, "recomputes": True, "__module__": kind.__module__})


@contextmanager
def _on_copies_of_buffers(module: nn.Module) -> Iterator[None]:
    """While open, whatever `module` writes to its buffers goes to copies that are thrown away."""
    kept = [(part, dict(part._buffers)) for part in module.modules() if part._buffers]
    try:
        for part, buffers in kept:
            part._buffers.update({name: None if value is None else value.clone() for name, value in buffers.items()})
        yield
    finally:
        for part, buffers in kept:
            part._buffers.update(buffers)
