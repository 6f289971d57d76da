"""Recipes and checkpoints of earlier versions, in which the average of weights was the engine's."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from delineate.common.errors import RecipeError
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.typo_checks import refuse_typos
from delineate.evaluation.comparison.training_record import TrainingRecord


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
    before = TrainingRecord(recipe={"name": "unet", "engine.ema": 0.9, "engine.lr": 0.1})
    now = {
        "name": "unet",
        "engine.lr": 0.1,
        "strategy.name": "supervised",
        "strategy.ema": 0.9,
        "strategy.ema_ramp": 0.0,
    }
    assert before.settings == TrainingRecord(recipe=now).settings
    assert TrainingRecord().recipe == {}
