"""Augmentation, second half: `apply` is a pure function of image, mask and the parameters that were drawn.

All geometry is one sampling of the picture, all linear colour one affine map of RGB space.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.augment.settings import AugmentParameters
from delineate.data.core.input_spec import Pixels

_LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601."""


def apply(
    image: Pixels | NDArray[np.float32], mask: NDArray[np.uint8], parameters: AugmentParameters
) -> tuple[Any, NDArray[np.uint8]]:
    """Image H×W×C (uint8, or float32 in [0, 1]; C = 1 or 3, RGB) and mask H×W → the augmented pair, of the same types and shapes.

    Inputs are not changed; what no parameter touches is returned as it is.
    """
    if parameters.warps:
        size = (mask.shape[0], mask.shape[1])
        where = sampling(parameters, warp_matrix(parameters, *size), size)
        border = cv2.BORDER_REFLECT_101 if parameters.border == "reflect" else cv2.BORDER_CONSTANT
        image = warp(image, where, size, cv2.INTER_LINEAR, border)
        mask = warp(mask, where, size, cv2.INTER_NEAREST, border)
    else:
        image, mask = flip(image, mask, parameters)
    return photometric(image, parameters), mask


def photometric(image: Any, parameters: AugmentParameters) -> Any:
    """The part of `apply` that moves nothing: colour, gamma, blur, noise, rectangles."""
    image = _powered(_colour(image, parameters), parameters.gamma)
    if parameters.blur_sigma is not None:
        image = _shaped(cv2.GaussianBlur(image, (0, 0), parameters.blur_sigma), image)
    if parameters.noise_std is not None:
        image = _noisy(image, parameters.noise_std, parameters.noise_seed)
    if parameters.holes:
        image = image.copy()
        for top, left, height, width in parameters.holes:
            image[top : top + height, left : left + width] = 0
    return image


def flip(image: Any, mask: NDArray[np.uint8], parameters: AugmentParameters) -> tuple[Any, NDArray[np.uint8]]:
    """The flips alone; the pair itself where there is none."""
    if not (parameters.flip_horizontal or parameters.flip_vertical):
        return image, mask
    both = parameters.flip_horizontal and parameters.flip_vertical
    code = -1 if both else int(parameters.flip_horizontal)
    return _shaped(cv2.flip(image, code), image), cv2.flip(mask, code).astype(np.uint8, copy=False)


Sampling = NDArray[np.float64] | tuple[NDArray[np.float32], NDArray[np.float32]]
"""Where a result's pixels come from: a 2×3 matrix (source to result, x and y), or of each its place in the source, x and y."""


def sampling(parameters: AugmentParameters, matrix: NDArray[np.float64], size: tuple[int, int]) -> Sampling:
    """The matrix itself; with an elastic deformation, which moves the pixels of the result, their places."""
    if not parameters.elastic_alpha:
        return matrix
    x, y = _elastic_field(parameters, size)
    x += np.arange(size[1], dtype=np.float32)
    y += np.arange(size[0], dtype=np.float32)[:, None]
    back = cv2.invertAffineTransform(matrix).astype(np.float32)
    return back[0, 0] * x + back[0, 1] * y + back[0, 2], back[1, 0] * x + back[1, 1] * y + back[1, 2]


def _elastic_field(parameters: AugmentParameters, size: tuple[int, int]) -> NDArray[np.float32]:
    """2×H×W: displacements along x and y in pixels, none larger than `elastic_alpha` (Simard, Steinkraus & Platt 2003)."""
    random = np.random.Generator(np.random.SFC64(parameters.elastic_seed))
    field = 2 * random.random((2, *size), np.float32) - 1
    sigma = parameters.elastic_sigma
    smooth = [cv2.GaussianBlur(one, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101) for one in field]
    return np.stack(smooth) * np.float32(parameters.elastic_alpha)


def warp(pixels: Any, where: Sampling, size: tuple[int, int], interpolation: int, border: int, outside: int = 0) -> Any:
    """H×W(×C) → height × width(×C) of `size`, sampled as `where` says; `outside` fills a constant border.

    Colour takes a detour over four channels: OpenCV's kernel for four is twice as fast as that for three, with equal results.
    The copy (or conversion) reads a memory map in order, so that the warp's slanted reads meet the processor's cache.
    """
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    source = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA) if colour else pixels.copy()
    if isinstance(where, tuple):
        result = cv2.remap(source, *where, interpolation, borderMode=border, borderValue=outside)
    else:
        result = cv2.warpAffine(source, where, size[::-1], flags=interpolation, borderMode=border, borderValue=outside)
    return cv2.cvtColor(result, cv2.COLOR_RGBA2RGB) if colour else result.reshape(*size, *pixels.shape[2:])


