"""Contours of masks on their image. Colors stay apart for color-blind readers (after Okabe & Ito, 2008)."""

from __future__ import annotations

import colorsys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.core.input_spec import Pixels
from delineate.data.core.intensity import distance
from delineate.data.core.manifest import ClassTable

__all__ = [
    "CLASS_COLORS",
    "PREDICTION",
    "REFERENCE",
    "Color",
    "class_color",
    "draw",
    "foreground_colors",
    "palette",
    "to_display",
]

Color = tuple[int, int, int]

PREDICTION: Color = (255, 176, 0)
"""RGB of a binary prediction's contour (solid)."""
REFERENCE: Color = (86, 180, 233)
"""RGB of a binary reference's contour (dashed)."""
CLASS_COLORS: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""RGB of the foreground classes 1, 2, … of a multi-class map."""
_BINARY = ClassTable()


def draw(
    image: Pixels,
    prediction: NDArray[np.uint8] | None,
    reference: NDArray[np.uint8] | None = None,
    classes: ClassTable = _BINARY,
    *,
    shorter: int = 0,
) -> NDArray[np.uint8]:
    """Anti-aliased contours on the image → RGB uint8 H×W×3; the arguments are left as they were.

    `shorter`: an image whose shorter side has fewer pixels is first enlarged by a whole factor to at least so many, so that
    contours do not hide what they surround (for pages; files are drawn at the image's own size).

    `image`: uint8 or uint16, gray, RGB or RGBA; `prediction` and `reference`: class indices H×W of the same size, or None.
    The prediction is solid, the reference dashed on top. One foreground class: the two differ in color; several: color is class.
    """
    canvas = to_display(image)
    if (factor := -(-shorter // min(canvas.shape[:2]))) > 1:
        size = (canvas.shape[1] * factor, canvas.shape[0] * factor)
        canvas = cv2.resize(canvas, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
        prediction, reference = _repeated(prediction, factor), _repeated(reference, factor)
    width = max(1, round(min(canvas.shape[:2]) / 250))
    for labels, role, dashed in ((prediction, PREDICTION, False), (reference, REFERENCE, True)):
        if labels is None:
            continue
        for index in range(1, len(classes.names)):
            color = role if len(classes.names) == 2 else _color_of(classes, index)
            _contours(canvas, labels == index, color, width, dashed)
    return canvas


def class_color(index: int) -> Color:
    """RGB of foreground class `index` (from 1) of a multi-class map; beyond the seven known ones further hues, all different."""
    if index <= len(CLASS_COLORS):
        return CLASS_COLORS[index - 1]
    turned = (index * 0.618034) % 1
    red, green, blue = colorsys.hsv_to_rgb(turned, 0.5 + 0.1 * (index % 5), 0.95 - 0.1 * (index % 4))
    return round(255 * red), round(255 * green), round(255 * blue)


def palette(classes: ClassTable) -> list[Color] | None:
    """The colors of a mask's values: black for the background, then each class's; None where one class makes it 0 and 255."""
    if len(classes.names) == 2:
        return None
    return [
        _named_color(classes, 0) or (0, 0, 0),
        *(_color_of(classes, index) for index in range(1, len(classes.names))),
    ]


def foreground_colors(classes: ClassTable) -> list[Color]:
    """RGB of each foreground class: the owner's, or one that stays apart from the others."""
    return [_color_of(classes, index) for index in range(1, len(classes.names))]


def _color_of(classes: ClassTable, index: int) -> Color:
    """RGB of a foreground class: the owner's, where the table names colors, else `class_color`."""
    return _named_color(classes, index) or class_color(index)


def _named_color(classes: ClassTable, index: int) -> Color | None:
    if classes.colors is None:
        return None
    text = classes.colors[index].removeprefix("#")
    return int(text[:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def to_display(image: Pixels) -> NDArray[np.uint8]:
    """Any readable image → a new RGB uint8 H×W×3; images of other types than bytes between their 0.5th and 99.5th percentile."""
    if image.ndim == 2:
        image = image[..., None]
    image = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    if image.dtype == np.uint8:
        return np.array(image, order="C")
    low, high = np.percentile(image, (0.5, 99.5))
    span = distance(image, (low, high)) if image.dtype.kind == "f" else max(high - low, 1)
    scaled = (image.astype(np.float32) - low) * (255 / span)
    return np.ascontiguousarray(np.clip(scaled, 0, 255).astype(np.uint8))


def _repeated(labels: NDArray[np.uint8] | None, factor: int) -> NDArray[np.uint8] | None:
    return None if labels is None else labels.repeat(factor, 0).repeat(factor, 1)


def _contours(canvas: NDArray[np.uint8], mask: NDArray[np.bool_], color: Color, width: int, dashed: bool) -> None:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lines = _dashes(outlines, 5 * width) if dashed else list(outlines)
    if width > 1:  # a dark casing keeps the line visible on any background
        cv2.polylines(canvas, lines, not dashed, (0, 0, 0), width + 2, cv2.LINE_AA)
    cv2.polylines(canvas, lines, not dashed, color, width, cv2.LINE_AA)


def _dashes(outlines: Any, length: int) -> list[Any]:
    return [line[start : start + length] for line in outlines for start in range(0, len(line), 2 * length)]
