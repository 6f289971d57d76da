"""Corrections: images with masks that people have mended, kept as a data set that `delineate train` reads. Only with `--collect`.

DIR/MODEL/images/ID.png   the picture, encoded anew: what its file said of patient or camera is not kept; of a volume .nii.gz
DIR/MODEL/masks/ID.png    the mask, with the values that `predict` writes
DIR/MODEL/labels.yaml     what these values mean

IDs are the day and a random number. A model's corrections are pictures or volumes: data sets hold one kind.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import write_text
from delineate.data.core.input_spec import Pixels
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.contract import ANY_SIZE, ImageHandle
from delineate.data.formats.images import write_image
from delineate.data.formats.nifti import write_volume_image
from delineate.data.formats.registry import check_same_grid, open_image, read_mask, write_mask
from delineate.inference.results import FileResult
from delineate.inference.write import mask_values, volume_values, write_class_map
from delineate.serve.body import Part
from delineate.serve.found import check_size_of, find_images, shown
from delineate.serve.limits import Limits
from delineate.serve.models import ServedModel
from delineate.serve.problems import Problem
from delineate.serve.scratch import Scratch
from delineate.serve.work import Opened

__all__ = ["Correction"]

_LOCK = threading.Lock()
"""For the one file that all corrections of a model share."""


@dataclass
class Correction:
    """One of them on its way into the data set (`work.Work`)."""

    model: ServedModel
    folder: Path
    collection: Path
    limits: Limits
    charge: Callable[[int], None]
    parts: Sequence[Part]

    def open(self) -> Opened:
        """As `Work.open`: nothing is computed."""
        return Opened((), None, None)

    def finish(self, results: Sequence[FileResult]) -> dict[str, Any]:
        """As `Work.finish`: both files are written, or none."""
        try:
            return self._kept()
        except DataError as error:
            raise DataError(shown(str(error), self.folder)) from error

    def _kept(self) -> dict[str, Any]:
        image, mask = self._opened()
        table = self.model.segmenter.classes
        labels = _indices(read_mask(mask.path), table)
        name = f"{datetime.now(UTC):%Y%m%d}_{secrets.token_hex(6)}"
        suffix = ".nii.gz" if image.is_volume else ".png"
        place = self.collection / self.model.name
        files = place / "images" / f"{name}{suffix}", place / "masks" / f"{name}{suffix}"
        other = next((place / "images").glob("*.png" if image.is_volume else "*.nii.gz"), None)
        if other is not None:
            kind = "pictures" if image.is_volume else "volumes"
            raise DataError(
                f"{kind} were collected for this model, and a data set holds one kind: serve it under another name, too"
            )
        pixels = image.read()
        try:
            if image.is_volume:
                _check_same(image, mask)
                assert image.geometry is not None, "the same as the mask's"
                write_volume_image(files[0], pixels, image.geometry)
                write_mask(files[1], labels, like=image)
            else:
                _check_picture(pixels, labels)
                write_image(files[0], pixels)
                write_class_map(files[1], labels, table)
            self._describe(
                place,
                dict(zip(table.names, volume_values(table) if image.is_volume else mask_values(table), strict=True)),
            )
        except BaseException:
            for file in files:
                file.unlink(missing_ok=True)
            raise
        return {
            "id": name,
            "model": self.model.name,
            "pixels": np.bincount(labels.ravel(), minlength=len(table.names)).tolist(),
        }

    def _opened(self) -> tuple[ImageHandle, ImageHandle]:
        """Image and mask, within the limits."""
        if sorted(part.field for part in self.parts) != ["image", "mask"]:
            raise Problem("no_input", "send a form with one file 'image' and one file 'mask'")
        files = {part.field: part for part in self.parts}
        found = find_images([files["image"]], self.model.spec, self.limits, self.charge).images
        if len(found) != 1:
            raise DataError("several images were sent: a correction is of one")
        handles = [open_image(path, max_pixels=ANY_SIZE) for path in (found[0].image, files["mask"].path)]
        for handle in handles:
            check_size_of(handle, self.limits)
        return handles[0], handles[1]

    @staticmethod
    def _describe(place: Path, named: dict[str, int]) -> None:
        with _LOCK:
            if not (place / "labels.yaml").exists():
                write_text(
                    place / "labels.yaml", yaml.safe_dump({"labels": named}, sort_keys=False, allow_unicode=True)
                )

    def close(self) -> None:
        """As `Work.close`."""
        Scratch.remove(self.folder)


def _check_same(image: ImageHandle, mask: ImageHandle) -> None:
    if image.geometry is None or image.geometry.tells != "place":
        raise DataError("a volume that is collected must tell where its voxels lie, as NIfTI and DICOM do")
    check_same_grid(image.path, mask.path)


def _check_picture(pixels: Pixels, mask: NDArray[np.uint8]) -> None:
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError("corrections are kept of pictures with 8 or 16 bits; this one has other numbers")
    if mask.shape != pixels.shape[:2]:
        sizes = [f"{one.shape[1]}×{one.shape[0]}" for one in (mask, pixels)]
        raise DataError(f"the mask is {sizes[0]}, and the image {sizes[1]}")


def _indices(values: NDArray[Any], table: ClassTable) -> NDArray[np.uint8]:
    """Class indices of a mask whose values are those that are written, or are indices. Raises `DataError` for others."""
    found, written = set(np.unique(values).tolist()), mask_values(table)
    if found <= set(range(len(table.names))):
        return values.astype(np.uint8)
    if found <= set(written):
        return np.searchsorted(written, values).astype(np.uint8)
    told = ", ".join(f"{value} {name}" for value, name in zip(written, table.names, strict=True))
    raise DataError(f"the mask is to hold {told}; this one has other values")
