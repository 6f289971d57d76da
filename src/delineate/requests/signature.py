"""A verb of the library whose keywords are a request's: complete when it is called, and whole in `help()`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from textwrap import indent, wrap
from typing import Any, ParamSpec, TypeVar

from delineate.requests.option import Field, completed, fields_of

__all__ = ["takes"]

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def takes(request: type) -> Callable[[Callable[_Given, _Result]], Callable[_Given, _Result]]:
    """Decorator of a function with `**options: Unpack[request]`: the function receives all of them, also those not given.

    Its signature and the `Args` of its docstring are completed from the request.
    """

    def decorate(verb: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
        signature = inspect.signature(verb)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        named = {one.name for one in own}

        @wraps(verb)
        def call(*arguments: _Given.args, **given: _Given.kwargs) -> _Result:
            mine = {name: value for name, value in given.items() if name in named}
            theirs = {name: value for name, value in given.items() if name not in named}
            full: Any = {**mine, **completed(verb.__name__, request, theirs)}
            return verb(*arguments, **full)

        made = [_parameter(field) for field in fields_of(request)]
        call.__signature__ = signature.replace(parameters=_ordered(own, made))  # type: ignore[attr-defined]
        call.__doc__ = _with_args(inspect.getdoc(verb) or "", request)
        return call

    return decorate


def _parameter(field: Field) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.required else field.option.default
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=field.type)


def _ordered(own: list[inspect.Parameter], made: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """The verb's own keywords last: they are listeners, not options."""
    first = [one for one in own if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    return [*first, *made, *(one for one in own if one.kind is inspect.Parameter.KEYWORD_ONLY)]


def _with_args(text: str, request: type) -> str:
    """The docstring with the request's options at the end of its `Args`."""
    head, found, tail = text.partition("Args:\n")
    assert found, f"a docstring without `Args:` for {request.__name__}"
    own, gap, rest = tail.partition("\n\n")
    told = "\n".join(_told(field) for field in fields_of(request))
    return f"{head}Args:\n{own}\n{indent(told, '    ')}{gap}{rest}"


def _told(field: Field) -> str:
    words = field.option.python or field.option.help
    if field.option.default is None and isinstance(field.option.shown, str) and field.option.shown != "none":
        words += f" None: {field.option.shown}."
    if field.option.recipe is not None:
        words += f" Short for the recipe's `{field.option.recipe}`."
    first, *more = wrap(f"{field.name}: {words}", 116, break_long_words=False, break_on_hyphens=False)
    return "\n".join([first, *(f"    {line}" for line in more)])
