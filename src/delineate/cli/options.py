"""Options that several verbs share, so that they say and check the same everywhere."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from delineate.common.errors import RecipeError

if TYPE_CHECKING:
    from delineate.data.layouts.source import DataSource


def finite(value: float | None) -> float | None:
    """Callback of options that are numbers: bounds alone let NaN through."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("must be a finite number")
    return value


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(StrEnum):
    """Of the network's arithmetic."""

    full = "32"
    bf16 = "bf16"
    half = "16"


class Split(StrEnum):
    """Part of a data set."""

    train = "train"
    val = "val"
    test = "test"


# Data: what `data.layouts.source.DataSource` holds, the same on every verb that takes a data set
DataImages = Annotated[
    str | None,
    typer.Option(
        "--images", metavar="FOLDER", help="The images, where DATA leaves it open: a folder in it, a path, a pattern."
    ),
]
DataMasks = Annotated[str | None, typer.Option("--masks", metavar="FOLDER", help="The masks, likewise.")]
DataLabels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="TABLE",
        help="What mask values mean: 0=background,255=lesion, or a labels.yaml.",
        show_default="from the masks",
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="What belongs together: a regular expression on the names, a CSV (case,group), or none.",
        show_default="what folders and names tell",
    ),
]


class Join(StrEnum):
    """Which copies stay in one split."""

    near = "near"
    exact = "exact"
    none = "none"


JoinCopies = Annotated[
    Join, typer.Option("--join", help="Copies of a picture that stay in one split: near ones too, equal ones, or none.")
]


def source(
    data: Path,
    images: str | None,
    masks: str | None,
    labels: str | None = None,
    group_by: str | None = None,
    join: str = "near",
) -> DataSource:
    """The data set that these options describe."""
    from delineate.data.layouts.source import DataSource

    return DataSource(data, images=images, masks=masks, labels=labels, group_by=group_by, join=str(join))  # type: ignore[arg-type]


MaxMegapixels = Annotated[
    float, typer.Option(help="Refuse images with more megapixels than this.", min=0.0001, callback=finite)
]
CacheDir = Annotated[Path | None, typer.Option(help="Where decoded images are kept; default: the user's cache.")]
CacheLimit = Annotated[float, typer.Option(help="Most GiB that the cache may take.", min=0, callback=finite)]
Slices = Annotated[
    Path,
    typer.Argument(
        help="Folder of images and masks: slices whose names tell volume and position, NIfTI volumes, or single images; "
        "or a manifest.json."
    ),
]
Axis = Annotated[
    int | None,
    typer.Option(
        help="Of NIfTI volumes: the axis across slices: 0 right-left, 1 back-front, 2 feet-head.",
        min=0,
        max=2,
        show_default="the coarsest",
    ),
]

# Training
RunFolder = Annotated[Path, typer.Option(help="Run folder to make.")]
Preset = Annotated[str, typer.Option(help="paper: the paper's settings; tiny: trains on two cores.")]
StrategyName = Annotated[
    str | None, typer.Option("--strategy", help="Way of training, see `delineate strategies`; supervised unless given.")
]
Size = Annotated[int | None, typer.Option(help="Working size: images are brought to N×N pixels.", min=8)]
Epochs = Annotated[
    int | None, typer.Option(help="Passes over the training images or slices, all stages together.", min=1)
]
Steps = Annotated[int | None, typer.Option(help="Optimiser steps instead of epochs.", min=1)]


def check_seed(value: int | None) -> int | None:
    """Raise `RecipeError` for a seed that no generator of random numbers takes."""
    if value is not None and value >= 2**63:
        raise RecipeError(f"--seed {value}: a seed is a whole number from 0 to 2^63 - 1; give a smaller one")
    return value


Seed = Annotated[int | None, typer.Option(help="Seed of everything random.", min=0, callback=check_seed)]
Fold = Annotated[int | None, typer.Option(help="Of a manifest with folds: the one that validates, from 0 on.", min=0)]
TrainDevice = Annotated[Device | None, typer.Option(help="Where to compute.", show_default="auto")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, exactly where it was.")]
Init = Annotated[Path | None, typer.Option(help="Start from another model's weights (fine-tuning).")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one setting.")]

# Prediction
PredictAxis = Annotated[
    int | None,
    typer.Option(
        help="Of NIfTI volumes: the axis across slices: 0 right-left, 1 back-front, 2 feet-head.",
        min=0,
        max=2,
        show_default="as in training, else the coarsest",
    ),
]
MaskFolder = Annotated[Path, typer.Option(help="Folder for the masks.")]
Overlay = Annotated[
    bool,
    typer.Option(
        "--overlay",
        help="Also write the images with contours, to overlays/ (of a volume the most telling slices); of a split, the "
        "references too (dashed).",
    ),
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Also write 16-bit probability maps (65535 = 1), to probabilities/.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier predictions in --out.")]
Replace = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results of this kind in --out.")]
PredictDevice = Annotated[Device, typer.Option(help="Where to compute.")]
PredictPrecision = Annotated[
    Precision, typer.Option(help="The network's arithmetic; bf16 and 16 are faster where the device has them.")
]
BatchSize = Annotated[
    int | None, typer.Option(help="Images to segment per forward pass.", min=1, show_default="by device")
]

# Scores. Written out, since help is shown without loading the library; a test compares it with the library's list.
METRICS = "dice,iou,precision,recall,hd95_pooled,assd,nsd@2,boundary_iou"
BENCHMARK_METRICS = "dice,iou,hd95_pooled,nsd@2"
FEWSHOT_METRICS = "dice,iou,precision,recall"


def shown(names: str) -> str:
    """A list of names as help shows it: it may be broken after each, since what does not fit would be cut."""
    return names.replace(",", ", ")


Volumes = Annotated[
    str | None,
    typer.Option(
        "--stack", metavar="RULE", help="Score volumes put together of slices: 'auto', or a pattern on names."
    ),
]
Spacing = Annotated[
    str | None,
    typer.Option(metavar="MM", help="Pixel size in mm: row,column or slice,row,column.", show_default="in pixels"),
]
