"""The confusion matrix of an evaluation: where the pixels of each class went."""

from __future__ import annotations

from typing import Any

from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.html.elements import Html, element, join, table

__all__ = ["confusion_table"]


def confusion_table(scores_file: ScoresFile) -> Html | None:
    """Rows: classes of the reference; columns: of the prediction; each cell the share of its row. None where it is not stored."""
    content = scores_file.content.get("confusion")
    if not content:
        return None
    names, pixels = content["classes"], content["pixels"]
    rows = [
        [element("b", name), *_cells(line, at), sum(line)]
        for at, (name, line) in enumerate(zip(names, pixels, strict=True))
    ]
    words = (
        "Of the pixels that have a class in the reference (row), the share that the prediction gives each class (column), all "
        "cases together; ignored pixels are left out."
    )
    head = ["Reference", *(f"predicted {name}" for name in names), "Pixels"]
    return join(element("p", words, class_="note"), table(head, [[*row[:-1], _grouped(row[-1])] for row in rows]))


def _cells(line: list[int], own: int) -> list[Any]:
    total = sum(line)
    texts = ["–" if not total else f"{100 * count / total:.2f} %" for count in line]
    return [element("b", text) if at == own else text for at, text in enumerate(texts)]


def _grouped(count: int) -> str:
    return f"{count:,}".replace(",", "\u202f")
