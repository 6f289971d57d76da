"""A case's pixels at native size: its image, and its masks merged into class indices.

All that reads a case's image goes through `open_case`, whether it lies in one file or in several, one for each channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core import labels
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.intensity import shown
from delineate.data.core.manifest import Case, Manifest
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, ImageHandle
from delineate.data.formats.registry import open_image
from delineate.data.formats.several import Stacked, joined

__all__ = ["case_image", "case_mask", "case_view", "fitted", "input_pixels", "open_case", "open_file"]


def open_case(manifest: Manifest, case: Case, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
    """The case's image, whose channels are those of the manifest where it names some; its pixels are decoded when asked for.

    Raises `DataError` as `open_image`, where channels do not fit together, and for a file that is not the one the manifest knows.
    """
    handles = [open_file(manifest, case, file, max_pixels=max_pixels) for file in case.images]
    return joined(handles, manifest.channels)


def open_file(manifest: Manifest, case: Case, relative: str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
    """One of a case's files, images or masks. Raises `DataError` when it differs from what the manifest was made from."""
    path = manifest.path(relative)
    handle = open_image(path, max_pixels=max_pixels)
    expected = case.hashes.get(relative)
    if expected is not None and handle.digest() != expected:
        raise DataError(f"{path} has changed since it was inspected; restore it or start from the folder anew")
    return handle


def case_image(manifest: Manifest, case: Case, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Pixels:
    """The case's image, H×W or H×W×C, in its source's own type. Raises `DataError` as `open_case`, or if it is damaged."""
    return open_case(manifest, case, max_pixels=max_pixels).read()


def case_view(manifest: Manifest, case: Case, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Pixels:
    """What people are shown of a case, H×W or H×W×3/4: its image (`intensity.shown`), or the first of its channels where these are
    files.

    Raises `DataError` as `case_image`.
    """
    return shown(open_file(manifest, case, case.images[0], max_pixels=max_pixels).read())


def case_mask(manifest: Manifest, case: Case, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8] | None:
    """The case's class indices H×W (255 = ignore), merged over its mask files; None when it has none."""
    masks = [
        labels.apply(manifest.labels, _raw(manifest, case, relative, max_pixels), manifest.path(relative))
        for relative in case.masks
    ]
    return labels.merge(masks) if masks else None


def input_pixels(handle: ImageHandle, spec: InputSpec) -> Pixels:
    """An image's pixels with the channels that a model takes, in the model's order. Raises `DataError` as `fitted`."""
    return fitted(handle, spec).read()


def fitted(handle: ImageHandle, spec: InputSpec) -> ImageHandle:
    """An image with the channels that a model takes, in the model's order.

    Raises `DataError` for channels that are missing, too many or called otherwise. Gray and colors pass: the specification turns
    them into each other.
    """
    wanted = spec.channels
    if isinstance(handle, Stacked):
        if isinstance(wanted, str):
            names = ", ".join(handle.channels)
            raise DataError(f"{handle.path} is one of the channels {names}; the model takes {wanted} images")
        if set(handle.channels) != set(wanted):
            raise DataError(f"{handle.path}: {_difference(handle.channels, wanted)}")
        return handle.ordered(wanted)
    if not isinstance(wanted, str):
        columns = ", ".join(f"image_{name}" for name in wanted)
        raise DataError(
            f"{handle.path}: the model takes the channels {', '.join(wanted)}, each from a file of its own: give a table with the "
            f"columns {columns} and mask (which may be empty), and --split all"
        )
    return handle


def _difference(given: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    """What is wrong with channels, in words."""
    lacking = [name for name in wanted if name not in given]
    said = f"the model takes the channels {', '.join(wanted)}, and this image has {', '.join(given)}"
    if lacking:
        return f"{said}: {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing"
    return f"{said}: leave out {', '.join(name for name in given if name not in wanted)}"


def _raw(manifest: Manifest, case: Case, relative: str, max_pixels: int) -> NDArray[Any]:
    raw = open_file(manifest, case, relative, max_pixels=max_pixels).labels()
    return raw.as_coded(manifest.labels.coding, manifest.path(relative))
