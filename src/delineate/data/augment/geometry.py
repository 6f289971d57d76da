"""Combine all geometric transforms of a sample, so that the picture is interpolated only once."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.augment.border import BorderedTransform
from delineate.data.augment.settings import AugmentParameters
from delineate.data.augment.transform import GeometricTransform, Size

__all__ = ["Sampling", "border", "interpolates", "matrix", "max_displacement", "moved", "sampling", "warp"]

Sampling = NDArray[np.float64] | tuple[NDArray[np.float32], NDArray[np.float32]]
"""Where a result's pixels come from: a 2×3 matrix (source to result, x and y), or of each its place in the source, x and y."""


def interpolates(parameters: AugmentParameters) -> bool:
    """Whether pixels are moved to places between pixels."""
    return not all(part.exact for part in parameters.kind(GeometricTransform))


def moved(image: Any, mask: NDArray[np.uint8], parameters: AugmentParameters) -> tuple[Any, NDArray[np.uint8]]:
    """The pair with whole pixels moved, where nothing interpolates; the pair itself where nothing moves."""
    for part in parameters.kind(GeometricTransform):
        image, mask = part.moved(image), part.moved(mask)
    return image, mask


def border(parameters: AugmentParameters) -> int:
    """OpenCV's constant for what is beyond the picture."""
    mirrored = any(part.border == "reflect" for part in parameters.kind(BorderedTransform))
    return int(cv2.BORDER_REFLECT_101 if mirrored else cv2.BORDER_CONSTANT)


def matrix(parameters: AugmentParameters, size: Size) -> NDArray[np.float64]:
    """2×3 matrix from source to result pixels (x, y): each linear map about the center, each followed by its shift."""
    height, width = size
    linear, shift = np.eye(2), np.zeros(2)
    for part in parameters.kind(GeometricTransform):
        own, (down, right) = part.linear(), part.offset()
        linear = own @ linear
        shift = own @ shift + np.array([right * width, down * height])
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.column_stack([linear, center + shift - linear @ center])


def sampling(parameters: AugmentParameters, where: NDArray[np.float64], size: Size) -> Sampling:
    """The matrix `where` itself; with fields, which move the pixels of the result, their places."""
    fields = [field for part in parameters.kind(GeometricTransform) if (field := part.field(size)) is not None]
    if not fields:
        return where
    x, y = sum(fields[1:], fields[0])
    x += np.arange(size[1], dtype=np.float32)
    y += np.arange(size[0], dtype=np.float32)[:, None]
    back = cv2.invertAffineTransform(where).astype(np.float32)
    return back[0, 0] * x + back[0, 1] * y + back[0, 2], back[1, 0] * x + back[1, 1] * y + back[1, 2]


def max_displacement(parameters: AugmentParameters) -> float:
    """An upper limit of the displacement by fields, in pixels."""
    return sum(part.max_displacement for part in parameters.kind(GeometricTransform))


def warp(pixels: Any, where: Sampling, size: Size, interpolation: int, border: int, outside: float = 0) -> Any:
    """H×W(×C) → height × width(×C) of `size`, sampled as `where` says; `outside` fills a constant border.

    Color takes a detour over four channels: OpenCV's kernel for four is twice as fast as that for three, with equal results.
    The copy (or conversion) reads a memory map in order, so that the warp's slanted reads meet the processor's cache.
    """
    color = pixels.ndim == 3 and pixels.shape[2] == 3
    source = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA) if color else pixels.copy()
    if isinstance(where, tuple):
        result = cv2.remap(source, *where, interpolation, borderMode=border, borderValue=outside)
    else:
        result = cv2.warpAffine(source, where, size[::-1], flags=interpolation, borderMode=border, borderValue=outside)
    return cv2.cvtColor(result, cv2.COLOR_RGBA2RGB) if color else result.reshape(*size, *pixels.shape[2:])
