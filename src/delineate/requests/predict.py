"""Options of `predict`, and of `fewshot predict`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Required, TypedDict

from delineate.requests.option import Option
from delineate.requests.shared import Arithmetic, BatchSize, Compute, MaxPixels, Part

__all__ = ["FewshotPredictOptions", "MaskOptions", "PredictOptions"]


class MaskOptions(TypedDict, total=False):
    """How masks are made and written, whatever makes them."""

    out: Required[Annotated[Path | str, Option(help="Folder for the masks.")]]
    overlay: Annotated[
        bool,
        Option(
            help="Also write the images with contours, to overlays/ (of a volume the most telling slices); of a split, the "
            "references too (dashed).",
            default=False,
        ),
    ]
    probabilities: Annotated[
        bool, Option(help="Also write 16-bit probability maps (65535 = 1), to probabilities/.", default=False)
    ]
    overwrite: Annotated[
        bool,
        Option(
            help="Replace earlier predictions in --out.",
            python="Replace earlier predictions in `out`.",
            default=False,
        ),
    ]
    device: Compute
    precision: Arithmetic
    batch_size: BatchSize
    max_pixels: MaxPixels
    axis: Annotated[
        int | None,
        Option(
            help="Of NIfTI volumes: the axis across slices: 0 right-left, 1 back-front, 2 feet-head.",
            least=0,
            most=2,
            shown="as in training, else the coarsest",
        ),
    ]


class PredictOptions(MaskOptions, total=False):
    """Of `predict`."""

    split: Annotated[
        Part | None,
        Option(
            help="INPUT is a data set, a table or a manifest.json; predict this part of it. Where the data name no splits: as "
            "the model's run drew them.",
            python="The inputs are data sets, tables or manifests; predict this part of them. Where the data name no splits: as "
            "the model's run drew them.",
            shown=False,
        ),
    ]


class FewshotPredictOptions(MaskOptions, total=False):
    """Of `fewshot predict`: the examples that are files."""

    support_images: Annotated[
        Sequence[Path | str],
        Option(
            help="An annotated image; repeat it for more shots.",
            python="Annotated images.",
            default=(),
            flag="--support-image",
            metavar="IMG",
        ),
    ]
    support_masks: Annotated[
        Sequence[Path | str],
        Option(
            help="Its mask; as many as images, in the same order.",
            python="Their masks; as many, in the same order.",
            default=(),
            flag="--support-mask",
            metavar="MASK",
        ),
    ]
    labels: Annotated[
        str | None,
        Option(
            help="What mask values mean: 0=background,255=lesion, or a labels.yaml.",
            metavar="TABLE",
            shown="from the masks",
        ),
    ]
