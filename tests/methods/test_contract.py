"""Every registered method keeps the contract of its task. A method's own tests are few; these are the many."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from delineate.artefact.format import Artefact, load, save
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.engine.recipe import resolve
from delineate.methods import registry
from delineate.methods.testing.checks import checks_of
from delineate.methods.testing.examples import randomize_norms
from delineate.methods.testing.kind_examples import examples_of
from delineate.nn.meta_device import on_meta_device

METHODS = sorted(registry.BUILT_IN)
CLASSES = {1: ClassTable(), 4: ClassTable(names=("background", "a", "b", "c"))}


SLOW = {("condseg", "overfit"), ("mfel", "overfit"), ("ipsl", "overfit")}


def promises() -> list:
    pairs = [(name, check) for name in METHODS for check in checks_of(name)]
    return [pytest.param(*pair, marks=[pytest.mark.slow] if pair in SLOW else []) for pair in pairs]


@pytest.mark.parametrize(("name", "check"), promises())
def test_promise(name: str, check: str) -> None:
    checks_of(name)[check]()


@pytest.mark.parametrize("name", METHODS)
def test_saved_and_loaded_method_is_bit_equal(name: str, tmp_path: Path) -> None:
    examples = examples_of(name)
    several = max(examples.variants)
    method = randomize_norms(examples.method(name, several)).eval()
    path = tmp_path / "model.safetensors"
    save(path, Artefact(method, InputSpec(size=(64, 64)), CLASSES[method.classes]))
    again = load(path).method
    before, after = method.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    batch = examples.batch(2, several)
    with torch.no_grad():
        assert torch.equal(examples.logits(method, batch), examples.logits(again, batch))


@pytest.mark.parametrize("name", METHODS)
def test_presets_are_valid_recipes(name: str) -> None:
    for preset in registry.presets(name):
        recipe = resolve(name, preset, {})
        with on_meta_device():  # the largest have 100 million weights, of which no value matters here
            recipe.check_stages(registry.build(name, options=recipe.method).stages())
