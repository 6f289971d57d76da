"""Images as callers give them (arrays, Pillow images, paths) → pixels; a remark if they are of another kind than in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from delineate.common.errors import DataError
from delineate.data.cases.pixels import input_pixels
from delineate.data.core.channel_rules import ChannelRule
from delineate.data.core.input_spec import InputSpec, Pixels, PixelSpacing
from delineate.data.core.intensity import Rule, usable
from delineate.data.formats.from_pillow import pillow_pixels
from delineate.data.formats.registry import read_image
from delineate.data.formats.several import open_several

__all__ = ["as_pixels", "read_input", "remark"]

_KINDS = {8: "8-bit", 16: "16-bit", 32: "float"}


def as_pixels(
    image: Any, rule: Rule | tuple[ChannelRule, ...] = "range", channels: str | tuple[str, ...] = "", planes: int = 1
) -> Pixels:
    """An array, a Pillow image or a path → uint8 or uint16 H×W, H×W×3 or H×W×4. With another intensity `rule` than `range`,
    arrays of other numbers are taken too. Raises `DataError` for anything else.

    `channels`: those of the model. If they are named, an image is H×W×channels in their order, or a dictionary with one image for
    each name: `{"t1": "a_t1.png", "flair": "a_flair.png"}`. `planes`: slices that the model sees at once (`InputSpec.planes`).
    """
    if isinstance(image, Mapping):
        return _stacked(image, rule, channels)
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if hasattr(image, "convert"):
        return pillow_pixels(image)
    if isinstance(image, np.ndarray) and image.dtype.kind == "u" and image.dtype.itemsize <= 2:
        image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    if isinstance(image, np.ndarray) and image.dtype.kind in "iuf" and rule != "range":
        image = usable(image)
    elif not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise DataError(f"an image to predict is uint8 or uint16, not {kind}; scale it to 0…255 or 0…65535 first")
    known = [each * planes for each in ((1, 3, 4) if isinstance(channels, str) else (len(channels),))]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in known) or image.size == 0:
        wanted = f"H×W×{known[0]} ({planes} neighboring slices)" if planes > 1 else "H×W, H×W×3 or H×W×4"
        raise DataError(f"an image to predict is {wanted}, not of shape {image.shape}")
    return image


def read_input(path: Path, channels: Sequence[tuple[str, Path]], spec: InputSpec, max_pixels: int) -> Pixels:
    """The pixels of an image's file or files, with the channels that the model takes.

    Raises `DataError` as `read_image`, and for other channels than the model's.
    """
    if not channels and isinstance(spec.channels, str):
        return read_image(path, max_pixels=max_pixels)
    files = [file for _, file in channels] or [path]
    handle = open_several(files, [name for name, _ in channels], max_pixels=max_pixels)
    return input_pixels(handle, spec)


def _stacked(
    images: Mapping[str, Any], rule: Rule | tuple[ChannelRule, ...], channels: str | tuple[str, ...]
) -> Pixels:
    if isinstance(channels, str) or set(images) != set(channels):
        wanted = f"{channels} images" if isinstance(channels, str) else f"the channels {', '.join(channels)}"
        raise DataError(f"the model takes {wanted}, and this image has {', '.join(images)}")
    planes = [as_pixels(images[name], rule) for name in channels]
    odd = next((name for name, one in zip(channels, planes, strict=True) if one.ndim > 2), None)
    if odd is not None or len({(one.shape, one.dtype) for one in planes}) > 1:
        kinds = ", ".join(f"{name} {one.dtype} {one.shape}" for name, one in zip(channels, planes, strict=True))
        raise DataError(f"channels are gray and alike in size and type, not {kinds}")
    return np.stack(planes, axis=-1)


def remark(pixels: Pixels, spec: InputSpec, spacing: PixelSpacing | None = None) -> str | None:
    """A remark for the user if an image is of another kind than the model's training images; None if it is of the same kind."""
    return "; ".join(one for one in (_other_kind(pixels, spec), _too_large(pixels, spec, spacing)) if one) or None


def _too_large(pixels: Pixels, spec: InputSpec, spacing: PixelSpacing | None) -> str | None:
    wanted = spec.exceeds(pixels.shape[0], pixels.shape[1], spacing)
    if wanted is None or spec.spacing is None:
        return None
    return (
        f"an image of {wanted[0]}×{wanted[1]} pixels at the model's {spec.spacing[0]:g}×{spec.spacing[1]:g} mm is shrunk into the "
        f"{spec.size[0]}×{spec.size[1]} that it sees: anatomy is smaller than in training"
    )


def _other_kind(pixels: Pixels, spec: InputSpec) -> str | None:
    bits = 32 if pixels.dtype.kind != "u" else 8 * pixels.dtype.itemsize
    kind, trained = _KINDS[bits], _KINDS[spec.source_bits]
    # Slices of volumes come as floats whatever their files hold.
    other = bits != spec.source_bits and (bits != 32 or spec.axis is None)
    if not isinstance(spec.channels, str):
        return f"{kind} channels given to a model trained on {trained} ones; {_scale(bits, spec)}" if other else None
    gray = pixels.ndim == 2 or pixels.shape[2] == spec.planes
    wanted = "gray" if spec.channels == "gray" else "RGB"
    given = "gray" if gray else "RGB"
    if other:
        return f"{kind} {given} image given to a model trained on {trained} {wanted} images; {_scale(bits, spec)}"
    if wanted == "gray" and not gray:
        return "RGB image given to a model trained on gray images; it is turned to gray"
    return None


def _scale(bits: int, spec: InputSpec) -> str:
    scale = f"0…{2**bits - 1}" if spec.intensity == "range" else spec.rule_words
    return f"read as black to white: {scale}"
