"""What can be refused at once: a misspelled method, preset, strategy or setting.

Imports nothing that takes time; what it lets pass is checked again, and in full, by those who use it.
"""

from __future__ import annotations

from collections.abc import Sequence

from delineate.common.class_fields import Place, attribute_of, fields_of
from delineate.common.errors import RecipeError
from delineate.common.names import did_you_mean
from delineate.common.spelling import KEYS
from delineate.engine.earlier_recipes import refuse_key
from delineate.methods.built_in import BUILT_IN, FAMILIES, all_names, recipe_of
from delineate.strategies import built_in as strategies

__all__ = ["RECIPE", "options_of", "presets_of", "refuse_lone_key", "refuse_typos"]

RECIPE = Place("delineate.engine.recipe", "Recipe")


def refuse_typos(method: str, preset: str, settings: Sequence[str] = (), strategy: str | None = None) -> None:
    """Raise `RecipeError` for an unknown method, preset, strategy or key of a setting, naming the nearest."""
    family, colon, _ = method.partition(":")
    if method not in BUILT_IN and family not in FAMILIES and method not in all_names():
        raise RecipeError(
            f"unknown method '{method}': {did_you_mean(family, FAMILIES) if colon else did_you_mean(method, all_names())}"
        )
    if method in BUILT_IN and recipe_of(method).is_file():
        _check_preset(method, preset)
    for setting in settings:
        if setting.startswith("strategy.name="):
            strategy = setting.partition("=")[2]
    if strategy is not None and strategy not in strategies.all_names():
        raise RecipeError(f"unknown strategy '{strategy}': {did_you_mean(strategy, strategies.all_names())}")
    for setting in settings:
        _check_setting(method, strategy, setting)


def _check_preset(method: str, preset: str) -> None:
    known = presets_of(method)
    if preset not in known:
        raise RecipeError(f"method '{method}' has no preset '{preset}': {did_you_mean(preset, known)}")


def presets_of(method: str) -> list[str]:
    """The presets of a built-in method: the lines of its recipe.yaml that begin without a space."""
    lines = recipe_of(method).read_text(encoding="utf-8").splitlines()
    return [line.partition(":")[0] for line in lines if line[:1].isalpha() and ":" in line]


def _check_setting(method: str, strategy: str | None, setting: str) -> None:
    path, equals, _ = setting.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(f"--set {setting}: expected section.key=value, for example engine.lr=0.001")
    refuse_key(".".join(keys))
    keys = [KEYS.get(key, key) for key in keys]
    if keys[0] == "strategy" and keys[1:] != ["name"]:
        _check_keys(f"strategy '{strategy}'", keys[1:], _strategy_options_of(strategy))
    elif keys[0] == "method" and len(keys) > 1:
        place = options_of(method)
        _check_keys(f"method '{method}'", keys[1:], place)
    else:
        refuse_lone_key(method, strategy, keys)
        _check_keys("recipe", keys, RECIPE)


def refuse_lone_key(method: str, strategy: str | None, keys: Sequence[str]) -> None:
    """Raise `RecipeError` for a key without its section (`lr`), naming it with that (`engine.lr`)."""
    sections = fields_of(RECIPE) or {}
    if keys[0] in sections:
        return
    own = {"method": options_of(method), "strategy": _strategy_options_of(strategy or "supervised")}
    for section, place in {**sections, **own}.items():
        if place is not None and keys[0] in (fields_of(place) or {}):
            raise RecipeError(f"recipe: unknown option '{keys[0]}': did you mean '{section}.{'.'.join(keys)}'?")


def options_of(method: str) -> Place | None:
    """The class of a built-in method's options; None for others."""
    if method not in BUILT_IN:
        return None
    module, _, name = BUILT_IN[method].partition(":")
    return attribute_of(Place(module, name), "Options")


def _strategy_options_of(strategy: str | None) -> Place | None:
    """The same of a built-in strategy."""
    if strategy not in strategies.BUILT_IN:
        return None
    module, _, name = strategies.BUILT_IN[strategy].partition(":")
    return attribute_of(Place(module, name), "Options")


def _check_keys(what: str, keys: list[str], place: Place | None) -> None:
    for depth, key in enumerate(keys, start=1):
        fields = None if place is None else fields_of(place)
        if fields is None:
            return
        if key not in fields:
            raise RecipeError(f"{what}: unknown option '{'.'.join(keys[:depth])}': {did_you_mean(key, fields)}")
        place = fields[key]
