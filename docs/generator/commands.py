"""The command line: each verb with its usage, words, examples, arguments and options, as `--help` has them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import EnumType
from typing import Any

import typer

from delineate.cli import app
from generator.tables import table


def verbs() -> str:
    """All verbs, a heading each."""
    return "\n".join(_verb(path, command) for path, command in _commands(typer.main.get_command(app), "delineate"))


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _commands(inner, f"{path} {name}")
    else:
        yield path, command


def _verb(path: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    usage = " ".join([path, *(_in_usage(param) for param in arguments), "[OPTIONS]"])
    words, examples = _words_and_examples(command.help)
    parts = [f"## `{path}`", f"```text\n{usage}\n```", *words]
    if examples:
        parts.append("```bash\n" + "\n".join(examples) + "\n```")
    rows = [[f"`{_metavar(param)}`", param.help or "", ""] for param in arguments]
    rows += [[_flags(param), param.help or "", _default(param)] for param in options]
    return "\n\n".join([*parts, table(["", "", "Default"], rows)])


def _words_and_examples(text: str) -> tuple[list[str], list[str]]:
    """The paragraphs of a help text, and the lines that are commands."""
    words, examples = [], []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines() if line.strip() not in ("\b", "Examples:")]
        if lines and lines[0].startswith("delineate "):
            examples += lines
        elif lines:
            words.append(" ".join(lines))
    return words, examples


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _in_usage(param: Any) -> str:
    """An argument that may be left out stands in brackets."""
    word = _metavar(param)
    return word if param.required or word.startswith("[") else f"[{word}]"


def _flags(param: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])
    choices = _choices(param)
    return f"{names} `{'|'.join(choices)}`" if choices else names


def _choices(param: Any) -> list[str]:
    """The words that an option takes. Older versions of typer keep them elsewhere."""
    if hasattr(param, "type_descriptor"):
        kind = param.type_descriptor.annotation
        members: list[Any] = list(kind) if isinstance(kind, EnumType) else []
        return [str(member.value) for member in members]
    return [str(getattr(one, "value", one)) for one in getattr(param.type, "choices", ())]


def _default(param: Any) -> str:
    if isinstance(param.show_default, str):
        return param.show_default
    if param.required:
        return "required"
    value = param.default() if callable(param.default) else param.default
    value = getattr(value, "value", value)
    return "" if value in (None, False) or repr(value) == "Sentinel.UNSET" else f"`{value}`"
