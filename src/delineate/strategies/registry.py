"""Which strategies there are, and how to build one by name. Other packages add theirs by the entry point `delineate.strategies`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from delineate.common.config import explain
from delineate.common.errors import DelineateError, RecipeError
from delineate.common.plugins import Plugins
from delineate.common.yaml_text import parse_yaml
from delineate.methods.contract import Method
from delineate.methods.dense import DenseMethod
from delineate.strategies.built_in import BUILT_IN, ENTRY_POINT_GROUP
from delineate.strategies.contract import Strategy, StrategyOptions

STRATEGIES = Plugins("strategy", ENTRY_POINT_GROUP, BUILT_IN)
DEFAULT = "supervised"


def forget_other_packages() -> None:
    """Look for entry points anew at the next question: a package was installed or removed while the program runs."""
    STRATEGIES.forget_others()


def names() -> list[str]:
    """Names of all strategies, built-in and registered by other packages."""
    return STRATEGIES.names()


def strategy_class(name: str) -> type[Strategy]:
    """The class registered under `name`. Raises `RecipeError` naming the nearest for an unknown one."""
    loaded = STRATEGIES.load(name)
    if not (isinstance(loaded, type) and issubclass(loaded, Strategy)):
        place = STRATEGIES.place(name)
        raise DelineateError(f"strategy '{name}' ({place}) is not a subclass of delineate.strategies.contract.Strategy")
    return loaded


def checked_options(name: str, options: Mapping[str, Any]) -> StrategyOptions:
    """A strategy's options on its defaults. Raises `RecipeError` for unknown options or wrong types, naming the nearest."""
    cls = strategy_class(name)
    try:
        return cls.Options.model_validate(dict(options))
    except ValidationError as error:
        raise RecipeError(explain(error, cls.Options, f"strategy '{name}'")) from error


def resolved_section(section: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's section with its `name` and all options. Raises `RecipeError` as `checked_options` does."""
    name = section.get("name", DEFAULT)
    if not isinstance(name, str):
        raise RecipeError(f"strategy.name: must be the name of a strategy (given: {name!r})")
    options = checked_options(name, {key: value for key, value in section.items() if key != "name"})
    return {"name": name, **options.model_dump(mode="json")}


def build(name: str, method: Method, options: StrategyOptions | None = None) -> Strategy:
    """A strategy that holds `method`.

    Raises `RecipeError` for an unknown strategy, and for a method that lacks what the strategy needs.
    """
    cls = strategy_class(name)
    check_fits(name, type(method))
    return cls(method, cls.Options() if options is None else options)


def folder(name: str) -> Path:
    """The folder that holds a strategy's card."""
    module = import_module(strategy_class(name).__module__)
    return Path(str(module.__file__)).parent


def sections(name: str) -> dict[str, Any]:
    """The recipe sections that a strategy's `recipe.yaml` holds: what it wants where nothing else is stated. Empty without one."""
    path = folder(name) / "recipe.yaml"
    if not path.exists():
        return {}
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DelineateError(f"strategy '{name}' has no readable recipe at {path}: {error}") from error
    if not isinstance(content, dict):
        raise DelineateError(f"strategy '{name}': {path} must hold sections of a recipe")
    return content


def card(name: str) -> str:
    """The text of the strategy's `card.md`: facts, readings, results."""
    path = folder(name) / "card.md"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DelineateError(f"strategy '{name}' has no readable card at {path}: {error}") from error


def check_fits(name: str, method: type[Method]) -> None:
    """Raise `RecipeError` for a method that lacks what the strategy needs."""
    info, its_name = strategy_class(name).info, method.info.name
    if method.kind not in info.kinds:
        kind = {"dense": "segments an image alone", "episodic": "learns from episodes"}[method.kind]
        raise RecipeError(f"strategy '{name}' does not train methods of this kind: '{its_name}' {kind}")
    if info.needs_encode_decode and not (issubclass(method, DenseMethod) and method.has_encode_decode()):
        raise RecipeError(
            f"strategy '{name}' needs the inside of a method, and '{its_name}' has no `encode` and `decode`"
        )
