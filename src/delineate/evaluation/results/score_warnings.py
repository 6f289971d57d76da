"""What the scores of a run's validation cases leave open, in sentences that a reader must not miss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from delineate.data.core.findings import count
from delineate.evaluation.results.summary import Outcomes, Summary

__all__ = [
    "TITLE",
    "headline_dice",
    "headline_json",
    "headline_words",
    "score_warnings",
]

TITLE = "Warnings"


def score_warnings(summary: Summary) -> list[str]:
    """Of a run's end, the gravest first; empty where there are none."""
    if not summary.cases:
        return [
            "No validation case could be scored, since their masks ignore (255) every pixel: nothing is known of this network."
        ]
    if not summary.with_foreground:
        return [
            f"No validation case has foreground ({count(summary.cases, 'case')}): the weights were chosen by the validation loss, "
            "and it is not known what the network finds; put cases with foreground into the validation split."
        ]
    lacking = [name for name, seen in summary.outcomes.items() if not seen.present]
    absent = (
        f"{count(len(lacking), 'class is', 'classes are')} in no validation case and not judged: {', '.join(lacking)}."
    )
    return [*_never_marked(summary), *([absent] if lacking else [])]


def headline_words(summary: Summary) -> str:
    """What the quoted Dice is of: "mean over the 6 of 19 cases with foreground"."""
    if not summary.cases:
        return "no case could be scored"
    if not summary.with_foreground:
        return "no validation case has foreground"
    if len(summary.outcomes) > 1:
        return f"mean over the {summary.of}, each over the cases that have it; {count(summary.cases, 'case')}"
    if summary.with_foreground < summary.cases:
        return f"mean over the {summary.with_foreground} of {summary.cases} cases with foreground"
    return f"mean over {count(summary.cases, 'case')}"


def headline_dice(summary: Summary) -> float | None:
    """The Dice to quote for a run; None where no reference has foreground: Dice says nothing then."""
    if not summary.cases or not summary.with_foreground:
        return None
    return summary.headline("dice")


def headline_json(summary: Summary) -> dict[str, Any]:
    """As `run.json` keeps it."""
    return {"dice": headline_dice(summary), "column": summary.headline_column, "words": headline_words(summary)}


def _never_marked(summary: Summary) -> Iterator[str]:
    several = len(summary.outcomes) > 1
    never = [name for name, seen in summary.outcomes.items() if seen.present and not _marked(seen)]
    if never and len(never) == sum(bool(seen.present) for seen in summary.outcomes.values()):
        one = summary.cases == 1
        where = "the only validation case" if one else f"any of the {summary.cases} validation cases"
        what = f"no class that {'it has' if one else 'they have'}" if several else "nothing"
        yield f"The network marks {what} in {where}, although {_with(summary)}: train longer, or look at the labels."
    elif never:
        yield f"The network never marks {', '.join(never)}, although validation cases have {'it' if len(never) == 1 else 'them'}."


def _marked(seen: Outcomes) -> int:
    return seen.found + seen.not_touched + seen.false_positive


def _with(summary: Summary) -> str:
    if len(summary.outcomes) > 1:
        return "there are references of " + count(
            sum(bool(seen.present) for seen in summary.outcomes.values()), "class", "classes"
        )
    if summary.cases == 1:
        return "it has foreground"
    return (
        "all of them have foreground"
        if summary.with_foreground == summary.cases
        else _some_have(summary.with_foreground)
    )


def _some_have(number: int) -> str:
    return f"{number} of them {'has' if number == 1 else 'have'} foreground"
