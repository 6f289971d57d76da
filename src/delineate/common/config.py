"""Nested settings: laid on each other, and what is wrong with them in one line."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from delineate.common.names import did_you_mean

__all__ = ["explain", "first_fault", "merge"]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping; neither is changed."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def first_fault(error: Exception) -> str:
    """What a validation of a file that programs write found first, as "key.key: reason"; of other errors their own words."""
    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors()[0]
    where, reason = ".".join(str(part) for part in fault["loc"]), _reason(fault["msg"])
    return f"{where}: {reason}" if where else reason


def explain(error: ValidationError, model: type[BaseModel], what: str) -> str:
    """One line for the first fault of a validation: the dotted key, the reason, the nearest known key."""
    fault = error.errors()[0]
    keys, parent = _walk(model, fault["loc"])
    where = ".".join(keys)
    if fault["type"] == "extra_forbidden":
        known = parent.model_fields if parent is not None else ()
        return f"{what}: unknown option '{where}': {did_you_mean(keys[-1], known)}"
    reason = _reason(fault["msg"])
    section = isinstance(
        fault["input"], Mapping | BaseModel
    )  # too much for a line; the reason names what is wrong in it
    return f"{what}: {where or 'value'}: {reason}" + ("" if section else f" (given: {fault['input']!r})")


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")


def _only_model(union: Any) -> type[BaseModel] | None:
    """The one group of options among the types of a union; None: there is none, or which was meant is not known."""
    kinds = [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in get_args(union)]
    models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return models[0] if len(models) == 1 else None


def _walk(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel] | None]:
    """The user's keys on the way to a fault (pydantic adds the name of the tried type behind a union), and the model that
    the last of them was looked up in."""
    keys: list[str] = []
    here: Any = model
    parent: type[BaseModel] | None = None
    for part in location:
        if get_origin(here) in (Union, UnionType) and isinstance(part, str):
            here = _only_model(here)
            continue
        keys.append(str(part))
        if get_origin(here) is dict:  # any key is one of the user's own
            parent, here = None, get_args(here)[1]
            continue
        parent = here if isinstance(here, type) and issubclass(here, BaseModel) else None
        field = parent.model_fields.get(str(part)) if parent is not None else None
        here = field.annotation if field is not None else None
    return keys, parent
