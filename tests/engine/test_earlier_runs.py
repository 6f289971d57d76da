"""Recipes and resume states of earlier versions, in which the average of weights was the engine's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file, save_file

from delineate.common.errors import RecipeError
from delineate.common.files import checksum
from delineate.engine.early import refuse_typos
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.engine.state import _checksum_of
from delineate.evaluation.training import Training

Maker = Callable[..., TrainRequest]


class Killed(BaseException):
    """Stands for a kill."""


def kill(step: int) -> None:
    if step == 3:
        raise Killed


def as_written_before(run: Path) -> None:
    """Turn a run folder into what the version before strategies would have left."""
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    strategy = recipe.pop("strategy")
    assert strategy == {"name": "supervised", "ema": 0.9, "ema_ramp": 0.0}
    recipe["engine"]["ema"] = strategy["ema"]
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    for state in run.glob("steps/*/state.json"):
        tensors = load_file(state.parent / "training.safetensors")
        save_file({name.removeprefix("strategy."): value for name, value in tensors.items()}, _training(state))
        content = json.loads(state.read_text())
        content["format"] = 2
        content["files"]["training.safetensors"] = checksum(_training(state))
        content.pop("checksum")
        state.write_text(json.dumps(content | {"checksum": _checksum_of(content)}))


def _training(state: Path) -> Path:
    return state.parent / "training.safetensors"


def test_a_run_of_the_version_before_goes_on_exactly(request_for: Maker, recorder: Any) -> None:
    settings = ["strategy.ema=0.9", "engine.save_minutes=0.00001"]
    train(request_for("whole", settings=settings, steps=6), recorder())
    with pytest.raises(Killed):
        train(request_for("killed", settings=settings, steps=6), recorder(kill))
    run = request_for("killed").out
    as_written_before(run)
    assert any(name.startswith("average.") for name in load_file(next(run.glob("steps/*/training.safetensors"))))
    resumed = recorder()
    train(request_for("killed", settings=settings, steps=6, resume=True), resumed)
    assert resumed.steps < 6
    ours, theirs = (load_file(request_for(name).out / "model.safetensors") for name in ("whole", "killed"))
    assert all(ours[name].equal(theirs[name]) for name in ours)


def test_saved_recipes_keep_their_average(tmp_path: Path) -> None:
    content = resolve("condseg", "tiny", {}).model_dump(mode="json")
    content.pop("strategy")
    content["engine"]["ema"] = 0.5
    content["stages"] = {"segmentation": {"ema": 0.9, "share": 0.5}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    recipe = Recipe.load(tmp_path / "recipe.yaml")
    assert [recipe.strategy_options(name).ema for name in ("reinforcement", "segmentation")] == [0.5, 0.9]
    assert recipe.stage("segmentation").share == 0.5


@pytest.mark.parametrize("key", ["engine.ema", "stages.train.ema"])
def test_who_types_the_old_key_is_told_the_new(key: str) -> None:
    new = key.removeprefix("engine.").replace("ema", "strategy.ema")
    for refuse in (
        lambda: resolve("unet", "tiny", {}, [f"{key}=0.9"]),
        lambda: refuse_typos("unet", "tiny", [f"{key}=.9"]),
    ):
        with pytest.raises(RecipeError, match=f"^{key} is called {new} now") as caught:
            refuse()
        assert "\n" not in str(caught.value)


def test_trainings_of_both_versions_are_the_same_one() -> None:
    before = Training(recipe={"name": "unet", "engine.ema": 0.9, "engine.lr": 0.1})
    now = {
        "name": "unet",
        "engine.lr": 0.1,
        "strategy.name": "supervised",
        "strategy.ema": 0.9,
        "strategy.ema_ramp": 0.0,
    }
    assert before.settings == Training(recipe=now).settings
    assert Training().recipe == {}
