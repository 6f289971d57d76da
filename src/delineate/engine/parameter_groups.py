"""From an update and a stage's settings to an optimizer: which parameters, in which groups, at which rate."""

from __future__ import annotations

import torch
from torch import nn

from delineate.common.errors import RecipeError
from delineate.common.names import did_you_mean
from delineate.engine.optimizers import OPTIMIZERS
from delineate.engine.recipe import StageSettings
from delineate.engine.submodules import is_within, nearest_setting
from delineate.methods.contract import Method, Update
from delineate.nn.encoders.layer_depths import layer_depths
from delineate.strategies.contract import Strategy

__all__ = ["base_rate", "make_optimizer", "named_parameters", "rate_factors", "set_learning_rate"]


def named_parameters(strategy: Strategy, update: Update) -> dict[str, nn.Parameter]:
    """The parameters an update moves, by their names in the strategy."""

    def chosen(name: str) -> bool:
        return any(not module or name == module or is_within(name, module) for module in update.modules)

    return {name: parameter for name, parameter in strategy.named_parameters() if chosen(name)}


def rate_factors(method: Method, settings: StageSettings) -> dict[str, float]:
    """Parameter of the method → factor on the learning rate: `lr_scale` times `layer_decay` to the power of its layer's depth.

    The innermost submodule that a setting names decides; depths are counted from the top of that submodule.
    """
    depths = {module: layer_depths(method.get_submodule(module)) for module in settings.layer_decay}
    factors = {}
    for name, _ in method.named_parameters():
        scale = nearest_setting(name, settings.lr_scale)
        factors[name] = 1.0 if scale is None else scale[1]
        decay = nearest_setting(name, settings.layer_decay)
        if decay is not None:
            module, each = decay
            factors[name] *= each ** depths[module].get(name.removeprefix(f"{module}."), 0)
    return factors


def base_rate(update: Update, settings: StageSettings) -> float:
    """The learning rate of an update before schedule and scales: its own, else the recipe's."""
    return settings.lr if update.lr is None else update.lr


def make_optimizer(strategy: Strategy, update: Update, settings: StageSettings) -> torch.optim.Optimizer:
    """One optimizer with parameter groups by learning-rate factor and by whether weight decay applies.

    Weight decay spares biases and normalization weights (all parameters of one dimension). Raises `RecipeError` for an update
    that moves nothing, or whose settings its optimizer does not have.
    """
    parameters = named_parameters(strategy, update)
    if not parameters:
        raise RecipeError(f"update '{update.name}': no parameter's name begins with {', '.join(update.modules)}")
    factors = {
        prefix + name: factor
        for prefix, network in strategy.learners().items()
        for name, factor in rate_factors(network, settings).items()
    }
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        scale = factors.get(name, 1.0)
        groups.setdefault((scale, parameter.ndim > 1), []).append(parameter)
    lr = base_rate(update, settings)
    weight_decay = settings.weight_decay if update.weight_decay is None else update.weight_decay
    described = [
        {"params": members, "lr": lr * scale, "scale": scale, "weight_decay": weight_decay if decays else 0.0}
        for (scale, decays), members in groups.items()
    ]
    return _build(update, settings, described, lr)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set each group's rate to `lr` times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]


def _build(
    update: Update, settings: StageSettings, groups: list[dict[str, object]], lr: float
) -> torch.optim.Optimizer:
    name = settings.optimizer if update.optimizer is None else update.optimizer
    if name not in OPTIMIZERS:
        raise RecipeError(f"update '{update.name}': unknown optimizer '{name}': {did_you_mean(name, OPTIMIZERS)}")
    row = OPTIMIZERS[name]
    if update.betas is not None and not row.has_betas:
        raise RecipeError(f"update '{update.name}': optimizer '{name}' has no betas")
    return row.kind(groups, lr=lr, **row.arguments(settings.momentum, update.betas))
