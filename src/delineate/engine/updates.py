"""The updates of a stage: what each moves, with which optimizer, and when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor

from delineate.engine.checkpoint import pack_optimizer, unpack_optimizer
from delineate.engine.distributed import allow_unused
from delineate.engine.freezing import first_steps
from delineate.engine.parameter_groups import base_rate, make_optimizer, named_parameters, set_learning_rate
from delineate.engine.recipe import StageSettings
from delineate.methods.contract import Stage, Update
from delineate.strategies.contract import Strategy

__all__ = ["Updates"]


class Updates:
    """The optimizers of one stage, one for each update of its strategy."""

    def __init__(self, strategy: Strategy, stage: Stage, settings: StageSettings, total: int) -> None:
        """`total`: steps of the stage."""
        self._strategy, self._settings = strategy, settings
        self._all = strategy.updates(stage)
        self._moved = {update.name: named_parameters(strategy, update) for update in self._all}
        frozen = first_steps(strategy.method, settings.freeze, total)
        self._learns_from = {prefix + name: step for prefix in strategy.learners() for name, step in frozen.items()}
        """Parameters that are frozen at first → the step at which they begin to learn."""
        self.thaws = sorted({step for step in frozen.values() if step < total})
        """The steps at which frozen parameters begin to learn."""
        # What is frozen to the end has no gradient before it is wrapped, so that processes never wait for it.
        self._train_only(
            name for names in self._moved.values() for name in names if not self._is_frozen(name, total - 1)
        )
        self._optimizers = {update.name: make_optimizer(strategy, update, settings) for update in self._all}
        self._wrapped: dict[str, Any] = {}
        self.unlabeled = strategy.method.info.uses_unlabeled or strategy.info.uses_unlabeled
        """Whether a batch may have samples without masks."""

    def wrap(self, fabric: Fabric) -> Any:
        """The strategy as this run's device, precision and processes want it; from here on its optimizers are, too."""
        # A parameter that no loss of a step reaches would be waited for: that of another update, of images without masks, or one
        # that is frozen for a while. The same in all steps of a stage, also of a resumed one: the order of additions depends on it.
        allow_unused(fabric, len(self._all) > 1 or self.unlabeled or bool(self.thaws))
        module, *optimizers = fabric.setup(self._strategy, *self._optimizers.values())
        self._wrapped = dict(zip(self._optimizers, optimizers, strict=True))
        return module

    def due(self, step: int) -> Iterable[Update]:
        """Those of a step, in order; meanwhile only the parameters of the current one get gradients, and none that is frozen.

        A frozen parameter has no gradient, so that optimizers pass it over: no weight decay, no momentum.
        """
        for update in self._all:
            if step % update.every == 0:
                if len(self._all) > 1 or self._learns_from:
                    self._train_only(name for name in self._moved[update.name] if not self._is_frozen(name, step))
                yield update

    def set_rate(self, update: Update, factor: float) -> None:
        """Learning rates of a step: the update's own or the recipe's, times the schedule's factor."""
        set_learning_rate(self._optimizers[update.name], base_rate(update, self._settings) * factor)

    def optimizer(self, update: Update) -> Any:
        """The wrapped optimizer of an update."""
        return self._wrapped[update.name]

    def raw(self, update: Update) -> torch.optim.Optimizer:
        """The same without wrapper, for what acts on its gradients."""
        return self._optimizers[update.name]

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and values of all optimizers, by dotted name."""
        tensors: dict[str, Tensor] = {}
        values: dict[str, Any] = {}
        for name, optimizer in self._optimizers.items():
            packed, values[f"optimizer.{name}"] = pack_optimizer(f"optimizer.{name}", optimizer, self._moved[name])
            tensors |= packed
        return tensors, values

    def unpack(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Inverse of `pack`."""
        for name, optimizer in self._optimizers.items():
            held = values[f"optimizer.{name}"]
            unpack_optimizer(f"optimizer.{name}", optimizer, self._moved[name], tensors, held)

    def _is_frozen(self, name: str, step: int) -> bool:
        return step < self._learns_from.get(name, 0)

    def _train_only(self, names: Iterable[str]) -> None:
        wanted = set(names)
        for name, parameter in self._strategy.named_parameters():
            parameter.requires_grad_(name in wanted)
