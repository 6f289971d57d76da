"""What may be said of a study of few labels, and what must be known before its figures."""

from __future__ import annotations

import math
from collections.abc import Iterable

from delineate.data.core.findings import count
from delineate.evaluation.statistics.interpretation import number
from delineate.evaluation.statistics.intervals import FEWEST
from delineate.evaluation.statistics.label_gain import Figure
from delineate.strategies import registry as strategies
from delineate.strategies.contract import Shown
from delineate.studies.labels.draws import ALL
from delineate.studies.labels.results import FEWEST_DRAWS, LabelRow, StudyTable
from delineate.studies.labels.setup import LabelSetup, is_supervised

__all__ = ["bought_words", "cautions", "conclusions", "gap_words", "labels_words", "range_words", "signed"]


_MORE: dict[Shown, str] = {
    "views": "Supervised training is shown no further views, as {names} are: part of their gain may be that.",
    "boxes": "Supervised training is shown no boxes of other images, as {names} are: part of their gain may be that. "
    "supervised:mix=cutmix and supervised:mix=copy-paste show such, too.",
    "squares": "Supervised training is shown whole images, and {names} hidden squares: part of the gain may be that. "
    "supervised:masked=… hides squares, too.",
}
"""What is said where supervised training is shown less than others."""


def conclusions(setup: LabelSetup, table: StudyTable) -> list[str]:
    """A sentence for each way of training and number of labels, by the first metric. Nothing is claimed from one draw."""
    compared = [row for row in table.rows if row.differences]
    if not compared:
        if len(setup.entrants) == 1:
            return ["There is only supervised training: nothing to compare it with."]
        return [
            "Nothing is compared: with no number of labels, all runs of supervised training and of another way are done."
        ]
    if setup.draws < FEWEST_DRAWS:
        return [
            "One draw of labels: the figures are of these trained models, and nothing is concluded about the ways of training; "
            "other labels, or another seed, may turn them round. Give --draws 3 or more."
        ]
    return [_sentence(row, table, setup) for row in compared]


def _sentence(row: LabelRow, table: StudyTable, setup: LabelSetup) -> str:
    title, found = table.metrics[table.headline]["title"], row.differences[table.headline]
    reference = next(one for one in table.rows if one.reference and one.budget == row.budget)
    place = f"With {labels_words(row)} of {count(setup.draws, 'draw')}"
    figures = f"{signed(found.value)} ({range_words(found)}, paired)"
    if row.verdict is None:
        return f"{place}, {row.label} − {reference.label} is {figures} in {title}: without an interval nothing is concluded."
    if row.verdict == "not told apart":
        return f"{place}, {row.label} and {reference.label} cannot be told apart in {title}: {figures}."
    said = f"{place}, {row.label} scores {row.verdict} in {title} than {reference.label}: {figures}"
    if row.verdict == "worse":
        return f"{said}. It does not help here."
    return f"{said}. Share of the gap to full supervision: {gap_words(row)}; more labels that bring as much: {bought_words(row)}."


