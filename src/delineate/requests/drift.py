"""Options of `drift`."""

from typing import TypedDict

from delineate.requests.shared import MaxPixels

__all__ = ["DriftOptions"]


class DriftOptions(TypedDict, total=False):
    """Of `drift`."""

    max_pixels: MaxPixels
