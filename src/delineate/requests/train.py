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

    method: Required[Annotated[str, Option(help="Method to train; `delineate methods` lists them.")]]
    out: Required[Annotated[Path | str, Option(help="Run folder to create.")]]
    preset: Annotated[
        str,
        Option(
            help="paper: the settings of the paper, for a GPU; small: a useful model within an hour or so on two CPU cores; tiny: "
            "minutes, to see that all works. `delineate methods` lists those of each method.",
            default="paper",
        ),
    ]
    strategy: Annotated[
        str | None,
        Option(
            help="Training strategy; `delineate strategies` lists them.",
            shown="that of the preset, else supervised",
            recipe="strategy.name",
        ),
    ]
    size: Annotated[
        int | None,
        Option(help="Input size: images are resized to N×N pixels.", least=8, recipe="input.size"),
    ]
    axis: Annotated[
        str | int | None,
        Option(
            help="Volumes: the slices to take: axial (2, feet to head), coronal (1, back to front), sagittal (0, right to left), "
            "auto, or all: of each of the three axes.",
            metavar="AXIS",
            shown="the axis with the largest spacing",
            recipe="data.axis",
        ),
    ]
    epochs: Annotated[
        int | None,
        Option(
            help="Epochs of all stages together: passes over the training images or slices.",
            least=1,
            recipe="engine.epochs",
        ),
    ]
    steps: Annotated[
        int | None,
        Option(
            help="Number of optimizer steps; replaces --epochs.",
            python="Number of optimizer steps; replaces `epochs`.",
            least=1,
            recipe="engine.steps",
        ),
    ]
    seed: Annotated[int | None, Option(help="Random seed.", least=0, recipe="engine.seed")]
    fold: Fold
    labeled: Annotated[
        str | float | None,
        Option(
            help="Part of the training masks that is used: a share of the groups (0.1), or a file that lists the cases; the other "
            "images count as unlabeled, and nothing is learned from their masks.",
            metavar="SHARE|FILE",
        ),
    ]
    labeled_cases: Annotated[
        int | None,
        Option(help="The same as a number of cases, drawn by whole groups.", least=1, metavar="N"),
    ]
    labeled_groups: Annotated[int | None, Option(help="The same as a number of groups.", least=1, metavar="N")]
    labeled_draw: Annotated[
        int,
        Option(
            help="Which draw of labeled groups. With one draw a smaller part is in a larger one; --seed does not change it.",
            python="Which draw of labeled groups. With one draw a smaller part is in a larger one; `seed` does not change it.",
            default=0,
            least=0,
            metavar="K",
        ),
    ]
    device: Annotated[Device | None, Option(help="Device to compute on.", shown="auto", recipe="engine.device")]
    resume: Annotated[
        bool,
        Option(
            help="Continue the run in --out from its last checkpoint, exactly where it stopped.",
            python="Continue the run in `out` from its last checkpoint, exactly where it stopped.",
            default=False,
        ),
    ]
    init: Annotated[Path | str | None, Option(help="Start from the weights of another model (fine-tuning).")]
    settings: Settings
    options: Annotated[
        Mapping[str, Any] | None, Option(help="Recipe sections as a nested mapping; `settings` override them.", flag="")
    ]
    max_pixels: MaxPixels
    cache_dir: CacheFolder
    cache_limit: Annotated[float, Option(help="Maximum size of the cache in GiB.", default=20.0, least=0)]
    episodes: Annotated[
        Literal["superpixel", "supervoxel", "labels"] | None,
        Option(
            help="What the training foreground is: superpixel: a region of a slice, needs no labels; supervoxel: a region in "
            "neighboring slices, needs no labels; labels: a class of the training masks.",
            shown="that of the preset",
            recipe="episodes.kind",
            panel=_EPISODES,
        ),
    ]
    shots: Annotated[
        int | None,
        Option(
            help="Support images per episode.",
            least=1,
            shown="that of the preset",
            recipe="episodes.shots",
            panel=_EPISODES,
        ),
    ]
    exclude_classes: Annotated[
        Sequence[str],
        Option(
            help="Leave out every training slice that contains one of these classes (name or index); repeatable, or separated "
            "by commas.",
            python="Leave out every training slice that contains one of these classes (names or indices).",
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
            help="How slice names give volume and position: a pattern with the groups `volume` and `slice`; none: single images.",
            metavar="REGEX",
            shown="auto",
            recipe="episodes.stack",
            panel=_EPISODES,
        ),
    ]
