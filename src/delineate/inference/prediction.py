"""Predict images into a folder: make a plan, check it, run its items by an executor, write the lists.

At most a few images of their own size are in memory at a time (one per thread), however many files there are. Only inputs and
probabilities at the working size are passed between the steps. With `fit=patch`, where the working size is the image's own, and by
an exported graph images are done one by one, and class indices are passed on instead of probabilities.

Output folder: `NAME.png` (0 and 255 with one foreground class, else class indices), `overlays/NAME.png`,
`probabilities/[CLASS/]NAME.png` (16 bits: 65535 means 1), `summary.csv` and `predictions.json` (which model made the masks;
`evaluate` reads it). For a volume: `NAME.nii.gz` (class indices) on the image's own grid, an overlay of representative slices, and
probabilities as 16-bit NIfTI with the scaling 1/65535. For a DICOM image: a DICOM segmentation, `NAME.seg.dcm`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from delineate.common.files import output_folder
from delineate.data.cases.glass import Background
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.dicom_masks.segmentation import SegmentationType
from delineate.data.formats.registry import check_writers
from delineate.inference import overwriting
from delineate.inference.dicom_formats import is_dicom_result
from delineate.inference.drift_notes import DriftChoice, drift_notes, series_of
from delineate.inference.earlier_outputs import remove_earlier_outputs
from delineate.inference.executors import Executor, Threads
from delineate.inference.inputs import Inputs, Names
from delineate.inference.parts import PredictionContext
from delineate.inference.plan import MaskFormat, Plan
from delineate.inference.results import PredictionResult, write_lists
from delineate.inference.review import checked_review, write_review
from delineate.inference.segment import Worker
from delineate.inference.segmenter import Segmenter
from delineate.inference.setup import checked_axis, context_of, plan_prediction
from delineate.inference.shown_references import NoReferences, ShownReferences
from delineate.inference.steps import FileSteps
from delineate.inference.trained_spacing import spacing_notes

__all__ = ["Progress", "predict_inputs"]

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""


def predict_inputs(
    model: Segmenter,
    found: Inputs,
    out: Path | str,
    *,
    references: ShownReferences | None = None,
    names: Names = "numbered",
    overlay: bool = False,
    probabilities: bool = False,
    uncertainty: bool = False,
    review: Path | str | None = None,
    drift: DriftChoice = "auto",
    overwrite: bool = False,
    batch_size: int | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: Progress | None = None,
    executor: Executor | None = None,
    axis: str | int | None = None,
    format: MaskFormat = "auto",
    seg_type: SegmentationType = "binary",
    codes: Path | str | None = None,
    check: bool = False,
    mpp: float | None = None,
    background: Background = "auto",
) -> PredictionResult:
    """Predict what was found into a folder. `files.predict_files` tells of the arguments, the result and what is raised.

    `references`: what overlays show beside the predictions.
    """
    start = time.perf_counter()
    across = checked_axis(model, axis)
    references = references or NoReferences()
    plan, dicom = plan_prediction(
        model,
        found,
        Path(out),
        overlay=overlay,
        probabilities=probabilities,
        uncertainty=uncertainty,
        format=format,
        seg_type=seg_type,
        codes=codes,
        mpp=mpp,
    )
    plan.check(overwrite)
    listing = None if review is None else checked_review(review, plan, overwrite)
    check_writers(item.mask for item in plan.items if not is_dicom_result(item.mask))
    output_folder(plan.folder)
    model.get_ready()
    remove_earlier_outputs(plan.folder, plan.inputs)
    overwriting.begin(plan.folder, plan.masks)
    job = context_of(
        model,
        plan,
        dicom,
        across=across,
        batch_size=batch_size,
        maps=probabilities,
        doubt=uncertainty or review is not None,
        drift=drift != "off",
        encoder=drift == "encoder",
        references=references,
        max_pixels=max_pixels,
        check=check,
        mpp=mpp,
        background=background,
    )
    files = []
    with closing((executor or Threads()).run(plan.items, FileSteps(job))) as results:
        for file in results:
            files.append(file)
            if progress is not None:
                progress(len(files), len(plan.items))
    assert len(files) == len(plan.items), "each image has a mask or a failure"
    made = () if dicom is None else dicom.notes
    told = (*plan.notes, *made, *references.notes, *spacing_notes(files, model.spec))
    series = series_of(model, files)
    seen = () if drift == "off" else drift_notes(model, files, series, drift)
    notes = (
        *told,
        *model.notes,
        *_axis_notes(plan, job),
        *_postprocessing_notes(plan, model),
        *_doubt_notes(job.worker),
        *seen,
    )
    foreground = model.classes.names[1:]
    result = PredictionResult(plan.folder, foreground, tuple(files), time.perf_counter() - start, notes, names, series)
    write_lists(result, model)
    if listing is not None:
        write_review(result, listing)
    overwriting.finish(plan.folder)
    return result


def _postprocessing_notes(plan: Plan, model: Segmenter) -> list[str]:
    """What is done to the masks after the network, and to which it is not."""
    chosen = model.postprocessing
    if chosen is None:
        return []
    volumes = chosen.dimensions == 3
    notes = [f"post-processing of masks: {chosen.words} (--no-postprocess switches it off)"]
    if any(rule.acts for rule in chosen.rules) and any(item.volume != volumes for item in plan.items):
        here, there = ("volumes", "pictures") if volumes else ("pictures", "volumes")
        notes.append(f"components and holes were chosen for {here}: masks of {there} keep theirs")
    return notes


def _doubt_notes(worker: Worker) -> list[str]:
    """Why the model does not tell what Dice it expects, though it could."""
    model = worker.predictor
    known = model.calibration is not None and model.calibration.expected_dice is not None
    if not worker.doubt or not known or model.expected_dice is not None:
        return []
    return [
        "expected Dice was found for masks of this model as it makes them by itself: with these options it is left out, and "
        "confidence tells how sure it is"
    ]


def _axis_notes(plan: Plan, job: PredictionContext) -> tuple[str, ...]:
    if job.axis is not None or job.worker.predictor.spec.axis is not None or not any(i.volume for i in plan.items):
        return ()
    return (
        "the model does not record the axis of its training slices: each volume is cut across the axis with the widest spacing; "
        "choose another with --axis",
    )
