"""Options of `drift`."""

from typing import TypedDict

from delineate.requests.shared import Compute, MaxPixels

__all__ = ["DriftOptions"]


class DriftOptions(TypedDict, total=False):
    """Of `drift`."""

    device: Compute
    max_pixels: MaxPixels
