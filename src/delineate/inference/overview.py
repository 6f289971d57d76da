"""A large picture, made small enough to be looked at, and the contours of its mask on it. Neither is ever held whole."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from delineate.data.cases.overview import overview
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.contract import ANY_SIZE, ImageHandle
from delineate.data.formats.registry import open_image
from delineate.inference.write import mask_values, write_overlay

__all__ = ["write_overview"]


def write_overview(path: Path, handle: ImageHandle, mask: Path, classes: ClassTable) -> None:
    """Write a small copy of a picture with the contours of its mask."""
    image, values = overview(handle), overview(open_image(mask, max_pixels=ANY_SIZE))
    index_of = np.zeros(256, np.uint8)
    index_of[list(mask_values(classes))] = np.arange(len(classes.names))
    size = (image.shape[1], image.shape[0])
    indices = cv2.resize(index_of[values], size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8, copy=False)
    write_overlay(path, image, indices, classes)
