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

__all__ = [
    "DEFAULT",
    "STRATEGIES",
    "build",
    "card",
    "check_fits",
    "checked_options",
    "folder",
    "forget_other_packages",
    "names",
    "recipe_sections",
    "resolved_section",
    "strategy_class",
]

STRATEGIES = Plugins("strategy", ENTRY_POINT_GROUP, BUILT_IN)
DEFAULT = "supervised"


def forget_other_packages() -> None:
    """Search for entry points again at the next call: a package was installed or removed while the program runs.

    Example:
        >>> from delineate.strategies import registry
        >>> registry.forget_other_packages()
    """
    STRATEGIES.forget_others()


def names() -> list[str]:
    """Names of all strategies, built-in and of other packages.

    Returns:
        Sorted.

    Example:
        >>> from delineate.strategies import registry
        >>> "mean-teacher" in registry.names()
        True
    """
    return STRATEGIES.names()


def strategy_class(name: str) -> type[Strategy]:
    """The class of a strategy.

    Args:
        name: Under which the strategy is registered.

    Returns:
        A subclass of `Strategy`.

    Raises:
        RecipeError: No strategy has this name; the message names the nearest.
        DelineateError: The package of the strategy cannot be imported, or gives something else than a strategy.

    Example:
        >>> from delineate.strategies import registry
        >>> registry.strategy_class("mean-teacher").info.year
        2017
    """
    loaded = STRATEGIES.load(name)
    if not (isinstance(loaded, type) and issubclass(loaded, Strategy)):
        place = STRATEGIES.place(name)
        raise DelineateError(f"strategy '{name}' ({place}) is not a subclass of delineate.strategies.contract.Strategy")
    return loaded


def checked_options(name: str, options: Mapping[str, Any]) -> StrategyOptions:
    """Check the options of a strategy and complete them with its defaults.

    Args:
        name: Of the strategy.
        options: As in the recipe's section `strategy`, without `name`.

    Returns:
        An instance of the strategy's `Options`.

    Raises:
        RecipeError: An unknown option (the message names the nearest), or a value of the wrong type.

    Example:
        >>> from delineate.strategies import registry
        >>> registry.checked_options("mean-teacher", {"weight": 0.5}).ema
        0.99
    """
    cls = strategy_class(name)
    try:
        return cls.Options.model_validate(dict(options))
    except ValidationError as error:
        raise RecipeError(explain(error, cls.Options, f"strategy '{name}'")) from error


def resolved_section(section: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's section `strategy`, complete: `name` and all options.

    Args:
        section: As stated; without `name` it is "supervised".

    Returns:
        The section with the strategy's defaults.

    Raises:
        RecipeError: As `checked_options`.

    Example:
        >>> from delineate.strategies import registry
        >>> registry.resolved_section({"ema": 0.999})
        {'name': 'supervised', 'ema': 0.999, 'ema_ramp': 0.0, 'masked': 0.0, 'masked_side': 0.0625, 'view': 'none', 'mix': 'none'}
    """
    name = section.get("name", DEFAULT)
    if not isinstance(name, str):
        raise RecipeError(f"strategy.name: must be the name of a strategy (given: {name!r})")
    options = checked_options(name, {key: value for key, value in section.items() if key != "name"})
    return {"name": name, **options.model_dump(mode="json")}


def build(name: str, method: Method, options: StrategyOptions | None = None) -> Strategy:
    """A strategy that trains a method.

    Args:
        name: Of the strategy.
        method: The network to be trained.
        options: An instance of the strategy's `Options`; None: its defaults.

    Returns:
        The strategy; call its `begin` before the first step.

    Raises:
        RecipeError: No strategy has this name, or the method lacks what the strategy needs.

    Example:
        >>> from delineate.strategies import registry
        >>> type(registry.build("mean-teacher", delineate.create("unet", preset="tiny"))).__name__
        'MeanTeacher'
    """
    cls = strategy_class(name)
    check_fits(name, type(method))
    return cls(method, cls.Options() if options is None else options)


def folder(name: str) -> Path:
    """The folder of a strategy, with `card.md` and, where it has one, `recipe.yaml`.

    Args:
        name: Of the strategy.

    Returns:
        The folder of the module that defines it.

    Example:
        >>> from delineate.strategies import registry
        >>> (registry.folder("supervised") / "card.md").is_file()
        True
    """
    module = import_module(strategy_class(name).__module__)
    return Path(str(module.__file__)).parent


def recipe_sections(name: str) -> dict[str, Any]:
    """The recipe sections of a strategy's `recipe.yaml`: defaults of other sections while this strategy trains.

    Args:
        name: Of the strategy.

    Returns:
        Name of the section → values; empty: there is no such file.

    Raises:
        DelineateError: The file cannot be read.

    Example:
        >>> from delineate.strategies import registry
        >>> registry.recipe_sections("mean-teacher")
        {'data': {'labeled_share': 0.5}}
    """
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
    """The card of a strategy: facts, what the paper leaves open, results.

    Args:
        name: Of the strategy.

    Returns:
        The text of its `card.md`.

    Raises:
        DelineateError: The file is missing or cannot be read.

    Example:
        >>> from delineate.strategies import registry
        >>> registry.card("supervised").splitlines()[0]
        '# Supervised'
    """
    path = folder(name) / "card.md"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DelineateError(f"strategy '{name}' has no readable card at {path}: {error}") from error


def check_fits(name: str, method: type[Method]) -> None:
    """Check that a strategy can train a method.

    Args:
        name: Of the strategy.
        method: A class of methods.

    Raises:
        RecipeError: The method lacks what the strategy needs.

    Example:
        >>> from delineate.methods.registry import method_class
        >>> from delineate.strategies import registry
        >>> registry.check_fits("mean-teacher", method_class("unet"))
    """
    info, method_name = strategy_class(name).info, method.info.name
    if method.kind not in info.kinds:
        what_it_does = {"dense": "segments an image by itself", "episodic": "learns from episodes"}[method.kind]
        raise RecipeError(
            f"strategy '{name}' does not train methods of kind '{method.kind}': '{method_name}' {what_it_does}"
        )
    if info.needs_encode_decode and not (issubclass(method, DenseMethod) and method.has_encode_decode()):
        raise RecipeError(
            f"strategy '{name}' needs a method with `encode` and `decode`, and '{method_name}' has neither; choose another method"
        )
