"""Pillow images that a user has opened → what reading their files gives, or a refusal where Pillow has not kept it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from delineate.data.core.input_spec import Pixels
from delineate.data.core.mask_values import RawMask
from delineate.data.formats.headers import UnreadableError, read_header, sniff
from delineate.data.formats.images import decode_image, decode_mask, named, single_channel, typed
from delineate.data.formats.orientation import exif_orientation, turned
from delineate.data.formats.palettes import palette_of, pixels_of

__all__ = ["pillow_mask", "pillow_pixels"]


def pillow_pixels(image: Any) -> Pixels:
    """A Pillow image → the pixels that `read_image` gives for its file, as far as Pillow has kept them.

    An image that was opened and not touched since is decoded from its file. Raises `DataError` as `read_image`, for modes whose
    black and white are unknown (I, F) or LAB, for the first page of a stack, and where Pillow has dropped 8 of 16 bits.
    """
    name = Path(str(getattr(image, "filename", "") or "the Pillow image"))
    if (content := _untouched(image)) is not None:
        return decode_image(content, name)
    with named(name):
        _check_kept(image)
        return turned(typed(pixels_of(image), name), exif_orientation(image.info.get("exif", b"")))


def pillow_mask(image: Any) -> NDArray[Any]:
    """A Pillow image → the values that `read_mask` gives for its file. Raises `DataError` as `pillow_pixels`."""
    name = Path(str(getattr(image, "filename", "") or "the Pillow image"))
    if (content := _untouched(image)) is not None:
        return decode_mask(content, name)
    with named(name):
        _check_kept(image)
        if image.mode == "P":
            raw = RawMask(np.asarray(image), palette_of(image))
        else:
            pixels = single_channel(typed(pixels_of(image), name))
            raw = RawMask(pixels, colored=pixels.ndim == 3)
        return turned(raw.as_coded(None, name), exif_orientation(image.info.get("exif", b"")))


def _untouched(image: Any) -> bytes | None:
    """The file of an image that Pillow has opened but not decoded yet, if it is of a format that is read here."""
    stream = getattr(image, "fp", None)
    if not (isinstance(image, ImageFile.ImageFile) and getattr(image, "tile", None) and stream) or image.tell():
        return None
    place = stream.tell()
    try:
        stream.seek(0)
        content = bytes(stream.read())
    finally:
        stream.seek(place)
    with suppress(Exception):
        header = read_header(content)
        sizes = () if header is None else ((header.width, header.height), (header.height, header.width))
        return content if image.size in sizes else None  # a JPEG's draft has another size
    return content if sniff(content) else None


def _check_kept(opened: Any) -> None:
    """Raise `UnreadableError` where Pillow's decoded picture is not that of its file."""
    if not isinstance(opened, ImageFile.ImageFile):
        return
    image: Any = opened
    if getattr(image, "n_frames", 1) > 1 and not image.tell() and image.format in ("TIFF", "GIF", "PNG"):
        raise UnreadableError(f"is a stack of {image.n_frames} pages: give a copy() of the one that is meant")
    if image.format == "TIFF":
        image_tags = image.tag_v2
        bits, meaning = max(image_tags.get(258, (1,))), image_tags.get(262, 1)
        if bits > 8 and (meaning == 0 or not image.mode.startswith(("I", "F"))):
            raise UnreadableError(
                f"has {bits} bits, which Pillow does not keep: give the path, or the array of another reader"
            )
    elif image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA") and Path(str(image.filename)).is_file():
        header = read_header(Path(str(image.filename)).read_bytes())
        if header is not None and header.bits == 16:
            raise UnreadableError("has 16 bits, of which Pillow keeps 8: give the path, or the array of another reader")
