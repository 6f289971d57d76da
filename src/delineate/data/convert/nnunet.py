"""To nnU-Net's raw data (version 2): images of cases with labels in `imagesTr`, those of the test split in `imagesTs`.

    imagesTr/a_0000.png  labelsTr/a.png  imagesTs/c_0000.png  labelsTs/c.png  dataset.json  splits_final.json

A picture in color is one PNG of three channels, as nnU-Net's NaturalImage2DIO reads it; images whose channels have names are a file
for each. Labels are class indices; ignored pixels have the highest label. Training and validation cases are in one folder: which
is which says `splits_final.json`, whose place is beside the preprocessed data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from delineate.common.errors import DataError
from delineate.common.files import write_json
from delineate.data.cases.pixels import open_file
from delineate.data.convert.files import PACKED_VOLUME, PNG, read_classes, write_classes, write_png, write_volume
from delineate.data.convert.target import Target
from delineate.data.core.findings import count
from delineate.data.core.input_spec import Pixels
from delineate.data.core.manifest import IGNORE, Case
from delineate.data.core.nnunet_regions import region_labels

__all__ = ["NnUNet"]

_MOST = 254
"""Labels that a uint8 holds beside the one for ignored pixels."""
_RGB = ("R", "G", "B")


class NnUNet(Target):
    """One form of pixels for all cases; what nnU-Net has no place for is left out, which is told."""

    name = "nnunet"

    def check(self) -> Sequence[Case]:
        if self.data.floats:
            raise DataError("nnunet: PNG cannot hold pictures of floats; scale them to 8 or 16 bits by one rule first")
        if self.data.ignores and len(self.data.names) > _MOST:
            raise DataError(
                f"nnunet: {len(self.data.names)} classes and ignored pixels are more labels than 8 bits hold"
            )
        cases = [case for case in self.data.manifest.cases if case.masks]
        bare = len(self.data.manifest.cases) - len(cases)
        if bare:
            self.told.notes.append(
                f"{count(bare, 'image')} without mask left out: nnU-Net trains on labeled cases alone"
            )
        return self.in_splits(cases)

    def write(self, case: Case, folder: Path) -> None:
        part = "Ts" if case.split == "test" else "Tr"
        images, labels = folder / f"images{part}", folder / f"labels{part}"
        images.mkdir(exist_ok=True)
        labels.mkdir(exist_ok=True)
        for number, file in enumerate(case.images):
            self._write_image(case, file, images / f"{case.id}_{number:04d}")
        classes = read_classes(self.data, case)
        ignored = np.uint8(len(self.data.names))
        write_classes(self.data, case, np.where(classes == IGNORE, ignored, classes), labels / case.id)

    def finish(self, written: Sequence[tuple[Case, Any]], folder: Path) -> None:
        cases = [case for case, _ in written]
        training = [case for case in cases if case.split != "test"]
        classes, indices = self.data.manifest.classes, range(len(self.data.names))
        told = (
            region_labels(classes, indices)
            if classes.regions
            else {"labels": dict(zip(classes.names, indices, strict=True))}
        )
        told["labels"] |= {"ignore": len(self.data.names)} if self.data.ignores else {}
        write_json(
            folder / "dataset.json",
            {
                "channel_names": {str(at): name for at, name in enumerate(self._channels)},
                **told,
                "numTraining": len(training),
                "file_ending": PACKED_VOLUME if self.data.volumes else PNG,
            },
        )
        splits = self._splits(training)
        if splits:
            write_json(folder / "splits_final.json", splits)
            self.told.notes.append("splits_final.json belongs into nnUNet_preprocessed/DATASET before training")
        name = self.data.out.name
        if not (name.startswith("Dataset") and name[7:10].isdecimal() and name[10:11] == "_"):
            self.told.notes.append("nnU-Net wants its folder in nnUNet_raw, with a name such as Dataset501_Polyps")
        if self.data.volumes and not self.data.manifest.channels:
            self.told.notes.append(
                "the channel is called 'image', which nnU-Net normalizes by z-score; call it CT in dataset.json where it is one"
            )

    @property
    def _channels(self) -> tuple[str, ...]:
        if self.data.manifest.channels:
            return self.data.manifest.channels
        if self.data.volumes:
            return ("image",)
        return ("gray",) if self._gray else _RGB

    @property
    def _gray(self) -> bool:
        return self.data.channels == {"gray"}

    def _write_image(self, case: Case, file: str, target: Path) -> None:
        if self.data.volumes:
            write_volume(self.data, case, file, target, packed=True)
            return
        pixels = open_file(self.data.manifest, case, file, max_pixels=self.data.max_pixels).read()
        write_png(pixels if self.data.manifest.channels else self._alike(pixels), target, file)

    def _alike(self, pixels: Pixels) -> Pixels:
        """Gray in a data set of gray pictures, else RGB: nnU-Net wants one number of channels."""
        if self._gray:
            return pixels
        if pixels.ndim == 2:
            return np.asarray(cv2.merge([pixels] * 3))
        return np.ascontiguousarray(pixels[..., :3])

    def _splits(self, training: Sequence[Case]) -> list[dict[str, list[str]]]:
        """A division for each fold; one where the data have a validation split; else none, and nnU-Net draws its own."""
        folds = self.data.manifest.folds
        if folds:
            return [
                {
                    "train": [case.id for case in training if case.fold != fold],
                    "val": [case.id for case in training if case.fold == fold],
                }
                for fold in range(folds)
            ]
        parts = {split: [case.id for case in training if case.split == split] for split in ("train", "val")}
        return [parts] if all(parts.values()) else []
