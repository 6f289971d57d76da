"""Options of `train`, for methods of every kind."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Required, TypedDict

from delineate.requests.option import Option
from delineate.requests.shared import CacheFolder, Device, Fold, MaxPixels, Settings

__all__ = ["TrainOptions"]

_EPISODES = "Few-shot methods"


class TrainOptions(TypedDict, total=False):
    """What is left None comes from the method's preset."""

    method: Required[Annotated[str, Option(help="Name of a method; `delineate methods` lists them.")]]
    out: Required[Annotated[Path | str, Option(help="Run folder to make.")]]
    preset: Annotated[str, Option(help="paper: the paper's settings; tiny: trains on two cores.", default="paper")]
    strategy: Annotated[
        str | None,
        Option(
            help="Way of training; `delineate strategies` lists them.",
            shown="the preset's, else supervised",
            recipe="strategy.name",
        ),
    ]
    size: Annotated[
        int | None,
        Option(help="Working size: images are brought to N×N pixels.", least=8, recipe="input.size"),
    ]
    axis: Annotated[
        int | None,
        Option(
            help="Of volumes: the axis across slices: 0 right-left, 1 back-front, 2 feet-head.",
            least=0,
            most=2,
            shown="the coarsest",
            recipe="data.axis",
        ),
    ]
    epochs: Annotated[
        int | None,
        Option(help="Passes over the training images or slices, all stages together.", least=1, recipe="engine.epochs"),
    ]
    steps: Annotated[int | None, Option(help="Optimizer steps instead of epochs.", least=1, recipe="engine.steps")]
    seed: Annotated[int | None, Option(help="Seed of everything random.", least=0, recipe="engine.seed")]
    fold: Fold
    device: Annotated[Device | None, Option(help="Where to compute.", shown="auto", recipe="engine.device")]
    resume: Annotated[
        bool,
        Option(
            help="Go on with the run in --out, exactly where it was.",
            python="Go on with the run in `out`, exactly where it was.",
            default=False,
        ),
    ]
    init: Annotated[Path | str | None, Option(help="Start from another model's weights (fine-tuning).")]
    settings: Settings
    options: Annotated[
        Mapping[str, Any] | None, Option(help="Recipe sections as a nested mapping, laid below `settings`.", flag="")
    ]
    max_pixels: MaxPixels
    cache_dir: CacheFolder
    cache_limit: Annotated[float, Option(help="Most GiB that the cache may take.", default=20.0, least=0)]
    episodes: Annotated[
        Literal["superpixel", "supervoxel", "labels"] | None,
        Option(
            help="Foregrounds of training: superpixel: a region of a slice, without labels; supervoxel: a region through "
            "neighboring slices, without labels; labels: a class of the training masks.",
            shown="the preset's",
            recipe="episodes.kind",
            panel=_EPISODES,
        ),
    ]
    shots: Annotated[
        int | None,
        Option(
            help="Support images of an episode.",
            least=1,
            shown="the preset's",
            recipe="episodes.shots",
            panel=_EPISODES,
        ),
    ]
    exclude_classes: Annotated[
        Sequence[str],
        Option(
            help="Leave out every training slice that holds any of these classes (name or index); repeat it or separate by "
            "commas.",
            python="Leave out every training slice that holds any of these classes (names or indices).",
            default=(),
            metavar="CLASS",
            commas=True,
            recipe="episodes.exclude",
            panel=_EPISODES,
        ),
    ]
    stack: Annotated[
        str | None,
        Option(
            help="How slice names tell volume and position, with the groups `volume` and `slice`; none: single images.",
            metavar="REGEX",
            shown="auto",
            recipe="episodes.stack",
            panel=_EPISODES,
        ),
    ]
