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
from delineate.data.core.regions import Region
from delineate.methods.built_in import BUILT_IN, CHECKPOINT_GROUP, CHECKPOINTS, ENTRY_POINT_GROUP, FAMILIES
from delineate.methods.contract import CheckpointReader, Method, MethodOptions
from delineate.methods.dense import DenseMethod
from delineate.methods.episodic import EpisodicMethod
from delineate.nn.output import Output

__all__ = [
    "METHODS",
    "build",
    "card",
    "checked_options",
    "checkpoint_reader",
    "create",
    "folder",
    "forget_other_packages",
    "method_class",
    "names",
    "names_of",
    "option_names",
    "presets",
]

METHODS = Plugins("method", ENTRY_POINT_GROUP, BUILT_IN)
_CHECKPOINT_READERS = Plugins("reader of checkpoints for method", CHECKPOINT_GROUP, CHECKPOINTS)


def forget_other_packages() -> None:
    """Search for entry points again at the next call: a package was installed or removed while the program runs.

    Example:
        >>> from delineate.methods import registry
        >>> registry.forget_other_packages()
    """
    METHODS.forget_others()
    _CHECKPOINT_READERS.forget_others()


def names() -> list[str]:
    """Names of all methods, built-in and of other packages.

    Returns:
        Sorted; without those of families such as "smp:unet/resnet34".

    Example:
        >>> from delineate.methods import registry
        >>> "unet" in registry.names()
        True
    """
    return METHODS.names()


def method_class(name: str) -> type[Method]:
    """The class of a method.

    Args:
        name: Under which the method is registered, or "smp:ARCH/ENCODER".

    Returns:
        A subclass of `DenseMethod` or `EpisodicMethod`.

    Raises:
        RecipeError: No method has this name; the message names the nearest.
        DelineateError: The package of the method cannot be imported, or gives something else than a method.

    Example:
        >>> from delineate.methods import registry
        >>> registry.method_class("unet").info.title
        'U-Net'
    """
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
    """The function that reads checkpoints of the code of a method's authors.

    Args:
        name: Of the method.

    Returns:
        Tensors by name → `ImportedModel`; None: there is no such function.

    Raises:
        RecipeError: No method has this name.

    Example:
        >>> from delineate.methods import registry
        >>> registry.checkpoint_reader("unet") is None
        True
    """
    method_class(name)
    return _CHECKPOINT_READERS.load(name) if name in _CHECKPOINT_READERS else None


def folder(name: str) -> Path:
    """The folder of a method, with `recipe.yaml` and `card.md`.

    Args:
        name: Of the method.

    Returns:
        The folder of the module that defines it.

    Example:
        >>> from delineate.methods import registry
        >>> (registry.folder("unet") / "card.md").is_file()
        True
    """
    module = import_module(method_class(name).__module__)
    return Path(str(module.__file__)).parent


