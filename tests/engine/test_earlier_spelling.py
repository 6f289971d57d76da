"""Recipes, models and benchmarks of earlier versions, in another spelling, are read as what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import save_file

from delineate.artefact.format import Artefact, load, save
from delineate.common.errors import RecipeError
from delineate.common.spelling import KEYS, respelled
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.typo_checks import refuse_typos
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.methods import registry
from delineate.methods.contract import MethodOptions
from delineate.studies.setup import BenchmarkSetup, differences

EARLIER = {today: earlier for earlier, today in KEYS.items()}
SECTIONS: dict[str, Any] = {
    "data": {"labeled_share": 0.3},
    "input": {"channels": "gray"},
    "episodes": {"least_labeled": 7},
    "method": {"normalize": "none"},
    "augment": {"color": 0.25, "gray": 0.125},
    "engine": {"optimizer": "sgd"},
    "stages": {"reinforcement": {"optimizer": "adam"}},
}


def in_earlier_spelling(content: Any) -> Any:
    if not isinstance(content, dict):
        return "grey" if content == "gray" else content
    return {EARLIER.get(key, key): in_earlier_spelling(value) for key, value in content.items()}


def test_every_key_is_tried() -> None:
    def keys(content: Any) -> set[str]:
        return {
            key for key, value in content.items() for key in {key, *(keys(value) if isinstance(value, dict) else ())}
        }

    assert keys(in_earlier_spelling(SECTIONS)) >= set(KEYS)


def test_recipes_that_users_wrote() -> None:
    wanted = resolve("condseg", "tiny", SECTIONS)
    assert resolve("condseg", "tiny", in_earlier_spelling(SECTIONS)) == wanted
    assert wanted.engine.optimizer == "sgd"


def test_what_is_typed() -> None:
    typed = ["engine.optimiser=sgd", "method.normalise=none", "augment.colour=0.25"]
    refuse_typos("unet", "tiny", typed)
    recipe = resolve("unet", "tiny", {}, typed)
    assert (recipe.engine.optimizer, recipe.method["normalize"], recipe.augment.color) == ("sgd", "none", 0.25)
    with pytest.raises(RecipeError, match=r"unknown option .engine\.optimisers."):
        resolve("unet", "tiny", {}, ["engine.optimisers=sgd"])


def test_recipes_of_runs(tmp_path: Path) -> None:
    recipe = resolve("condseg", "tiny", SECTIONS)
    saved = tmp_path / "recipe.yaml"
    saved.write_text(yaml.safe_dump(in_earlier_spelling(recipe.model_dump(mode="json"))))
    assert "optimiser" in saved.read_text()
    assert Recipe.load(saved) == recipe
    training = TrainingRecord(
        recipe={"name": "unet", "strategy.name": "supervised", "engine.optimiser": "sgd", "input.channels": "grey"}
    )
    assert (training.recipe["engine.optimizer"], training.recipe["input.channels"]) == ("sgd", "gray")


def test_models(tmp_path: Path) -> None:
    method = registry.create("unet", in_channels=1, preset="tiny", normalize="none")
    spec = InputSpec(channels="gray", size=(32, 32))
    save(tmp_path / "today.safetensors", Artefact(method, spec, ClassTable(names=("background", "cell"))))
    with safe_open(tmp_path / "today.safetensors", framework="pt") as stream:
        header = in_earlier_spelling(json.loads(stream.metadata()["delineate"]))
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a mapping
    assert (header["input"]["channels"], header["options"]["normalise"]) == ("grey", "none")
    save_file(tensors, tmp_path / "earlier.safetensors", {"delineate": json.dumps(header)})
    model = load(tmp_path / "earlier.safetensors")
    assert (model.spec, model.method.options) == (spec, method.options)


def test_benchmarks(tmp_path: Path) -> None:
    entrant = {"label": "unet", "method": "unet", "preset": "tiny", "options": in_earlier_spelling(SECTIONS)}
    rest = dict.fromkeys(("asked_folds", "group_by", "epochs", "minutes", "size"))
    content = {"data": "d", "folds": 2, "seeds": 1, "metrics": ["dice"], "entrants": [entrant], **rest}
    (tmp_path / "plan.json").write_text(json.dumps(content))
    setup = BenchmarkSetup.load(tmp_path)
    assert setup.entrants[0].options == SECTIONS
    setup.save(tmp_path)
    assert BenchmarkSetup.load(tmp_path) == setup


def test_a_benchmark_goes_on_with_its_settings_in_either_spelling() -> None:
    rest = dict.fromkeys(("asked_folds", "group_by", "epochs", "minutes", "size"))
    content = {"data": "d", "folds": 2, "seeds": 1, "metrics": ["dice"], "entrants": [], **rest}
    earlier = BenchmarkSetup(**content, settings=("engine.optimiser=sgd", "input.channels=grey"))
    today = BenchmarkSetup(**content, settings=("engine.optimizer=sgd", "input.channels=gray"))
    assert differences(earlier, today) == []
    other = today.model_copy(update={"settings": ("engine.optimizer=adam", "input.channels=gray")})
    assert len(differences(earlier, other)) == 1


def test_options_of_other_packages_keep_their_names() -> None:
    class Inner(MethodOptions):
        grey: int = 1

    class Options(MethodOptions):
        colour: float = 0.5
        inner: Inner = Field(default_factory=Inner)

    names = registry.names_of(Options)
    assert names == {"colour", "inner", "grey"}
    given = {"colour": 1.0, "inner": {"grey": 2}, "normalise": "none"}
    assert respelled(given, names) == {"colour": 1.0, "inner": {"grey": 2}, "normalize": "none"}
