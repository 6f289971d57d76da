"""HTML that is safe by construction: whatever is not `Html` already is escaped when it becomes part of an element."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from delineate.evaluation.statistics import interpretation

__all__ = [
    "Html",
    "captioned",
    "element",
    "facts",
    "fold",
    "join",
    "number",
    "p_value",
    "table",
]

_VOID = {"img", "meta", "br", "hr"}


class Html(str):
    """Text that is finished markup."""

    __slots__ = ()


def element(name: str, /, *children: Any, **attributes: Any) -> Html:
    """`<name attributes>children</name>`.

    Children are escaped unless `Html`; None is left out. Attribute names lose a trailing underscore and turn others into
    hyphens (`class_`, `stroke_width`); an attribute of None or False is left out, one of True stands without a value.
    """
    inner = join(*children)
    opening = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Html(opening if name in _VOID else f"{opening}{inner}</{name}>")


def join(*children: Any) -> Html:
    """The children one after another, escaped unless `Html`."""
    return Html("".join(_child(child) for child in children))


def table(
    head: Sequence[Any], rows: Sequence[Sequence[Any]], *, numeric_from: int = 1, caption: str | None = None
) -> Html:
    """A table whose columns from index `numeric_from` on are set flush right."""

    def cells(row: Sequence[Any], name: str) -> Html:
        side = {"scope": "col"} if name == "th" else {}
        return join(
            *(
                element(name, cell, class_="number" if at >= numeric_from else None, **side)
                for at, cell in enumerate(row)
            )
        )

    body = element("tbody", *(element("tr", cells(row, "td")) for row in rows))
    title = captioned(caption) if caption else None
    whole = element("table", title, element("thead", element("tr", cells(head, "th"))), body)
    return element("div", whole, class_="scroll")


def captioned(words: str) -> Html:
    """A table's caption that stays as narrow as the screen where the table is wider."""
    return element("caption", element("span", words))


def facts(pairs: dict[str, Any]) -> Html:
    """A list of names with values."""
    entries = (element("div", element("dt", name), element("dd", value)) for name, value in pairs.items())
    return element("dl", *entries, class_="facts")


def fold(summary: str, *content: Any, open_: bool = False) -> Html:
    """A part that unfolds on a click, without a script."""
    return element("details", element("summary", summary), *content, open=open_)


def number(value: float | None) -> str:
    """A figure for reading (see `interpretation.number`), or a dash when there is none."""
    return "–" if value is None or not math.isfinite(value) else interpretation.number(value)


def p_value(p: float | None) -> str:
    """ "p = 0.031", "p < 0.001", or a dash."""
    if p is None:
        return "–"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _child(child: Any) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Html) else escape(str(child))


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
