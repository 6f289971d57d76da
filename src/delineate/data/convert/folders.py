"""To plain folders: images, masks (class indices), lists of the splits, a table of the classes, and where each case comes from.

images/a.jpg  masks/a.png  unlabeled/b.jpg  train.txt  val.txt  test.txt  labels.yaml  cases.csv
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from delineate.common.csv_text import csv_text
from delineate.common.files import write_json, write_text
from delineate.data.convert.files import read_classes, write_classes, write_picture, write_volume
from delineate.data.convert.target import Target
from delineate.data.core.findings import count
from delineate.data.core.label_table import regions_text
from delineate.data.core.manifest import IGNORE, Case
from delineate.data.formats.dicom.names import cover_of

__all__ = ["COLUMNS", "Folders"]

COLUMNS = ("case", "group", "split", "fold", "domain", "from_image", "from_mask")


class Folders(Target):
    """Everything that is read here can be written so."""

    name = "folders"

    def check(self) -> Sequence[Case]:
        manifest = self.data.manifest
        if raters := sum(bool(case.raters) for case in manifest.cases):
            self.told.notes.append(f"masks of second observers ({count(raters, 'case')}) are left out")
        return manifest.cases

    def write(self, case: Case, folder: Path) -> None:
        images = folder / ("images" if case.masks else "unlabeled")
        images.mkdir(exist_ok=True)
        write = write_volume if self.data.volumes else write_picture
        for number, file in enumerate(case.images):
            name = f"{case.id}_{number:04d}" if self.data.manifest.channels else case.id
            write(self.data, case, file, images / name)
        if case.masks:
            (folder / "masks").mkdir(exist_ok=True)
            write_classes(self.data, case, read_classes(self.data, case), folder / "masks" / case.id)

    def finish(self, written: Sequence[tuple[Case, Any]], folder: Path) -> None:
        cases, cover = [case for case, _ in written], cover_of(self.data.manifest)
        for split in ("train", "val", "test"):
            listed = [case.id for case in cases if case.split == split and case.masks]
            if listed:
                write_text(folder / f"{split}.txt", "".join(f"{name}\n" for name in listed))
        write_text(folder / "labels.yaml", self._labels())
        rows = (
            (
                case.id,
                case.group or case.id,
                case.split or "",
                "" if case.fold is None else case.fold,
                case.domain or "",
                cover(";".join(case.images)),
                cover(";".join(case.masks)),
            )
            for case in cases
        )
        write_text(folder / "cases.csv", csv_text(COLUMNS, rows))
        if self.data.manifest.channels:
            names = {str(at): name for at, name in enumerate(self.data.manifest.channels)}
            write_json(folder / "dataset.json", {"channel_names": names})
        if any(case.group for case in cases):
            self.told.notes.append("groups are in cases.csv: give it to --group-by")
        if self.data.manifest.folds:
            self.told.notes.append("folds are in cases.csv; `data split` deals cases into folds anew")

    def _labels(self) -> str:
        """The table of classes, as it is read beside masks."""
        classes = self.data.manifest.classes
        lines = [f"  {_quoted(name)}: {index}\n" for index, name in enumerate(classes.names)]
        if self.data.ignores:
            lines.append(f"  ignore: {IGNORE}\n")
        if classes.colors is not None:
            lines.append("colors:\n")
            lines += [
                f"  {_quoted(name)}: {_quoted(color)}\n"
                for name, color in zip(classes.names, classes.colors, strict=True)
            ]
        return "".join(["labels:\n", *lines, regions_text(classes)])


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False, allow_nan=False)
