"""Every strategy keeps every promise; its recipe is one that the engine takes."""

from __future__ import annotations

import pytest

from delineate.common.errors import TrainingError
from delineate.engine.recipe import resolve
from delineate.methods.testing.examples import tiny
from delineate.strategies import registry
from delineate.strategies.testing.checks import CHECKS


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", registry.names())
def test_contract(name: str, check: str) -> None:
    CHECKS[check](name)


@pytest.mark.parametrize("name", registry.names())
def test_its_recipe_is_laid_beneath_what_is_stated(name: str) -> None:
    wanted = registry.recipe_sections(name)
    recipe = resolve("unet", "tiny", {"strategy": {"name": name}}).model_dump(mode="json")
    for section, settings in wanted.items():
        assert {key: recipe[section][key] for key in settings} == settings
        key = next(iter(settings))
        other = resolve("unet", "tiny", {"strategy": {"name": name}, section: {key: None}})
        assert getattr(getattr(other, section), key) is None


@pytest.mark.parametrize("change", ["lacks", "shape", "more"])
def test_a_state_of_another_strategy_is_refused(change: str) -> None:
    method = tiny("unet", classes=1, in_channels=3)
    strategy = registry.build("mean-teacher", method)
    strategy.begin(method.stages()[0], strategy.options)
    state = strategy.own_state()
    name = next(iter(state))
    if change == "shape":
        state[name] = state[name][:1]
    elif change == "more":
        state["more"] = state[name]
    else:
        del state[name]
    with pytest.raises(TrainingError, match="does not fit strategy 'mean-teacher'") as told:
        strategy.load_own_state(state)
    assert "\n" not in str(told.value)
