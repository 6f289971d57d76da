"""Runs with a strategy: weight 0 is supervised training, a kill changes nothing, the model is of the plain size."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import delineate
from delineate.common.errors import Interrupted, RecipeError
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.methods import registry
from delineate.methods.contract import Context
from delineate.strategies.cps.strategy import CrossPseudoSupervision

Maker = Callable[..., TrainRequest]
TEACHER = ["strategy.weight=5", "strategy.ramp=0.5", "engine.save_minutes=0.00001"]


@pytest.fixture
def partly_for(request_for: Maker, partly: Path) -> Maker:
    """As `request_for`, on these."""
    return lambda name, **changes: TrainRequest(**{**request_for(name, **changes).__dict__, "data": partly})


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_without_weight_it_is_supervised_training(partly_for: Maker, recorder: Any) -> None:
    plain = partly_for("plain", settings=["strategy.ema=0.99", "strategy.ema_ramp=10"], steps=6)
    teacher = partly_for("teacher", settings=["strategy.weight=0"], strategy="mean-teacher", steps=6)
    for request in (plain, teacher):
        told = recorder()
        train(request, told)
        assert any("8 training images without masks left out" in note for note in told.notes)
    assert same(plain.out, teacher.out)
    logs = [(request.out / "metrics.jsonl").read_text().splitlines() for request in (plain, teacher)]
    losses = [[json.loads(line)["loss"] for line in lines] for lines in logs]
    assert losses[0] == losses[1]


def test_a_teacher_is_killed_and_goes_on(partly_for: Maker, recorder: Any) -> None:
    make = lambda name, **more: partly_for(name, settings=TEACHER, strategy="mean-teacher", steps=8, **more)  # noqa: E731
    told = recorder()
    train(make("whole"), told)
    assert any("8 training images of 18 without masks: used" in note for note in told.notes), told.notes
    with pytest.raises(Interrupted):
        train(make("killed"), recorder(lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 5 else None))
    state = next((make("killed").out / "steps").glob("*/training.safetensors"))
    assert any(name.startswith("strategy.average.") for name in load_file(state))
    train(make("killed", resume=True), recorder())
    whole, killed = make("whole").out, make("killed").out
    assert same(whole, killed)
    lines = [json.loads(line)["loss"] for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert all(line["consistency"] > 0 for line in lines)
    assert json.loads((whole / "run.json").read_text())["strategy"] == "mean-teacher"
    assert "- Strategy: mean-teacher" in (whole / "card.md").read_text().splitlines()


OTHERS = {
    "bcp": ["strategy.first_part=0.25"],
    "cps": ["strategy.ema=0.9", "strategy.kept=both"],
    "entropy": [],
    "fixmatch": ["strategy.threshold=0.6"],
    "supervised": ["strategy.view=both", "strategy.mix=cutmix", "strategy.ema=0.9"],
    "ua-mt": ["strategy.passes=2", "strategy.least=1"],
    "unimatch": ["strategy.threshold=0.6"],
}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", OTHERS)
def test_killed_and_resumed_with_the_same_bits(strategy: str, partly_for: Maker, recorder: Any) -> None:
    settings = [*OTHERS[strategy], "engine.save_minutes=0.00001"]
    make = lambda name, **more: partly_for(name, settings=settings, strategy=strategy, steps=8, **more)  # noqa: E731
    train(make("whole"), recorder())
    with pytest.raises(Interrupted):
        train(make("killed"), recorder(lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 5 else None))
    train(make("killed", resume=True), recorder())
    whole, killed = make("whole").out, make("killed").out
    assert same(whole, killed)
    if strategy == "cps":
        assert same(whole / "second", killed / "second")
        assert not same(whole, whole / "second")
        assert (whole / "second" / "manifest.json").read_bytes() == (whole / "manifest.json").read_bytes()
        assert delineate.load(whole, ensemble=[killed / "second"]).title == "unet ×2"


def test_the_better_of_two_networks_is_the_model(
    partly_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is made useless before it is validated: what is kept is then the second, and the first where only that may be."""
    after_step = CrossPseudoSupervision.after_step

    def spoiled(self: CrossPseudoSupervision, ctx: Context) -> None:
        after_step(self, ctx)
        with torch.no_grad():
            for parameter in self.method.parameters():
                parameter.zero_()

    monkeypatch.setattr(CrossPseudoSupervision, "after_step", spoiled)
    better, first = (
        partly_for(kept, settings=[f"strategy.kept={kept}"], strategy="cps", steps=4) for kept in ("better", "first")
    )
    for request in (better, first):
        train(request, recorder())
    zeros = [
        not any(p.any() for name, p in weights(request.out).items() if name.endswith("conv.weight"))
        for request in (better, first)
    ]
    assert zeros == [False, True]


def test_every_stage_has_a_teacher_and_the_model_its_plain_size(partly_for: Maker, recorder: Any) -> None:
    small = [
        "engine.batch_size=4",
        "method.width=8",
        "method.encoder.name=resnet10t",
        "stages.reinforcement.share=0.75",
    ]
    base = partly_for("condseg", method="condseg", steps=6, strategy="mean-teacher")
    taught = TrainRequest(**{**base.__dict__, "settings": [*small, "strategy.weight=1", "strategy.ramp=0"]})
    train(taught, recorder())
    records = [json.loads(line) for line in (taught.out / "metrics.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in records if line["loss"].get("consistency", 0) > 0} == {
        "reinforcement",
        "segmentation",
    }
    recipe = Recipe.load(taught.out / "recipe.yaml")
    plain = registry.build("condseg", options=recipe.method, in_channels=1).state_dict()
    shapes = [{name: value.shape for name, value in tensors.items()} for tensors in (weights(taught.out), plain)]
    assert shapes[0] == shapes[1]


def test_methods_of_another_kind_are_refused_at_once() -> None:
    with pytest.raises(
        RecipeError, match="'mean-teacher' does not train methods of kind 'episodic': 'alpnet' learns from episodes"
    ):
        resolve("alpnet", "tiny", {"strategy": {"name": "mean-teacher"}})
