"""The steps that an executor runs on the items of a plan: read pixels, run the worker, write files."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from delineate.common.errors import DataError
from delineate.inference.parts import Part, PartInfo, PredictionContext, since
from delineate.inference.pictures import Picture
from delineate.inference.plan import Item
from delineate.inference.results import FileResult
from delineate.inference.segment import NO_MEMORY, Failure, Output
from delineate.inference.segmenter import Prepared
from delineate.inference.streaming import StreamedPicture
from delineate.inference.volumes import slices_of

__all__ = ["FileSteps", "Step"]


@dataclass(frozen=True)
class Step:
    """A part between two steps."""

    part: Part | StreamedPicture
    info: PartInfo = field(default_factory=PartInfo)
    made: Prepared | Output | Failure | FileResult | None = None


@dataclass(frozen=True)
class FileSteps:
    """The steps of a prediction (`executors.Steps`)."""

    job: PredictionContext

    @property
    def batch(self) -> int:
        return self.job.worker.images

    def parts(self, item: Item) -> Iterable[Part | StreamedPicture]:
        """Of a volume, its header is read."""
        if item.volume:
            return slices_of(item, self.job)
        return [StreamedPicture(item, self.job) if item.streamed else Picture(item, self.job)]

    def read(self, part: Part | StreamedPicture) -> Step:
        """Decode and prepare. What is read by windows is read while it is computed."""
        if isinstance(part, StreamedPicture):
            return Step(part)
        start = time.perf_counter()
        try:
            ready = self.job.worker.prepare(part.read(), part.spacing)
        except DataError as error:
            return Step(part, made=Failure("data", str(error)))
        except NO_MEMORY as error:
            return Step(part, made=Failure.of_memory(error))
        info = PartInfo() if isinstance(ready, Failure) else PartInfo(since(start), ready.facts)
        return Step(part, info, ready)

    def compute(self, ready: Sequence[Step]) -> list[Step]:
        """The forward pass of one batch. Its time is shared out equally."""
        start = time.perf_counter()
        inputs = [step.made for step in ready if isinstance(step.made, Prepared)]
        outputs = iter(self.job.worker.forward(inputs))
        share = since(start) / max(1, len(inputs))
        made = []
        for step in ready:
            if isinstance(step.made, Prepared):
                info = replace(step.info, milliseconds=step.info.milliseconds + share)
                step = Step(step.part, info, next(outputs))
            elif isinstance(step.part, StreamedPicture):
                step = Step(step.part, made=step.part.predict())
            made.append(step)
        return made

    def write(self, made: Step) -> FileResult | None:
        """Write all files of an item once its last part is here."""
        if isinstance(made.made, FileResult):
            return made.made
        assert not isinstance(made.part, StreamedPicture), "it has its result"
        if isinstance(made.made, Output):
            try:
                return made.part.store(self.job.worker, made.made, made.info)
            except DataError as error:  # an image that is gone when its overlay is drawn
                return made.part.fail(Failure("data", str(error)), made.info)
            except NO_MEMORY as error:
                return made.part.fail(Failure.of_memory(error), made.info)
        assert isinstance(made.made, Failure), "every prepared image has an output or a failure"
        return made.part.fail(made.made, made.info)
