"""Predict image files, folders, patterns or splits of data sets into a folder: what is meant is found, and `prediction` does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from delineate.data.cases.glass import Background
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.dicom_masks.segmentation import SegmentationType
from delineate.data.layouts.source import DataSource, as_source
from delineate.inference.channel_inputs import check_channels, find_for
from delineate.inference.dataset_inputs import SplitChoice, find_split
from delineate.inference.drift_notes import DriftChoice
from delineate.inference.executors import Executor
from delineate.inference.inputs import Inputs, Names
from delineate.inference.overlay_references import References
from delineate.inference.plan import MaskFormat
from delineate.inference.prediction import Progress, predict_inputs
from delineate.inference.results import PredictionResult
from delineate.inference.segmenter import Segmenter
from delineate.inference.setup import checked_axis

__all__ = ["Progress", "predict_files"]


def predict_files(
    predictor: Segmenter,
    inputs: Iterable[Path | str | DataSource] | Inputs,
    out: Path | str,
    *,
    split: SplitChoice | None = None,
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
    """Predict images and volumes into a folder. Volumes are predicted slice by slice.

    Args:
        predictor: The model.
        inputs: Files, folders and patterns, or what `inference.inputs` found in them. With `split`, datasets.
        out: The output folder.
        split: Predict only this split of the datasets. Overlays then also show the references (dashed).
        names: How outputs of DICOM images are called: by numbers, or as their files and folders. Cases of a dataset have their own.
        overlay: Also write the images with contours.
        probabilities: Also write probability maps.
        uncertainty: Also write maps of the entropy of the probabilities, and measure how sure the model is of each mask
            (`inference.doubt`).
        review: A CSV file for the images in the order in which a person should look at their masks, with the reason.
        drift: Whether images are compared with the model's training images (`inference.outside`): "auto", where it knows these;
            "on" tells also where it does not, and where all is well; "encoder" also by the features of its encoder; "off".
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
        mpp: Of pictures whose files tell how large their pixels are: micrometers per pixel at which they are seen, and masks are
            written. None: as they are, or as the model says (`InputSpec.spacing`).
        background: Whether tiles of empty glass are left out: of slides ("auto"), of all pictures that are read by windows, or
            not at all.

    Returns:
        What was written. Images that could not be read are in `failures`; all others are done.

    Raises:
        DataError: Before anything is written: an input without images, outputs that clash, outputs that exist (unless
            `overwrite`) or are inputs, images whose masks cannot be of that format, axes that the model was not trained on.
        DeviceError: The memory of the device does not suffice.
        DelineateError: `out` cannot be written.
    """
    checked_axis(predictor, axis)
    given = [] if isinstance(inputs, Inputs) else list(inputs)
    found = inputs if isinstance(inputs, Inputs) else _find(predictor, given, split, names)
    references = References.of(map(as_source, given), predictor.classes) if overlay and split else None
    return predict_inputs(
        predictor,
        found,
        out,
        references=references,
        names=names,
        overlay=overlay,
        probabilities=probabilities,
        uncertainty=uncertainty,
        review=review,
        drift=drift,
        overwrite=overwrite,
        batch_size=batch_size,
        max_pixels=max_pixels,
        progress=progress,
        executor=executor,
        axis=axis,
        format=format,
        seg_type=seg_type,
        codes=codes,
        check=check,
        mpp=mpp,
        background=background,
    )


def _find(
    predictor: Segmenter, given: Sequence[Path | str | DataSource], split: SplitChoice | None, names: Names
) -> Inputs:
    wanted = predictor.spec.channels
    if split is not None:
        found = find_split([as_source(data) for data in given], split, predictor.source)
        check_channels(found.images, wanted)
        return found
    return find_for(wanted, [data.path if isinstance(data, DataSource) else data for data in given], names)
