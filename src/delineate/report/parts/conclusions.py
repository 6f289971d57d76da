"""What can be concluded from one evaluation, and what cannot, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from delineate.evaluation.results.scores_file import ScoresFile
from delineate.evaluation.statistics.interpretation import interval_words, number
from delineate.report.parts.scores import case_values, headline_metric, interval_of, title_of

__all__ = ["accesses_in_words", "conclusions"]

_SKEWED = 0.02
"""A mean and a median of an overlap score further apart than this are both worth saying."""


def conclusions(scores_file: ScoresFile) -> list[str]:
    """Sentences, the most important first."""
    metric = headline_metric(scores_file)
    if metric is None:
        pooled = "This protocol pools all pixels: there are no scores of single cases, and so no interval and no distribution."
        return [pooled, *_failures(scores_file), *_limits(scores_file)]
    return [*_mean(scores_file, metric), *_spread(scores_file, metric), *_failures(scores_file), *_limits(scores_file)]


def _mean(scores_file: ScoresFile, metric: str) -> Iterator[str]:
    entry = interval_of(scores_file.mean(metric))
    over = " over the classes" if len(scores_file.classes) > 1 else ""
    yield f"Mean {title_of(scores_file, metric)}{over}, column “{scores_file.column_of(metric)}”: {interval_words(entry)}."
    if entry.low is not None:
        drawn = "cases" if entry.groups == entry.n else f"groups ({entry.groups} of them, {entry.n} cases)"
        yield (
            f"The interval says how far the mean would move with other {drawn} of the same source. It says nothing about other "
            "sites or devices, or about another training of the same method."
        )
    elif entry.mean is not None:
        yield "Without an interval the mean describes these cases only and says little about others."


def _spread(scores_file: ScoresFile, metric: str) -> Iterator[str]:
    values = np.array(list(case_values(scores_file, metric).values()))
    if len(values) < 2:
        return
    low, middle, high = np.percentile(values, (25, 50, 75))
    title = title_of(scores_file, metric)
    words = f"Half of the cases lie between {number(low)} and {number(high)} in {title}, the median is {number(middle)}"
    if scores_file.metrics[metric]["kind"] == "overlap" and abs(values.mean() - middle) > _SKEWED:
        side, which = ("below", "low") if values.mean() < middle else ("above", "high")
        words += f"; the mean lies {side} it because of some {which} scores"
    yield f"{words}."


def _cases_that(number: int, verb: str) -> str:
    """The cases of which something is said, and what they do."""
    one = {"have": "has", "do not have": "does not have"}[verb]
    return f"the 1 case that {one}" if number == 1 else f"the {number} cases that {verb}"


def _failures(scores_file: ScoresFile) -> Iterator[str]:
    """Misses and false positives; of several classes only those that have some."""
    several, none = len(scores_file.classes) > 1, True
    for name, counts in scores_file.outcomes().items():
        there = counts["found"] + counts["not_touched"] + counts["missed"]
        absent = counts["false_positive"] + counts["both_empty"]
        said = []
        if there and counts["missed"] == there:
            said.append("is never marked where it is" if counts["false_positive"] else "is never marked at all")
        elif counts["missed"]:
            said.append(f"is missed altogether in {counts['missed']} of {_cases_that(there, 'have')} it")
        if counts["not_touched"]:
            said.append(
                f"is marked only beside the reference, nowhere on it, in {counts['not_touched']} of the {there}"
            )
        if counts["false_positive"] or (absent and not several):
            said.append(f"is marked in {counts['false_positive']} of {_cases_that(absent, 'do not have')} it")
        if said:
            none = False
            yield f"{f'“{name}”' if several else 'The class'} {' and '.join(said)}."
    if none:
        yield "No class is missed altogether, marked only beside the reference, or marked where it is not, in any case."


def accesses_in_words(scores_file: ScoresFile) -> str:
    """How often the test cases were scored."""
    own = int(scores_file.content.get("test_accesses") or 0)
    in_all = int(scores_file.content.get("test_accesses_in_all") or own)
    return f"test cases opened {own}× with this model" + (f", {in_all}× in all" if in_all > own else "")


def _limits(scores_file: ScoresFile) -> Iterator[str]:
    origin = scores_file.origin
    test_accesses = int(
        scores_file.content.get("test_accesses_in_all") or scores_file.content.get("test_accesses") or 0
    )
    if test_accesses > 1:
        yield (
            f"The test cases were scored {test_accesses} times. If a model or setting was chosen by these scores, "
            "they are too good."
        )
    if origin.split == "val":
        yield "Weights were chosen on the validation split: its scores do not estimate the quality on new images."
    lengths = any(about["unit"] == "length" for about in scores_file.metrics.values())
    if lengths and origin.length != "mm":
        unit = {"px": "pixels", "voxel": "voxels"}[origin.length]
        yield f"Distances are in {unit}, since no spacing is known: compare them only between images of the same resolution."
