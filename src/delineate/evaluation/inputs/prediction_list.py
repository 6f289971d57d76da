"""The list that `predict` leaves beside the masks that it writes (`predictions.json`): which files they are, and of which model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from delineate.common.errors import DataError
from delineate.common.file_names import path_fault
from delineate.common.files import sha256, write_json
from delineate.data.core.known import Role
from delineate.data.core.manifest import ClassTable, LabelRule
from delineate.data.core.regions import Region, regions_fault

__all__ = ["PREDICTIONS_FILE", "MemberModel", "PredictedFile", "PredictionList"]

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
    uncertainty: dict[str, str] = Field(default_factory=dict)
    """Maps of entropies, likewise."""
    confidence: float | None = None
    """Of the model in this mask, in [0, 1] (`inference.doubt`); None: not measured."""
    expected_dice: float | None = None
    """What Dice the model expects of this mask (`inference.expected_dice`); None: it does not know."""
    seen: Role | None = None
    """What the image was to the model, if it was in its data set; None: new, or not known."""


class MemberModel(BaseModel):
    """One of the models that made masks together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """Path of the file as it was given."""
    sha256: str


class PredictionList(BaseModel):
    """What `predict` wrote into a folder, and with which model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    method: str
    model: str | None
    """Path of the model file as it was given; None for a model that was not read from a file, and for an ensemble."""
    model_sha256: str | None
    """Of the file; of an ensemble over the hashes of its members."""
    members: tuple[MemberModel, ...] = ()
    """Of an ensemble."""
    tta: str = "none"
    """Test-time augmentation (`inference.tta`)."""
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
            found |= {file.mask: file.mask_sha256, **(file.maps or {}), **file.overlays, **file.uncertainty}
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
