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

    out: Required[Annotated[Path | str, Option(help="Folder of the benchmark; given again, it goes on.")]]
    methods: Annotated[
        str | Sequence[str],
        Option(
            help="Methods with commas; NAME@PRESET for a preset of its own.", default="unet,resenc", metavar="NAMES"
        ),
    ]
    preset: Annotated[str, Option(help="Preset of the methods that name none.", default="tiny")]
    folds: Annotated[int | None, Option(help="Deal the cases into so many folds, by group.", shown="own test list")]
    seeds: Annotated[int, Option(help="Trainings of each method and fold.", default=1, least=1)]
    epochs: Annotated[
        int | None,
        Option(help="Budget of each run in epochs: the same images for all.", least=1, shown="preset's"),
    ]
    minutes: Annotated[
        float | None,
        Option(
            help="Budget of each run in minutes of training, turned into steps once.",
            flag="--budget-minutes",
            least=0.01,
        ),
    ]
    size: Annotated[int | None, Option(help="Working size for all: N×N pixels.")]
    own_augment: Annotated[
        bool, Option(help="Each method with its own augmentation instead of one for all.", default=False)
    ]
    metrics: Annotated[
        str | Sequence[str],
        Option(
            help="Metrics, with commas.", default=BENCHMARK_METRICS, metavar="NAMES", shown=shown(BENCHMARK_METRICS)
        ),
    ]
    stack: Stack
    spacing: Spacing
    settings: Annotated[
        Sequence[str],
        Option(
            help="Change one setting for all methods.",
            python='Texts "section.key=value", each of which changes one setting for all methods.',
            default=(),
            flag="--set",
            metavar="KEY=VALUE",
        ),
    ]
    cache_folder: CacheFolder
    resume: Annotated[
        bool,
        Option(help="Only go on with a benchmark that is there; without it the same happens.", default=False),
    ]
