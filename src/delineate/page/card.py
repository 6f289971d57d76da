"""The model card inside the page: what the model is for, how well it did, what it learned from, on which terms."""

from __future__ import annotations

from collections.abc import Sequence

from delineate.inference import model_card
from delineate.inference.model_info import LIMITS, ModelInfo
from delineate.report.html.elements import Html, element, fold, join

__all__ = ["card"]


def card(info: ModelInfo, measured: Sequence[str] = (), license: str | None = None, *, open_: bool = True) -> Html:
    """The card as a part that folds.

    Args:
        info: Of the model.
        measured: Lines on what was measured of the exported file, if it is one.
        license: Of the model's weights; None: not stated.
        open_: Whether it is open at first.

    Returns:
        HTML.
    """
    told = model_card.facts(info, license)
    parts = [_part("Intended use", element("p", model_card.intended_use(info))), _part("Limits", element("p", LIMITS))]
    parts += [_scores(info), _part("Classes", _table(*model_card.class_rows(info)))]
    parts += [_part(name, _list(told[name])) for name in ("Model", "Input", "Output", "Data", "Training", "Licenses")]
    if measured:
        parts.append(_part("This page against the model", _list(measured)))
    return fold("Model card", element("div", *parts), open_=open_)


def _part(title: str, *content: Html) -> Html:
    return join(element("h3", title), *content)


def _scores(info: ModelInfo) -> Html:
    table = model_card.score_table(info)
    warnings = [element("p", line, class_="notice") for line in info.remarks]
    if table is None:
        return _part("Validation scores", *warnings, element("p", "The model file has none."))
    return _part("Validation scores", *warnings, element("p", table.title), _table(table.head, table.rows))


def _list(lines: Sequence[str]) -> Html:
    return element("ul", *(element("li", line) for line in lines))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    first = element("tr", *(element("th", cell, scope="col") for cell in head))
    return element("table", first, *(element("tr", *(element("td", cell) for cell in row)) for row in rows))