def warp_matrix(parameters: AugmentParameters, height: int, width: int) -> NDArray[np.float64]:
    """2×3 matrix from source to result pixels (x, y): flip, shear, scale and rotate about the centre, then shift."""
    angle, shear = math.radians(parameters.rotate), math.tan(math.radians(parameters.shear))
    cos, sin = math.cos(angle) * parameters.scale, math.sin(angle) * parameters.scale
    turn = np.array([[cos, sin], [-sin, cos]])
    skew = np.array([[1.0, shear], [0.0, 1.0]])
    flip = np.diag([-1.0 if parameters.flip_horizontal else 1.0, -1.0 if parameters.flip_vertical else 1.0])
    linear = turn @ skew @ flip
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    moved = centre + np.array([parameters.shift[1] * width, parameters.shift[0] * height])
    return np.column_stack([linear, moved - linear @ centre])


def colour_matrix(parameters: AugmentParameters) -> NDArray[np.float64]:
    """3×4 matrix of RGB space in [0, 1]: hue turns the chroma plane about the grey axis, saturation stretches it about the luma,
    contrast stretches everything about mid-grey, brightness adds."""
    to_luma = np.tile(_LUMA, (3, 1))
    saturation = 0.0 if parameters.grey else parameters.saturation
    linear = to_luma + saturation * (_hue_rotation(parameters.hue) - to_luma)
    linear = parameters.contrast * linear
    offset = 0.5 * (1 - parameters.contrast) + parameters.brightness
    return np.column_stack([linear, np.full(3, offset)])


def _hue_rotation(turns: float) -> NDArray[np.float64]:
    """Rotation about the grey axis (Rodrigues), sheared so that luma is kept: L·R(v) = L·v."""
    angle, third = 2 * math.pi * turns, 1 / 3
    cos, sin = math.cos(angle), math.sin(angle) * math.sqrt(third)
    same, left, right = cos + (1 - cos) * third, (1 - cos) * third - sin, (1 - cos) * third + sin
    rotation = np.array([[same, left, right], [right, same, left], [left, right, same]])
    return rotation + np.outer(np.ones(3), _LUMA - _LUMA @ rotation)


def _colour(image: Any, parameters: AugmentParameters) -> Any:
    chroma = image.shape[2] == 3 and (parameters.saturation != 1 or parameters.hue != 0 or parameters.grey)
    if not chroma and parameters.brightness == 0 and parameters.contrast == 1:
        return image
    full = 255.0 if image.dtype == np.uint8 else 1.0
    matrix = colour_matrix(parameters)
    if not chroma:
        offset = matrix[0, 3] * full
        if image.dtype == np.uint8:
            table = np.clip(np.round(np.arange(256) * parameters.contrast + offset), 0, 255).astype(np.uint8)
            return _shaped(cv2.LUT(image, table), image)
        return np.clip(image * np.float32(parameters.contrast) + np.float32(offset), 0, 1)
    matrix[:, 3] *= full
    result = cv2.transform(image, matrix.astype(np.float32))
    return result if image.dtype == np.uint8 else np.clip(result, 0, 1)


def _powered(image: Any, gamma: float) -> Any:
    if gamma == 1:
        return image
    if image.dtype == np.uint8:
        table = np.round(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
        return _shaped(cv2.LUT(image, table), image)
    return image ** np.float32(gamma)


def _noisy(image: Any, std: float, seed: int) -> Any:
    full = 255.0 if image.dtype == np.uint8 else 1.0
    noise = np.random.Generator(np.random.SFC64(seed)).standard_normal(image.shape, np.float32)
    noise *= np.float32(std * full)
    noise += image
    np.clip(noise, 0, full, out=noise)
    return np.rint(noise, out=noise).astype(np.uint8) if image.dtype == np.uint8 else noise


def _shaped(result: Any, like: Any) -> Any:
    """OpenCV drops a single channel's axis."""
    return result.reshape(like.shape)
