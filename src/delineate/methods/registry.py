"""Which methods there are, and how to build one by name. Other packages add theirs by the entry point `delineate.methods`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from delineate.common.config import explain, merge
from delineate.common.errors import DelineateError, RecipeError
from delineate.common.names import did_you_mean
from delineate.common.not_finite import first_not_finite
from delineate.common.plugins import Plugins
from delineate.common.spelling import respelled
from delineate.common.yaml_text import parse_yaml
from delineate.methods.built_in import BUILT_IN, CHECKPOINT_GROUP, CHECKPOINTS, ENTRY_POINT_GROUP, FAMILIES
from delineate.methods.contract import CheckpointReader, Method, MethodOptions
from delineate.methods.dense import DenseMethod
from delineate.methods.episodic import EpisodicMethod

METHODS = Plugins("method", ENTRY_POINT_GROUP, BUILT_IN)
CHECKPOINT_READERS = Plugins("reader of checkpoints for method", CHECKPOINT_GROUP, CHECKPOINTS)


def forget_other_packages() -> None:
    """Look for entry points anew at the next question: a package was installed or removed while the program runs."""
    METHODS.forget_others()
    CHECKPOINT_READERS.forget_others()


def names() -> list[str]:
    """Names of all methods, built-in and registered by other packages."""
    return METHODS.names()


def method_class(name: str) -> type[Method]:
    """The class registered under `name`, or a family's member. Raises `RecipeError` naming the nearest for an unknown one."""
    family, colon, member = name.partition(":")
    if family in FAMILIES:
        module, _, attribute = FAMILIES[family].partition(":")
        return getattr(import_module(module), attribute)(member)
    if colon and name not in METHODS:
        raise RecipeError(f"unknown method '{name}': {did_you_mean(family, FAMILIES)}")
    loaded = METHODS.load(name)
    if not (isinstance(loaded, type) and issubclass(loaded, DenseMethod | EpisodicMethod)):
        raise DelineateError(
            f"method '{name}' ({METHODS.place(name)}) is neither a delineate.methods.dense.DenseMethod nor a "
            "delineate.methods.episodic.EpisodicMethod; derive it from one of the two"
        )
    return loaded


def checkpoint_reader(name: str) -> CheckpointReader | None:
    """What turns the tensors of a released checkpoint of the method `name` into a `ImportedModel`; None where nothing does.

    Raises `RecipeError` for an unknown method.
    """
    method_class(name)
    return CHECKPOINT_READERS.load(name) if name in CHECKPOINT_READERS else None


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
        checked = cls.Options.model_validate(_on_defaults(cls.Options, respelled(options, option_names(name))))
    except ValidationError as error:
        raise RecipeError(explain(error, cls.Options, f"method '{name}'")) from error
    # Here and not in each group of options, since methods of others bring their own.
    if (key := first_not_finite(checked.model_dump())) is not None:
        raise RecipeError(f"method '{name}': {key}: must be a finite number, neither infinite, NaN nor beyond 1.8e308")
    return checked


def option_names(name: str) -> set[str]:
    """Names of a method's options, and of those inside its groups of options; none where the method is not installed."""
    try:
        return names_of(method_class(name).Options)
    except DelineateError:
        return set()


def names_of(model: type[BaseModel]) -> set[str]:
    """Names of the fields of a group of options, and of those inside the groups in it."""
    inner = [field.get_default(call_default_factory=True) for field in model.model_fields.values()]
    return set(model.model_fields).union(*(names_of(type(group)) for group in inner if isinstance(group, BaseModel)))


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
