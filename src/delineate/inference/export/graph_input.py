"""An image as it was read → the input of a whole graph. Numpy alone, so that it works where torch is not installed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.inference.export.contract import IMAGE, SPACING, ExportFacts

__all__ = ["graph_feed", "graph_image"]

_OF_EIGHT = 257
"""65535 / 255: white of 8 bits becomes white of 16 bits."""


def graph_image(pixels: NDArray[Any], facts: ExportFacts) -> NDArray[Any]:
    """One image as a batch.

    Gray pictures are given to files that take color as three equal channels, and an alpha channel is left out. Pictures of 8 bits
    are scaled to files that take 16; the other way would lose what 16 bits hold, and is refused.

    Args:
        pixels: H×W, or H×W×channels (colors in RGB order).
        facts: of the file.

    Returns:
        1×H×W×C of the file's number type.

    Raises:
        DataError: another number of channels, another type, or a size that the file does not take.
    """
    image = pixels[..., None] if pixels.ndim == 2 else pixels
    wanted = len(facts.channels)
    colored = facts.channels == ("red", "green", "blue")
    if colored and image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    elif colored and image.shape[2] == 4:
        image = image[..., :3]
    if image.shape[2] != wanted:
        raise DataError(
            f"the file takes {wanted} channel{'s' if wanted > 1 else ''} ({', '.join(facts.channels)}), this image has "
            f"{image.shape[2]}"
        )
    for name, length, (least, most) in zip(("high", "wide"), image.shape, (facts.height, facts.width), strict=False):
        if not least <= length <= most:
            raise DataError(f"the image is {length} pixels {name}, and the file takes {least} to {most}")
    if image.dtype == np.uint8 and facts.numbers == "uint16":
        image = image.astype(np.uint16) * np.uint16(1 if facts.own_values else _OF_EIGHT)
    elif facts.numbers == "float32" and image.dtype.kind in "iuf":
        image = image.astype(np.float32)
    elif image.dtype != np.dtype(facts.numbers):
        raise DataError(
            f"the file takes images of {facts.numbers}, not of {image.dtype}; which the model was not trained on"
        )
    return np.ascontiguousarray(image)[None]


def graph_feed(
    pixels: NDArray[Any], spacing: tuple[float, float] | None, facts: ExportFacts
) -> dict[str, NDArray[Any]]:
    """All inputs of a whole graph for one image. Raises `DataError` as `graph_image`, or where the file needs a spacing."""
    feed = {IMAGE: graph_image(pixels, facts)}
    if not facts.spacing:
        return feed
    if spacing is None:
        raise DataError("the file needs the spacing of the image's pixels in mm, and it is not known")
    return feed | {SPACING: np.array(spacing, np.float64)}
