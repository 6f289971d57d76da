"""What may be said of a study of few labels, and what must be known before its figures."""

from __future__ import annotations

import math

from delineate.data.core.findings import count
from delineate.evaluation.statistics.interpretation import number
from delineate.evaluation.statistics.intervals import FEWEST
from delineate.evaluation.statistics.label_gain import Figure
from delineate.strategies import registry as strategies
from delineate.studies.labels.draws import ALL
from delineate.studies.labels.results import FEWEST_DRAWS, LabelRow, StudyTable
from delineate.studies.labels.setup import LabelSetup

__all__ = ["bought_words", "cautions", "conclusions", "gap_words", "labels_words", "range_words", "signed"]


def conclusions(setup: LabelSetup, table: StudyTable) -> list[str]:
    """A sentence for each way of training and number of labels, by the first metric. Nothing is claimed from one draw."""
    compared = [row for row in table.rows if row.differences]
    if not compared:
        return ["There is only supervised training: nothing to compare it with."]
    if setup.draws < FEWEST_DRAWS:
        return [
            "One draw of labels: the figures are of these trained models, and nothing is concluded about the ways of training; "
            "other "
            "labels, or another seed, may turn them round. Give --draws 3 or more."
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
    if setup.draws == FEWEST_DRAWS:
        said.append("Two draws of labels: their part of the intervals rests on one difference, and is wide for it.")
    if setup.seeds == 1:
        said.append("Full supervision was trained once: the luck of its seed is in no interval.")
    if len([row for row in table.rows if row.budget == ALL and row.supervised]) > 1 or len(setup.supervised) > 1:
        said.append(
            "Several rows are supervised training: the others are compared with the one that scores better with as many labels."
        )
    if setup.ema == 0:
        said.append(
            "Weights are not averaged (--ema 0), but for strategies that need it: part of what these gain may be that."
        )
    if setup.draws == FEWEST_DRAWS:
        said.append("Shares of the gap and numbers of labels have intervals from three draws on.")
    undefined: dict[str, dict[str, None]] = {}
    for row in table.rows:
        if row.gap is not None and row.gap.figure is None:
            undefined.setdefault(row.gap.why, {})[labels_words(row)] = None
    for why, numbers in undefined.items():
        said.append(f"The share of the gap is not defined with {' and '.join(numbers)}: {why}.")
    said += _view_caution(setup)
    return said


def _view_caution(setup: LabelSetup) -> list[str]:
    """Where others are shown views that supervised training is not."""

    def view(options: dict[str, object], name: str) -> object:
        field = strategies.strategy_class(name).Options.model_fields.get("view")
        return "none" if field is None else options.get("view", field.default)

    sections = [one.options["strategy"] for one in setup.entrants]
    plain = all(view(one.options["strategy"], "supervised") == "none" for one in setup.supervised)
    others = [one["name"] for one in sections if one["name"] != "supervised" and view(one, one["name"]) != "none"]
    said = []
    if plain and others:
        said.append(
            f"Supervised training is shown no further views, as {', '.join(others)} are: part of their gain may be that."
        )
    hidden = [one["name"] for one in sections if one["name"] != "supervised" and one.get("masked")]
    if hidden and not any(one.options["strategy"].get("masked") for one in setup.supervised):
        said.append(
            f"Supervised training is shown whole images, and {', '.join(hidden)} hidden squares: part of the gain may be that. "
            "supervised:masked=… hides squares, too."
        )
    return said


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
