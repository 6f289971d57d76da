"""Options of `evaluate` and `compare`, and the lists of metrics that are scored unless others are asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Required, TypedDict

from delineate.requests.option import Option
from delineate.requests.shared import Overwrite, Part, Spacing, Stack

__all__ = ["BENCHMARK_METRICS", "FEWSHOT_METRICS", "METRICS", "CompareOptions", "EvaluateOptions", "shown"]

# Written out, since help is shown without loading the library; a test compares it with the library's list.
METRICS = "dice,iou,precision,recall,hd95_pooled,assd,nsd@2,boundary_iou"
BENCHMARK_METRICS = "dice,iou,hd95_pooled,nsd@2"
FEWSHOT_METRICS = "dice,iou,precision,recall"


def shown(names: str) -> str:
    """A list of names as help shows it: it may be broken after each, since what does not fit would be cut."""
    return names.replace(",", ", ")


class EvaluateOptions(TypedDict, total=False):
    """Of `evaluate`."""

    out: Required[Annotated[Path | str, Option(help="Folder for scores.csv, scores.json and report.html.")]]
    raters: Annotated[
        Sequence[Path | str],
        Option(help="Folders with further raters' masks of the same cases.", default=(), flag=""),
    ]
    split: Annotated[Part | None, Option(help="Part of a data set to score.", shown="test if there is one, else all")]
    metrics: Annotated[
        str | Sequence[str] | None,
        Option(
            help="Metrics, families or 'all', with commas; `delineate metrics` lists them.",
            metavar="NAMES",
            shown=shown(METRICS),
        ),
    ]
    spacing: Spacing
    stack: Stack
    group_by: Annotated[
        str | None,
        Option(
            help="Which cases belong together: a pattern on names, a CSV (case,group), or 'none'.",
            metavar="RULE",
            shown="as the data set knows",
        ),
    ]
    subgroups: Annotated[
        Path | str | None,
        Option(help="Attributes of the cases (case, sex, site …): scores by each.", metavar="CSV"),
    ]
    protocol: Annotated[
        str,
        Option(help="native, or a paper's: condseg, vmunet-pooled, transunet-volume.", default="native"),
    ]
    overwrite: Overwrite


class CompareOptions(TypedDict, total=False):
    """Of `compare`."""

    out: Required[
        Annotated[Path | str, Option(help="Folder for report.html, comparison.json, pairs.csv and cases.csv.")]
    ]
    metrics: Annotated[
        str | Sequence[str] | None,
        Option(help="Metrics to compare, with commas.", metavar="NAMES", shown="dice and hd95_pooled"),
    ]
    target: Annotated[
        float | None,
        Option(help="A difference worth seeing, to count the cases it needs.", least=0, shown=".01, 1 mm"),
    ]
    overwrite: Overwrite