def cautions(setup: LabelSetup, table: StudyTable) -> list[str]:
    """What must be known first."""
    said = []
    if table.comparisons > 1 and setup.draws >= FEWEST_DRAWS:
        said.append(
            f"“Better” and “worse” are corrected for {table.comparisons} comparisons (Bonferroni); the intervals shown are 95 % "
            f"each."
        )
    if table.test_groups < FEWEST:
        said.append(
            f"The test cases are of {count(table.test_groups, 'group')}: below {FEWEST} there are no intervals."
        )
    if setup.draws < FEWEST_DRAWS and table.test_groups >= FEWEST:
        said.append(
            "One draw of labels: intervals are over test cases alone; what other labels would change is in none."
        )
    if setup.draws == FEWEST_DRAWS:
        said.append("Two draws of labels: their part of the intervals rests on one difference, and is wide for it.")
    if setup.seeds == 1 and any(row.budget == ALL for row in table.rows):
        said.append("Full supervision was trained once: the luck of its seed is in no interval.")
    if len([row for row in table.rows if row.budget == ALL and row.supervised]) > 1 or len(setup.supervised) > 1:
        said.append(
            "Several rows are supervised training: the others are compared with the one that scores better with as many labels."
        )
    if setup.ema == 0:
        said.append(
            "Weights are not averaged (--ema 0), but for strategies that need it: part of what these gain may be that."
        )
    if setup.draws <= FEWEST_DRAWS and any(row.differences for row in table.rows):
        said.append("Shares of the gap and numbers of labels have intervals from three draws on.")
    undefined: dict[str, dict[str, None]] = {}
    for row in table.rows:
        if row.gap is not None and row.gap.figure is None:
            undefined.setdefault(row.gap.why, {})[labels_words(row)] = None
    for why, numbers in undefined.items():
        said.append(f"The share of the gap is not defined with {' and '.join(numbers)}: {why}.")
    if any(row.differences and row.bought is None for row in table.rows):
        said.append(
            "How many labels more would bring as much is not told: supervised training lacks runs with some numbers of labels, or "
            "with all."
        )
    alone = [row for row in table.rows if row.budget != ALL and not row.reference and not row.differences]
    for asked in dict.fromkeys(row.asked for row in alone):
        names = _names(row.label for row in alone if row.asked == asked)
        said.append(f"With {asked}, {names} can be compared with nothing: supervised training lacks runs.")
    said += _view_caution(setup)
    return said


def _view_caution(setup: LabelSetup) -> list[str]:
    """Where supervised training is shown less than others, or more."""
    shown: dict[bool, list[tuple[str, frozenset[Shown]]]] = {True: [], False: []}
    for one in setup.entrants:
        section = one.options["strategy"]
        options = strategies.checked_options(
            section["name"], {key: value for key, value in section.items() if key != "name"}
        )
        kinds = strategies.strategy_class(section["name"]).shows(options)
        shown[is_supervised(one)].append((section["name"], kinds))
    said = []
    for kind, words in _MORE.items():
        names = _names(name for name, kinds in shown[False] if kind in kinds)
        if names and not any(kind in kinds for _, kinds in shown[True]):
            said.append(words.format(names=names))
    names = _names(name for name, kinds in shown[False] if "views" not in kinds)
    if names and shown[True] and all("views" in kinds for _, kinds in shown[True]):
        said.append(
            f"Supervised training is shown further views, and {names} none: part of a difference may be that, to either side. "
            "supervised:view=none shows none."
        )
    return said


def _names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def labels_words(row: LabelRow) -> str:
    """ "40 labeled cases (5 %)"."""
    cases = f"{row.cases:.0f}" if row.cases == round(row.cases) else f"{row.cases:.1f}"
    return f"{cases} labeled cases ({_percent(row.share)})"


def gap_words(row: LabelRow) -> str:
    """ "31 % (12 % to 50 %)"."""
    if row.gap is None:
        return "–"
    figure = row.gap.figure
    if figure is None:
        return "not defined"
    if figure.low is None or figure.high is None:
        return f"{_percent(figure.value)} (no interval)"
    return f"{_percent(figure.value)} ({_percent(figure.low)} to {_percent(figure.high)})"


def bought_words(row: LabelRow) -> str:
    """ "22 (5 to more than all)"."""
    if row.bought is None:
        return "–"
    figure = row.bought
    if figure.low is None or figure.high is None:
        return f"{_labels(figure.value)} (no interval)"
    low, high = _labels(figure.low), _labels(figure.high)
    ends = f" ({low} to {high})" if low != high else ""
    return f"{_labels(figure.value)}{ends}"


def range_words(figure: Figure) -> str:
    """ "0.790 to 0.832", or that there is none."""
    if figure.low is None or figure.high is None:
        return "no interval"
    return f"{number(figure.low)} to {number(figure.high)}"


def signed(value: float) -> str:
    """With its sign also where it is positive."""
    return f"+{number(value)}" if value > 0 else number(value)


def _labels(value: float) -> str:
    if math.isinf(value):
        return "more than all"
    return "none" if value < 0.5 else f"{value:.0f}"


def _percent(share: float) -> str:
    digits = 0 if abs(share) >= 0.0995 or share == 0 else 1
    return f"{100 * share:.{digits}f} %".replace("-", "−")