def presets(name: str) -> dict[str, dict[str, Any]]:
    """The presets of a method, from its `recipe.yaml`. Every method has `paper` (as published) and `tiny` (for
    tests); those of this project have `small` too, which gives a useful model on two processor cores.

    Args:
        name: Of the method.

    Returns:
        Name of the preset → sections of a recipe.

    Raises:
        DelineateError: The file is missing or cannot be read.

    Example:
        >>> from delineate.methods import registry
        >>> sorted(registry.presets("unet"))
        ['paper', 'small', 'small-scratch', 'tiny']
    """
    path = folder(name) / "recipe.yaml"
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DelineateError(f"method '{name}' has no readable recipe at {path}: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(sections, dict) for sections in content.values()):
        raise DelineateError(f"method '{name}': {path} must map preset names to recipe sections")
    return content


def card(name: str) -> str:
    """The card of a method: facts, what the paper leaves open, results.

    Args:
        name: Of the method.

    Returns:
        The text of its `card.md`.

    Raises:
        DelineateError: The file is missing or cannot be read.

    Example:
        >>> from delineate.methods import registry
        >>> registry.card("unet").splitlines()[0]
        '# U-Net'
    """
    path = folder(name) / "card.md"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DelineateError(f"method '{name}' has no readable card at {path}: {error}") from error


def build(
    name: str,
    *,
    classes: int = 1,
    in_channels: int = 3,
    options: Mapping[str, Any] | None = None,
    regions: tuple[Region, ...] = (),
) -> Method:
    """A method with random weights; nothing is downloaded. See `create` for pretrained ones.

    Args:
        name: Of the method.
        classes: Output channels; 1 = one foreground class with sigmoid, more = softmax with the background first.
        in_channels: Channels of the images.
        options: The method's options, as in the recipe's section `method`; others keep their defaults.
        regions: What the output channels are where they are nested regions, one for each; each then has a sigmoid of its own.

    Returns:
        The method, in training mode, on the CPU.

    Raises:
        RecipeError: An unknown method or option (the message names the nearest), or a value of the wrong type; regions for a method
            that learns classes alone.

    Example:
        >>> from delineate.methods import registry
        >>> method = registry.build("unet", classes=4, options={"encoder": {"name": "resnet18"}})
        >>> method(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 4, 64, 64])
    """
    cls = method_class(name)
    if classes < 1 or in_channels < 1:
        raise RecipeError(
            f"method '{name}': classes and in_channels must be at least 1 (given: {classes}, {in_channels})"
        )
    if regions and not cls.info.learns_regions:
        raise RecipeError(f"method '{name}' learns classes, not nested regions; train it with data.regions={{}}")
    method = cls(checked_options(name, options or {}), classes=classes, in_channels=in_channels)
    method.output = Output(classes, regions)
    return method


def checked_options(name: str, options: Mapping[str, Any]) -> MethodOptions:
    """Check the options of a method and complete them with its defaults.

    Args:
        name: Of the method.
        options: As in the recipe's section `method`, also in the British spelling of earlier versions.

    Returns:
        An instance of the method's `Options`.

    Raises:
        RecipeError: An unknown option (the message names the nearest), or a value of the wrong type or not finite.

    Example:
        >>> from delineate.methods import registry
        >>> registry.checked_options("unet", {"up": "bilinear"}).normalize
        'imagenet'
    """
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
    """Names of a method's options, and of those inside its groups of options.

    Args:
        name: Of the method.

    Returns:
        The names; empty where the method is not installed.

    Example:
        >>> from delineate.methods import registry
        >>> {"encoder", "pretrained"} <= registry.option_names("unet")
        True
    """
    try:
        return names_of(method_class(name).Options)
    except DelineateError:
        return set()


def names_of(model: type[BaseModel]) -> set[str]:
    """Names of the fields of a group of options, and of those inside the groups in it.

    Args:
        model: A class of options.

    Returns:
        The names, without those of the groups that they are in.

    Example:
        >>> from delineate.methods.registry import names_of
        >>> from delineate.nn.encoders.options import EncoderOptions
        >>> sorted(names_of(EncoderOptions))
        ['name', 'pretrained']
    """
    found = set(model.model_fields)
    for field in model.model_fields.values():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            found |= names_of(type(default))
    return found


def create(name: str, classes: int = 1, in_channels: int = 3, *, preset: str | None = None, **options: Any) -> Method:
    """Build a method, and load the pretrained weights that its options ask for.

    Args:
        name: Of the method; `delineate.list_methods()` lists them.
        classes: Output channels; 1 = one foreground class with sigmoid, more = softmax with the background first.
        in_channels: Channels of the images.
        preset: Start from the options of this preset, such as "tiny"; None: from the defaults.
        **options: The method's options, as in the recipe's section `method`; groups of options are dictionaries.

    Returns:
        A `torch.nn.Module` in training mode, on the CPU. `method(image)` gives logits: B×C×H×W in [0, 1] → B×K×H×W.

    Raises:
        RecipeError: An unknown method, preset or option (the message names the nearest), or a value of the wrong type.
        DelineateError: Pretrained weights cannot be downloaded or read.

    Example:
        >>> method = delineate.create("unet", encoder={"name": "resnet18"})
        >>> method(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
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
    """Complete a group of options by the method's own default for it, not by the defaults of the group's class."""
    result = dict(options)
    for key, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel) and isinstance(result.get(key), Mapping):
            result[key] = merge(default.model_dump(), result[key])
    return result
