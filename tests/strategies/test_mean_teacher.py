"""Mean teacher against its formulas: the average's closed form, the ramp, which images are compared, and views brought back."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from delineate.methods.contract import Batch, Context, Stage
from delineate.strategies import registry
from delineate.strategies.averaging import ema_decay, update_average
from delineate.strategies.batches import select_samples
from delineate.strategies.mean_teacher.strategy import MeanTeacher
from delineate.strategies.testing.examples import TOTAL, Trainer, batch, build, method, place, train


def teacher(**options: Any) -> MeanTeacher:
    strategy = build("mean-teacher", options)
    assert isinstance(strategy, MeanTeacher)
    return strategy


def test_the_average_is_the_closed_form() -> None:
    kept, moving = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    values = [2.0, -1.0, 0.5]
    with torch.no_grad():
        kept.weight.fill_(3.0)
        for value in values:
            moving.weight.fill_(value)
            update_average(kept, moving, 0.9)
    wanted = 0.9**3 * 3 + 0.1 * (0.81 * values[0] + 0.9 * values[1] + values[2])
    assert float(kept.weight.detach()) == pytest.approx(wanted, abs=1e-6)


def test_the_decay_rises_to_its_value() -> None:
    assert [ema_decay(0.99, 10, step) for step in (0, 1, 10**6)] == [0.1, 2 / 11, 0.99]
    assert {ema_decay(0.9, 0, step) for step in (0, 1, 100)} == {0.9}


@pytest.mark.parametrize(
    ("ramp", "at", "wanted"), [(1.0, 0, math.exp(-5)), (0.5, 25, math.exp(-1.25)), (0.5, 50, 1), (0, 0, 1)]
)
def test_the_weight_rises(ramp: float, at: int, wanted: float) -> None:
    strategy = teacher(weight=2, ramp=ramp)
    strategy.ctx = Context("train", at, TOTAL, torch.Generator())
    assert strategy.weight() == pytest.approx(2 * wanted)


@pytest.mark.parametrize(("on", "images"), [("all", 4), ("unlabeled", 2)])
def test_which_images_are_compared(on: str, images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = teacher(on=on)
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(strategy, "added", lambda image: seen.append(image) or image.mean())
    place(strategy, strategy.updates(strategy.stage)[0])
    made = batch()
    strategy(made)
    assert torch.equal(seen[0], made["image"] if on == "all" else made["image"][~made["labeled"]])
    assert len(seen[0]) == images
    if on == "unlabeled":
        assert "consistency" not in strategy(batch(labeled="all"))


@pytest.mark.parametrize("on", ["all", "unlabeled"])
@pytest.mark.parametrize("cuts", [(0, 1, 2, 4), (0, 3, 4)])
def test_parts_of_a_batch_add_up_to_it(on: str, cuts: tuple[int, ...]) -> None:
    """Also where a part (the second image, of the first cuts) has no masks, or has nothing but masks."""
    strategy, made = teacher(on=on, view="none", weight=5, ramp=0), batch()
    ctx = place(strategy, strategy.updates(strategy.stage)[0])
    whole = strategy(made)
    assert whole.keys() >= {"consistency"}
    strategy.ctx = replace(ctx, labeled_share=0.5)
    found = dict.fromkeys(whole, 0.0)
    for first, last in pairwise(cuts):
        inside = (torch.arange(4) >= first) & (torch.arange(4) < last)
        part = select_samples(made, inside)
        assert part is not None
        for name, term in strategy(part).items():
            found[name] += float(term.detach()) * (last - first) / 4
    assert found == pytest.approx({name: float(term.detach()) for name, term in whole.items()}, rel=1e-5)


def test_maps_of_a_turned_image_come_back() -> None:
    """A network that looks at single pixels says the same of a turned image, once its map is turned back."""
    held = method()
    held.body, held.head = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sigmoid()), nn.Conv2d(4, 1, 1)  # type: ignore[assignment]
    strategy = registry.build("mean-teacher", held, registry.checked_options("mean-teacher", {"view": "weak"})).train()
    assert isinstance(strategy, MeanTeacher)
    strategy.begin(Stage("train"), strategy.options)
    image = torch.rand(6, 3, 32, 32)
    place(strategy, strategy.updates(strategy.stage)[0])
    assert float(strategy.added(image).detach()) < 1e-12
    with torch.no_grad():
        held.head.bias += 0.3
    assert float(strategy.added(image).detach()) > 1e-4


def test_the_teacher_follows_and_is_validated() -> None:
    strategy = teacher(ema=0.5, ema_ramp=0)
    before = {name: value.clone() for name, value in strategy.validated().named_parameters()}
    train([Trainer(strategy)], {90: batch()})
    student = dict(strategy.method.named_parameters())
    assert strategy.validated() is strategy.average
    for name, value in strategy.validated().named_parameters():
        torch.testing.assert_close(value, 0.5 * (before[name] + student[name]))
    assert torch.equal(strategy.average.seen, strategy.method.seen)  # type: ignore[union-attr]


@pytest.mark.parametrize("options", [{"ema": 0}, {"weight": -1}, {"on": "unlabelled"}, {"ramp": 2}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(registry.RecipeError, match=f"strategy 'mean-teacher': {next(iter(options))}"):
        registry.checked_options("mean-teacher", options)


def test_parts_of_a_batch() -> None:
    made: Batch = batch(4)
    chosen = select_samples(made, torch.tensor([False, True, True, False]))
    assert chosen is not None
    assert chosen["sample_id"] == made["sample_id"][1:3]
    assert torch.equal(chosen["image"], made["image"][1:3])
    assert select_samples(made, torch.ones(4, dtype=torch.bool)) is made
    assert select_samples(made, torch.zeros(4, dtype=torch.bool)) is None
