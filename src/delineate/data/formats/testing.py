"""The promises that every format keeps, as a function that runs on any file of any format: ours and those of other packages."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from delineate.common.errors import DataError
from delineate.data.formats.canonical import canonical
from delineate.data.formats.contract import ImageHandle
from delineate.data.formats.registry import open_image, reader_of, write_mask

__all__ = ["check_format"]


def check_format(name: str, file: Path, scratch: Path) -> None:
    """Assert what all of the house relies on, for one sound file of the format that is registered as `name`.

    Args:
        name: of the format.
        file: a picture of more than one pixel, or a volume of more than one voxel along each axis.
        scratch: an empty folder that may be written to.

    Raises:
        AssertionError: naming the promise that is not kept.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.registry import reader_of
        >>> from delineate.data.formats.testing import check_format
        >>> file = sorted(Path("polyps/images").iterdir())[0]
        >>> Path("scratch").mkdir()
        >>> check_format(reader_of(file).name, file, Path("scratch"))
    """
    assert reader_of(file).name == name, f"{file} is opened by '{reader_of(file).name}', not by '{name}'"
    handle = open_image(file)
    _check_pixels(handle)
    _check_parts(handle)
    assert handle.digest() == open_image(file).digest(), "digest() is not the same twice"
    if handle.is_volume:
        assert handle.geometry is not None, "a volume tells where its voxels lie"
        assert handle.geometry.shape == handle.shape, "geometry.shape is not the handle's"
    _check_damage(file, scratch)
    _check_writer(name, handle, scratch)


def _check_pixels(handle: ImageHandle) -> None:
    size = handle.shape
    pixels = handle.read()
    wanted = size if len(handle.channels) == 1 else (*size, len(handle.channels))
    assert len(size) in (2, 3), f"shape has {len(size)} axes; pictures have two, volumes three"
    assert pixels.shape == wanted, f"read() gives {pixels.shape}, not {wanted} as shape and channels say"
    assert pixels.dtype == handle.dtype, f"read() gives {pixels.dtype}, dtype says {handle.dtype}"
    if not handle.is_volume:
        assert pixels.dtype in (np.uint8, np.uint16, np.float32), (
            f"pictures have 8 or 16 bits or own values as float32, not {pixels.dtype}"
        )
        assert len(handle.channels) in (1, 3, 4), (
            f"pictures are gray, RGB or RGBA, not of {len(handle.channels)} channels"
        )


def _check_parts(handle: ImageHandle) -> None:
    """In the file's order and in the canonical one, slices and windows are parts of the whole."""
    for seen in (handle, canonical(handle)):
        whole = seen.read()
        for axis in range(3) if seen.is_volume else (0,):
            last = seen.depth(axis) - 1
            plane = whole.take(last, axis) if seen.is_volume else whole
            assert np.array_equal(seen.slice(axis, last), plane), f"slice({axis}, {last}) is not a part of read()"
            window = seen.window(1, 0, 1, 2, axis=axis, index=last)
            assert np.array_equal(window, plane[1:2, 0:2]), f"window() is not a part of slice({axis}, {last})"


def _check_damage(file: Path, scratch: Path) -> None:
    """A file that ends in the middle, or is empty, is refused by name, when it is opened or when it is read."""
    content = file.read_bytes()
    for number, kept in enumerate((content[: len(content) // 2], b"")):
        damaged = scratch / f"damaged{number}{''.join(file.suffixes)}"
        damaged.write_bytes(kept)
        line = _refusal(damaged)
        assert line, f"a file of {len(kept)} of {len(content)} bytes is read without an error"
        assert str(damaged) in line, f"the error does not name the file: {line}"
        assert "\n" not in line, f"the error has more than one line: {line}"


def _refusal(file: Path) -> str:
    """The line by which a file is refused; '' where it is read. What is no `DataError` passes through."""
    try:
        open_image(file).read()
    except DataError as error:
        return str(error)
    return ""


def _check_writer(name: str, handle: ImageHandle, scratch: Path) -> None:
    """A mask comes back from the format's own files as it was written, on the image's grid."""
    writer = reader_of(handle.path).writer
    if writer is None:
        return
    mask = np.zeros(handle.shape, np.uint8)
    mask[(1,) * mask.ndim] = 1
    for suffix in writer.suffixes:
        target = scratch / f"mask{suffix}"
        write_mask(target, mask, like=handle)
        back = open_image(target)
        assert np.array_equal(back.labels().pixels, mask), f"a mask written as {suffix} is read as another one"
        if handle.geometry is not None and back.geometry is not None:
            apart = np.abs(back.geometry.corners() - handle.geometry.corners()).max()
            assert apart < 1e-3, f"a mask written as {suffix} lies {apart:g} mm from its image"
