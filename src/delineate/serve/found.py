"""The images in what was sent, and whether they are within the limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec, PixelSpacing
from delineate.data.formats.containers import unpack
from delineate.data.formats.contract import ANY_SIZE, ImageHandle
from delineate.data.formats.registry import open_image
from delineate.inference.channel_inputs import check_channels, find_for
from delineate.inference.inputs import Input, Inputs
from delineate.inference.plan import Item
from delineate.inference.segmenter import Segmenter
from delineate.serve.body import Part
from delineate.serve.limits import Limits
from delineate.serve.problems import Problem

__all__ = ["check_size_of", "check_sizes", "find_images", "shown"]

_MOST_CHANNELS = 4
"""Of a picture."""


def find_images(
    parts: Sequence[Part],
    spec: InputSpec,
    limits: Limits,
    charge: Callable[[int], None],
    spacing: PixelSpacing | None = None,
) -> Inputs:
    """The images of the files of a request.

    Args:
        parts: The files. Those of a model of named channels are fields of these names.
        spec: Of the model.
        limits: Of the server.
        charge: Told the bytes that an archive unpacks to, before it does; raises `Problem` where memory is used up.
        spacing: Of the pixels of pictures in mm, where the client tells.

    Returns:
        At least one image.

    Raises:
        Problem: An archive is beyond the limits.
        DataError: As `inference.channel_inputs.find_for`.
    """
    if not isinstance(spec.channels, str) and {part.field for part in parts} & set(spec.channels):
        channels = tuple((part.field, part.path) for part in parts)
        found = Inputs([Input(parts[0].path, "image", channels)])
        check_channels(found.images, spec.channels)
        return found
    places = [_unpacked(part.path, limits, charge) if part.path.suffix == ".zip" else part.path for part in parts]
    found = find_for(spec.channels, places)
    if spacing is None:
        return found
    return replace(found, images=[replace(image, spacing=spacing) for image in found.images])


def _unpacked(archive: Path, limits: Limits, charge: Callable[[int], None]) -> Path:
    target = archive.with_suffix("")
    target.mkdir()
    try:
        with suppress(BadZipFile, OSError), ZipFile(archive) as packed:  # `unpack` says what is wrong with it
            charge(min(limits.unpacked, sum(info.file_size for info in packed.infolist())))
        unpack(archive, target, most_files=limits.files, most_bytes=limits.unpacked)
    except DataError as error:
        if "far more than its size" in str(error):
            raise Problem(
                "unpacks_too_large",
                f"an archive may unpack to {limits.files} files of {limits.unpacked / 1e6:g} MB in all; send less at a time",
                limit=limits.unpacked,
            ) from None
        raise
    archive.unlink()
    return target


def check_sizes(items: Sequence[Item], model: Segmenter, limits: Limits, *, maps: bool) -> int:
    """The bytes that images of a plan need in memory, by their headers.

    Raises:
        Problem: An image is beyond the limits.
        DataError: A header cannot be read.
    """
    return sum(_bytes(item, model, limits, maps=maps) for item in items)


def _bytes(item: Item, model: Segmenter, limits: Limits, *, maps: bool) -> int:
    files = [path for _, path in item.channels] or [item.image]
    handles = [open_image(path, max_pixels=ANY_SIZE) for path in files]
    first = handles[0]
    if item.streamed:
        return 64 * first.shape[1] * len(first.channels)  # a band of rows
    for handle in handles:
        check_size_of(handle, limits)
    stored = sum(handle.decoded_bytes for handle in handles)
    height, width = sorted(first.shape, reverse=True)[:2]
    outputs = model.classes.outputs
    if not first.is_volume:
        return stored + height * width * 4 * (outputs + _MOST_CHANNELS * model.one_by_one)
    return 2 * stored + _count(first) * (2 + 2 * outputs * maps) + height * width * 4 * outputs * model.usual_batch


def check_size_of(handle: ImageHandle, limits: Limits) -> None:
    """Raise `Problem` for an image that is beyond the limits, by its header."""
    height, width = sorted(handle.shape, reverse=True)[:2]
    if height * width > limits.pixels:
        raise Problem(
            "too_many_pixels",
            f"the image has {height * width / 1e6:.1f} megapixels, and the limit is {limits.pixels / 1e6:g}: send a smaller one, "
            "or parts of it",
            limit=limits.pixels,
        )
    if handle.is_volume and (max(handle.shape) > limits.slices or _count(handle) > limits.voxels):
        raise Problem(
            "too_many_slices",
            f"the volume is {'×'.join(map(str, handle.shape))}, and the limit is {limits.slices} slices and "
            f"{limits.voxels / 1e6:.0f} million voxels: send a part of it",
            limit=limits.slices,
        )


def _count(handle: ImageHandle) -> int:
    count = 1
    for length in handle.shape:
        count *= length
    return count


def shown(text: str, folder: Path) -> str:
    """A message of the library as the client sees it: without our folders, and with the API's names of options."""
    text = text.replace(f"{folder}/", "").replace(str(folder), "what was sent").replace("--format", "output")
    text = re.sub(r"state one as .*", "send the one that the model needs as a file of its own", text)
    return re.sub(r"--([a-z][a-z-]*)", r"\1", text)
