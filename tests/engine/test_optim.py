"""Schedules against their closed forms and PyTorch's own, groups, and the plateau's memory."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from delineate.engine.lr_scheduler import Plateau, learning_rate_factor
from delineate.engine.parameter_groups import make_optimizer, set_learning_rate
from delineate.engine.recipe import StageSettings
from delineate.methods.contract import Stage
from delineate.methods.registry import build
from delineate.strategies import registry as strategies


def factor(step: int, total: int, **settings: object) -> float:
    return learning_rate_factor(step, total, StageSettings(**settings), Plateau())  # type: ignore[arg-type]


@pytest.mark.parametrize("total", [7, 50, 333])
def test_one_cycle_equals_torch(total: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    peer = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=total, cycle_momentum=False)
    for step in range(total):
        assert factor(step, total, schedule="one-cycle") == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        if step + 1 < total:
            peer.step()


@given(
    st.integers(1, 400),
    st.sampled_from(["constant", "cosine", "poly", "step", "one-cycle", "plateau"]),
    st.floats(0, 0.9),
)
def test_factors_stay_within_bounds(total: int, schedule: str, warmup: float) -> None:
    for step in {0, total // 3, total - 1}:
        assert 0 <= factor(step, total, schedule=schedule, warmup=warmup) <= 1 + 1e-12


def test_closed_forms() -> None:
    assert factor(50, 100, schedule="cosine") == pytest.approx(0.5)
    assert factor(50, 100, schedule="poly", poly_power=2.0) == pytest.approx(0.25)
    assert [factor(step, 100, schedule="constant", warmup=0.04) for step in range(5)] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 1]
    )


@pytest.mark.parametrize("every", [1, 10, 33])
def test_step_equals_torch(every: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    peer = torch.optim.lr_scheduler.StepLR(optimizer, every, gamma=0.9)
    for step in range(100):
        found = factor(step, 100, schedule="step", step_every=every, step_factor=0.9)
        assert found == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        peer.step()
    assert factor(14, 100, schedule="step", warmup=0.1, step_every=5, step_factor=0.5) == 1.0
    assert factor(15, 100, schedule="step", warmup=0.1, step_every=5, step_factor=0.5) == 0.5


def test_plateau_falls_after_patience_and_survives_json() -> None:
    settings = StageSettings(schedule="plateau", plateau_patience=2, plateau_factor=0.1)
    plateau = Plateau()
    assert math.isinf(Plateau.from_dict(plateau.as_dict()).best)
    for loss in [1.0, 1.0, 1.0]:
        plateau.observe(loss, settings)
    assert plateau.factor == 1.0
    plateau = Plateau.from_dict(plateau.as_dict())
    plateau.observe(1.0, settings)
    assert plateau.factor == pytest.approx(0.1)
    plateau.observe(0.5, settings)
    assert (plateau.best, plateau.waited) == (0.5, 0)


def test_groups_scale_the_encoder_and_spare_biases() -> None:
    method = build("unet", options={"encoder": {"name": "resnet18"}})
    strategy = strategies.build("supervised", method)
    (update,) = strategy.updates(Stage("train"))
    optimizer = make_optimizer(strategy, update, StageSettings(lr=1.0, lr_scale={"encoder": 0.1}, weight_decay=0.5))
    set_learning_rate(optimizer, 2.0)
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in method.named_parameters():
        lr, decay = rates.pop(id(parameter))
        assert lr == pytest.approx(0.2 if name.startswith("encoder.") else 2.0)
        assert decay == (0.5 if parameter.ndim > 1 else 0.0)
    assert not rates
