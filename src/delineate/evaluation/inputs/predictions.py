"""A folder of predicted masks: which files are masks, and what their values mean.

`predict` leaves a list beside the masks it writes (`predictions.json`); masks of other tools need none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from delineate.common.errors import DataError
from delineate.common.file_names import path_fault
from delineate.common.files import sha256, write_json
from delineate.data.core import labels
from delineate.data.core.findings import count, some
from delineate.data.core.known import Role
from delineate.data.core.manifest import ClassTable, LabelRule
from delineate.data.core.regions import Region, regions_fault
from delineate.data.formats.registry import open_image, read_geometry, read_mask, reads_volume
from delineate.data.formats.regrid import Regrid, regrid
from delineate.data.formats.sparse_mask import SparseMask
from delineate.evaluation.inputs.references import mask_like_files

__all__ = [
    "PREDICTIONS_FILE",
    "PredictedFile",
    "PredictionList",
    "mask_files",
    "place_of",
    "read_prediction",
]

PREDICTIONS_FILE = "predictions.json"
_ROLES: tuple[Role | None, ...] = ("train", "before", "val", "test", None)


class PredictedFile(BaseModel):
    """One mask. Paths are in POSIX form; `mask` is relative to the folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mask: str
    image: str
    mask_sha256: str | None = None
    """Of the file as it was written; None in lists of earlier versions."""
    maps: dict[str, str] | None = None
    """Probability maps, one per output channel: path in the folder → SHA-256; None in lists of earlier versions."""
    overlays: dict[str, str] = Field(default_factory=dict)
    """Pictures with contours, likewise."""
    seen: Role | None = None
    """What the image was to the model, if it was in its data set; None: new, or not known."""


class PredictionList(BaseModel):
    """What `predict` wrote into a folder, and with which model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    method: str
    model: str | None
    """Path of the model file as it was given; None for a model that was not read from a file."""
    model_sha256: str | None
    seed: int | None = None
    """Seed of the training; None where it is not known."""
    training: dict[str, Any] | None = None
    """How the model was trained (`evaluation.comparison.training_record.TrainingRecord`); None where that is not known."""
    class_names: tuple[str, ...]
    values: tuple[int, ...] | None = None
    """The value of each class in the masks of this folder; None in lists of the first version: 0/255, or class indices. In a folder
    of pictures and volumes, that of pictures: volumes hold class indices."""
    labels: LabelRule | None = None
    """Which values mean these classes in the masks that the model was trained on; None where that is not known."""
    regions: tuple[Region, ...] = ()
    """The regions that the model has learned, from which the masks were painted; none: it has learned classes."""
    knows_pictures: bool = False
    """Whether the model knows the pictures that it was made from, so that `seen` tells."""
    files: tuple[PredictedFile, ...]

    @model_validator(mode="after")
    def _regions_fit(self) -> Self:
        if self.regions and (fault := regions_fault(self.regions, self.class_names)):
            raise ValueError(fault)
        return self

    @property
    def classes(self) -> ClassTable:
        """What the model knows: names, the raw values of its training data, and regions."""
        return ClassTable(names=self.class_names, labels=self.labels, regions=self.regions)

    def save(self, folder: Path) -> None:
        """Write `predictions.json`, atomically."""
        write_json(folder / PREDICTIONS_FILE, json.loads(self.model_dump_json()))

    def outputs(self) -> dict[str, str | None]:
        """All files that it lists: path in the folder → SHA-256, None where that was not noted."""
        found: dict[str, str | None] = {}
        for file in self.files:
            found |= {file.mask: file.mask_sha256, **(file.maps or {}), **file.overlays}
        return found

    def changed_masks(self, folder: Path) -> list[str]:
        """The masks that are not as `predict` wrote them: corrected by hand, or replaced. Raises `DataError` if one is gone."""
        changed = []
        for file in self.files:
            if file.mask_sha256 is None:
                continue
            try:
                digest = sha256(folder / file.mask)
            except OSError as error:
                raise DataError(
                    f"cannot read {folder / file.mask}, which {PREDICTIONS_FILE} lists; predict again"
                ) from error
            changed += [file.mask] if digest != file.mask_sha256 else []
        return changed

    def followed(self, folder: Path) -> PredictionList:
        """The same list, with the masks under the names that they have been given since, known by their hashes.

        Which of several equal masks is which cannot be known: what was trained on is named first.
        """
        lost = {file.mask: file for file in self.files if file.mask_sha256 and not (folder / file.mask).exists()}
        if not lost or not folder.is_dir():
            return self
        named = self.outputs()
        strangers: dict[str, list[str]] = {}
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.name not in named:
                strangers.setdefault(sha256(path), []).append(path.name)
        moved: dict[str, str] = {}
        for file in sorted(lost.values(), key=lambda file: (_ROLES.index(file.seen), file.mask)):
            if names := strangers.get(file.mask_sha256 or ""):
                moved[file.mask] = names.pop(0)
        files = tuple(file.model_copy(update={"mask": moved.get(file.mask, file.mask)}) for file in self.files)
        return self.model_copy(update={"files": files})

    @classmethod
    def find(cls, folder: Path) -> PredictionList | None:
        """The list in a folder, or None if there is none. Raises `DataError` for a damaged one."""
        try:
            found = cls.model_validate_json((folder / PREDICTIONS_FILE).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValidationError) as error:
            raise DataError(f"{folder / PREDICTIONS_FILE} cannot be read; predict again or remove it") from error
        masks = {file.mask for file in found.files}
        for name in found.outputs():
            if fault := path_fault(name):
                what = f"the {'mask' if name in masks else 'file'} {name!r}: {fault}"
                raise DataError(
                    f"{folder / PREDICTIONS_FILE} cannot be used: {what}; remove the list and predict again"
                )
        return found


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
