"""The parts of an item that are predicted one by one: a picture is one part, a volume has one for each slice."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from delineate.data.cases.glass import Background
from delineate.data.cases.volumes import widest
from delineate.data.core.axes import ALL, AxisChoice
from delineate.data.core.geometry import Geometry
from delineate.data.core.input_spec import Pixels, PixelSpacing
from delineate.inference.dicom_results import DicomResults
from delineate.inference.results import FileResult
from delineate.inference.segment import Failure, Output, Worker
from delineate.inference.segmenter import Facts
from delineate.inference.shown_references import ShownReferences

__all__ = ["Part", "PartInfo", "PredictionContext", "since"]


@dataclass(frozen=True)
class PredictionContext:
    """What all items of a prediction share."""

    worker: Worker
    folder: Path
    """Of the outputs."""
    references: ShownReferences
    """What overlays show beside the predictions."""
    max_pixels: int
    axis: AxisChoice | None = None
    """Across the slices of volumes, in the canonical order; None: as the model says, or else the coarsest."""
    dicom: DicomResults | None = None
    """How DICOM objects are made; None where no mask is one."""
    check: bool = False
    """Whether each mask is read again by another library."""
    mpp: float | None = None
    """Micrometers per pixel at which pictures are seen; None: as they are, or as the model says."""
    background: Background = "auto"
    """Whether tiles of empty glass are left out."""

    @property
    def all_axes(self) -> bool:
        """Whether probabilities of slices across all three axes are averaged."""
        return self.axis == ALL or (self.axis is None and self.worker.predictor.spec.all_axes)

    def axes_of(self, volume: Geometry) -> tuple[int, ...]:
        """The axes for a volume in the canonical order. The first is the one that its pictures are of."""
        known = (None if self.axis == ALL else self.axis, self.worker.predictor.spec.axis)
        first = next((axis for axis in known if axis is not None), widest([volume.spacing], [volume.shape]))
        return (first, *(other for other in range(3) if other != first)) if self.all_axes else (first,)


@dataclass(frozen=True)
class PartInfo:
    """The time that a part has taken so far, in milliseconds, and facts about its image."""

    milliseconds: float = 0.0
    facts: Facts | None = None
    """None: it was not decoded."""

    def later(self, start: float) -> PartInfo:
        """With the time since `start` added."""
        return replace(self, milliseconds=self.milliseconds + since(start))


class Part(Protocol):
    """A picture, or a slice of a volume."""

    @property
    def spacing(self) -> PixelSpacing | None:
        """Of its pixels in mm; None where it is not known."""

    @property
    def siblings(self) -> int:
        """How many parts its item has."""

    def read(self) -> Pixels:
        """Its pixels. Raises `DataError`, or one of `NO_MEMORY`."""

    def store(self, worker: Worker, output: Output, info: PartInfo) -> FileResult | None:
        """Store its output; return the item's result once its files are written. May raise as `read`."""

    def fail(self, failure: Failure, info: PartInfo) -> FileResult | None:
        """It has no mask; return the item's result once all its parts are done."""


def since(start: float) -> float:
    """Milliseconds since a value of `time.perf_counter`."""
    return 1000 * (time.perf_counter() - start)
