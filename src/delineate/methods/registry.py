"""Which methods there are, and how to build one by name. Other packages add theirs by the entry point `delineate.methods`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_origin

from pydantic import BaseModel, ValidationError

from delineate.common.errors import DelineateError, RecipeError
from delineate.common.finite import first_not_finite
from delineate.common.names import did_you_mean
from delineate.common.yaml_text import parse_yaml
from delineate.methods.built_in import BUILT_IN, ENTRY_POINT_GROUP, FAMILIES
from delineate.methods.contract import Method, MethodOptions


@cache
def _foreign() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def forget_other_packages() -> None:
    """Look for entry points anew at the next question: a package was installed or removed while the program runs."""
    _foreign.cache_clear()


def names() -> list[str]:
    """Names of all methods, built-in and registered by other packages."""
    return sorted({*BUILT_IN, *_foreign()})


def method_class(name: str) -> type[Method]:
    """The class registered under `name`, or a family's member. Raises `RecipeError` naming the nearest for an unknown one."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return getattr(import_module(module), attribute)
    family, colon, member = name.partition(":")
    if family in FAMILIES:
        module, _, attribute = FAMILIES[family].partition(":")
        return getattr(import_module(module), attribute)(member)
    if name not in _foreign():
        near = did_you_mean(family, FAMILIES) if colon else did_you_mean(name, names())
        raise RecipeError(f"unknown method '{name}': {near}")
    point = _foreign()[name]
    try:
        loaded = point.load()
    except Exception as error:
        raise DelineateError(f"method '{name}' ({point.value}) cannot be imported: {error}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, Method)):
        raise DelineateError(f"method '{name}' ({point.value}) is not a subclass of delineate.methods.contract.Method")
    return loaded


def folder(name: str) -> Path:
    """The folder that holds a method's recipe and card."""
    module = import_module(method_class(name).__module__)
    return Path(str(module.__file__)).parent


def presets(name: str) -> dict[str, dict[str, Any]]:
    """The method's `recipe.yaml`: preset name → recipe sections. Every method has `paper` and `tiny`."""
    path = folder(name) / "recipe.yaml"
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DelineateError(f"method '{name}' has no readable recipe at {path}: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(sections, dict) for sections in content.values()):
        raise DelineateError(f"method '{name}': {path} must map preset names to recipe sections")
    return content


def card(name: str) -> str:
    """The text of the method's `card.md`: facts, readings, results."""
    path = folder(name) / "card.md"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DelineateError(f"method '{name}' has no readable card at {path}: {error}") from error


def build(name: str, *, classes: int = 1, in_channels: int = 3, options: Mapping[str, Any] | None = None) -> Method:
    """A method with random weights. Raises `RecipeError` for unknown options or wrong types, naming the nearest."""
    cls = method_class(name)
    if classes < 1 or in_channels < 1:
        raise RecipeError(
            f"method '{name}': classes and in_channels must be at least 1 (given: {classes}, {in_channels})"
        )
    return cls(checked_options(name, options or {}), classes=classes, in_channels=in_channels)


def checked_options(name: str, options: Mapping[str, Any]) -> MethodOptions:
    """A method's options on its defaults. Raises `RecipeError` for unknown options or wrong types, naming the nearest."""
    cls = method_class(name)
    try:
        checked = cls.Options.model_validate(_on_defaults(cls.Options, options))
    except ValidationError as error:
        raise RecipeError(explain(error, cls.Options, f"method '{name}'")) from error
    # Here and not in each group of options, since methods of others bring their own.
    if (key := first_not_finite(checked.model_dump())) is not None:
        raise RecipeError(f"method '{name}': {key}: must be a finite number, neither infinite, NaN nor beyond 1.8e308")
    return checked


def create(name: str, classes: int = 1, in_channels: int = 3, *, preset: str | None = None, **options: Any) -> Method:
    """Build a method and load the pretrained weights its options ask for.

    `classes` counts output channels (1 = one foreground class with sigmoid); `preset` takes the method options of a
    named preset as a base. Options may be nested: `create("unet", encoder={"name": "resnet34"})`.
    """
    base: dict[str, Any] = {}
    if preset is not None:
        known = presets(name)
        if preset not in known:
            raise RecipeError(f"method '{name}' has no preset '{preset}': {did_you_mean(preset, known)}")
        base = dict(known[preset].get("method", {}))
    method = build(name, classes=classes, in_channels=in_channels, options=merge(base, options))
    method.load_pretrained()
    return method


def _on_defaults(model: type[BaseModel], options: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a group of options on the method's own default for it, not on the defaults of the group's class."""
    result = dict(options)
    for key, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel) and isinstance(result.get(key), Mapping):
            result[key] = merge(default.model_dump(), result[key])
    return result


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping; neither is changed."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def explain(error: ValidationError, model: type[BaseModel], what: str) -> str:
    """One line for the first fault of a validation: the dotted key, the reason, the nearest known key."""
    fault = error.errors()[0]
    keys, parent = _walk(model, fault["loc"])
    where = ".".join(keys)
    if fault["type"] == "extra_forbidden":
        known = parent.model_fields if parent is not None else ()
        return f"{what}: unknown option '{where}': {did_you_mean(keys[-1], known)}"
    reason = fault["msg"].removeprefix("Value error, ")
    return f"{what}: {where or 'value'}: {reason} (given: {fault['input']!r})"


def _walk(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel] | None]:
    """The user's keys on the way to a fault (pydantic adds the name of the tried type behind a union), and the model that
    the last of them was looked up in."""
    keys: list[str] = []
    here: Any = model
    parent: type[BaseModel] | None = None
    for part in location:
        if get_origin(here) in (Union, UnionType) and isinstance(part, str):
            here = None
            continue
        keys.append(str(part))
        parent = here if isinstance(here, type) and issubclass(here, BaseModel) else None
        field = parent.model_fields.get(str(part)) if parent is not None else None
        here = field.annotation if field is not None else None
    return keys, parent
