"""DICOM masks as other libraries read them, to compare with what is read here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.core.geometry import Geometry
from delineate.data.formats.dicom.files import read_dataset
from delineate.data.formats.dicom.numbers import numbers, whole
from delineate.data.formats.dicom_masks.packages import highdicom, quietly

__all__ = ["by_highdicom", "by_opencv"]


def by_highdicom(path: Path, grid: Geometry) -> NDArray[np.uint8] | None:
    """A segmentation as highdicom reads it.

    Args:
        path: of the segmentation.
        grid: of its image.

    Returns:
        Numbers of segments on the grid; None where highdicom makes no volume of it: a picture, or slices that are tilted.
    """
    with quietly():
        found = highdicom().seg.segread(path)
        if found.get_volume_geometry(allow_missing_positions=True) is None:
            return None
        volume = found.get_volume(combine_segments=True, allow_missing_positions=True)
    values = np.asarray(volume.array)
    drawn = np.zeros(grid.shape, np.uint8)
    marked = np.argwhere(values)
    positions = marked @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    back = np.linalg.inv(grid.direction * np.array(grid.spacing))
    there = np.rint((positions - np.array(grid.origin)) @ back.T).astype(int)
    inside = ((there >= 0) & (there < np.array(grid.shape))).all(1)
    drawn[tuple(there[inside].T)] = values[tuple(marked[inside].T)]
    return drawn


def by_opencv(path: Path, grid: Geometry) -> NDArray[np.uint8]:
    """An RTSTRUCT that was written here, as OpenCV fills its polygons.

    Args:
        path: of the structure set.
        grid: of its image, slices across the third axis.

    Returns:
        Numbers of regions on the grid.
    """
    dataset = read_dataset(path)
    back = np.linalg.inv(grid.direction * np.array(grid.spacing))
    drawn = np.zeros((grid.shape[2], grid.shape[1], grid.shape[0]), np.uint8)
    for item in dataset.get("ROIContourSequence") or []:
        region = whole(item, "ReferencedROINumber", path) or 0
        for contour in item.get("ContourSequence") or []:
            points = np.array(numbers(contour, "ContourData", path)).reshape(-1, 3)
            places = (points - np.array(grid.origin)) @ back.T
            # OpenCV marks the pixels on an outline, too: a corner that is drawn in is on none.
            plane = np.zeros((4 * (grid.shape[1] + 1), 4 * (grid.shape[0] + 1)), np.uint8)
            corners = np.rint(4 * places[:, :2] + 4).astype(np.int32)
            cv2.fillPoly(plane, [corners], 1)
            inside = plane[4::4, 4::4][: grid.shape[1], : grid.shape[0]]
            slab = drawn[round(float(places[:, 2].mean()))]
            slab[inside == 1] = region
    return drawn.transpose(2, 1, 0)
