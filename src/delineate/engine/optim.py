"""Optimisers and learning-rate schedules. A schedule is a function of the step, so that resuming needs no history;
only `plateau` remembers something, and that is saved."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from delineate.common.errors import RecipeError
from delineate.common.names import did_you_mean
from delineate.engine.recipe import StageSettings
from delineate.methods.contract import Method, Update


def named_parameters(method: Method, update: Update) -> dict[str, nn.Parameter]:
    """The parameters an update moves, by name."""

    def chosen(name: str) -> bool:
        return any(not module or name == module or name.startswith(module + ".") for module in update.modules)

    return {name: parameter for name, parameter in method.named_parameters() if chosen(name)}


def check_scales(method: Method, settings: StageSettings) -> None:
    """Raise `RecipeError` when `lr_scale` names no submodule of the method."""
    known = [name for name, _ in method.named_children()]
    for module in settings.lr_scale:
        if not any(name.startswith(module + ".") for name, _ in method.named_parameters()):
            raise RecipeError(f"lr_scale: method has no submodule '{module}': {did_you_mean(module, known)}")


def make_optimiser(method: Method, update: Update, settings: StageSettings) -> torch.optim.Optimizer:
    """One optimiser with parameter groups by learning-rate factor and by whether weight decay applies.

    Weight decay spares biases and normalisation weights (all parameters of one dimension).
    """
    parameters = named_parameters(method, update)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault((_scale(name, settings.lr_scale), parameter.ndim > 1), []).append(parameter)
    described = [
        {
            "params": members,
            "lr": settings.lr * scale,
            "scale": scale,
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for (scale, decays), members in groups.items()
    ]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(described, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)
    kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
    return kind(described, lr=settings.lr, fused=True)


@dataclass
class Plateau:
    """Memory of the plateau schedule: the lowest validation loss and how long ago it was."""

    best: float = math.inf
    waited: int = 0
    factor: float = 1.0

    def observe(self, loss: float, settings: StageSettings) -> None:
        """Take note of a validation loss; after `plateau_patience` without a lower one the rate falls."""
        if loss < self.best:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > settings.plateau_patience:
            self.factor, self.waited = self.factor * settings.plateau_factor, 0

    def as_dict(self) -> dict[str, Any]:
        """JSON form; infinity becomes None."""
        return asdict(self) | {"best": None if math.isinf(self.best) else self.best}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Plateau:
        """Inverse of `as_dict`."""
        return cls(**(content | {"best": math.inf if content["best"] is None else content["best"]}))


def learning_rate_factor(step: int, total: int, settings: StageSettings, plateau: Plateau) -> float:
    """Factor on the base learning rate at `step` of `total`."""
    if settings.schedule == "one-cycle":
        return _one_cycle(step, total, settings.warmup or 0.3)
    warm = round(settings.warmup * total)
    if step < warm:
        return (step + 1) / (warm + 1)
    progress = (step - warm) / max(1, total - warm)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if settings.schedule == "poly":
        return float((1 - progress) ** settings.poly_power)
    if settings.schedule == "step":
        return float(settings.step_factor ** ((step - warm) // settings.step_every))
    return plateau.factor if settings.schedule == "plateau" else 1.0


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Set each group's rate to `lr` times its own scale."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group["scale"]


def _one_cycle(step: int, total: int, rise: float) -> float:
    """Cosine from 1/25 up to 1, then down to 1/250000 (Smith & Topin 2018, with the constants that are customary)."""
    low, end = 1 / 25, 1 / 25e4
    peak = max(1.0, rise * total - 1)
    if step <= peak:
        return low + (1 - low) * 0.5 * (1 - math.cos(math.pi * step / peak))
    done = min(1.0, (step - peak) / max(1.0, total - 1 - peak))
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * done))


def _scale(name: str, scales: dict[str, float]) -> float:
    for module, scale in scales.items():
        if name.startswith(module + "."):
            return scale
    return 1.0
