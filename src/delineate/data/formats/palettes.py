"""What Pillow decoded → pixels, for each of its modes; and their palettes."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from delineate.data.formats.headers import UnreadableError

__all__ = ["encode_palette", "palette_of", "pixels_of"]

_CONVERSIONS = {
    "1": "L",
    "LA": "L",
    "P": "RGB",
    "PA": "RGBA",
    "RGBX": "RGB",
    "RGBa": "RGBA",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "HSV": "RGB",
}
_AS_THEY_ARE = frozenset({"L", "RGB", "RGBA"})


def pixels_of(image: Image.Image) -> NDArray[Any]:
    """H×W, H×W×3 or H×W×4 of 8 or 16 bits. Raises `UnreadableError` for a mode whose black and white are unknown (I, F), or LAB."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I" and image.format == "PNG":  # how Pillow before 11 opens 16-bit gray
        return np.asarray(image).astype(np.uint16)
    if image.mode == "La":
        image = image.convert("LA")
    wanted = image.mode if image.mode in _AS_THEY_ARE else _CONVERSIONS.get(image.mode)
    if wanted is None:
        raise UnreadableError(
            f"is a Pillow image of mode {image.mode}, whose black and white are not known: convert it to L, I;16 or RGB first"
        )
    if image.mode == "P" and "transparency" in image.info:
        wanted = "RGBA"
    return np.array(image if wanted == image.mode else image.convert(wanted))


def palette_of(image: Image.Image) -> NDArray[np.uint8]:
    """The colors of an image of mode P, 256×3; black where it names fewer."""
    named = np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:256]
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(named)] = named
    return palette


def encode_palette(mask: NDArray[np.uint8], colors: Sequence[tuple[int, int, int]]) -> bytes:
    """H×W values → a PNG whose pixels hold them and whose palette gives each its RGB color.

    A color that is gray is moved by one step, since a gray palette is read as gray values (`mask_values.RawMask`). Raises
    `ValueError` for a value that has no color.
    """
    if int(mask.max(initial=0)) >= len(colors):
        raise ValueError(f"the value {mask.max()} has no color in a palette of {len(colors)}")
    picture = Image.fromarray(mask, "P")
    picture.putpalette([part for color in (colors[0], *map(_not_gray, colors[1:])) for part in color])
    stream = BytesIO()
    picture.save(stream, "PNG", compress_level=3)
    return stream.getvalue()


def _not_gray(color: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = color
    return color if not red == green == blue else (red, green, blue + 1 if blue < 255 else 254)
