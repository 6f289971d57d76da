"""Every registered dense method keeps the contract. A method's own tests are few; these are the many."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from delineate.artefact.format import Artefact, load, save
from delineate.data.case import ClassTable
from delineate.data.spec import InputSpec
from delineate.engine.recipe import resolve
from delineate.methods import registry
from delineate.methods.checks import CHECKS, example_batch, shake, tiny

METHODS = sorted(registry.BUILT_IN)
DENSE = [name for name in METHODS if registry.method_class(name).info.task == "dense"]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", DENSE)
def test_promise(name: str, check: str) -> None:
    CHECKS[check](name)


@pytest.mark.parametrize("name", DENSE)
def test_saved_and_loaded_method_is_bit_equal(name: str, tmp_path: Path) -> None:
    method = shake(tiny(name, classes=4)).eval()
    path = tmp_path / "model.safetensors"
    save(path, Artefact(method, InputSpec(size=(64, 64)), ClassTable(names=("background", "a", "b", "c"))))
    again = load(path).method
    before, after = method.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    image = example_batch(1)["image"]
    with torch.no_grad():
        assert torch.equal(method(image), again(image))


@pytest.mark.parametrize("name", METHODS)
def test_presets_are_valid_recipes(name: str) -> None:
    for preset in registry.presets(name):
        recipe = resolve(name, preset, {})
        recipe.check_stages(registry.build(name, options=recipe.method).stages())
