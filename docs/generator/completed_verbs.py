"""For mkdocstrings: the library's verbs with what their requests add when they are imported; examples as sections of their own."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from griffe import Docstring, Extension, Function, Object, Parameter, ParameterKind, Parameters

KINDS: dict[Any, ParameterKind] = {
    inspect.Parameter.POSITIONAL_ONLY: ParameterKind.positional_only,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: ParameterKind.positional_or_keyword,
    inspect.Parameter.KEYWORD_ONLY: ParameterKind.keyword_only,
}


class CompletedVerbs(Extension):
    """Reads what a function decorated with `takes` has become, and `Example:` as griffe's `Examples:`."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = _with_examples(obj.docstring.value)

    def on_function(self, *, func: Function, **_: Any) -> None:
        if not any(str(one.value).startswith("takes(") for one in func.decorators):
            return
        made = getattr(import_module(func.module.path), func.name)
        func.parameters = Parameters(*map(_parameter, inspect.signature(made).parameters.values()))
        func.docstring = Docstring(_with_examples(inspect.getdoc(made) or ""), parent=func)


def _with_examples(text: str) -> str:
    return text.replace("\nExample:\n", "\nExamples:\n")


def _parameter(given: inspect.Parameter) -> Parameter:
    required = given.default is inspect.Parameter.empty
    kind = given.annotation if isinstance(given.annotation, str) else inspect.formatannotation(given.annotation)
    return Parameter(
        given.name,
        annotation=kind.replace("collections.abc.", "").replace("pathlib.", "").replace("typing.", ""),
        kind=KINDS[given.kind],
        default=None if required else repr(given.default),
    )
