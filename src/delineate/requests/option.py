"""What is said of one option besides its type; and the options of a request, read from its class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Required, get_args, get_origin, get_type_hints

from delineate.common.names import did_you_mean, listed

__all__ = ["Field", "Option", "completed", "fields_of", "recipe_sections"]


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
    """All options of a request: those given, the others by default.

    Raises `TypeError`, as Python does, for an option that is not there (naming the nearest) or that is missing.
    """
    fields = fields_of(request)
    known = {field.name for field in fields}
    for name in given:
        if name not in known:
            raise TypeError(f"{verb}() got an unexpected keyword argument '{name}': {did_you_mean(name, known)}")
    missing = [repr(field.name) for field in fields if field.required and field.name not in given]
    if missing:
        raise TypeError(f"{verb}() lacks the keyword argument {' and '.join(missing)}")
    return {field.name: given.get(field.name, field.option.default) for field in fields}


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
