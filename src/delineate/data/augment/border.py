"""What is beyond the picture, where pixels from there are moved into it."""

from __future__ import annotations

from typing import Literal

from delineate.data.augment.transform import GeometricTransform, TransformSettings

__all__ = ["Border", "BorderSettings", "BorderedTransform"]

Border = Literal["constant", "reflect"]


class BorderedTransform(GeometricTransform):
    """Moves pixels to places between pixels, and some into the picture from beyond it."""

    border: Border = "constant"


class BorderSettings(TransformSettings):
    border: Border = "constant"
    """Outside the picture: black and background, or its mirror image."""
