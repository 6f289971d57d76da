"""A small method, small batches, and training steps as the engine makes them, on which strategies are checked."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from delineate.methods.contract import Batch, Context, MethodInfo, MethodOptions, Update
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.methods.episodic import EpisodicMethod
from delineate.methods.testing.examples import example_batch, trains
from delineate.nn.segmentation_loss import LossOptions, segmentation_loss
from delineate.strategies import registry
from delineate.strategies.contract import Strategy

__all__ = [
    "FIRST",
    "SIZE",
    "TOTAL",
    "Closed",
    "Episodic",
    "Open",
    "Trainer",
    "batch",
    "build",
    "method",
    "place",
    "train",
]

SIZE = 32
FIRST, TOTAL = 90, 100
"""Checks begin late in a stage of so many steps: what rises with time is there."""


class Closed(DenseMethod):
    """Two convolutions, normalized in groups, so that samples do not see each other; its inside is not open."""

    info = MethodInfo(name="closed", title="Closed", paper="none", year=2026, min_size=8)
    Options = MethodOptions

    def __init__(self, options: MethodOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        self.body = nn.Sequential(nn.Conv2d(in_channels, 16, 5, padding=2), nn.GroupNorm(4, 16), nn.ReLU())
        self.head = nn.Conv2d(16, classes, 5, padding=2)
        self.register_buffer("seen", torch.zeros(()))
        self.seen: Tensor

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image))

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        return segmentation_loss(self(batch["image"]), batch["mask"], LossOptions())

    def after_step(self, ctx: Context) -> None:
        self.seen += 1

    def deploy(self) -> nn.Module:
        return copy.deepcopy(self).eval()


class Open(Closed):
    """The same with `encode` and `decode`."""

    info = MethodInfo(name="open", title="Open", paper="none", year=2026, min_size=8)

    def forward(self, image: Tensor) -> Tensor:
        return self.decode(self.encode(image))

    def encode(self, image: Tensor) -> FeatureMaps:
        return FeatureMaps([self.body(image)], (image.shape[-2], image.shape[-1]))

    def decode(self, maps: FeatureMaps) -> Tensor:
        return self.head(maps.levels[0])


class Episodic(EpisodicMethod):
    """Of the other kind, to be refused."""

    info = MethodInfo(name="episodic", title="Episodic", paper="none", year=2026)
    Options = MethodOptions


def method(kind: type[DenseMethod] = Open, *, classes: int = 1, seed: int = 0) -> DenseMethod:
    """An example method with seeded random weights."""
    torch.manual_seed(seed)
    return kind(MethodOptions(), classes=classes, in_channels=3)


def build(name: str, options: Mapping[str, Any] | None = None, *, classes: int = 1, seed: int = 0) -> Strategy:
    """The strategy on an example method that has moved on since the stage began, so that a copy of it is no longer the same. The
    seed is of the strategy's own networks too."""
    held = method(classes=classes, seed=seed)
    torch.manual_seed(seed + 1)
    strategy = registry.build(name, held, registry.checked_options(name, options or {}))
    strategy.begin(held.stages()[0], strategy.options)
    elsewhere = method(classes=classes, seed=seed + 2)
    with torch.no_grad():
        for key, parameter in elsewhere.named_parameters():
            held.get_parameter(key).lerp_(parameter, 0.1)
    return strategy.train()


def batch(count: int = 4, *, labeled: str = "some", classes: int = 1, seed: int = 0) -> Batch:
    """Pictures of ellipses in falling brightness; of each two neighbors the second has no mask, or ("all", "none") all or none
    have."""
    made = example_batch(count, classes=classes, size=SIZE, seed=seed)
    made["image"] *= torch.linspace(1, 0.4, count).view(-1, 1, 1, 1)
    bare = {"all": torch.zeros(count), "some": torch.arange(count) % 2, "none": torch.ones(count)}[labeled].bool()
    made["mask"][bare] = 255
    made["labeled"] = ~bare
    return made


def place(strategy: Strategy, update: Update, step: int = FIRST, *, seed: int = 0) -> Context:
    """Tell the strategy where training stands, as the loop does; the context, with its generator."""
    strategy.update = update
    strategy.ctx = Context(strategy.stage.name, step, TOTAL, torch.Generator().manual_seed(1000 * seed + step))
    return strategy.ctx


class Trainer:
    """One process of training: a strategy with an optimizer for each update."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.updates = strategy.updates(strategy.stage)
        self.moved = {
            update.name: [p for name, p in strategy.named_parameters() if trains(update, name)]
            for update in self.updates
        }
        self.optimizers = {
            update.name: torch.optim.Adam(
                self.moved[update.name], update.lr or 1e-3, betas=update.betas or (0.9, 0.999), fused=True
            )
            for update in self.updates
        }

    def state(self) -> list[Any]:
        """What a run would save: the method, the strategy's own, the optimizers."""
        optimizers = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        return copy.deepcopy([self.strategy.method.state_dict(), self.strategy.own_state(), optimizers])

    def load(self, state: Sequence[Any]) -> None:
        """Inverse of `state`."""
        weights, own, optimizers = copy.deepcopy(list(state))
        self.strategy.method.load_state_dict(weights)
        self.strategy.load_own_state(own)
        for name, content in optimizers.items():
            self.optimizers[name].load_state_dict(content)

    def backward(self, update: Update, batch: Batch, step: int, rank: int) -> Context:
        """Gradients of the update's terms, of its parameters alone; the context they were taken in."""
        for parameter in self.strategy.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        for parameter in self.moved[update.name]:
            parameter.requires_grad_(True)
        ctx = place(self.strategy, update, step, seed=rank)
        torch.manual_seed(1000 * rank + step)
        torch.stack([term.float() for term in self.strategy(batch).values()]).sum().backward()  # type: ignore[no-untyped-call]
        return ctx


def train(processes: Sequence[Trainer], batches: Mapping[int, Batch]) -> None:
    """Make the steps of `batches` (step → batch of all processes together), exchanging gradients and buffers as DDP does."""
    for step, whole in batches.items():
        share = len(whole["sample_id"]) // len(processes)
        for at, update in enumerate(processes[0].updates):
            if step % update.every:
                continue
            _share_buffers([process.strategy for process in processes])
            for rank, process in enumerate(processes):
                part = {key: value[rank * share : (rank + 1) * share] for key, value in whole.items()}  # type: ignore[index]
                process.backward(process.updates[at], part, step, rank)  # type: ignore[arg-type]
            _share_gradients([process.moved[update.name] for process in processes])
            for process in processes:
                process.optimizers[update.name].step()
        for rank, process in enumerate(processes):
            process.strategy.after_step(place(process.strategy, process.updates[0], step, seed=rank))


def _share_buffers(strategies: Sequence[Strategy]) -> None:
    """The first process's, in all."""
    for other in strategies[1:]:
        for mine, theirs in zip(strategies[0].buffers(), other.buffers(), strict=True):
            theirs.copy_(mine)


def _share_gradients(moved: Sequence[Sequence[nn.Parameter]]) -> None:
    """Their mean, in all."""
    for same in zip(*moved, strict=True):
        found = [parameter.grad for parameter in same if parameter.grad is not None]
        if found:
            mean = torch.stack(found).sum(0) / len(moved)
            for parameter in same:
                parameter.grad = mean.clone()
