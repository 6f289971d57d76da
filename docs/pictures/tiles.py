"""Small pictures with a line of words each, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GAP = 6


def tile(pixels: NDArray, words: str, side: int) -> Image.Image:
    """A square picture with words at its lower edge."""
    picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
    pen, font = ImageDraw.Draw(picture, "RGBA"), ImageFont.load_default(13)
    pen.rectangle((0, side - 21, pen.textlength(words, font) + 14, side), fill=(0, 0, 0, 150))
    pen.text((7, side - 19), words, font=font, fill="white")
    return picture


def save_sheet(tiles: Sequence[Image.Image], columns: int, path: Path) -> None:
    """Tiles of one size in rows of `columns`, as a JPEG."""
    side = tiles[0].width + GAP
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * side - GAP, rows * side - GAP), "white")
    for place, one in enumerate(tiles):
        sheet.paste(one, (place % columns * side, place // columns * side))
    sheet.save(path, quality=86, optimize=True)
