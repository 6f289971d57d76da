"""Typed settings (pydantic models) as rows: key, type, default, meaning."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from generator.tables import plain, table


@dataclass(frozen=True)
class Setting:
    """One key with what is known of it."""

    key: str
    type: str
    default: str
    meaning: str
    from_paper: bool
    """Whether it is marked as stated by the paper."""


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    """All keys of a model, those of models within it too."""
    return _settings(model, prefix, defaults=None, from_paper=False)


def settings_table(model: type[BaseModel], prefix: str) -> str:
    rows = [[f"`{one.key}`", f"`{one.type}`", f"`{one.default}`", one.meaning] for one in settings_of(model, prefix)]
    return table(["Key", "Type", "Default", ""], rows)


def _settings(model: type[BaseModel], prefix: str, defaults: BaseModel | None, from_paper: bool) -> Iterator[Setting]:
    words = _attribute_docstrings(model)
    for name, field in model.model_fields.items():
        default = getattr(defaults, name) if defaults else field.get_default(call_default_factory=True)
        extra = field.json_schema_extra
        stated = extra.get("origin") == "paper" if isinstance(extra, dict) and "origin" in extra else from_paper
        if isinstance(default, BaseModel):
            yield from _settings(type(default), f"{prefix}{name}.", default, stated)
        else:
            meaning = field.description or words.get(name, "")
            shown = "" if field.is_required() else plain(default)
            yield Setting(f"{prefix}{name}", type_name(field.annotation), shown, meaning, stated)


def type_name(kind: Any) -> str:
    """A type in few words: "int | none", "tuple[float, float]", "rgb | bgr"."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Ellipsis:
        return "…"
    if kind is type(None):
        return "none"
    if origin is Literal:
        return " | ".join(str(value) for value in arguments)
    if origin in (Union, UnionType):
        return " | ".join(type_name(one) for one in arguments)
    if origin is Annotated:
        return type_name(arguments[0])
    return f"{origin.__name__}[{', '.join(map(type_name, arguments))}]" if origin else kind.__name__


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
