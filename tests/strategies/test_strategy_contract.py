"""Every strategy keeps every promise; its recipe is one that the engine takes."""

from __future__ import annotations

import pytest

from delineate.engine.recipe import resolve
from delineate.strategies import registry
from delineate.strategies.testing.checks import CHECKS


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", registry.names())
def test_contract(name: str, check: str) -> None:
    CHECKS[check](name)


@pytest.mark.parametrize("name", registry.names())
def test_its_recipe_is_laid_beneath_what_is_stated(name: str) -> None:
    wanted = registry.sections(name)
    recipe = resolve("unet", "tiny", {"strategy": {"name": name}}).model_dump(mode="json")
    for section, settings in wanted.items():
        assert {key: recipe[section][key] for key in settings} == settings
        key = next(iter(settings))
        other = resolve("unet", "tiny", {"strategy": {"name": name}, section: {key: None}})
        assert getattr(getattr(other, section), key) is None
