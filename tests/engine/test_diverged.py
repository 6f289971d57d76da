"""Numbers that are not finite during training: nothing of them is kept, and the advice that is given works."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.precision import MixedPrecision
from safetensors.torch import load_file

from delineate.artefact.tensors import not_finite
from delineate.common.errors import Diverged, RecipeError, TrainingError
from delineate.engine import prepare as preparing
from delineate.engine.checkpoint import Checkpoints
from delineate.engine.diverged import diverged
from delineate.engine.loop import StageRun
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.methods.unet.network import UNet

Maker = Callable[..., TrainRequest]
SGD = ["engine.optimizer=sgd", "engine.schedule=constant"]


def all_finite(folder: Path) -> bool:
    """Everything on disk: weights, states, and JSON without NaN."""
    files = list(folder.rglob("*.safetensors"))
    texts = [*folder.rglob("*.json"), *folder.rglob("*.jsonl")]
    told = all("NaN" not in path.read_text() and "Infinity" not in path.read_text() for path in texts)
    return told and not any(not_finite(load_file(path)) for path in files)


def following(error: Exception, at: int = 0) -> list[str]:
    """The settings that the message advises."""
    return [re.findall(r"--set (\S+?)(?=[,\s]|$)", str(error))[at]]


@pytest.fixture
def infinite_gradient(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Step 4 has a finite loss with an infinite gradient, while the list holds True."""
    active, original = [True], UNet.objective

    def objective(self: UNet, batch: Any, ctx: Any) -> Any:
        terms = dict(original(self, batch, ctx))
        if active[0] and self.training and ctx.step == 3:
            weight = next(p for p in self.parameters() if p.requires_grad)
            terms["root"] = (weight - weight.detach()).abs().sum().sqrt()
        return terms

    monkeypatch.setattr(UNet, "objective", objective)
    return active


@pytest.mark.parametrize("clip", [[], ["engine.clip_norm=1.0"]], ids=["noclip", "clip"])
@pytest.mark.parametrize("every", [1.0, 100.0], ids=["validated", "not validated"])
def test_an_infinite_gradient_is_kept_nowhere(
    clip: list[str], every: float, request_for: Maker, recorder: Any, infinite_gradient: list[bool]
) -> None:
    settings = [*clip, f"engine.validate_every={every}"]
    with pytest.raises(Diverged) as caught:
        train(request_for(settings=settings), recorder())
    run = request_for().out
    assert all_finite(run)
    assert json.loads((run / "run.json").read_text())["status"] == "diverged"
    state = Checkpoints(run / "steps").load()
    assert state is not None
    assert f"the state of step {state.progress.step} is kept" in str(caught.value)
    infinite_gradient[0] = False
    train(request_for(settings=[*settings, *following(caught.value)], resume=True), recorder())
    assert all_finite(run)


