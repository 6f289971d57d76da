"""Options of `study`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Required, TypedDict

from delineate.requests.option import Option
from delineate.requests.shared import CacheFolder, Spacing, Stack

__all__ = ["LABEL_METRICS", "LabelStudyOptions"]

# Written out, since help is shown without loading the library; a test compares it with the library's list.
LABEL_METRICS = "dice,hd95_pooled"


class LabelStudyOptions(TypedDict, total=False):
    """The fields of `LabelRequest` but its data."""

    out: Required[Annotated[Path | str, Option(help="Study folder; a study that is there is continued.")]]
    method: Required[Annotated[str, Option(help="Method to train; `delineate methods` lists them.")]]
    strategies: Annotated[
        str | Sequence[str],
        Option(
            help="Ways of training, separated by commas; NAME:option=value,option=value states options of one. `delineate "
            "strategies` lists them. Supervised training is added if it is not named.",
            default="supervised,mean-teacher",
            metavar="NAMES",
        ),
    ]
    preset: Annotated[str, Option(help="Preset of the method.", default="tiny")]
    fractions: Annotated[
        str | Sequence[float] | None,
        Option(
            help="Numbers of labels as shares of the training groups, separated by commas: .05,.1,.2.",
            python='Numbers of labels as shares of the training groups: [.05, .1], or ".05,.1".',
            metavar="SHARES",
        ),
    ]
    labeled_cases: Annotated[
        str | Sequence[int] | None,
        Option(
            help="The same as numbers of cases, drawn by whole groups: 40,160.",
            python='The same as numbers of cases, drawn by whole groups: [40, 160], or "40,160".',
            metavar="NUMBERS",
        ),
    ]
    labeled_groups: Annotated[
        str | Sequence[int] | None,
        Option(
            help="The same as numbers of groups (patients): 3,7.",
            python='The same as numbers of groups (patients): [3, 7], or "3,7".',
            metavar="NUMBERS",
        ),
    ]
    draws: Annotated[
        int,
        Option(help="Draws of labels; with one, nothing can be concluded about ways of training.", default=3, least=1),
    ]
    seeds: Annotated[int, Option(help="Training runs per draw, with different seeds.", default=1, least=1)]
    steps: Annotated[
        int | None, Option(help="Optimizer steps of every run.", least=1, shown="those of the preset on all labels")
    ]
    size: Annotated[int | None, Option(help="Input size: N×N pixels.", least=8, shown="that of the preset")]
    validation: Annotated[
        Literal["none", "inside"],
        Option(
            help="none: the weights after the last step are scored; inside: a fifth of the labeled groups chooses the weights.",
            default="none",
        ),
    ]
    ema: Annotated[
        float, Option(help="Decay of the averaged weights of all ways of training; 0: none.", default=0.99, least=0)
    ]
    metrics: Annotated[
        str | Sequence[str],
        Option(
            help="Metrics, separated by commas; the first one decides.",
            default=LABEL_METRICS,
            metavar="NAMES",
            shown=LABEL_METRICS.replace(",", ", "),
        ),
    ]
    stack: Stack
    spacing: Spacing
    settings: Annotated[
        Sequence[str],
        Option(
            help="Change one setting for all runs; repeatable.",
            python='Texts "section.key=value"; each changes one setting for all runs.',
            default=(),
            flag="--set",
            metavar="KEY=VALUE",
        ),
    ]
    cache_folder: CacheFolder
