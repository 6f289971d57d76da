"""Options of `study`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Required, TypedDict

from delineate.requests.option import Option
from delineate.requests.shared import BatchSize, CacheFolder, Compute, MaxPixels, Spacing, Stack

__all__ = ["LABEL_METRICS", "LabelStudyOptions", "SuggestOptions"]

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


class SuggestOptions(TypedDict, total=False):
    """The fields of `SuggestRequest` but the run and the pool."""

    out: Required[
        Annotated[
            Path | str,
            Option(
                help="List to write, a CSV file; a page of the same name with .html is put beside it.", metavar="FILE"
            ),
        ]
    ]
    count: Annotated[int, Option(help="How many images to suggest.", default=20, least=1)]
    by: Annotated[
        Literal["doubt", "coverage", "both", "random"],
        Option(
            help="doubt: the highest entropy first; coverage: the farthest from all that is labeled or chosen (k-center); both: "
            "drawn by doubt times squared distance (k-means++); random.",
            default="both",
        ),
    ]
    doubt: Annotated[
        Literal["foreground", "mean"],
        Option(
            help="Entropy is averaged over the pixels that may be foreground (probability from 0.1 on), or over all.",
            default="foreground",
        ),
    ]
    features: Annotated[
        Literal["encoder", "pooled"] | None,
        Option(
            help="Distances are between means of the encoder's coarsest map, or between images and probability maps pooled to 4×4.",
            shown="encoder where the method has one to ask",
        ),
    ]
    per_group: Annotated[
        int | None, Option(help="At most so many images of a patient or sequence.", least=1, shown="as few as suffice")
    ]
    seed: Annotated[int, Option(help="For what is drawn (both, random).", default=0, least=0)]
    with_labeled: Annotated[
        bool,
        Option(
            help="Also list, at the end, the images that the run had masks of: `train --labeled FILE` takes those that are listed.",
            python="Also list, at the end, the images that the run had masks of: `train` with `labeled` takes what is listed.",
            default=False,
        ),
    ]
    overwrite: Annotated[
        bool,
        Option(help="Replace an earlier list in --out.", python="Replace an earlier list in `out`.", default=False),
    ]
    device: Compute
    batch_size: BatchSize
    max_pixels: MaxPixels
