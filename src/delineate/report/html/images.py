"""Pictures inside the page: read, shrink, compress, embed as data; and what their contours mean."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from delineate.inference.overlay import PREDICTION, REFERENCE, Color, class_color
from delineate.report.html.elements import Html, element, join

__all__ = [
    "contour_legend",
    "drawn",
    "embedded",
    "figure",
    "figure_of",
]


def embedded(path: Path, description: str, *, longest: int) -> Html:
    """An `<img>` holding a JPEG of at most `longest` pixels a side; a sentence in its place when the file cannot be read."""
    try:
        with Image.open(path) as image:
            return _as_jpeg(image.convert("RGB"), description, longest)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return element("p", f"{path.name} cannot be read: {error}", class_="note")


def drawn(pixels: NDArray[np.uint8], description: str, *, longest: int) -> Html:
    """The same for RGB pixels H×W×3."""
    return _as_jpeg(Image.fromarray(pixels), description, longest)


def figure(path: Path, description: str, *caption: Any, longest: int = 480) -> Html:
    """A picture file with its caption."""
    return figure_of(embedded(path, description, longest=longest), *caption)


def figure_of(content: Html, *caption: Any) -> Html:
    """Anything with a caption."""
    return element("figure", content, element("figcaption", *caption), class_="card")


def contour_legend(classes: Sequence[str]) -> Html:
    """Which contour is which. `classes` are the names by index, the background first.

    One foreground class: prediction and reference differ in color; several: color is the class. The reference is dashed.
    """
    if len(classes) <= 2:
        return _legend([("prediction (solid)", PREDICTION, "solid"), ("reference (dashed)", REFERENCE, "dashed")])
    lines = [(name, class_color(at), "solid") for at, name in enumerate(classes) if at > 0]
    words = element("p", "Color is the class; the prediction is solid, the reference dashed.", class_="note")
    return join(_legend(lines), words)


def _as_jpeg(picture: Image.Image, description: str, longest: int) -> Html:
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=84, optimize=True)
    source = f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode()}"
    return element("img", src=source, alt=description, width=picture.width, height=picture.height)


def _legend(lines: Sequence[tuple[str, Color, str]]) -> Html:
    def entry(name: str, color: Color, dash: str) -> Html:
        style = f"border-top-style: {dash}; border-top-color: rgb{tuple(color)}"
        return element("li", element("b", style=style, aria_hidden="true"), name)

    return element("ul", *(entry(*line) for line in lines), class_="legend")
