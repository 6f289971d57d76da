"""The recipe: layers, types, errors that name the nearest key, and a faithful round trip through YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from delineate.common.errors import RecipeError
from delineate.engine.recipe import Recipe, differences, parse_setting, resolve
from delineate.methods.contract import Stage
from delineate.methods.registry import checked_options


def test_later_layers_win() -> None:
    recipe = resolve("unet", "tiny", {"engine": {"lr": 0.5}}, ["engine.lr=0.25", "engine.batch_size=3"])
    assert recipe.engine.lr == 0.25
    assert recipe.engine.batch_size == 3


def test_size_is_one_number_or_two() -> None:
    assert resolve("unet", "tiny", {"input": {"size": 64}}).input.size == (64, 64)
    assert resolve("unet", "tiny", {}, ["input.size=[64, 96]"]).input.size == (64, 96)


def test_epochs_given_by_the_user_win_over_steps_of_a_preset() -> None:
    recipe = resolve("unet", "tiny", {"engine": {"epochs": 3}})
    assert (recipe.engine.epochs, recipe.engine.steps) == (3, None)


def test_stage_overrides() -> None:
    recipe = resolve("condseg", "tiny", {}, ["stages.reinforcement.lr=1e-4", "stages.reinforcement.augment.rotate=11"])
    assert recipe.stage_settings("reinforcement").lr == 1e-4
    assert recipe.stage_settings("segmentation").lr == recipe.engine.lr
    assert recipe.stage_augment("reinforcement").rotate == 11


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("engine.lrr=1", "did you mean 'lr'"),
        ("engine.lr=fast", "engine.lr"),
        ("engin.lr=1", "did you mean 'engine'"),
        ("engine.batch_size=0", "greater than or equal to 1"),
        ("engine.batch_size", "section.key=value"),
        ("=3", "section.key=value"),
        ("engine.optimizer=adamx", "adamw"),
        ("augment.rotat=3", "did you mean 'rotate'"),
        ("input.spacing=abc", r"input.spacing: millimeters: one number, such as 0.8, .* \(given: 'abc'\)"),
        ("input.spacing=[1, 2, 3]", "input.spacing: millimeters"),
        ("input.spacing=[1, x]", "input.spacing: millimeters"),
        ("input.spacing=-1", r"input.spacing: millimeters.* \(given: -1\)"),
        ("input.spacing=true", "input.spacing: millimeters"),
        ("input.size=abc", "input.size: height and width in whole pixels"),
        ("input.size=[32, 3.5]", "input.size: height and width in whole pixels"),
        ("input.size=0", "input.size: height and width in whole pixels"),
    ],
)
def test_wrong_settings_say_what_is_wrong(setting: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        resolve("unet", "tiny", {}, [setting])


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("stages.segmentation.lrr=1", "recipe: unknown option 'stages.segmentation.lrr': did you mean 'lr'?"),
        (
            "stages.segmentation.augment.rotat=1",
            "recipe: unknown option 'stages.segmentation.augment.rotat': did you mean 'rotate'?",
        ),
        ("stages.segmentation.share=x", "stages.segmentation.share: Input should be a valid number"),
        ("stages.segmentation.share=-1", "stages.segmentation.share: Input should be greater than or equal to 0"),
        ("stages.segmentation=3", "stages.segmentation: "),
    ],
)
def test_wrong_stage_overrides(setting: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve("condseg", "tiny", {}, [setting])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_stages_that_the_method_has_not() -> None:
    recipe = resolve("condseg", "tiny", {}, ["stages.reinforcment.lr=1"])
    with pytest.raises(RecipeError, match="did you mean 'reinforcement'"):
        recipe.check_stages((Stage("reinforcement", 0.1), Stage("segmentation", 0.9)))


def test_of_a_stage_only_what_was_stated_is_saved(tmp_path: Path) -> None:
    settings = ["stages.reinforcement={share: 1, clip_norm: null, augment: {rotate: 11}}", "engine.clip_norm=3"]
    recipe = resolve("unet", "tiny", {}, settings)
    recipe.save(tmp_path / "recipe.yaml")
    saved = yaml.safe_load((tmp_path / "recipe.yaml").read_text())["stages"]
    assert saved == {"reinforcement": {"share": 1, "clip_norm": None, "augment": {"rotate": 11}}}
    again = Recipe.load(tmp_path / "recipe.yaml")
    assert differences(recipe, again) == []
    assert again.share(Stage("reinforcement", 0.25)) == 1
    assert again.stage_settings("reinforcement").clip_norm is None  # null was stated
    assert again.stage_settings("another").clip_norm == 3


def test_unknown_method_and_preset_name_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'unet'"):
        resolve("unett", "tiny", {})
    with pytest.raises(RecipeError, match="did you mean 'tiny'"):
        resolve("unet", "tinny", {})


@given(st.floats(1e-8, 1.0), st.integers(1, 64))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, lr: float, batch: int) -> None:
    recipe = resolve("unet", "tiny", {"engine": {"lr": lr, "batch_size": batch}})
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    recipe.save(path)
    assert Recipe.load(path) == recipe
    assert differences(recipe, Recipe.load(path)) == []


def test_differences_are_named() -> None:
    old, new = resolve("unet", "tiny", {}), resolve("unet", "tiny", {}, ["engine.seed=7"])
    assert differences(old, new) == [f"engine.seed: {old.engine.seed} → 7"]


def test_malformed_recipe_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: [")
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        Recipe.load(path)


def test_numbers_in_exponent_form_are_numbers() -> None:
    assert parse_setting("engine.lr=1e-3") == {"engine": {"lr": 0.001}}
    assert parse_setting("method.beta=batch_sum") == {"method": {"beta": "batch_sum"}}


@pytest.mark.parametrize("value", [".inf", "-.inf", "nan", ".nan", "1e400", "inf", "Infinity"])
@pytest.mark.parametrize(
    "key",
    [
        "engine.lr",
        "engine.weight_decay",
        "engine.clip_norm",
        "strategy.ema",
        "engine.validate_every",
        "engine.save_minutes",
        "engine.lr_scale.encoder",
        "augment.rotate",
        "augment.elastic_alpha",
        "plan.memory_gib",
        "input.scale",
        "stages.train.lr",
        "stages.train.share",
        "stages.train.augment.noise",
    ],
)
def test_numbers_of_a_recipe_are_finite(key: str, value: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve("unet", "tiny", {}, [f"{key}={value}"]).check_stages((Stage("train"),))
    assert "\n" not in str(caught.value)
    assert key.rpartition(".")[2] in str(caught.value)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_options_of_methods_are_finite_at_every_depth(value: float) -> None:
    with pytest.raises(RecipeError, match=r"loss\.dice: (must be a finite|Input should be)"):
        checked_options("unet", {"loss": {"dice": value}})


@pytest.mark.parametrize(
    "setting", ["engine.lr=0", "engine.lr=-1", "engine.lr_scale.encoder=-0.1", "engine.clip_norm=0"]
)
def test_numbers_that_must_be_positive(setting: str) -> None:
    with pytest.raises(RecipeError, match="greater than"):
        resolve("unet", "tiny", {}, [setting])


@pytest.mark.parametrize("seed", [2**63, 99999999999999999999999, -1])
def test_seeds_that_no_generator_takes(seed: int) -> None:
    with pytest.raises(RecipeError, match=r"engine\.seed: .*"):
        resolve("unet", "tiny", {"engine": {"seed": seed}})
    assert resolve("unet", "tiny", {"engine": {"seed": 2**63 - 1}}).engine.seed == 2**63 - 1
