"""A support as it was read → the inputs of the graph `condition`. Numpy alone, as `graph_input`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.inference.export.contract import SUPPORT_IMAGE, SUPPORT_MASK, SUPPORT_SIZE, ExportFacts
from delineate.inference.export.graph_input import graph_image

__all__ = ["support_feed"]


def support_feed(
    images: Sequence[NDArray[Any]], masks: Sequence[NDArray[Any]], facts: ExportFacts
) -> dict[str, NDArray[Any]]:
    """All inputs for the support of one class.

    Args:
        images: H×W or H×W×channels each, of any sizes.
        masks: H×W each: 1 = the class, 0 = all else, 255 = ignored.
        facts: Of the file.

    Returns:
        Name → array; smaller images lie at the upper left.

    Raises:
        DataError: As `graph_image`.
    """
    taken = [graph_image(image, facts)[0] for image in images]
    sizes = np.array([one.shape[:2] for one in taken], np.int64)
    height, width = sizes.max(0)
    padded = np.zeros((len(taken), height, width, taken[0].shape[2]), taken[0].dtype)
    labels = np.zeros((len(taken), height, width), np.uint8)
    for at, (image, mask) in enumerate(zip(taken, masks, strict=True)):
        padded[at, : image.shape[0], : image.shape[1]] = image
        labels[at, : mask.shape[0], : mask.shape[1]] = mask
    return {SUPPORT_IMAGE: padded, SUPPORT_MASK: labels, SUPPORT_SIZE: sizes}
