"""Options of `benchmark`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Required, TypedDict

from delineate.requests.option import Option
from delineate.requests.scores import BENCHMARK_METRICS, shown
from delineate.requests.shared import CacheFolder, Spacing, Stack

__all__ = ["BenchmarkOptions"]


class BenchmarkOptions(TypedDict, total=False):
    """The fields of `BenchmarkRequest` but its data."""

    out: Required[Annotated[Path | str, Option(help="Benchmark folder; a benchmark that is there is continued.")]]
    methods: Annotated[
        str | Sequence[str],
        Option(
            help="Methods, separated by commas; NAME@PRESET sets the preset of one method.",
            default="unet,resenc",
            metavar="NAMES",
        ),
    ]
    predictions: Annotated[
        Sequence[str],
        Option(
            help="Masks of all scored cases that other software made, as a candidate of the table; repeatable.",
            python='Texts "NAME=FOLDER": masks of all scored cases that other software made; each is a candidate of the table.',
            default=(),
            metavar="NAME=FOLDER",
        ),
    ]
    preset: Annotated[str, Option(help="Preset of the methods given without @PRESET.", default="tiny")]
    folds: Annotated[
        int | None,
        Option(help="Number of folds, split by group.", shown="the test split"),
    ]
    seeds: Annotated[int, Option(help="Training runs per method and fold, with different seeds.", default=1, least=1)]
    epochs: Annotated[
        int | None,
        Option(
            help="Epochs of each run: all methods see the same number of images.", least=1, shown="that of the preset"
        ),
    ]
    minutes: Annotated[
        float | None,
        Option(
            help="Training time of each run in minutes; converted into steps once, at the start.",
            flag="--budget-minutes",
            least=0.01,
        ),
    ]
    size: Annotated[int | None, Option(help="Input size for all methods: N×N pixels.")]
    own_augment: Annotated[
        bool, Option(help="Use the augmentation of each method instead of one for all.", default=False)
    ]
    metrics: Annotated[
        str | Sequence[str],
        Option(
            help="Metrics, separated by commas.",
            default=BENCHMARK_METRICS,
            metavar="NAMES",
            shown=shown(BENCHMARK_METRICS),
        ),
    ]
    stack: Stack
    spacing: Spacing
    settings: Annotated[
        Sequence[str],
        Option(
            help="Change one setting for all methods; repeatable.",
            python='Texts "section.key=value"; each changes one setting for all methods.',
            default=(),
            flag="--set",
            metavar="KEY=VALUE",
        ),
    ]
    cache_folder: CacheFolder
    resume: Annotated[
        bool,
        Option(help="Fail unless the folder already holds a benchmark to continue.", default=False),
    ]
