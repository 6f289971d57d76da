"""TIFF files → pixels or labels. What the header says decides what the numbers mean; what has no sure meaning is refused by name.

gray        1 number a pixel; with white as 0 it is turned round; an alpha channel beside it is dropped
RGB(A)      3 numbers, or 4; also 3 that are declared as gray, as some endoscopy sets have them
palette     → RGB; of a mask its indices
CMYK, YCbCr → RGB, by Pillow
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from delineate.data.formats import tiff_directory as tags
from delineate.data.formats.headers import UnreadableError, open_pillow
from delineate.data.formats.orientation import TAG as ORIENTATION
from delineate.data.formats.palettes import pixels_of
from delineate.data.formats.tiff_directory import Content, Directory
from delineate.data.formats.tiff_samples import COMPRESSIONS, NONE, read_samples, sample_type

__all__ = ["by_pillow", "read_pixels", "read_values"]

_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_MEANINGS = {
    4: "a transparency mask",
    6: "YCbCr colors",
    8: "CIELab colors",
    9: "ICCLab colors",
    10: "ITULab colors",
}
_MEANINGS |= {32803: "raw colors of a camera", 32844: "LogL brightness", 32845: "LogLuv colors"}
_FAX, _JPEG, _OLD_JPEG = (2, 3, 4), (6, 7), 6
_PACKED_BY = {
    34712: "JPEG 2000",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
}
_PACKED_BY |= {
    22610: "JPEG XR",
    34934: "JPEG XR",
    34887: "LERC",
    50002: "JPEG XL",
    52546: "JPEG XL",
    34892: "lossy JPEG",
}
_PREMULTIPLIED, _STRAIGHT = 1, 2
"""Kinds of an extra sample that are alpha; 0 is unspecified."""
_CURE = "save it as an 8- or 16-bit gray or RGB picture"


def read_pixels(content: Content, directory: Directory) -> NDArray[Any]:
    """H×W (gray) or H×W×3/4 (RGB order) as stored, not yet turned by the orientation.

    1-, 2- and 4-bit gray is stretched to 0…255; of 9 to 15 bits the numbers stay. Raises `UnreadableError` with what the file is,
    or whatever unpacking raises on damaged bytes.
    """
    if by_pillow(directory):
        return _pillow(content, directory)
    _check(directory)
    samples, bits = _checked_samples(content, directory), directory.bits
    if directory.one(tags.PHOTOMETRIC, _BLACK_IS_0) == _PALETTE:
        return _colors(directory)[samples[..., 0]]
    samples = _upright_gray(samples, directory)
    if bits < 8 and samples.dtype == np.uint8:
        samples = (samples.astype(np.uint16) * 255 // (2**bits - 1)).astype(np.uint8)
    return _channels(samples, directory)


def read_values(content: Content, directory: Directory) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """The numbers of a mask, H×W or H×W×3/4 of any type, and the palette N×3 that they are indices of, if they are.

    1 bit gives 0 and 255. Raises as `read_pixels`.
    """
    if by_pillow(directory):
        return _pillow(content, directory), None
    _check(directory)
    samples = _checked_samples(content, directory)
    if directory.one(tags.PHOTOMETRIC, _BLACK_IS_0) == _PALETTE:
        return samples[..., 0], _colors(directory)
    samples = _upright_gray(samples, directory)
    return _channels(samples * np.uint8(255) if directory.bits == 1 else samples, directory), None


def by_pillow(directory: Directory) -> bool:
    """Faxes and JPEGs are a matter of libtiff, which has their tables and their colors."""
    compression, samples, bits = directory.one(tags.COMPRESSION, NONE), directory.samples, directory.bits
    meaning, extra = directory.one(tags.PHOTOMETRIC, _BLACK_IS_0), directory.all(tags.EXTRA)
    if compression in _FAX:
        return samples == bits == 1
    if compression in _JPEG and bits == 8 and not extra and directory.one(tags.PLANAR, 1) == 1:
        return (samples, meaning) in ((1, _WHITE_IS_0), (1, _BLACK_IS_0), (3, _RGB), (3, _YCBCR))
    return False


def _pillow(content: Content, directory: Directory) -> NDArray[Any]:
    try:
        with open_pillow(_untagged(bytes(content), directory), "tiff") as lazy:
            image: Image.Image = lazy
            pixels = pixels_of(image)
    except Exception as error:
        if directory.one(tags.COMPRESSION, NONE) != _OLD_JPEG:
            raise
        raise UnreadableError(
            "is a TIFF packed with JPEG in the old way, which is not readable: save it anew"
        ) from error
    wanted = (directory.height, directory.width) + ((directory.samples,) if directory.samples > 1 else ())
    if pixels.shape != wanted or pixels.dtype != np.uint8:
        raise UnreadableError(f"is a TIFF that is decoded as {pixels.shape} in place of {wanted}; {_CURE}")
    return pixels


def _untagged(content: bytes, directory: Directory) -> bytes:
    """The file with an upright orientation: Pillow would obey the tag, and we do so for all formats in one place."""
    found = directory.tags.get(ORIENTATION)
    if found is None or directory.orientation == 1:
        return content
    return content[: found.position] + struct.pack(f"{directory.order}H", 1) + content[found.position + 2 :]


def _check(directory: Directory) -> None:
    """Raise `UnreadableError` for what cannot be read, before anything is unpacked."""
    compression, meaning = directory.one(tags.COMPRESSION, NONE), directory.one(tags.PHOTOMETRIC, _BLACK_IS_0)
    if compression not in COMPRESSIONS:
        name = _PACKED_BY.get(compression) or ("JPEG" if compression in _JPEG else f"method {compression}")
        what = "in a form that" if compression in (*_FAX, *_JPEG) else "which"
        raise UnreadableError(
            f"is a TIFF packed with {name}, {what} is not readable: save it with LZW or without compression"
        )
    if (dtype := sample_type(directory)) is None or (dtype.kind != "u" and directory.bits % 8):
        stated = ", ".join(map(str, directory.all(tags.BITS))) or "1"
        raise UnreadableError(f"is a TIFF of {stated} bits, which is not readable: {_CURE}")
    if directory.one(tags.PREDICTOR, 1) > 1 and directory.bits < 8:
        raise UnreadableError(f"is a TIFF of {directory.bits} bits with a predictor, which is not readable: {_CURE}")
    if meaning not in (_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _CMYK):
        raise UnreadableError(
            f"is a TIFF of {_MEANINGS.get(meaning, f'kind {meaning}')}, which is not readable: {_CURE}"
        )
    _check_samples(directory, meaning)


def _check_samples(directory: Directory, meaning: int) -> None:
    """Raise `UnreadableError` unless it is sure what each number of a pixel is."""
    number, extra = directory.samples, directory.all(tags.EXTRA)
    alphas = [kind for kind in extra if kind in (_PREMULTIPLIED, _STRAIGHT)]
    if meaning == _PALETTE and number == 1 and directory.bits <= 16:
        return
    if meaning == _CMYK and number == 4 and directory.bits == 8:
        return
    if meaning == _RGB and (number == 3 or (number == 4 and len(extra) <= 1)):
        return
    if meaning in (_WHITE_IS_0, _BLACK_IS_0) and (
        number == 1 or (number == 2 and len(alphas) == 1) or (number == 3 and not alphas)
    ):
        return
    words = {_RGB: "RGB", _PALETTE: "a palette", _CMYK: "CMYK"}.get(meaning, "gray")
    raise UnreadableError(
        f"is a TIFF of {number} channels ({words}, {directory.bits} bits each), and only gray, RGB and RGBA pictures are readable: "
        "save the channels that are meant as a picture of their own"
    )


def _checked_samples(content: Content, directory: Directory) -> NDArray[Any]:
    samples = read_samples(content, directory)
    assert samples.shape == (directory.height, directory.width, directory.samples)
    return samples


def _upright_gray(samples: NDArray[Any], directory: Directory) -> NDArray[Any]:
    """White as 0 → black as 0; an alpha channel stays as it is."""
    if directory.one(tags.PHOTOMETRIC, _BLACK_IS_0) != _WHITE_IS_0:
        return samples
    if samples.dtype.kind != "u":
        raise UnreadableError(f"is a TIFF of {samples.dtype} numbers with white as 0, whose black is unknown: {_CURE}")
    result = samples.copy()
    shown = slice(1) if samples.shape[2] == 2 else slice(None)
    result[..., shown] = samples.dtype.type(2**directory.bits - 1) - samples[..., shown]
    return result


def _channels(samples: NDArray[Any], directory: Directory) -> NDArray[Any]:
    """H×W×S → H×W, H×W×3 or H×W×4 with straight alpha."""
    if directory.one(tags.PHOTOMETRIC, _BLACK_IS_0) == _CMYK:
        return np.asarray(Image.fromarray(np.ascontiguousarray(samples), "CMYK").convert("RGB"))
    if samples.shape[2] in (2, 4) and _PREMULTIPLIED in directory.all(tags.EXTRA):
        samples = _straight(samples)
    return np.ascontiguousarray(samples[..., 0] if samples.shape[2] < 3 else samples)


def _straight(samples: NDArray[Any]) -> NDArray[Any]:
    """Colors that were multiplied by their alpha, divided by it again; where it is 0 they stay. Rounded down, as Pillow does."""
    if samples.dtype not in (np.uint8, np.uint16):
        return samples
    full, alpha = np.iinfo(samples.dtype).max, samples[..., -1:].astype(np.uint64)
    colors = samples[..., :-1].astype(np.uint64) * np.uint64(full) // np.maximum(alpha, 1)
    kept = np.where(alpha == 0, samples[..., :-1], np.minimum(colors, full))
    return np.concatenate([kept.astype(samples.dtype), samples[..., -1:]], axis=2)


def _colors(directory: Directory) -> NDArray[np.uint8]:
    """The palette, N×3. Some writers give 8 bits where 16 are asked for; libtiff knows them by no value above 255."""
    values = np.array(directory.all(tags.COLOR_MAP), np.int64)
    if len(values) != 3 * 2**directory.bits:
        raise ValueError(f"a palette of {len(values)} numbers for {directory.bits} bits")
    values = values >> 8 if values.max(initial=0) > 255 else values
    return np.ascontiguousarray(values.astype(np.uint8).reshape(3, -1).T)
