"""How many forward passes a training step takes, counted and not declared: what a way of training costs beside minutes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from delineate.engine.recipe import Recipe
from delineate.inference.predictor import Predictor
from delineate.methods.contract import Batch, Context, Method, Stage
from delineate.strategies import registry as strategies
from delineate.strategies.contract import Strategy

__all__ = ["passes_per_step"]

_BARE = 0.5
"""Share of a batch that has masks, where the recipe leaves it to the data and there are images without."""


def passes_per_step(trained: Predictor, recipe: Recipe, *, unlabeled: bool) -> float:
    """Images that pass through the first layer of all of the strategy's networks in a step in the middle of training, per image of
    the batch: 1 for supervised training of most methods. Mean over the stages by their shares.

    Args:
        trained: A model of that recipe.
        recipe: Of its run.
        unlabeled: Whether its training images are in part without masks.
    """
    method = trained.method.cpu()
    assert isinstance(method, Method)
    built = strategies.build(recipe.strategy["name"], method, recipe.strategy_options())
    total, shares = 0.0, 0.0
    for stage in method.stages():
        if (share := recipe.share(stage)) > 0:
            total += share * _of_stage(built, stage, recipe, trained, unlabeled)
            shares += share
    return total / shares


def _of_stage(strategy: Strategy, stage: Stage, recipe: Recipe, trained: Predictor, unlabeled: bool) -> float:
    strategy.begin(stage, recipe.strategy_options(stage.name))
    strategy.train()
    size = recipe.stage_settings(stage.name).batch_size
    batch = _batch(trained, size, recipe, unlabeled and strategy.info.uses_unlabeled)
    strategy.ctx = Context(stage.name, 500, 1000, torch.Generator().manual_seed(0))
    networks = [module for module in strategy.modules() if isinstance(module, Method)]
    counted = 0
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for update in strategy.updates(stage):
            strategy.update = update
            with _Counting(networks) as counting:
                strategy(batch)
            counted += counting.images
    return counted / size


class _Counting:
    """Counts, while it is entered, the samples that reach the layer of each network that is reached first."""

    def __init__(self, networks: list[Method]) -> None:
        self._owner = {id(part): at for at, network in enumerate(networks) for part in network.modules()}
        self._first: dict[int, int] = {}
        self.images = 0

    def __enter__(self) -> _Counting:
        self._handle = nn.modules.module.register_module_forward_pre_hook(self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _seen(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        owner = self._owner.get(id(module))
        if owner is None or not isinstance(module, nn.Conv2d | nn.Linear):
            return
        if self._first.setdefault(owner, id(module)) == id(module):
            self.images += len(given[0])


def _batch(trained: Predictor, size: int, recipe: Recipe, partly: bool) -> Batch:
    """Noise with random masks, as many of them as a batch of the recipe has."""
    rng = torch.Generator().manual_seed(0)
    height, width = trained.spec.size
    labeled = torch.ones(size, dtype=torch.bool)
    if partly:
        labeled[math.ceil((recipe.data.labeled_share or _BARE) * size) :] = False
    classes = len(trained.classes.names)
    mask = torch.randint(0, classes, (size, height, width), generator=rng)
    mask[~labeled] = 255
    return {
        "image": torch.rand(size, trained.spec.in_channels, height, width, generator=rng),
        "mask": mask,
        "labeled": labeled,
        "sample_id": [str(at) for at in range(size)],
    }
