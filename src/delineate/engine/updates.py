"""The updates of a stage: what each moves, with which optimiser, and when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor

from delineate.engine.checkpoint import pack_optimiser, unpack_optimiser
from delineate.engine.optim import base_rate, make_optimiser, named_parameters, set_learning_rate
from delineate.engine.ranks import allow_unused
from delineate.engine.recipe import StageSettings
from delineate.methods.contract import Stage, Update
from delineate.strategies.contract import Strategy


class Updates:
    """The optimisers of one stage, one for each update of its strategy."""

    def __init__(self, strategy: Strategy, stage: Stage, settings: StageSettings) -> None:
        self._strategy, self._settings = strategy, settings
        self._all = strategy.updates(stage)
        self._moved = {update.name: named_parameters(strategy, update) for update in self._all}
        self._train_only(name for names in self._moved.values() for name in names)
        self._optimisers = {update.name: make_optimiser(strategy, update, settings) for update in self._all}
        self._wrapped: dict[str, Any] = {}

    def wrap(self, fabric: Fabric) -> Any:
        """The strategy as this run's device, precision and processes want it; from here on its optimisers are, too."""
        unlabelled = self._strategy.method.info.uses_unlabelled or self._strategy.info.uses_unlabelled
        # A parameter that no loss of a step reaches would be waited for: that of another update, or of images without masks.
        allow_unused(fabric, len(self._all) > 1 or unlabelled)
        module, *optimisers = fabric.setup(self._strategy, *self._optimisers.values())
        self._wrapped = dict(zip(self._optimisers, optimisers, strict=True))
        return module

    def due(self, step: int) -> Iterable[Update]:
        """Those of a step, in order; meanwhile only the parameters of the current one get gradients."""
        for update in self._all:
            if step % update.every == 0:
                if len(self._all) > 1:
                    self._train_only(self._moved[update.name])
                yield update

    def set_rate(self, update: Update, factor: float) -> None:
        """Learning rates of a step: the update's own or the recipe's, times the schedule's factor."""
        set_learning_rate(self._optimisers[update.name], base_rate(update, self._settings) * factor)

    def optimiser(self, update: Update) -> Any:
        """The wrapped optimiser of an update."""
        return self._wrapped[update.name]

    def raw(self, update: Update) -> torch.optim.Optimizer:
        """The same without wrapper, for what acts on its gradients."""
        return self._optimisers[update.name]

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and values of all optimisers, by dotted name."""
        tensors: dict[str, Tensor] = {}
        values: dict[str, Any] = {}
        for name, optimiser in self._optimisers.items():
            packed, values[f"optimiser.{name}"] = pack_optimiser(f"optimiser.{name}", optimiser)
            tensors |= packed
        return tensors, values

    def unpack(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Inverse of `pack`."""
        for name, optimiser in self._optimisers.items():
            unpack_optimiser(f"optimiser.{name}", optimiser, tensors, values[f"optimiser.{name}"])

    def _train_only(self, names: Iterable[str]) -> None:
        wanted = set(names)
        for name, parameter in self._strategy.named_parameters():
            parameter.requires_grad_(name in wanted)
