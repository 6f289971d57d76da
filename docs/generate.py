"""Writes the parts of `docs/reference.md` that the code itself knows: the command line, recipe keys, method options.

python docs/generate.py            rewrite them
python docs/generate.py --check    exit 1 if they are out of date (a test runs this)
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel

from delineate import api
from delineate.cli import app
from delineate.data.augment.settings import AugmentSettings
from delineate.engine.recipe import (
    DataSection,
    EngineSection,
    EpisodesSection,
    InputSection,
    StageOverride,
    StageSettings,
)
from delineate.methods import registry
from delineate.strategies import registry as strategy_registry

PAGE = Path(__file__).with_name("reference.md")
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    old = PAGE.read_text(encoding="utf-8")
    new = BLOCK.sub(lambda found: found[1] + PARTS[found[2]]() + found[3], old)
    if "--check" in sys.argv:
        return int(new != old)
    PAGE.write_text(new, encoding="utf-8")
    return 0


def verbs() -> str:
    """Each verb with its arguments and options."""
    return "\n".join(_verb(path, command) for path, command in _commands(typer.main.get_command(app), "delineate"))


def recipe() -> str:
    """Tables of the recipe's sections."""
    sections = {
        "data": DataSection,
        "input": InputSection,
        "augment": AugmentSettings,
        "episodes": EpisodesSection,
        "engine": EngineSection,
    }
    text = "".join(f"#### `{name}`\n\n{_fields(model, f'{name}.')}\n" for name, model in sections.items())
    settings = ", ".join(f"`{name}`" for name in StageSettings.model_fields)
    share = StageOverride.model_fields["share"].description
    first = f"`share` ({share}), `augment` (keys as above), `strategy` (its options)"
    return f"{text}#### `stages.<name>`\n\n{first}, and any of {settings}.\n\n"


def methods() -> str:
    """Each method's options."""
    names = list(registry.BUILT_IN)
    return "".join(f"#### {name}\n\n{_fields(registry.method_class(name).Options, 'method.')}\n" for name in names)


def strategies() -> str:
    """Each strategy's options."""
    names = list(strategy_registry.BUILT_IN)
    classes = {name: strategy_registry.strategy_class(name).Options for name in names}
    return "".join(f"#### {name}\n\n{_fields(options, 'strategy.')}\n" for name, options in classes.items())


def python() -> str:
    """Each of the library's verbs that takes a request: its keywords and what it does."""
    functions = [getattr(api, name) for name in api.__all__]
    taking = [one for one in functions if inspect.isfunction(one) and hasattr(one, "__signature__")]
    return _table(["", ""], [[f"`{_call(one)}`", str(inspect.getdoc(one)).partition("\n\n")[0]] for one in taking])


PARTS = {"python": python, "verbs": verbs, "recipe": recipe, "methods": methods, "strategies": strategies}


def _call(function: Any) -> str:
    """The keywords of its request by name alone: types and defaults are in `help()`, and the command line's."""
    given = inspect.signature(function).parameters.values()
    needed = [one.name for one in given if one.default is inspect.Parameter.empty]
    positional = [one.name for one in given if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    keywords = [name for name in needed if name not in positional]
    optional = [f"{one.name}=" for one in given if one.name not in (*needed, *positional)]
    return f"delineate.{function.__name__}({', '.join([*positional, '*', *keywords, *optional])})"


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _commands(inner, f"{path} {name}")
    else:
        yield path, command


def _verb(path: str, command: Any) -> str:
    paragraphs = inspect.cleandoc(command.help).split("\n\n")
    words = [" ".join(text.split()) for text in paragraphs if not text.startswith(("\b", "Examples:", "    delineate"))]
    words = [text for text in words if not text.startswith("delineate ")]
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    usage = " ".join([path, *(_metavar(param) for param in arguments), "[OPTIONS]"])
    rows = [[f"`{_metavar(param)}`", param.help or "", ""] for param in arguments]
    rows += [
        [", ".join(f"`{name}`" for name in param.opts), param.help or "", _default(param)]
        for param in command.params
        if param.param_type_name == "option"
    ]
    return (
        f"### `{path}`\n\n```text\n{usage}\n```\n\n" + "\n\n".join(words) + "\n\n" + _table(["", "", "Default"], rows)
    )


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _default(param: Any) -> str:
    if isinstance(param.show_default, str):
        return param.show_default
    if param.required:
        return "required"
    value = param.default() if callable(param.default) else param.default
    value = getattr(value, "value", value)
    return "" if value in (None, False) or repr(value) == "Sentinel.UNSET" else f"`{value}`"


def _fields(model: type[BaseModel], prefix: str) -> str:
    return _table(["Key", "Type", "Default", ""], list(_rows(model, prefix)))


def _rows(model: type[BaseModel], prefix: str, defaults: BaseModel | None = None) -> Iterator[list[str]]:
    words = _attribute_docstrings(model)
    for name, field in model.model_fields.items():
        default = getattr(defaults, name) if defaults else field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield from _rows(type(default), f"{prefix}{name}.", default)
        else:
            text = field.description or words.get(name, "")
            yield [f"`{prefix}{name}`", f"`{_type(field.annotation)}`", f"`{_plain(default)}`", text]


def _type(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Ellipsis:
        return "…"
    if kind is type(None):
        return "none"
    if origin is Literal:
        return " | ".join(str(value) for value in arguments)
    if origin in (Union, UnionType):
        return " | ".join(_type(one) for one in arguments)
    if origin is Annotated:
        return _type(arguments[0])
    return f"{origin.__name__}[{', '.join(map(_type, arguments))}]" if origin else kind.__name__


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _attribute_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The texts that stand below a class's fields."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, BaseModel) or cls.__module__.startswith("pydantic"):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[union-attr]
    return found


def _table(head: list[str], rows: list[list[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
