"""Options of `fewshot episodes` and `fewshot evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Required, TypedDict

from delineate.requests.option import Option
from delineate.requests.scores import FEWSHOT_METRICS, shown
from delineate.requests.shared import Arithmetic, Axis, BatchSize, Compute, Fold, Overwrite, Split, UntrainedSettings

__all__ = ["EpisodesOptions", "FewshotEvaluateOptions"]


class EpisodesOptions(TypedDict, total=False):
    """Of `fewshot episodes`: the fields of `ProtocolSettings`, and how slices make volumes."""

    out: Required[Annotated[Path | str, Option(help="JSON file to write the episodes to.", metavar="FILE")]]
    protocol: Required[
        Annotated[
            Literal["chunk3", "middle", "any2d"],
            Option(
                help="chunk3: three support slices of a scan, one for each third of the query's labeled extent; middle: the middle "
                "slice for all slices; any2d: single slices or images."
            ),
        ]
    ]
    shots: Annotated[int, Option(help="Support scans per episode; any2d: support images.", default=1, least=1)]
    seed: Annotated[int, Option(help="Seed for drawing the supports.", default=0, least=0)]
    draws: Annotated[
        int, Option(help="How often supports are drawn; each time all other cases are queries.", default=1, least=1)
    ]
    split: Annotated[Split, Option(help="Split of the queries.", default="test")]
    support_split: Annotated[Split | None, Option(help="Split of the supports.", shown="that of the queries")]
    classes: Annotated[
        Sequence[str],
        Option(
            help="Test only these classes (name or index); repeatable, or separated by commas.",
            python="Names or indices of the classes to test; empty: all.",
            default=(),
            metavar="CLASS",
            commas=True,
        ),
    ]
    stack: Annotated[
        str,
        Option(
            help="How slice names give volume and position: auto, none, or a pattern with the groups `volume` and `slice`.",
            default="auto",
            metavar="REGEX",
        ),
    ]
    axis: Axis
    fold: Fold


class FewshotEvaluateOptions(TypedDict, total=False):
    """Of `fewshot evaluate`."""

    episodes: Required[
        Annotated[Path | str, Option(help="File of episodes that `delineate fewshot episodes` wrote.", metavar="FILE")]
    ]
    out: Required[
        Annotated[Path | str, Option(help="Output folder for scores.csv, scores.json, episodes.csv and report.html.")]
    ]
    classes: Annotated[
        Sequence[str],
        Option(
            help="Score only these classes of FILE; repeatable, or separated by commas.",
            python="Score only these classes of the file; empty: all.",
            default=(),
            metavar="CLASS",
            commas=True,
        ),
    ]
    setting: Annotated[
        int, Option(help="2: refuse classes that occur in a training slice.", default=1, least=1, most=2)
    ]
    metrics: Annotated[
        str | Sequence[str] | None,
        Option(help="Metrics, separated by commas.", metavar="NAMES", shown=shown(FEWSHOT_METRICS)),
    ]
    settings: UntrainedSettings
    seed: Annotated[int, Option(help="Seed for the random weights of an untrained method.", default=0, least=0)]
    device: Compute
    precision: Arithmetic
    batch_size: BatchSize
    overwrite: Overwrite
