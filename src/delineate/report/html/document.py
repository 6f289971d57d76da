"""The page around a report: one HTML file with its style inside, without scripts and without anything to load."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from delineate.common.files import write_text
from delineate.common.output_checks import check_result_file
from delineate.common.versions import version
from delineate.report.html.elements import Html, element, join

__all__ = [
    "SIGNATURE",
    "notice",
    "page",
    "pictures",
    "section",
    "write_page",
]

SIGNATURE = "Written by Delineate"
"""In every page, and the sign that one may be replaced."""

_MARK = Html(
    '<svg viewBox="0 0 32 32" aria-hidden="true" fill="none" stroke-width="2.6" stroke-linejoin="round">'
    '<path d="M16 4c7 0 11 5 11 11s-4 13-11 13S4 22 5 14 10 4 16 4z" stroke="#ffb000"/>'
    '<path d="M17 7c6 0 9 4 8 10s-4 9-9 9-8-5-8-10 3-9 9-9z" stroke="#56b4e9" stroke-dasharray="5 3"/></svg>'
)


def page(title: str, kind: str, *content: Any) -> Html:
    """A whole document. `kind` says above the title what it is ("run report")."""
    style = Html(files("delineate.report.html").joinpath("style.css").read_text(encoding="utf-8"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title} · {kind}"),
        element("style", style),
    )
    eyebrow = element("div", _MARK, element("span", f"Delineate {kind}"), class_="eyebrow")
    end = element(
        "footer",
        f"{SIGNATURE} {version()}. Research software: not a medical device, not for diagnosis.",
    )
    body = element("body", element("main", eyebrow, element("h1", title), *content, end))
    return Html("<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n")


def write_page(path: Path, document: Html) -> Path:
    """Write atomically; returns the path. Raises `DelineateError` rather than replace a file that is no page of ours."""
    check_result_file(path, [SIGNATURE], "page")
    write_text(path, document)
    return path


def section(title: str, *content: Any, lead: Html | str | None = None) -> Html:
    """A heading with what belongs to it; `lead` says in a sentence how to read it."""
    return element("section", element("h2", title), element("p", lead, class_="lead") if lead else None, *content)


def notice(lines: list[str], before: str) -> Html | None:
    """What a reader must know first; nothing when there are no lines."""
    if not lines:
        return None
    return element("div", before, element("ul", *(element("li", line) for line in lines)), class_="notice", role="note")


def pictures(figures: list[Html], *, wide: bool = False) -> Html:
    """A grid of figures, three in a row on a wide screen; of `wide` ones two."""
    return element("div", join(*figures), class_="pictures wide" if wide else "pictures")
