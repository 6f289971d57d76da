"""Options of `calibrate`."""

from typing import Annotated, TypedDict

from delineate.requests.option import Option
from delineate.requests.shared import BatchSize, Compute, MaxPixels

__all__ = ["CalibrateOptions"]


class CalibrateOptions(TypedDict, total=False):
    """Of `calibrate`."""

    remove: Annotated[
        bool,
        Option(
            help="Take temperatures, post-processing and expected Dice out of the model again; nothing else is done.",
            default=False,
        ),
    ]
    device: Compute
    batch_size: BatchSize
    max_pixels: MaxPixels
