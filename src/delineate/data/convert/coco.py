"""To COCO: a JSON for each split, an annotation for each object (or each class of an image), and the images in folders.

annotations/instances_train.json  train/a.jpg        annotations/instances.json  images/a.jpg   (without splits)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from delineate.common.errors import DataError
from delineate.common.files import write_text
from delineate.data.convert.files import read_classes, write_picture
from delineate.data.convert.shapes import Region, annotation_of, objects_of
from delineate.data.convert.target import DataSet, Target, part_of
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import Case

__all__ = ["KEPT", "Coco", "Instances"]

Instances = Literal["object", "class"]
KEPT = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Suffixes of pictures that tools for COCO read; others become PNG."""
_RULES = {
    "object": "an annotation for each connected region of a class (pixels that touch at a corner are connected)",
    "class": "an annotation for each class of an image",
}


class Coco(Target):
    """Masks of pictures, exact to the pixel."""

    name = "coco"

    def __init__(self, data: DataSet, instances: Instances = "object") -> None:
        super().__init__(data)
        self._instances = instances

    def check(self) -> Sequence[Case]:
        manifest = self.data.manifest
        if self.data.volumes:
            raise DataError("coco: COCO has pictures alone, and these are volumes; --to folders or nnunet keeps them")
        if manifest.channels:
            raise DataError(
                f"coco: an image is one file in COCO, and these are {len(manifest.channels)} ({', '.join(manifest.channels)}); "
                "--to folders or nnunet keeps them"
            )
        if self.data.ignored:
            names = some(list(self.data.ignored), 3)
            raise DataError(
                f"coco: COCO has no pixels that are ignored, and {count(len(self.data.ignored), 'case has', 'cases have')} some "
                f"({names}); --to folders or nnunet keeps them"
            )
        cases = [case for case in manifest.cases if case.masks]
        if bare := len(manifest.cases) - len(cases):
            self.told.notes.append(f"{count(bare, 'image')} without mask left out: in COCO they would be background")
        cases = self.in_splits(cases)
        if manifest.folds:
            self.told.notes.append("folds are not kept: their cases are the training split")
        self.told.notes.append(_RULES[self._instances])
        return cases

    def write(self, case: Case, folder: Path) -> dict[str, Any]:
        """The image's entry, with its annotations."""
        images = folder / (part_of(case) or "images")
        images.mkdir(exist_ok=True)
        path = write_picture(self.data, case, case.images[0], images / case.id, KEPT)
        classes = read_classes(self.data, case)
        marks = []
        for index in range(1, len(self.data.names)):
            mask = classes == index
            if mask.any():
                regions = objects_of(mask) if self._instances == "object" else [Region(mask)]
                marks += [{"category_id": index, **annotation_of(region, mask.shape)} for region in regions]
        size = {"height": int(classes.shape[0]), "width": int(classes.shape[1])}
        return {"file_name": path.name, **size, "annotations": marks}

    def finish(self, written: Sequence[tuple[Case, Any]], folder: Path) -> None:
        (folder / "annotations").mkdir(exist_ok=True)
        for split in dict.fromkeys(part_of(case) for case, _ in written):
            entries = [entry for case, entry in written if part_of(case) == split]
            name = "instances.json" if split is None else f"instances_{split}.json"
            write_text(
                folder / "annotations" / name, json.dumps(self._content(entries), ensure_ascii=False, allow_nan=False)
            )

    def _content(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, entry in enumerate(entries, start=1):
            images.append({"id": number, **{key: entry[key] for key in ("file_name", "height", "width")}})
            for mark in entry["annotations"]:
                annotations.append({"id": len(annotations) + 1, "image_id": number, **mark})
        categories = [{"id": index, "name": name} for index, name in enumerate(self.data.names) if index]
        description = f"made by Delineate; {_RULES[self._instances]}"
        return {
            "info": {"description": description},
            "images": images,
            "annotations": annotations,
            "categories": categories,
        }
