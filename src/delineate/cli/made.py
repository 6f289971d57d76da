"""The command line's options, made from requests: what typer reads off a verb is the request's fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin

import typer

from delineate.cli.options import check_seed, finite
from delineate.common.names import listed
from delineate.requests.option import Field, fields_of

__all__ = ["part", "taking"]


def taking(*requests: type, without: Sequence[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator of a verb with `**given`: it has the options of the requests (but `without` some), and receives their values as
    the library takes them. Options that the verb has of its own win over a request's."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        own = [one for one in inspect.signature(verb, eval_str=True).parameters.values() if one.name != "given"]
        taken = {one.name for one in own} | set(without)
        fields = [
            field for request in requests for field in fields_of(request) if field.flag and field.name not in taken
        ]

        @wraps(verb)
        def run(**typed: Any) -> None:
            verb(**typed | {field.name: _value(field, typed[field.name]) for field in fields})

        made = [_parameter(field) for field in fields]
        run.__signature__ = inspect.Signature([*(one.replace(kind=one.KEYWORD_ONLY) for one in own), *made])  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in [*own, *made]}
        return run

    return decorate


def part(request: type, given: dict[str, Any]) -> dict[str, Any]:
    """Those of a verb's options that are a request's."""
    return {field.name: given[field.name] for field in fields_of(request) if field.name in given}


def _parameter(field: Field) -> inspect.Parameter:
    option = field.option
    kind, several = _kind(field)
    numeric = kind in (int, float)
    # Typed so that bounds are not shown as 8.0 where whole numbers are asked for.
    least, most = (None if bound is None or not numeric else kind(bound) for bound in (option.least, option.most))
    told = typer.Option(
        field.flag,
        help=option.help,
        metavar=option.metavar,
        show_default=option.shown,
        min=least,
        max=most,
        callback=check_seed if field.name == "seed" else finite if kind is float else None,
        rich_help_panel=option.panel,
    )
    default = inspect.Parameter.empty if field.required else _default(field, kind, several)
    optional = several or default is None
    shape: Any = _several(kind) if several else kind
    typed: Any = Annotated[Optional[shape] if optional else shape, told]  # noqa: UP045 - a type that is a value
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=typed)


def _kind(field: Field) -> tuple[Any, bool]:
    """What typer converts the option's text to, and whether the option may be repeated."""
    if field.option.factor != 1:
        return float, False
    members = get_args(field.type) if get_origin(field.type) in (Union, UnionType) else (field.type,)
    members = tuple(member for member in members if member is not NoneType)
    if Path in members:
        return Path, False
    if members == (Sequence[Path | str],):
        return Path, True
    if field.option.commas or members == (Sequence[str],):
        return str, True
    first = members[0]
    if get_origin(first) is Literal:
        return StrEnum(field.name, {choice: choice for choice in get_args(first)}), False
    return first, False


def _several(kind: Any) -> Any:
    return list[Path] if kind is Path else list[str]


def _default(field: Field, kind: Any, several: bool) -> Any:
    default = field.option.default
    if several or default is None:
        return None
    if field.option.factor != 1:
        return default / field.option.factor
    return kind(default)


def _value(field: Field, typed: Any) -> Any:
    """As the library takes it."""
    if typed is None:
        return field.option.default
    if field.option.factor != 1:
        return round(typed * field.option.factor)
    if field.option.commas:
        return [name for text in typed for name in listed(text)]
    return str(typed) if isinstance(typed, StrEnum) else typed
