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
    Option(help="Where decoded images are kept; default: the user's cache.", flag="--cache-dir"),
]
Fold = Annotated[int | None, Option(help="Of a manifest with folds: the one that validates, from 0 on.", least=0)]
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
    Option(help="Score volumes put together of slices: 'auto', or a pattern on names.", metavar="RULE"),
]
Spacing = Annotated[
    str | Sequence[float] | None,
    Option(help="Pixel size in mm: row,column or slice,row,column.", metavar="MM", shown="in pixels"),
]
Axis = Annotated[
    int | None,
    Option(
        help="Of NIfTI volumes: the axis across slices: 0 right-left, 1 back-front, 2 feet-head.",
        least=0,
        most=2,
        shown="the coarsest",
    ),
]
Compute = Annotated[Device, Option(help="Where to compute.", default="auto")]
Arithmetic = Annotated[
    Precision,
    Option(help="The network's arithmetic; bf16 and 16 are faster where the device has them.", default="32"),
]
BatchSize = Annotated[int | None, Option(help="Images to segment per forward pass.", least=1, shown="by device")]
Settings = Annotated[
    Sequence[str],
    Option(
        help="Change one setting.",
        python='Texts "section.key=value", each of which changes one setting.',
        default=(),
        flag="--set",
        metavar="SECTION.KEY=VALUE",
    ),
]
