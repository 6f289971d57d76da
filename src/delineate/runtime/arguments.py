"""The options of a request as arguments of `argparse`, which is all that the runtime needs for its command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from delineate.requests.option import Field, fields_of

__all__ = ["add_options", "given_options"]


def add_options(parser: argparse.ArgumentParser, request: type) -> None:
    """Add an argument for each option of a request."""
    for field in fields_of(request):
        flag, option = field.flag.partition("/")[0], field.option
        told = f"{option.help} (default: {option.shown})" if isinstance(option.shown, str) else option.help
        told = told.replace("%", "%%")
        if field.type is bool:
            action = argparse.BooleanOptionalAction if option.default else "store_true"
            parser.add_argument(flag, dest=field.name, action=action, default=option.default, help=told)
            continue
        kind, choices = _kind(field)
        default = option.default if option.factor == 1 or option.default is None else option.default / option.factor
        if default is not None and option.shown is True:
            told += f" (default: {default:g})" if isinstance(default, float) else f" (default: {default})"
        parser.add_argument(
            flag,
            dest=field.name,
            type=kind,
            choices=choices,
            default=default,
            required=field.required,
            metavar=option.metavar or (None if choices else field.name.upper()),
            help=told,
        )


def given_options(request: type, parsed: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, as the library takes it."""
    found = {}
    for field in fields_of(request):
        value = parsed[field.name]
        factor = field.option.factor
        found[field.name] = round(value * factor) if factor != 1 and value is not None else value
    return found


def _kind(field: Field) -> tuple[Callable[[str], Any], tuple[str, ...] | None]:
    """What turns the text into a value, and which texts there may be."""
    if get_origin(field.type) is Literal:
        return str, get_args(field.type)
    members = {member for member in get_args(field.type) or (field.type,) if member is not NoneType}
    if field.option.factor != 1 or members == {float}:
        return _number(float, field), None
    return (_number(int, field), None) if members == {int} else (str, None)


def _number(kind: type, field: Field) -> Callable[[str], Any]:
    least, most = field.option.least, field.option.most

    def read(text: str) -> Any:
        value = kind(text)
        if not ((least is None or value >= least) and (most is None or value <= most)):
            between = f"at least {least:g}" if most is None else f"between {least:g} and {most:g}"
            raise argparse.ArgumentTypeError(f"{text} is not {between}")
        return value

    read.__name__ = "whole number" if kind is int else "number"  # argparse names it in its message
    return read
