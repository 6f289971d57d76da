"""Options of `fewshot episodes` and `fewshot evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Required, TypedDict

from delineate.requests.option import Option
from delineate.requests.scores import FEWSHOT_METRICS, shown
from delineate.requests.shared import Arithmetic, Axis, BatchSize, Compute, Fold, Overwrite, Split

__all__ = ["EpisodesOptions", "FewshotEvaluateOptions"]


class EpisodesOptions(TypedDict, total=False):
    """Of `fewshot episodes`: the fields of `ProtocolSettings`, and how slices make volumes."""

    out: Required[Annotated[Path | str, Option(help="JSON file for the episodes.", metavar="FILE")]]
    protocol: Required[
        Annotated[
            Literal["chunk3", "middle", "any2d"],
            Option(
                help="chunk3: three slices of a scan, for the thirds of the query's labeled extent; middle: the middle slice, "
                "for all slices; any2d: slices and images by themselves."
            ),
        ]
    ]
    shots: Annotated[int, Option(help="Annotated scans; any2d: images.", default=1, least=1)]
    seed: Annotated[int, Option(help="Draws the supports.", default=0, least=0)]
    draws: Annotated[
        int, Option(help="How often supports are drawn; each time all else is asked for.", default=1, least=1)
    ]
    split: Annotated[Split, Option(help="Of the queries.", default="test")]
    support_split: Annotated[Split | None, Option(help="Of the supports.", shown="that of the queries")]
    classes: Annotated[
        Sequence[str],
        Option(
            help="Test these classes (name or index) only; repeat it or separate by commas.",
            python="Names or indices of the classes to test; none: all.",
            default=(),
            metavar="CLASS",
            commas=True,
        ),
    ]
    stack: Annotated[
        str,
        Option(
            help="How slice names tell volume and position: auto, none, or groups `volume` and `slice`.",
            default="auto",
            metavar="REGEX",
        ),
    ]
    axis: Axis
    fold: Fold


class FewshotEvaluateOptions(TypedDict, total=False):
    """Of `fewshot evaluate`."""

    episodes: Required[
        Annotated[Path | str, Option(help="Episodes that `delineate fewshot episodes` wrote.", metavar="FILE")]
    ]
    out: Required[
        Annotated[Path | str, Option(help="Folder for scores.csv, scores.json, episodes.csv and report.html.")]
    ]
    classes: Annotated[
        Sequence[str],
        Option(
            help="Of the classes in FILE, these only; repeat it or separate by commas.",
            python="Of the classes in the file, these only; none: all.",
            default=(),
            metavar="CLASS",
            commas=True,
        ),
    ]
    setting: Annotated[
        int, Option(help="2: refuse classes of which training has seen a slice.", default=1, least=1, most=2)
    ]
    metrics: Annotated[
        str | Sequence[str] | None,
        Option(help="Metrics of masks, with commas.", metavar="NAMES", shown=shown(FEWSHOT_METRICS)),
    ]
    device: Compute
    precision: Arithmetic
    batch_size: BatchSize
    seed: Annotated[int, Option(help="Of an untrained method's weights.", default=0, least=0)]
    overwrite: Overwrite
