"""Which optimizers there are. A new one is a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["OPTIMIZERS", "Optimizer"]

_Betas = tuple[float, float]


@dataclass(frozen=True)
class Optimizer:
    """A row: what is built, with which arguments, and what it keeps."""

    kind: Callable[..., torch.optim.Optimizer]
    state_tensors: int
    """Numbers that it keeps for each parameter, for the estimate of memory."""
    arguments: Callable[[float, _Betas | None], dict[str, Any]]
    """(the recipe's momentum, an update's betas or None) → further arguments of `kind`."""
    has_betas: bool = False


def _adam(momentum: float, betas: _Betas | None) -> dict[str, Any]:
    return {"fused": True} if betas is None else {"fused": True, "betas": betas}


def _sgd(momentum: float, betas: _Betas | None) -> dict[str, Any]:
    return {"momentum": momentum, "nesterov": momentum > 0}


OPTIMIZERS = {
    "adam": Optimizer(torch.optim.Adam, 2, _adam, has_betas=True),
    "adamw": Optimizer(torch.optim.AdamW, 2, _adam, has_betas=True),
    "sgd": Optimizer(torch.optim.SGD, 1, _sgd),
}