def test_a_last_step_that_diverges_is_not_the_best(
    request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = StageRun.step

    def step(self: StageRun, batch: Any) -> None:
        original(self, batch)
        if self.run.progress.step == 8:
            with torch.no_grad():
                next(self.run.method.parameters()).fill_(torch.nan)

    monkeypatch.setattr(StageRun, "step", step)
    with pytest.raises(Diverged, match=r"after step 8 of stage 'train': weights are not finite.*the state of step 4"):
        train(request_for(steps=8), recorder())
    assert all_finite(request_for().out)
    assert list((request_for().out / "steps").glob("best-train*.safetensors"))
    assert not (request_for().out / "model.safetensors").exists()


def test_running_statistics_count_as_weights(
    request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = StageRun.step

    def step(self: StageRun, batch: Any) -> None:
        original(self, batch)
        dict(self.run.method.named_buffers())[norm(self.run.method)].fill_(torch.inf)

    monkeypatch.setattr(StageRun, "step", step)
    with pytest.raises(Diverged, match="running_var"):
        train(request_for(steps=2), recorder())


def norm(method: torch.nn.Module) -> str:
    return next(name for name, _ in method.named_buffers() if name.endswith("running_var"))


def test_the_advice_after_too_large_a_rate_works(request_for: Maker, recorder: Any) -> None:
    with pytest.raises(Diverged, match=r"--set engine\.lr=1e\+29.*--set engine\.clip_norm=1") as caught:
        train(request_for(settings=[*SGD, "engine.lr=1e30"]), recorder())
    assert all_finite(request_for().out)
    gentle = ["engine.lr=0.01", *following(caught.value, 1)]
    result = train(request_for(settings=[*SGD, *gentle], resume=True), recorder())
    assert result.dice is not None
    summary = json.loads((request_for().out / "run.json").read_text())
    assert summary["status"] == "finished"
    assert "reason" not in summary
    assert summary["changes"] == ["engine.clip_norm: None → 1.0", "engine.lr: 1e+30 → 0.01"]
    assert Recipe.load(request_for().out / "recipe.yaml").engine.lr == 0.01


def test_only_what_is_gentler_may_change_and_only_then(request_for: Maker, recorder: Any) -> None:
    with pytest.raises(Diverged):
        train(request_for(settings=[*SGD, "engine.lr=1e30"]), recorder())
    for settings in (["engine.lr=0.01", "engine.momentum=0.5"], ["strategy.ema=0.5"]):
        with pytest.raises(RecipeError, match="differs from the run's"):
            train(request_for(settings=[*SGD, *settings], resume=True), recorder())
    assert Recipe.load(request_for().out / "recipe.yaml").engine.lr == 1e30


def test_the_advice_names_the_stage_where_that_decides() -> None:
    recipe = resolve("unet", "tiny", {"stages": {"train": {"lr": 0.5}}})
    text = str(diverged("it is so", recipe, "train", 7))
    assert "stages.train.lr=0.05" in text
    assert "--resume" in text
    bf16 = resolve("unet", "tiny", {"engine": {"precision": "bf16", "clip_norm": 1.0}})
    assert "engine.precision=32" in str(diverged("it is so", bf16, "train", 7))
    assert "clip_norm" not in str(diverged("it is so", bf16, "train", 7))


def test_weights_that_are_not_finite_from_the_start_write_nothing(
    request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = preparing._initial_weights

    def spoiled(method: Any, *rest: Any) -> None:
        original(method, *rest)
        next(method.parameters()).data.fill_(math.inf)

    monkeypatch.setattr(preparing, "_initial_weights", spoiled)
    with pytest.raises(TrainingError, match="before the first step weights are not finite"):
        train(request_for(), recorder())
    assert not request_for().out.exists()


def test_validations_that_are_not_finite_are_not_kept_and_training_goes_on(
    request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = UNet.objective

    def objective(self: UNet, batch: Any, ctx: Any) -> Any:
        terms = dict(original(self, batch, ctx))
        return terms if self.training or ctx.step == 4 else {"loss": terms.popitem()[1] * math.inf}

    monkeypatch.setattr(UNet, "objective", objective)
    watching = recorder()
    train(request_for(steps=12), watching)
    run = request_for().out
    assert json.loads((run / "run.json").read_text())["best"]["step"] == 4
    told = [note for note in watching.notes if "not finite" in note]
    assert len(told) == 2, told
    assert "2 validations were not finite" in told[1]
    assert all_finite(run)
    lines = [json.loads(line)["val"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["dice"] is None for line in lines] == [False, True, True]


@pytest.mark.parametrize("overflow", [False, True])
@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_clipping_leaves_an_overflow_in_float16_to_the_scaler(overflow: bool, kind: str) -> None:
    """Such a step is skipped and the scale falls, whatever the optimizer; other steps are taken."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler=scaler))
    module = torch.nn.Linear(4, 1)
    makers = {"adamw": lambda p: torch.optim.AdamW(p, fused=True), "sgd": lambda p: torch.optim.SGD(p, lr=0.1)}
    raw = makers[kind](module.parameters())
    wrapped, optimizer = fabric.setup(module, raw)
    before = module.weight.detach().clone()
    fabric.backward(wrapped(torch.ones(2, 4)).float().mean())
    if overflow:
        module.weight.grad.mul_(math.inf)
    stage = StageRun.__new__(StageRun)
    stage.run = type("Run", (), {"fabric": fabric})  # type: ignore[assignment]
    stage._clip(raw, 1.0, None)  # type: ignore[arg-type]
    optimizer.step()
    assert torch.isfinite(module.weight).all()
    assert torch.equal(module.weight.detach(), before) == overflow
    assert scaler.get_scale() == (512 if overflow else 1024)
