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

from delineate.common.errors import DataError
from delineate.common.files import output_folder
from delineate.data.core.axes import ALL, AXES, AxisChoice, axis_choice
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.dicom_masks.segmentation import SegmentationType
from delineate.data.formats.registry import check_writers
from delineate.inference import overwriting
from delineate.inference.dicom_formats import is_dicom_result
from delineate.inference.dicom_results import DicomResults
from delineate.inference.drift_notes import DriftChoice, drift_notes, series_of
from delineate.inference.earlier_outputs import remove_earlier_outputs
from delineate.inference.executors import Executor, Threads
from delineate.inference.glass import Background
from delineate.inference.inputs import Inputs, Names
from delineate.inference.level_choice import check_mpp
from delineate.inference.parts import PredictionContext
from delineate.inference.plan import MaskFormat, Plan, make_plan
from delineate.inference.results import PredictionResult, write_lists
from delineate.inference.review import checked_review, write_review
from delineate.inference.segment import Worker
from delineate.inference.segmenter import Segmenter
from delineate.inference.shown_references import NoReferences, ShownReferences
from delineate.inference.steps import FileSteps
from delineate.inference.streaming import reads_by_windows
from delineate.inference.trained_spacing import spacing_notes

__all__ = ["Progress", "checked_axis", "predict_inputs"]

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
    check_mpp(model.spec, mpp)
    references = references or NoReferences()
    plan = make_plan(
        found,
        Path(out),
        model.classes,
        overlay=overlay,
        probabilities=probabilities,
        uncertainty=uncertainty,
        format=format,
        streams=lambda one: reads_by_windows(one.image, model, mpp, one.spacing is not None),
    )
    if mpp is not None and (other := next((item for item in plan.items if not item.streamed), None)) is not None:
        kind = "a volume" if other.volume else "in several files, or the model is an exported graph"
        raise DataError(f"--mpp is for pictures in one file, and {other.image} is {kind}: leave it out")
    dicom = _dicom_results(plan, model, seg_type, codes)
    volume = next((item.image for item in plan.items if item.volume), None)
    if volume is not None and model.pictures_only:
        raise DataError(
            f"{volume} is a volume, and the model was trained on pictures: give it pictures, or a model of volumes"
        )
    plan.check(overwrite)
    listing = None if review is None else checked_review(review, plan, overwrite)
    check_writers(item.mask for item in plan.items if not is_dicom_result(item.mask))
    output_folder(plan.folder)
    model.get_ready()
    remove_earlier_outputs(plan.folder, plan.inputs)
    overwriting.begin(plan.folder, plan.masks)
    averages = across == ALL or (across is None and model.spec.all_axes)
    doubt = uncertainty or review is not None
    worker = Worker(model, batch_size or 0, probabilities or averages, doubt, drift != "off")
    job = PredictionContext(worker, plan.folder, references, max_pixels, across, dicom, check, mpp, background)
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
    seen = () if drift == "off" else drift_notes(model, files, series, asked=drift == "on")
    notes = (
        *told,
        *model.notes,
        *_axis_notes(plan, job),
        *_postprocessing_notes(plan, model),
        *_doubt_notes(worker),
        *seen,
    )
    foreground = model.classes.names[1:]
    result = PredictionResult(plan.folder, foreground, tuple(files), time.perf_counter() - start, notes, names, series)
    write_lists(result, model)
    if listing is not None:
        write_review(result, listing)
    overwriting.finish(plan.folder)
    return result


def checked_axis(model: Segmenter, axis: str | int | None) -> AxisChoice | None:
    """The axis that was asked for. Raises `DataError` for all three of a model that was not trained so."""
    across = axis_choice(axis)
    if across == ALL and not model.spec.all_axes:
        raise DataError(_untrained_axes(model))
    return across


def _dicom_results(
    plan: Plan, model: Segmenter, kind: SegmentationType, codes: Path | str | None
) -> DicomResults | None:
    """None where no mask will be a DICOM object. Raises `DataError` for codes that nobody asked for."""
    if any(is_dicom_result(item.mask) for item in plan.items):
        return DicomResults.of(model, kind, None if codes is None else Path(codes))
    if codes is not None:
        raise DataError(
            "--codes is for DICOM segmentations and RTSTRUCT, and no mask of these images is one; leave it out"
        )
    return None


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


def _untrained_axes(model: Segmenter) -> str:
    """Why `axis="all"` is refused: across axes that it has never seen a network guesses, and the average would hide it."""
    axis = model.spec.axis
    seen = (
        "has not learned from slices across"
        if axis is None
        else f"was trained on slices across {AXES[axis]} alone, not"
    )
    return f"--axis all: the model {seen} all three axes; leave it out, or train with --axis all"


def _axis_notes(plan: Plan, job: PredictionContext) -> tuple[str, ...]:
    if job.axis is not None or job.worker.predictor.spec.axis is not None or not any(i.volume for i in plan.items):
        return ()
    return (
        "the model does not record the axis of its training slices: each volume is cut across the axis with the widest spacing; "
        "choose another with --axis",
    )
