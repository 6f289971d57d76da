"""Predicting image files into a folder: make a plan, check it, let an executor do its items, write the lists.

At most a few images of native size are held at a time (one per thread), however many files there are: between the steps travel only
inputs and probabilities at the working size. Where that is the image's own (`patch`), images are taken one by one, and class
indices travel instead of probabilities.

Output folder: `NAME.png` (binary 0/255, else class indices), `overlays/NAME.png`, `probabilities/[CLASS/]NAME.png` (16 bits:
65535 is probability 1), `summary.csv` and `predictions.json` (which model made the masks; `evaluate` reads it). Of a volume:
`NAME.nii.gz` (class indices) on the image's own grid, an overlay that shows its most telling slices, and probabilities as NIfTI of
16 bits whose scaling says that 65535 is 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from delineate.common.errors import DataError
from delineate.common.files import output_folder
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.layouts.source import DataSource, as_source
from delineate.inference import overwriting
from delineate.inference.earlier_outputs import remove_earlier_outputs
from delineate.inference.executors import Executor, Threads
from delineate.inference.inputs import Inputs, SplitChoice, find_inputs, find_split
from delineate.inference.overlay_references import References
from delineate.inference.parts import PredictionContext
from delineate.inference.plan import Plan, make_plan
from delineate.inference.predictor import Predictor
from delineate.inference.results import PredictionResult, write_lists
from delineate.inference.segment import Worker
from delineate.inference.steps import FileSteps

__all__ = ["Progress", "predict_files"]

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""


def predict_files(
    predictor: Predictor,
    inputs: Iterable[Path | str | DataSource] | Inputs,
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
    axis: int | None = None,
) -> PredictionResult:
    """Predict every image of `inputs` (files, folders, patterns; or what was found in them) into the folder `out`.

    Pictures are predicted as they are, volumes slice by slice.

    With `split`, the inputs are data sets (folders, manifests, sources) and only that split's images are predicted; overlays then
    show the references, too (dashed). `executor`: who does the work; None: threads of this process. `axis`: of volumes, across
    the slices (0 right-left, 1 back-front, 2 feet-head); None: as the model was trained, else the coarsest.

    A file that cannot be read is in the result's `failures`, the others are done. Raises `DataError`, before anything is
    written: an input without images, outputs that clash, outputs that exist (unless `overwrite`) or are inputs;
    `DeviceError` when memory does not suffice; `DelineateError` when `out` cannot be written.
    """
    start = time.perf_counter()
    if axis not in (None, 0, 1, 2):
        raise DataError(f"axis {axis} is none of 0 (right-left), 1 (back-front) and 2 (feet-head)")
    given = [] if isinstance(inputs, Inputs) else list(inputs)
    found = inputs if isinstance(inputs, Inputs) else _find(predictor, given, split)
    plan = make_plan(found, Path(out), predictor.classes, overlay=overlay, probabilities=probabilities)
    references = References.of(map(as_source, given), predictor.classes) if overlay and split else References()
    plan.check(overwrite)
    output_folder(plan.folder)
    _ = predictor.network  # made here, so that it does not count as the first images' time
    remove_earlier_outputs(plan.folder, plan.inputs)
    overwriting.begin(plan.folder, plan.masks)
    worker = Worker(predictor, batch_size or 0, probabilities)
    job = PredictionContext(worker, plan.folder, references, max_pixels, axis)
    files = []
    with closing((executor or Threads()).run(plan.items, FileSteps(job))) as results:
        for result in results:
            files.append(result)
            if progress is not None:
                progress(len(files), len(plan.items))
    notes = (*plan.notes, *references.notes, *_axis_notes(plan, job))
    names = predictor.classes.names[1:]
    done = PredictionResult(plan.folder, names, tuple(files), time.perf_counter() - start, notes)
    write_lists(done, predictor)
    overwriting.finish(plan.folder)
    return done


def _find(predictor: Predictor, given: Sequence[Path | str | DataSource], split: SplitChoice | None) -> Inputs:
    if split is not None:
        return find_split([as_source(data) for data in given], split, predictor.source)
    return find_inputs(data.path if isinstance(data, DataSource) else data for data in given)


def _axis_notes(plan: Plan, job: PredictionContext) -> tuple[str, ...]:
    if job.axis is not None or job.worker.predictor.spec.axis is not None or not any(i.volume for i in plan.items):
        return ()
    return (
        "the model does not say across which axis its slices lay: each volume is cut across its coarsest; --axis says "
        "otherwise",
    )
