"""What is said of one option besides its type; and the options of a request, read from its class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin, get_type_hints

from delineate.common.errors import DataError
from delineate.common.names import did_you_mean, listed

__all__ = ["Field", "Option", "checked", "completed", "fields_of", "recipe_sections"]


@dataclass(frozen=True, kw_only=True)
class Option:
    """For a field of a request: `Annotated[int | None, Option(help="...")]`. `Required[...]` around it: no default."""

    help: str
    """For `--help` and the reference."""
    python: str | None = None
    """For Python's `help()`, where it must say it otherwise."""
    default: Any = None
    flag: str | None = None
    """On the command line; None: the field's name. "": not there."""
    metavar: str | None = None
    shown: str | bool = True
    """The default as help shows it, where it says more than the value; False: not at all."""
    least: float | None = None
    most: float | None = None
    factor: float = 1
    """From the command line's unit to the field's."""
    commas: bool = False
    """A list of names: on the command line repeated, or separated by commas."""
    recipe: str | None = None
    """The recipe's key that this is short for."""
    panel: str | None = None
    """Heading in help."""


@dataclass(frozen=True)
class Field:
    """An option of a request."""

    name: str
    type: Any
    option: Option
    required: bool

    @property
    def flag(self) -> str:
        """On the command line; "" where it has none."""
        return f"--{self.name.replace('_', '-')}" if self.option.flag is None else self.option.flag


@cache
def fields_of(request: type) -> tuple[Field, ...]:
    """The options of a request, in order."""
    fields = []
    for name, hint in get_type_hints(request, include_extras=True).items():
        required = get_origin(hint) is Required
        annotated = get_args(hint)[0] if required else hint
        assert get_origin(annotated) is Annotated, f"{request.__name__}.{name} lacks its Option"
        kind, option = get_args(annotated)
        fields.append(Field(name, kind, option, required))
    return tuple(fields)


def completed(verb: str, request: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a request: those given, the others by default. One text or path where several may be given is a list of one.

    Raises `TypeError`, as Python does, for an option that is not there (naming the nearest) or that is missing; `DataError` for a
    value that is none of its choices or out of its range.
    """
    fields = fields_of(request)
    known = {field.name for field in fields}
    for name in given:
        if name not in known:
            raise TypeError(f"{verb}() got an unexpected keyword argument '{name}': {did_you_mean(name, known)}")
    missing = [repr(field.name) for field in fields if field.required and field.name not in given]
    if missing:
        raise TypeError(f"{verb}() lacks the keyword argument {' and '.join(missing)}")
    return {
        field.name: checked(field, given[field.name]) if field.name in given else field.option.default
        for field in fields
    }


_CHECKED_BELOW = ("device",)
"""Options that take more than their choices (`cuda:1`)."""


def checked(field: Field, value: Any) -> Any:
    """As the command line would have refused or read it."""
    members = get_args(field.type) if get_origin(field.type) in (Union, UnionType) else (field.type,)
    members = tuple(member for member in members if member is not NoneType)
    if value is None or field.name in _CHECKED_BELOW:
        return value
    choices = [choice for member in members if get_origin(member) is Literal for choice in get_args(member)]
    if len(members) == 1 and choices:
        if str(value) not in choices:
            raise DataError(f"unknown {field.name} '{value}': {did_you_mean(str(value), choices)}")
        return str(value)
    if isinstance(value, str | Path) and len(members) == 1 and get_origin(members[0]) is Sequence:
        return (value,)
    if isinstance(value, int | float):
        _check_range(field, value / field.option.factor)
    return value


def _check_range(field: Field, value: float) -> None:
    least, most = field.option.least, field.option.most
    if least is not None and not value >= least:  # NaN is not either
        raise DataError(f"{field.name} {value * field.option.factor:g}: give {least * field.option.factor:g} or more")
    if most is not None and not value <= most:
        raise DataError(f"{field.name} {value * field.option.factor:g}: give {most * field.option.factor:g} or less")


def recipe_sections(request: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe sections that short options state: {"steps": 8} → {"engine": {"steps": 8}}. None states nothing, nor does an
    empty list."""
    sections: dict[str, Any] = {}
    for field in fields_of(request):
        value = given.get(field.name)
        if field.option.recipe is None or value is None or value == [] or value == ():
            continue
        section, _, key = field.option.recipe.partition(".")
        sections.setdefault(section, {})[key] = list(listed(value)) if field.option.commas else value
    return sections
