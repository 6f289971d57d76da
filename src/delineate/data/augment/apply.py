"""Augmentation, second half: `apply` is a pure function of image, mask and the parameters that were drawn.

Three steps: all geometry in one sampling of the picture, all color in one affine map, then the rest, one after another.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.augment import geometry
from delineate.data.augment.color_map import ColorMap
from delineate.data.augment.settings import AugmentParameters
from delineate.data.augment.transform import ColorTransform, PixelTransform
from delineate.data.core.input_spec import Pixels
from delineate.data.core.manifest import IGNORE
from delineate.data.core.soft_mask import interpolated

__all__ = ["apply", "apply_to_share", "photometric"]


def apply(
    image: Pixels | NDArray[np.float32], mask: NDArray[np.uint8], parameters: AugmentParameters
) -> tuple[Any, NDArray[np.uint8]]:
    """Image H×W×C (uint8, or float32 in [0, 1]; C = 1 or 3, RGB) and mask H×W → the augmented pair, of the same types and shapes.

    Inputs are not changed; what no parameter touches is returned as it is.
    """
    if geometry.interpolates(parameters):
        size = (mask.shape[0], mask.shape[1])
        where = geometry.sampling(parameters, geometry.matrix(parameters, size), size)
        border = geometry.border(parameters)
        image = geometry.warp(image, where, size, cv2.INTER_LINEAR, border)
        mask = geometry.warp(mask, where, size, cv2.INTER_NEAREST, border)
    else:
        image, mask = geometry.moved(image, mask, parameters)
    return photometric(image, parameters), mask


def apply_to_share(
    share: NDArray[np.uint8], mask: NDArray[np.uint8], parameters: AugmentParameters
) -> NDArray[np.uint8]:
    """What `apply` does to a mask, done to the shares of its soft mask (`data.core.soft_mask`) by linear interpolation."""
    if not geometry.interpolates(parameters):
        return geometry.moved(share, mask, parameters)[0]
    size = (mask.shape[0], mask.shape[1])
    where = geometry.sampling(parameters, geometry.matrix(parameters, size), size)
    border = geometry.border(parameters)
    return interpolated(
        share,
        mask != IGNORE,
        lambda values, outside: geometry.warp(values, where, size, cv2.INTER_LINEAR, border, outside),
    )


def photometric(image: Any, parameters: AugmentParameters) -> Any:
    """The part of `apply` that moves nothing."""
    color = ColorMap()
    for change in parameters.kind(ColorTransform):
        color = change.join(color)
    image = color.apply(image)
    for part in parameters.kind(PixelTransform):
        image = part.apply(image)
    return image
