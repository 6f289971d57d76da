"""Settings of parts of a method: which of them holds for a parameter, and whether the names are those of submodules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from torch import nn

from delineate.common.errors import RecipeError
from delineate.common.names import did_you_mean

__all__ = ["check_submodules", "is_within", "nearest_setting"]

_Value = TypeVar("_Value")


def is_within(name: str, module: str) -> bool:
    """Whether a parameter is that module's, both by their dotted names in the method."""
    return name.startswith(f"{module}.")


def nearest_setting(name: str, settings: Mapping[str, _Value]) -> tuple[str, _Value] | None:
    """Of the modules that hold a parameter and have a setting, the innermost with its setting."""
    holding = [module for module in settings if is_within(name, module)]
    if not holding:
        return None
    innermost = max(holding, key=len)
    return innermost, settings[innermost]


def check_submodules(method: nn.Module, key: str, names: Iterable[str]) -> None:
    """Raise `RecipeError` for a name that is no submodule with parameters; `key`: the setting that names them."""
    parameters = [name for name, _ in method.named_parameters()]
    for module in names:
        if any(is_within(name, module) for name in parameters):
            continue
        known = {
            ".".join(parts[:depth]) for parts in (n.split(".") for n in parameters) for depth in range(1, len(parts))
        }
        deeper = sorted((name for name in known if name.endswith(f".{module}")), key=lambda name: name.count("."))
        if deeper:
            hint = f"did you mean {' or '.join(repr(name) for name in deeper[:3])}?"
        else:
            hint = did_you_mean(module, {name for name in known if name.count(".") <= module.count(".")})
        raise RecipeError(f"{key}: the method has no submodule '{module}': {hint}")
