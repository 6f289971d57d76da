"""The fields of settings classes, read from the source text: to refuse a misspelled key, nothing has to be imported.

Importing the classes themselves would load torch, which takes seconds.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Place", "attribute_of", "fields_of"]

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Place:
    """A class and the module that it is written in."""

    module: str
    name: str


@cache
def fields_of(place: Place) -> dict[str, Place | None] | None:
    """Field → the settings class that it holds, None where it holds anything else. None for what is no class of ours."""
    found = _find(place)
    if found is None:
        return None
    home, node = found
    fields: dict[str, Place | None] = {}
    for base in node.bases:
        fields |= fields_of(_resolved(home, base)) or {}
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and _is_field(line):
            nested = _resolved(home, line.annotation)
            fields[line.target.id] = nested if fields_of(nested) else None
    return fields


def attribute_of(place: Place, name: str) -> Place | None:
    """The class that a class attribute is set to (`Options = UNetOptions`), looked up in the bases too."""
    found = _find(place)
    if found is None:
        return None
    home, node = found
    for line in node.body:
        if isinstance(line, ast.Assign) and any(isinstance(one, ast.Name) and one.id == name for one in line.targets):
            return _resolved(home, line.value)
    return next((there for base in node.bases if (there := attribute_of(_resolved(home, base), name))), None)


def _is_field(line: ast.AnnAssign) -> bool:
    return not ast.unparse(line.annotation).startswith("ClassVar")


def _find(place: Place) -> tuple[str, ast.ClassDef] | None:
    """The class and its module, followed through one import or more."""
    if not place.name or not place.module.startswith("delineate"):
        return None
    for node in _module(place.module).body:
        if isinstance(node, ast.ClassDef) and node.name == place.name:
            return place.module, node
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == place.name for alias in node.names):
            return _find(Place(node.module, place.name))
    return None


def _resolved(home: str, expression: ast.expr) -> Place:
    """Where a name that stands in a module comes from; the names within a union or a subscript are no class of their own."""
    return Place(home, expression.id if isinstance(expression, ast.Name) else "")


@cache
def _module(name: str) -> ast.Module:
    path = _ROOT.joinpath(*name.split("."))
    for candidate in _candidates(path):
        if candidate.is_file():
            return ast.parse(candidate.read_text(encoding="utf-8"))
    return ast.Module([], [])


def _candidates(path: Path) -> Iterator[Path]:
    yield path.with_suffix(".py")
    yield path / "__init__.py"
