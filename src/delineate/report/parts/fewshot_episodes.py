"""Few-shot episodes on a page: what the model had seen, and pictures of support, query and what the method made of them."""

from __future__ import annotations

from typing import Any

from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.html.document import pictures
from delineate.report.html.elements import Html, element, facts, join, number
from delineate.report.html.images import contour_legend, embedded, figure_of

__all__ = ["fewshot_part"]

_LONGEST = 300


def fewshot_part(scores_file: ScoresFile) -> Html | None:
    """Facts and pictures of the episodes; nothing for other evaluations."""
    content = scores_file.content.get("fewshot")
    if not content:
        return None
    episodes = content["episodes"]
    told = {
        "Model": content["candidate"],
        "Training": content["training"],
        "Protocol": f"{episodes['protocol']}: {episodes['words']}",
        "Shots": f"{episodes['shots']} from split {episodes['support_split']}, drawn {episodes['draws']}×, seed {episodes['seed']}",
        "Episodes": episodes["digest"],
        "Setting": ", ".join(f"{name}: {setting}" for name, setting in content["settings"].items()),
    }
    meaning = (
        "Setting 2: training left out every slice with the class, or there was no training; setting 1: the class may have been "
        "there, unlabeled or labeled."
    )
    shown = [_picture(scores_file, one) for one in content["pictures"]]
    legend = contour_legend(["background", "foreground"]) if shown else None
    return join(facts(told), element("p", meaning, class_="note"), legend, *shown)


def _picture(scores_file: ScoresFile, one: dict[str, Any]) -> Html:
    """One episode: its support, the query with prediction and reference, the method's own pictures."""
    title = f"{one['class']}, {one['rank']}: Dice {number(one['dice'])}, {one['case']}"
    figures = [
        figure_of(embedded(scores_file.folder / path, f"{caption} of {one['case']}", longest=_LONGEST), caption)
        for caption, path in one["files"]
    ]
    return join(element("h3", title), pictures(figures))
