"""What an executor does to the items of a plan: pixels in, worker, files out. Joins files and worker, which do not know each other.

An item goes through the steps in parts: a picture is one part, a volume one for each of its slices.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from delineate.common.errors import DataError
from delineate.data.cases.volumes import widest
from delineate.data.core.geometry import Geometry
from delineate.data.core.input_spec import Pixels
from delineate.data.formats.images import read_image
from delineate.inference.beside import References
from delineate.inference.plan import Item
from delineate.inference.results import FileResult
from delineate.inference.segment import NO_MEMORY, Facts, Failure, Output, Prepared, Worker
from delineate.inference.write import listed, write_class_map, write_maps, write_overlay


@dataclass(frozen=True)
class Job:
    """What all items of a prediction share."""

    worker: Worker
    folder: Path
    """Of the outputs."""
    references: References
    """What overlays show beside the predictions."""
    max_pixels: int
    axis: int | None = None
    """Across the slices of volumes, in the canonical order; None: as the model says, or else the coarsest."""

    def axis_of(self, volume: Geometry) -> int:
        """The axis for a volume in the canonical order."""
        known = (self.axis, self.worker.predictor.spec.axis)
        return next((axis for axis in known if axis is not None), widest([volume.spacing]))


@dataclass(frozen=True)
class Report:
    """What a part has to tell of its way: times in milliseconds, and what is known of its image."""

    milliseconds: float = 0.0
    facts: Facts | None = None
    """None: it was not decoded."""

    def later(self, start: float) -> Report:
        """With the time since `start` added."""
        return replace(self, milliseconds=self.milliseconds + since(start))


class Part(Protocol):
    """A picture, or a slice of a volume."""

    def read(self) -> Pixels:
        """Its pixels. Raises `DataError`, or one of `NO_MEMORY`."""

    def store(self, worker: Worker, output: Output, report: Report) -> FileResult | None:
        """Put away what was made of it; the item's result once its files are written. May raise one of `NO_MEMORY`."""

    def fail(self, failure: Failure, report: Report) -> FileResult | None:
        """There is no mask of it; the item's result once nothing more comes of it."""


@dataclass(frozen=True)
class Step:
    """A part on its way."""

    part: Part
    report: Report = field(default_factory=Report)
    made: Prepared | Output | Failure | None = None


@dataclass(frozen=True)
class FileSteps:
    """The steps of `executors.Steps` over parts."""

    worker: Worker

    @property
    def batch(self) -> int:
        return self.worker.images

    def read(self, part: Part) -> Step:
        """Decode and prepare."""
        start = time.perf_counter()
        try:
            ready = self.worker.prepare(part.read())
        except DataError as error:
            return Step(part, made=Failure("data", str(error)))
        except NO_MEMORY as error:
            return Step(part, made=Failure.of_memory(error))
        report = Report() if isinstance(ready, Failure) else Report(since(start), ready.facts)
        return Step(part, report, ready)

    def compute(self, ready: Sequence[Step]) -> list[Step]:
        """The forward pass of one batch. Its time is shared out equally."""
        start = time.perf_counter()
        inputs = [step.made for step in ready if isinstance(step.made, Prepared)]
        outputs = iter(self.worker.forward(inputs))
        share = since(start) / max(1, len(inputs))
        made = []
        for step in ready:
            if isinstance(step.made, Prepared):
                report = replace(step.report, milliseconds=step.report.milliseconds + share)
                step = Step(step.part, report, next(outputs))
            made.append(step)
        return made

    def write(self, made: Step) -> FileResult | None:
        """Write all files of an item once its last part is here."""
        if isinstance(made.made, Output):
            try:
                return made.part.store(self.worker, made.made, made.report)
            except NO_MEMORY as error:
                return made.part.fail(Failure.of_memory(error), made.report)
        assert isinstance(made.made, Failure), "every prepared image has an output or a failure"
        return made.part.fail(made.made, made.report)


@dataclass(frozen=True)
class Picture:
    """A picture: read from its file, and again for its overlay, so that no pixels of native size are held meanwhile."""

    item: Item
    job: Job

    def read(self) -> Pixels:
        """As `Part.read`."""
        return read_image(self.item.image, max_pixels=self.job.max_pixels)

    def store(self, worker: Worker, output: Output, report: Report) -> FileResult:
        """As `Part.store`."""
        start, item, classes = time.perf_counter(), self.item, worker.predictor.classes
        indices = worker.classes(output)
        counts = np.bincount(indices.ravel(), minlength=len(classes.names))
        write_class_map(item.mask, indices, classes)
        if item.overlay is not None:
            reference = self.job.references.mask(item.name, indices.shape)
            write_overlay(item.overlay, self.read(), indices, classes, reference)
        if item.maps:
            write_maps(item.maps, worker.planes(output))
        percent = tuple((100 * counts[1:] / indices.size).tolist())
        written = listed(item, self.job.folder, output.facts.seen)
        return replace(self._result(report.later(start)), percent=percent, written=written)

    def fail(self, failure: Failure, report: Report) -> FileResult:
        """As `Part.fail`. What was written of the picture goes."""
        for path in self.item.files:
            path.unlink(missing_ok=True)
        return replace(self._result(report), error=failure.line(self.item.image))

    def _result(self, report: Report) -> FileResult:
        result = FileResult(self.item.image, self.item.name, milliseconds=report.milliseconds)
        if report.facts is None:
            return result
        facts = report.facts
        return replace(result, height=facts.height, width=facts.width, remark=facts.remark, seen=facts.seen)


def since(start: float) -> float:
    """Milliseconds since a value of `time.perf_counter`."""
    return 1000 * (time.perf_counter() - start)
