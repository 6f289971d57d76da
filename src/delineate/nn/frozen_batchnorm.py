"""BatchNorm that keeps its running statistics and normalizes by them, in training too. Its scale and shift still learn."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

__all__ = ["batchnorms", "freeze_statistics", "release_statistics"]

BatchNorm = nn.modules.batchnorm._BatchNorm


def batchnorms(module: nn.Module) -> Iterator[nn.Module]:
    """All BatchNorm layers of `module`, of any kind and number of dimensions."""
    return (part for part in module.modules() if isinstance(part, BatchNorm))


def freeze_statistics(module: nn.Module) -> None:
    """Put the BatchNorm layers of `module` into eval mode, where `train()` leaves them until `release_statistics`.

    By a class of their own and not by a call after each `train()`: validation, methods and strategies call that, too.
    """
    for part in batchnorms(module):
        if not hasattr(part, "keeps_statistics"):
            part.__class__ = _keeping_statistics(type(part))
        part.eval()


def release_statistics(module: nn.Module) -> None:
    """Inverse of `freeze_statistics`: the layers are in the mode of `module` again."""
    for part in batchnorms(module):
        if hasattr(part, "keeps_statistics"):
            part.__class__ = type(part).__bases__[0]
            part.train(module.training)


def _keeping_statistics(kind: type[nn.Module]) -> type[nn.Module]:
    def train(self: nn.Module, mode: bool = True) -> nn.Module:
        return kind.train(self, False)

    namespace = {"train": train, "keeps_statistics": True, "__module__": kind.__module__}
    return type(kind.__name__, (kind,), namespace)
