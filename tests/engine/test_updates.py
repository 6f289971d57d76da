"""Optimizers of updates: each with settings of its own, at steps of its own, over the parameters of its strategy."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision
from torch import nn

from delineate.common.errors import RecipeError
from delineate.engine.lr_scheduler import SCHEDULES
from delineate.engine.optimizers import OPTIMIZERS, Optimizer
from delineate.engine.parameter_groups import base_rate, make_optimizer
from delineate.engine.recipe import StageSettings
from delineate.engine.updates import Updates
from delineate.methods.contract import Stage, Update
from delineate.methods.registry import build
from delineate.strategies.contract import Strategy
from delineate.strategies.supervised.strategy import Supervised

STAGE = Stage("train")
SETTINGS = StageSettings(lr=0.1, weight_decay=0.2)


class Judged(Supervised):
    """With a critic."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.critic = nn.Conv2d(1, 1, 3)

    def updates(self, stage: Stage) -> tuple[Update, ...]:
        critic = Update("critic", ("critic",), optimizer="adam", lr=2e-4, betas=(0.5, 0.999), weight_decay=0.0, every=3)
        return *super().updates(stage), critic


@pytest.fixture
def judged() -> Strategy:
    strategy = Judged(build("unet", options={"encoder": {"name": "resnet10t"}}), Supervised.Options(ema=0.9))
    strategy.begin(STAGE, strategy.options)
    return strategy


def test_an_update_has_an_optimizer_of_its_own(judged: Strategy) -> None:
    main, critic = (make_optimizer(judged, update, SETTINGS) for update in judged.updates(STAGE))
    assert isinstance(main, torch.optim.AdamW)
    assert type(critic) is torch.optim.Adam
    assert {group["lr"] for group in main.param_groups} == {0.1}
    assert [(group["lr"], group["betas"], group["weight_decay"]) for group in critic.param_groups] == [
        (2e-4, (0.5, 0.999), 0.0)
    ] * 2
    moved = {id(p) for group in critic.param_groups for p in group["params"]}
    assert moved == {id(p) for p in judged.critic.parameters()}  # type: ignore[union-attr, operator]
    mine = {id(p) for group in main.param_groups for p in group["params"]}
    assert mine == {id(p) for p in judged.method.parameters()}, "neither the critic nor the average"


def test_turns_and_gradients(judged: Strategy) -> None:
    updates = Updates(judged, STAGE, SETTINGS, 10)
    names = []
    for step in range(4):
        for update in updates.due(step):
            names.append((step, update.name))
            trained = {name.split(".")[0] for name, p in judged.named_parameters() if p.requires_grad}
            assert trained == {"critic" if update.name == "critic" else "method"}
    assert names == [(0, "main"), (0, "critic"), (1, "main"), (2, "main"), (3, "main"), (3, "critic")]


def test_the_schedule_moves_both_rates(judged: Strategy) -> None:
    updates = Updates(judged, STAGE, SETTINGS, 10)
    for update in judged.updates(STAGE):
        updates.set_rate(update, 0.5)
        assert {group["lr"] for group in updates.raw(update).param_groups} == {0.5 * base_rate(update, SETTINGS)}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"modules": ("critics",)}, "no parameter's name begins with critics"),
        ({"optimizer": "adamm"}, "unknown optimizer 'adamm': did you mean 'adam'"),
        ({"optimizer": "sgd"}, "optimizer 'sgd' has no betas"),
    ],
)
def test_faulty_updates(change: dict[str, object], line: str, judged: Strategy) -> None:
    critic = replace(judged.updates(STAGE)[1], **change)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=line):
        make_optimizer(judged, critic, SETTINGS)


def test_tables_and_recipe_name_the_same() -> None:
    fields = StageSettings.model_fields
    assert get_args(fields["optimizer"].annotation) == tuple(OPTIMIZERS)
    assert get_args(fields["schedule"].annotation) == tuple(SCHEDULES)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_keeps_what_its_row_says(name: str) -> None:
    row: Optimizer = OPTIMIZERS[name]
    parameter = nn.Parameter(torch.ones(3, 4))
    optimizer = row.kind([parameter], lr=0.1, **row.arguments(0.9, None))
    parameter.grad = torch.ones(3, 4)
    optimizer.step()
    kept = [
        value for value in optimizer.state[parameter].values() if isinstance(value, torch.Tensor) and value.dim() > 0
    ]
    assert len(kept) == row.state_tensors


def test_an_overflow_in_float16_holds_back_its_own_optimizer_alone(judged: Strategy) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler=scaler))
    updates = Updates(judged, STAGE, SETTINGS, 10)
    updates.wrap(fabric)
    before = {name: value.detach().clone() for name, value in judged.named_parameters()}
    for update in updates.due(0):
        fabric.backward(sum(p.float().square().sum() for p in judged.parameters() if p.requires_grad))
        if update.name == "critic":
            judged.critic.weight.grad.mul_(torch.inf)  # type: ignore[union-attr, operator]
        updates.optimizer(update).step()
    moved = {name.split(".")[0] for name, value in judged.named_parameters() if not value.equal(before[name])}
    assert moved == {"method"}
    assert scaler.get_scale() == 512
