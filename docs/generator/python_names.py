"""The library's verbs in one line each."""

from __future__ import annotations

import inspect
from typing import Any

from delineate import api
from generator.tables import table


def python() -> str:
    """Each verb that takes a request: its keywords and what it does."""
    functions = [getattr(api, name) for name in api.__all__]
    taking = [one for one in functions if inspect.isfunction(one) and hasattr(one, "__signature__")]
    return table(["", ""], [[f"`{_call(one)}`", _first_paragraph(one)] for one in taking])


def _first_paragraph(function: Any) -> str:
    """In one line: a table's cell ends where its line ends."""
    return " ".join(str(inspect.getdoc(function)).partition("\n\n")[0].split())


def _call(function: Any) -> str:
    """The keywords of its request by name alone: types and defaults are in `help()`, and the command line's."""
    given = inspect.signature(function).parameters.values()
    needed = [one.name for one in given if one.default is inspect.Parameter.empty]
    positional = [one.name for one in given if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    keywords = [name for name in needed if name not in positional]
    optional = [f"{one.name}=" for one in given if one.name not in (*needed, *positional)]
    return f"delineate.{function.__name__}({', '.join([*positional, '*', *keywords, *optional])})"
