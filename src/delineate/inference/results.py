"""The results of a prediction, and the lists of them: `summary.csv` and `predictions.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from delineate.common.csv_text import csv_text
from delineate.common.files import sha256, write_text
from delineate.data.core.known import Role
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.names import CoveredNames, short_address
from delineate.evaluation.inputs.prediction_list import MemberModel, PredictedFile, PredictionList
from delineate.inference.doubt import CaseDoubt
from delineate.inference.inputs import Names
from delineate.inference.outside import CaseDrift
from delineate.inference.plan import SUMMARY
from delineate.inference.segmenter import Segmenter
from delineate.inference.series_drift import SeriesDrift
from delineate.inference.write import mask_values, volume_values

__all__ = ["FileResult", "PredictionResult", "doubt_cells", "doubt_head", "shown_image", "shown_text", "write_lists"]


@dataclass(frozen=True)
class FileResult:
    """The result of one image. Sizes are in pixels, or in voxels along the axes of a volume's file: width, height, depth."""

    image: Path
    name: str
    height: int = 0
    width: int = 0
    percent: tuple[float, ...] = ()
    """Share of the image in percent, per foreground class."""
    milliseconds: float = 0.0
    """Decoding, its part of the batch's forward pass, and encoding."""
    remark: str | None = None
    """How the image differs in kind from the model's training images."""
    seen: Role | None = None
    """`train`, `val` or `test`, if the image was in the model's dataset."""
    error: str | None = None
    """Why there is no mask."""
    written: PredictedFile | None = None
    """The files that were written of it, as the list names them."""
    depth: int = 0
    """Number of slices; 0 for a picture."""
    spacing: tuple[float, float, float] | None = None
    """Of a volume's voxels in mm: right-left, back-front, feet-head."""
    doubt: CaseDoubt | None = None
    """How sure the model is; None where it was not asked."""
    drift: CaseDrift | None = None
    """How it lies to the training images; None: it was not compared with them."""
    milliliters: tuple[float, ...] = ()
    """Of a volume, the size of each foreground class."""


@dataclass(frozen=True)
class PredictionResult:
    """What a prediction has written. `predict` returns it."""

    folder: Path
    classes: tuple[str, ...]
    """Foreground class names, in the order of `FileResult.percent`."""
    files: tuple[FileResult, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    """Remarks about the inputs: masks that were left out, splits that were taken from a run."""
    names: Names = "numbered"
    """Numbered: the table holds no names of DICOM's folders and files."""
    series: SeriesDrift | None = None
    """How all images together lie to the training images; None: they are too few, or were not compared with them."""

    @property
    def volumes(self) -> bool:
        """Whether there are volumes among the images."""
        return any(file.depth for file in self.files)

    @property
    def pictures(self) -> bool:
        """Whether there are pictures, or images that could not be read."""
        return any(not file.depth for file in self.files)

    @property
    def doubts(self) -> bool:
        """Whether it was measured how sure the model is."""
        return any(file.doubt is not None for file in self.files)

    @property
    def compared(self) -> tuple[FileResult, ...]:
        """The images that were compared with the training images."""
        return tuple(file for file in self.files if file.drift is not None)

    @property
    def outside(self) -> tuple[FileResult, ...]:
        """Those of them that lie outside."""
        return tuple(file for file in self.compared if file.drift is not None and file.drift.outside)

    @property
    def expected(self) -> bool:
        """Whether the model tells what Dice it expects."""
        return any(file.doubt is not None and file.doubt.expected_dice is not None for file in self.files)

    @property
    def failures(self) -> tuple[FileResult, ...]:
        """The images that have no mask."""
        return tuple(file for file in self.files if file.error is not None)

    @property
    def remarks(self) -> Counter[str]:
        """Remark → number of the images that have a mask."""
        return Counter(file.remark for file in self.files if file.remark is not None and file.error is None)


def write_lists(done: PredictionResult, predictor: Segmenter) -> None:
    """Write both lists into the result's folder: the table for people, the other for `evaluate`."""
    write_text(done.folder / SUMMARY, _summary(done))
    members = [MemberModel(model=str(file), sha256=sha256(file)) for file in predictor.sources]
    alone = len(members) < 2
    provenance = predictor.provenance if alone else {}
    PredictionList(
        method=predictor.title,
        model=members[0].model if members and alone else None,
        model_sha256=predictor.model_sha256,
        members=() if alone else tuple(members),
        tta=predictor.tta,
        seed=provenance.get("seed"),
        training=provenance.get("training"),
        class_names=predictor.classes.names,
        values=_values(done, predictor.classes),
        labels=predictor.classes.labels,
        regions=predictor.classes.regions,
        knows_pictures=bool(predictor.known.roles),
        files=tuple(file.written for file in done.files if file.written is not None),
    ).save(done.folder)


def _values(done: PredictionResult, classes: ClassTable) -> tuple[int, ...]:
    """Of the masks in the folder; beside pictures, volumes have class indices all the same."""
    return volume_values(classes) if done.volumes and not done.pictures else mask_values(classes)


def _summary(done: PredictionResult) -> str:
    """A line for each image; where there are volumes, with their depth and the milliliters of each class."""
    head = ["image", "mask", "width", "height"] + ["depth"] * done.volumes + [f"{name} %" for name in done.classes]
    head += [f"{name} mL" for name in done.classes] * done.volumes
    head += doubt_head(done)
    head += ["training_distance", "outside_training"] * bool(done.compared) + ["ms", "remark", "error"]
    lines = []
    for file in done.files:
        shown = shown_text(file, done.names)
        line: list[object] = [
            shown_image(file, done.names),
            "" if file.written is None else file.written.mask,
            file.width,
            file.height,
        ]
        line += [file.depth or ""] * done.volumes
        line += [f"{value:.4f}" for value in file.percent] or [""] * len(done.classes)
        line += ([f"{value:.4f}" for value in file.milliliters] or [""] * len(done.classes)) * done.volumes
        line += doubt_cells(file.doubt, done)
        line += _drift_cells(file.drift) * bool(done.compared)
        lines.append([*line, f"{file.milliseconds:.1f}", shown(file.remark or ""), shown(file.error or "")])
    return csv_text(head, lines)


def doubt_head(done: PredictionResult) -> list[str]:
    """Names of the columns that tell how sure the model is; none where nobody asked."""
    expected = ["expected_dice", "expected_dice_error"] if done.expected else []
    return [*expected, "confidence", "entropy", "disagreement"] if done.doubts else []


def doubt_cells(doubt: CaseDoubt | None, done: PredictionResult) -> list[object]:
    """Of one image, for those columns; empty where it was not measured."""
    if doubt is None:
        return [""] * len(doubt_head(done))
    expected = [doubt.expected_dice, doubt.expected_error] if done.expected else []
    numbers = [*expected, doubt.confidence, doubt.entropy, doubt.disagreement]
    return ["" if one is None else f"{one:.4f}" for one in numbers]


def _drift_cells(drift: CaseDrift | None) -> list[object]:
    """The distance, of which 1 is the threshold, and what is outside; "no" where nothing is."""
    return ["", ""] if drift is None else [f"{drift.distance:.3f}", drift.reason or "no"]


def shown_image(file: FileResult, names: Names) -> str:
    """How an image is called in a table that others may see: of DICOM, without names of folders and files, unless they are kept."""
    return str(file.image) if names == "keep" else short_address(file.image)


def shown_text(file: FileResult, names: Names) -> Callable[[str], str]:
    """How texts about an image are shown there."""
    address = DicomAddress.parse(file.image)
    return str if names == "keep" or address is None else CoveredNames(address.place, short_address(file.image))
