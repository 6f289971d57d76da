"""Options that several verbs share, so that they say and check the same everywhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from delineate.requests.option import Option

__all__ = [
    "Arithmetic",
    "Axis",
    "BatchSize",
    "CacheFolder",
    "Compute",
    "Device",
    "Fold",
    "MaxPixels",
    "Overwrite",
    "Part",
    "Precision",
    "Settings",
    "Spacing",
    "Split",
    "Stack",
    "UntrainedSettings",
]

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["32", "bf16", "16"]
Split = Literal["train", "val", "test"]
Part = Literal["train", "val", "test", "all"]

MaxPixels = Annotated[
    int,
    Option(
        help="Refuse images with more megapixels than this.",
        python="Refuse images with more pixels than this.",
        default=400_000_000,
        flag="--max-megapixels",
        least=0.0001,
        factor=1e6,
    ),
]
CacheFolder = Annotated[
    Path | str | None,
    Option(help="Folder for decoded images; default: the cache folder of this user.", flag="--cache-dir"),
]
Fold = Annotated[
    int | None, Option(help="For a manifest with folds: number of the fold to validate on, counted from 0.", least=0)
]
Overwrite = Annotated[
    bool,
    Option(
        help="Replace earlier results of this kind in --out.",
        python="Replace earlier results of this kind in `out`.",
        default=False,
    ),
]
Stack = Annotated[
    str | None,
    Option(help="Join slices into volumes before scoring: 'auto', or a regular expression on names.", metavar="RULE"),
]
Spacing = Annotated[
    str | Sequence[float] | None,
    Option(help="Pixel spacing in mm: row,column or slice,row,column.", metavar="MM", shown="in pixels"),
]
Axis = Annotated[
    str | int | None,
    Option(
        help="Volumes: the slices to take: axial (2, feet to head), coronal (1, back to front), sagittal (0, right to left) or "
        "auto.",
        metavar="AXIS",
        shown="the axis with the largest spacing",
    ),
]
Compute = Annotated[Device, Option(help="Device to compute on.", default="auto")]
Arithmetic = Annotated[
    Precision,
    Option(help="32, or mixed precision (bf16, 16), which is faster where the device supports it.", default="32"),
]
BatchSize = Annotated[
    int | None, Option(help="Batch size: images in one forward pass.", least=1, shown="depends on the device")
]
Settings = Annotated[
    Sequence[str],
    Option(
        help="Change one setting of the recipe; repeatable.",
        python='Texts "section.key=value"; each changes one setting of the recipe.',
        default=(),
        flag="--set",
        metavar="SECTION.KEY=VALUE",
    ),
]
UntrainedSettings = Annotated[
    Sequence[str],
    Option(
        help="METHOD@PRESET:untrained: change one setting of its recipe; repeatable.",
        python='Of an untrained method: texts "method.key=value" or "input.key=value"; each changes one setting of its recipe.',
        default=(),
        flag="--set",
        metavar="SECTION.KEY=VALUE",
    ),
]
