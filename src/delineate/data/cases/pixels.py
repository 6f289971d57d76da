"""A case's pixels at native size: its image, and its masks merged into class indices."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core import labels
from delineate.data.core.input_spec import Pixels
from delineate.data.core.manifest import Case, Manifest
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.images import decode_image, decode_mask, read_content


def case_image(manifest: Manifest, case: Case, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Pixels:
    """The case's image, H×W or H×W×3/4, in its source's own type. Raises `DataError` as `read_image`, or if it has changed."""
    relative = case.images[0]
    return decode_image(
        case_content(manifest, case, relative, max_pixels), manifest.path(relative), max_pixels=max_pixels
    )


def case_mask(manifest: Manifest, case: Case, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8] | None:
    """The case's class indices H×W (255 = ignore), merged over its mask files; None when it has none."""
    masks = []
    for relative in case.masks:
        path = manifest.path(relative)
        raw = decode_mask(
            case_content(manifest, case, relative, max_pixels),
            path,
            max_pixels=max_pixels,
            coding=manifest.labels.coding,
        )
        masks.append(labels.apply(manifest.labels, raw, path))
    return labels.merge(masks) if masks else None


def case_content(manifest: Manifest, case: Case, relative: str, max_pixels: int | None = None) -> bytes:
    """The bytes of one of a case's files. Raises `DataError` when they differ from what the manifest was made from, and as
    `read_content`."""
    path = manifest.path(relative)
    content = read_content(path, max_pixels)
    expected = case.hashes.get(relative)
    if expected is not None and hashlib.sha256(content).hexdigest() != expected:
        raise DataError(f"{path} has changed since it was inspected; restore it or start from the folder anew")
    return content
