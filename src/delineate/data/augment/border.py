"""What is seen beyond the picture, where pixels are moved from there into it."""

from __future__ import annotations

from typing import Literal

from delineate.data.augment.part import Geometric, Part

Border = Literal["constant", "reflect"]


class Bordered(Geometric):
    """Moves pixels to places between pixels, and some into the picture from beyond it."""

    border: Border = "constant"


class BorderSettings(Part):
    border: Border = "constant"
    """Outside the picture: black and background, or its mirror image."""
