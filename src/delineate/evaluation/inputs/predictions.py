"""A folder of predicted masks: which files are masks, and what their values mean.

`predict` leaves a list beside the masks it writes (`prediction_list`); masks of other tools need none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core import labels
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import LabelRule
from delineate.data.formats.registry import open_image, read_geometry, read_mask, reads_volume
from delineate.data.formats.regrid import Regrid, regrid
from delineate.data.formats.sparse_mask import SparseMask
from delineate.evaluation.inputs.prediction_list import PREDICTIONS_FILE, PredictionList
from delineate.evaluation.inputs.references import mask_like_files

__all__ = ["mask_files", "place_of", "read_prediction"]


def mask_files(folder: Path, listed: PredictionList | None) -> list[Path]:
    """The masks of a folder: those listed, or else all images or all volumes directly in it.

    Raises `DataError` when there are none, or images and volumes are mixed.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; give the folder that `delineate predict` wrote")
    if listed is not None:
        files = [folder / file.mask for file in listed.files]
        lost = [file.name for file in files if not file.is_file()]
        if lost:
            raise DataError(
                f"{count(len(lost), 'mask')} that {folder / PREDICTIONS_FILE} lists {'is' if len(lost) == 1 else 'are'} not there: "
                f"{some(lost, 3)}; restore them or predict again"
            )
        return files
    files = mask_like_files(folder)
    if not files:
        raise DataError(
            f"{folder} holds no masks (PNG or other images, or volumes); give the folder that `delineate predict` wrote"
        )
    return files


def read_prediction(path: Path, rule: LabelRule, reference: Path | None = None) -> NDArray[np.uint8]:
    """A predicted mask → class indices, H×W or X×Y×Z of a volume, by the rule of its folder (`inputs.prediction_values`).

    `reference`: the volume on whose grid they are wanted (`data.formats.regrid`). Raises `DataError` naming the file and the values
    that the rule does not know, and as `place_of`.
    """
    indices = labels.apply(rule, read_mask(path, rule.coding), path)
    way = None if reference is None else place_of(path, reference)
    return indices if way is None else way.apply(indices)


def place_of(prediction: Path, reference: Path) -> Regrid | None:
    """How a predicted volume comes to lie on its reference's grid; None of images, whose sizes are compared when they are decoded.

    Reads the headers of volumes only. Raises `DataError` unless both files are images, or both are volumes of one place.
    """
    kinds = (reads_volume(prediction), reads_volume(reference))
    if all(kinds):
        handle = open_image(prediction)
        if isinstance(handle, SparseMask) and handle.geometry is not None:
            return regrid(handle.geometry, prediction, read_geometry(reference), reference, sparse=True)
        return regrid(read_geometry(prediction), prediction, read_geometry(reference), reference)
    if any(kinds):
        what = ["a volume" if volume else "an image" for volume in kinds]
        raise DataError(
            f"{prediction} is {what[0]} but its reference {reference} is {what[1]}; give both as the same kind"
        )
    return None
