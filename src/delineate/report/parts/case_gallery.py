"""Single cases of an evaluation: the worst, typical and best in pictures, and the worst as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from delineate.data.core.findings import count
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.html.document import pictures
from delineate.report.html.elements import Html, element, fold, join, number, table
from delineate.report.html.images import contour_legend, figure_of
from delineate.report.parts.overlays import Overlays
from delineate.report.parts.scores import OUTCOMES, case_values, headline_metric, title_of

__all__ = ["VOLUMES_SHOWN", "case_table", "ranked_pictures", "volumes_note", "worst_first"]

VOLUMES_SHOWN = (
    "Of each volume: the axial, coronal and sagittal plane through the middle of the reference, and below the slices with the "
    "most wrong voxels, none beside another. Millimeters are equal in all directions; the front or the head is above, the "
    "patient's right on the left (in sagittal planes, the front)."
)
"""What their pictures show."""
_PICTURED = 3
"""Of each rank."""
_LISTED, _ALL_LISTED = 20, 200
"""Evaluations of more than `_ALL_LISTED` cases list the worst `_LISTED` only."""


def worst_first(scores_file: ScoresFile, metric: str) -> list[str]:
    """Case ids by the metric."""
    values = case_values(scores_file, metric)
    sign = {"higher": 1, "lower": -1}.get(scores_file.metrics[metric]["better"])
    return sorted(values, key=lambda case: sign * values[case] if sign else -abs(values[case]))


def ranked_pictures(scores_file: ScoresFile, overlays: Overlays) -> Html | None:
    """Worst, median and best by the quoted metric; nothing where the predictions list no images."""
    metric = headline_metric(scores_file)
    if metric is None or not overlays.files:
        return None
    values, title = case_values(scores_file, metric), title_of(scores_file, metric)
    ordered = [case for case in worst_first(scores_file, metric) if case in overlays.files]
    odd, taken = _outcome_words(scores_file), set[str]()
    parts = []
    for rank, cases in _ranks(ordered).items():
        fresh = [case for case in cases if case not in taken]
        taken.update(fresh)
        figures = [
            figure_of(overlays.picture(case), element("b", f"{title} {number(values[case])}"), case, _odd(odd, case))
            for case in fresh
        ]
        if figures:
            parts += [element("h3", f"{rank} by {title}"), pictures(figures, wide=overlays.volumes)]
    if not parts:
        return None
    unseen = None if overlays.manifest else element("p", "The references are not at hand and not drawn.", class_="note")
    return join(contour_legend(overlays.names), volumes_note(overlays), unseen, *parts)


def volumes_note(overlays: Overlays) -> Html | None:
    """What the pictures of volumes show; nothing where there are none."""
    if not overlays.volumes:
        return None
    words = VOLUMES_SHOWN
    if any(image is None for _, image in overlays.files.values()):
        words += " The images are not at hand: contours are on black."
    return element("p", words, class_="note")


def case_table(scores_file: ScoresFile) -> Html | None:
    """Each case's scores, worst first, folded away."""
    metric = headline_metric(scores_file)
    if metric is None:
        return None
    cases = worst_first(scores_file, metric)
    left_out = [case for case in scores_file.cases() if case not in set(cases)]
    few = len(scores_file.cases()) <= _ALL_LISTED
    listed = [*cases, *left_out] if few else cases[:_LISTED]
    what = count(len(listed), "case") if few else f"the {len(listed)} worst of {len(scores_file.cases())} cases"
    scores = {name: case_values(scores_file, name) for name in scores_file.metrics}
    odd = _outcome_words(scores_file)
    rows: list[list[Any]] = [
        [case, *(number(scores[name].get(case)) for name in scores), ", ".join(odd.get(case, []))] for case in listed
    ]
    head = ["Case", *(title_of(scores_file, name) for name in scores), "Outcome"]
    lead = f"Each value is {f'the mean over the {scores_file.of} that count in ' if len(scores_file.classes) > 1 else 'in '}"
    lead += "the metric's quoted column; a dash: not scored there. All values are in scores.csv."
    return fold(
        f"Scores of {what}, worst by {scores_file.metrics[metric]['title']} first",
        element("p", lead, class_="note"),
        table(head, rows),
    )


def _outcome_words(scores_file: ScoresFile) -> dict[str, list[str]]:
    """Case id → what was missed, falsely marked or (of one class) rightly left empty."""
    several = len(scores_file.classes) > 1
    said: dict[str, list[str]] = {}
    for row in scores_file.rows:
        if row.outcome != "found" and not (several and row.outcome == "both_empty"):
            words = OUTCOMES[row.outcome]
            said.setdefault(row.case, []).append(f"{row.name} {words}" if several else words)
    return said


def _odd(odd: dict[str, list[str]], case: str) -> Html | None:
    return element("small", f" {', '.join(odd[case])}") if case in odd else None


def _ranks(ordered: Sequence[str]) -> dict[str, Sequence[str]]:
    """Worst and best from the ends, median from the middle."""
    middle = int(np.clip(len(ordered) // 2 - _PICTURED // 2, 0, len(ordered)))
    return {
        "Worst": ordered[:_PICTURED],
        "Median": ordered[middle : middle + _PICTURED],
        "Best": ordered[-_PICTURED:][::-1],
    }
