"""Predicting image files into a folder: make a plan, check it, let an executor do its items, write the lists.

At most a few images of native size are held at a time (one per thread), however many files there are: between the steps travel only
inputs and probabilities at the working size. Where that is the image's own (`patch`), images are taken one by one, and class
indices travel instead of probabilities.

Output folder: `NAME.png` (binary 0/255, else class indices), `overlays/NAME.png`, `probabilities/[CLASS/]NAME.png` (16 bits:
65535 is probability 1), `summary.csv` and `predictions.json` (which model made the masks; `evaluate` reads it).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from delineate.common.errors import DataError
from delineate.common.files import output_folder
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.images import read_image
from delineate.data.layouts.source import DataSource, as_source
from delineate.inference import ownership
from delineate.inference.beside import References
from delineate.inference.earlier import remove_earlier
from delineate.inference.executors import Executor, Threads
from delineate.inference.inputs import Inputs, SplitChoice, find_inputs, find_split
from delineate.inference.plan import Item, make_plan
from delineate.inference.predictor import Predictor
from delineate.inference.results import FileResult, PredictionResult, write_lists
from delineate.inference.segment import NO_MEMORY, Failure, Output, Prepared, Worker
from delineate.inference.write import listed, write_class_map, write_maps, write_overlay

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""


def predict_files(
    predictor: Predictor,
    inputs: Iterable[Path | str | DataSource],
    out: Path | str,
    *,
    split: SplitChoice | None = None,
    overlay: bool = False,
    probabilities: bool = False,
    overwrite: bool = False,
    batch_size: int | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> PredictionResult:
    """Predict every image of `inputs` (files, folders, patterns) into the folder `out`.

    With `split`, the inputs are data sets (folders, manifests, sources) and only that split's images are predicted; overlays then
    show the references, too (dashed). `executor`: who does the work; None: threads of this process.

    A file that cannot be read is in the result's `failures`, the others are done. Raises `DataError`, before anything is
    written: an input without images, outputs that clash, outputs that exist (unless `overwrite`) or are inputs;
    `DeviceError` when memory does not suffice; `DelineateError` when `out` cannot be written.
    """
    start = time.perf_counter()
    given = list(inputs)
    found = _find(predictor, given, split)
    plan = make_plan(found, Path(out), predictor.classes, overlay=overlay, probabilities=probabilities)
    references = References.of(map(as_source, given), predictor.classes) if overlay and split else References()
    plan.check(overwrite)
    output_folder(plan.folder)
    _ = predictor.network  # made here, so that it does not count as the first images' time
    remove_earlier(plan.folder, plan.inputs)
    ownership.begin(plan.folder, plan.masks)
    steps = _FileSteps(Worker(predictor, batch_size or 0, probabilities), plan.folder, references, max_pixels)
    files = []
    with closing((executor or Threads()).run(plan.items, steps)) as results:
        for result in results:
            files.append(result)
            if progress is not None:
                progress(len(files), len(plan.items))
    notes = (*plan.notes, *references.notes)
    names = predictor.classes.names[1:]
    done = PredictionResult(plan.folder, names, tuple(files), time.perf_counter() - start, notes)
    write_lists(done, predictor)
    ownership.finish(plan.folder)
    return done


def _find(predictor: Predictor, given: Sequence[Path | str | DataSource], split: SplitChoice | None) -> Inputs:
    if split is not None:
        return find_split([as_source(data) for data in given], split, predictor.source)
    return find_inputs(data.path if isinstance(data, DataSource) else data for data in given)


@dataclass(frozen=True)
class _Step:
    """An item on its way: its result so far, and what the worker has made of it."""

    item: Item
    result: FileResult
    made: Prepared | Output | None = None
    """None: the result says why there is no mask."""

    def failed(self, failure: Failure) -> _Step:
        return _Step(self.item, replace(self.result, error=failure.line(self.item.image)))


@dataclass(frozen=True)
class _FileSteps:
    """Joins files and worker: what an executor does to each item of a plan (`executors.Steps`)."""

    worker: Worker
    folder: Path
    references: References
    """What overlays show beside the predictions."""
    max_pixels: int

    @property
    def batch(self) -> int:
        return self.worker.images

    def read(self, item: Item) -> _Step:
        """Decode and prepare."""
        start = time.perf_counter()
        step = _Step(item, FileResult(item.image, item.name))
        try:
            ready = self.worker.prepare(read_image(item.image, max_pixels=self.max_pixels))
        except DataError as error:
            return step.failed(Failure("data", str(error)))
        except NO_MEMORY as error:
            return step.failed(Failure.of_memory(error))
        if isinstance(ready, Failure):
            return step.failed(ready)
        facts = ready.facts
        result = FileResult(
            item.image,
            item.name,
            facts.height,
            facts.width,
            milliseconds=_ms(start),
            remark=facts.remark,
            seen=facts.seen,
        )
        return _Step(item, result, ready)

    def compute(self, ready: Sequence[_Step]) -> list[_Step]:
        """The forward pass of one batch."""
        start = time.perf_counter()
        inputs = [step.made for step in ready if isinstance(step.made, Prepared)]
        outputs = iter(self.worker.forward(inputs))
        share = _ms(start) / max(1, len(inputs))
        made = []
        for step in ready:
            output = next(outputs) if step.made is not None else None
            if isinstance(output, Failure):
                step = step.failed(output)
            elif output is not None:
                spent = step.result.milliseconds + share
                step = _Step(step.item, replace(step.result, milliseconds=spent), output)
            made.append(step)
        return made

    def write(self, made: _Step) -> FileResult:
        """Write all files of one image, or none of them."""
        if not isinstance(made.made, Output):
            return made.result
        start = time.perf_counter()
        try:
            result = self._written(made, made.made)
        except NO_MEMORY as error:
            for path in made.item.files:
                path.unlink(missing_ok=True)
            return made.failed(Failure.of_memory(error)).result
        return replace(result, milliseconds=result.milliseconds + _ms(start))

    def _written(self, made: _Step, output: Output) -> FileResult:
        """The result with the percentages of its foreground classes and with what was written."""
        item, classes = made.item, self.worker.predictor.classes
        indices = self.worker.classes(output)
        counts = np.bincount(indices.ravel(), minlength=len(classes.names))
        write_class_map(item.mask, indices, classes)
        if item.overlay is not None:
            image = read_image(item.image, max_pixels=self.max_pixels)
            write_overlay(item.overlay, image, indices, classes, self.references.mask(item.name, indices.shape))
        if item.maps:
            write_maps(item.maps, self.worker.planes(output))
        percent = tuple((100 * counts[1:] / indices.size).tolist())
        return replace(made.result, percent=percent, written=listed(item, self.folder, made.result.seen))


def _ms(start: float) -> float:
    return 1000 * (time.perf_counter() - start)
