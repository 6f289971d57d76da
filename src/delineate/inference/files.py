"""Predict image files into a folder: make a plan, check it, run its items by an executor, write the lists.

At most a few images of their own size are in memory at a time (one per thread), however many files there are. Only inputs and
probabilities at the working size are passed between the steps. With `fit=patch`, where the working size is the image's own, images
are done one by one by a sliding window, and class indices are passed on instead of probabilities.

Output folder: `NAME.png` (0 and 255 with one foreground class, else class indices), `overlays/NAME.png`,
`probabilities/[CLASS/]NAME.png` (16 bits: 65535 means 1), `summary.csv` and `predictions.json` (which model made the masks;
`evaluate` reads it). For a volume: `NAME.nii.gz` (class indices) on the image's own grid, an overlay of representative slices, and
probabilities as 16-bit NIfTI with the scaling 1/65535. For a DICOM image: a DICOM segmentation, `NAME.seg.dcm`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from delineate.common.errors import DataError
from delineate.common.files import output_folder
from delineate.data.core.axes import ALL, AXES, axis_choice
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.dicom_masks.segmentation import SegmentationType
from delineate.data.formats.registry import check_writers
from delineate.data.layouts.source import DataSource, as_source
from delineate.inference import overwriting
from delineate.inference.channel_inputs import check_channels, check_no_channels, find_channel_inputs
from delineate.inference.dicom_formats import is_dicom_result
from delineate.inference.dicom_results import DicomResults
from delineate.inference.earlier_outputs import remove_earlier_outputs
from delineate.inference.executors import Executor, Threads
from delineate.inference.inputs import Inputs, Names, SplitChoice, find_inputs, find_split
from delineate.inference.overlay_references import References
from delineate.inference.parts import PredictionContext
from delineate.inference.plan import MaskFormat, Plan, make_plan
from delineate.inference.predictor import Predictor
from delineate.inference.results import PredictionResult, write_lists
from delineate.inference.segment import Worker
from delineate.inference.steps import FileSteps
from delineate.inference.trained_spacing import spacing_notes

__all__ = ["Progress", "predict_files"]

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""


def predict_files(
    predictor: Predictor,
    inputs: Iterable[Path | str | DataSource] | Inputs,
    out: Path | str,
    *,
    split: SplitChoice | None = None,
    names: Names = "numbered",
    overlay: bool = False,
    probabilities: bool = False,
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
) -> PredictionResult:
    """Predict images and volumes into a folder. Volumes are predicted slice by slice.

    Args:
        predictor: The model.
        inputs: Files, folders and patterns, or what `inference.inputs` found in them. With `split`, datasets.
        out: The output folder.
        split: Predict only this split of the datasets. Overlays then also show the references (dashed).
        names: How outputs of DICOM images are called: by numbers, or as their files and folders. Cases of a dataset have their own.
        overlay: Also write the images with contours.
        probabilities: Also write probability maps.
        overwrite: Replace earlier predictions in `out`.
        batch_size: Images, or tiles of one image, in one forward pass. None: as suits the device.
        max_pixels: Larger images are refused.
        progress: Called with (images done, images in all).
        executor: What runs the steps. None: threads of this process.
        axis: Of volumes, the axis across the slices: 0 or "sagittal", 1 or "coronal", 2 or "axial". None or "auto": as in
            training, else the axis with the widest spacing. "all": the probabilities of slices across each of the three are
            averaged; only for a model that was trained so, which does it anyway.
        format: Of masks and probability maps; maps of DICOM images are NIfTI or PNG.
        seg_type: Of DICOM segmentations.
        codes: A file that says in codes what the classes are, for DICOM objects. None: those of its training, else SNOMED's
            codes of their names.
        check: Read each mask again by another library; one that differs is a failure.

    Returns:
        What was written. Images that could not be read are in `failures`; all others are done.

    Raises:
        DataError: Before anything is written: an input without images, outputs that clash, outputs that exist (unless
            `overwrite`) or are inputs, images whose masks cannot be of that format, axes that the model was not trained on.
        DeviceError: The memory of the device does not suffice.
        DelineateError: `out` cannot be written.
    """
    start = time.perf_counter()
    across = axis_choice(axis)
    if across == ALL and not predictor.spec.all_axes:
        raise DataError(_untrained_axes(predictor))
    given = [] if isinstance(inputs, Inputs) else list(inputs)
    found = inputs if isinstance(inputs, Inputs) else _find(predictor, given, split, names)
    plan = make_plan(found, Path(out), predictor.classes, overlay=overlay, probabilities=probabilities, format=format)
    dicom = _dicom_results(plan, predictor, seg_type, codes)
    references = References.of(map(as_source, given), predictor.classes) if overlay and split else References()
    plan.check(overwrite)
    check_writers(item.mask for item in plan.items if not is_dicom_result(item.mask))
    output_folder(plan.folder)
    _ = predictor.network  # built now, so that this does not count as the time of the first images
    remove_earlier_outputs(plan.folder, plan.inputs)
    overwriting.begin(plan.folder, plan.masks)
    averages = across == ALL or (across is None and predictor.spec.all_axes)
    worker = Worker(predictor, batch_size or 0, probabilities or averages)
    job = PredictionContext(worker, plan.folder, references, max_pixels, across, dicom, check)
    files = []
    with closing((executor or Threads()).run(plan.items, FileSteps(job))) as results:
        for file in results:
            files.append(file)
            if progress is not None:
                progress(len(files), len(plan.items))
    assert len(files) == len(plan.items), "each image has a mask or a failure"
    made = () if dicom is None else dicom.notes
    told = (*plan.notes, *made, *references.notes, *spacing_notes(files, predictor.spec))
    notes = (*told, *_axis_notes(plan, job), *_postprocessing_notes(plan, predictor))
    foreground = predictor.classes.names[1:]
    result = PredictionResult(plan.folder, foreground, tuple(files), time.perf_counter() - start, notes, names)
    write_lists(result, predictor)
    overwriting.finish(plan.folder)
    return result


def _find(
    predictor: Predictor, given: Sequence[Path | str | DataSource], split: SplitChoice | None, names: Names
) -> Inputs:
    wanted = predictor.spec.channels
    if split is not None:
        found = find_split([as_source(data) for data in given], split, predictor.source)
        check_channels(found.images, wanted)
        return found
    paths = [data.path if isinstance(data, DataSource) else data for data in given]
    if not isinstance(wanted, str):
        return find_channel_inputs(paths, wanted)
    found = find_inputs(paths, names)
    return replace(found, notes=(*found.notes, *check_no_channels(found.images)))


def _dicom_results(
    plan: Plan, predictor: Predictor, kind: SegmentationType, codes: Path | str | None
) -> DicomResults | None:
    """None where no mask will be a DICOM object. Raises `DataError` for codes that nobody asked for."""
    if any(is_dicom_result(item.mask) for item in plan.items):
        return DicomResults.of(predictor, kind, None if codes is None else Path(codes))
    if codes is not None:
        raise DataError(
            "--codes is for DICOM segmentations and RTSTRUCT, and no mask of these images is one; leave it out"
        )
    return None


def _postprocessing_notes(plan: Plan, predictor: Predictor) -> list[str]:
    """What is done to the masks after the network, and to which it is not."""
    chosen = predictor.postprocessing
    if chosen is None:
        return []
    volumes = chosen.dimensions == 3
    notes = [f"post-processing of masks: {chosen.words} (--no-postprocess switches it off)"]
    if any(rule.acts for rule in chosen.rules) and any(item.volume != volumes for item in plan.items):
        here, there = ("volumes", "pictures") if volumes else ("pictures", "volumes")
        notes.append(f"components and holes were chosen for {here}: masks of {there} keep theirs")
    return notes


def _untrained_axes(predictor: Predictor) -> str:
    """Why `axis="all"` is refused: across axes that it has never seen a network guesses, and the average would hide it."""
    axis = predictor.spec.axis
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
