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

    out: Required[Annotated[Path | str, Option(help="Output folder for scores.csv, scores.json and report.html.")]]
    raters: Annotated[
        Sequence[Path | str],
        Option(help="Folders with masks of the same cases by other raters.", default=(), flag=""),
    ]
    split: Annotated[Part | None, Option(help="Split of the dataset to score.", shown="test if there is one, else all")]
    metrics: Annotated[
        str | Sequence[str] | None,
        Option(
            help="Metrics, metric families or 'all', separated by commas; `delineate metrics` lists them.",
            metavar="NAMES",
            shown=shown(METRICS),
        ),
    ]
    regions: Annotated[
        str,
        Option(
            help="Nested regions to score instead of classes: whole=edema+core,core; 'none': classes.",
            default="auto",
            metavar="REGIONS",
            shown="as labels or model name them",
        ),
    ]
    spacing: Spacing
    stack: Stack
    group_by: Annotated[
        str | None,
        Option(
            help="Which cases belong to one patient: a regular expression on names, a CSV (case,group), or 'none'.",
            metavar="RULE",
            shown="groups of the dataset",
        ),
    ]
    subgroups: Annotated[
        Path | str | None,
        Option(help="CSV of case attributes (case, sex, site …) to break scores down by.", metavar="CSV"),
    ]
    protocol: Annotated[
        str,
        Option(
            help="Scoring protocol: native, or that of a paper: condseg, vmunet-pooled, transunet-volume.",
            default="native",
        ),
    ]
    overwrite: Overwrite


class CompareOptions(TypedDict, total=False):
    """Of `compare`."""

    out: Required[
        Annotated[Path | str, Option(help="Output folder for report.html, comparison.json, pairs.csv and cases.csv.")]
    ]
    metrics: Annotated[
        str | Sequence[str] | None,
        Option(help="Metrics to compare, separated by commas.", metavar="NAMES", shown="dice and hd95_pooled"),
    ]
    target: Annotated[
        float | None,
        Option(
            help="Difference that matters to you; reports how many cases it takes to detect it.",
            least=0,
            shown=".01, 1 mm",
        ),
    ]
    overwrite: Overwrite
