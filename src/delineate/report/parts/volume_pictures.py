"""A volume of an evaluation in one picture: its planes and worst slices, all seen on the grid of its image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.data.cases.volumes import as_numbers, opened
from delineate.data.core import labels
from delineate.data.core.manifest import Case, ClassTable, LabelRule, Manifest
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.registry import open_image
from delineate.evaluation.inputs.predictions import place_of, read_prediction
from delineate.inference.three_planes import draw_three_planes

__all__ = ["volume_picture"]

_SOFT_TISSUE = (-160.0, 240.0)
"""Hounsfield units that are black and white: level 40, width 400."""


def volume_picture(
    image: Path | None, mask: Path, rule: LabelRule, classes: ClassTable, manifest: Manifest | None, case: Case | None
) -> NDArray[np.uint8]:
    """RGB of a volume with its prediction, and its reference where the case is known.

    `image`: None where it is not at hand: then contours are drawn on black. `rule`: how the prediction's values are read. Raises
    `DataError` for files that are gone, or do not lie in one place.
    """
    masks = [] if manifest is None or case is None else [manifest.path(name) for name in case.masks]
    frame = image or next(iter(masks), mask)
    volume = opened([frame])
    prediction = volume.turn.apply(read_prediction(mask, rule, frame))
    shown = np.zeros(prediction.shape, np.uint8) if image is None else _shades(volume, image)
    reference = None
    if manifest is not None and masks:
        read = [labels.apply(manifest.labels, open_image(path).labels().pixels, path) for path in masks]
        moved = [_on_grid(indices, path, frame) for indices, path in zip(read, masks, strict=True)]
        reference = volume.turn.apply(labels.merge(moved))

    def number(axis: int, index: int) -> int:
        return volume.turn.stored_slice(axis, index, volume.shape[axis])[1]

    placed = volume.geometry.tells == "place"
    return draw_three_planes(shown, prediction, classes, volume.geometry.spacing, reference, number, placed=placed)


def _shades(volume: Canonical, image: Path) -> NDArray[np.uint8]:
    """Bytes for the eye: CT that says so in its header within a window of soft tissue, all else between its percentiles."""
    if open_image(image).modality != "CT":
        return as_numbers(volume, "bytes")
    values = as_numbers(volume, "own").astype(np.float32)
    return np.rint(np.clip((values - _SOFT_TISSUE[0]) * (255 / (_SOFT_TISSUE[1] - _SOFT_TISSUE[0])), 0, 255)).astype(
        np.uint8
    )


def _on_grid(indices: NDArray[np.uint8], path: Path, frame: Path) -> NDArray[np.uint8]:
    way = place_of(path, frame)
    return indices if way is None else way.apply(indices)
