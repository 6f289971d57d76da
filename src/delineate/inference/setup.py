"""What a prediction needs before its first image is decoded: its plan, and what all of its images share.

`prediction` writes the files of a plan into a folder; the server runs those of a request. Both begin here.
"""

from __future__ import annotations

from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.cases.glass import Background
from delineate.data.cases.level_choice import check_mpp
from delineate.data.core.axes import ALL, AXES, AxisChoice, axis_choice
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.dicom_masks.segmentation import SegmentationType
from delineate.inference.dicom_formats import is_dicom_result
from delineate.inference.dicom_results import DicomResults
from delineate.inference.inputs import Inputs
from delineate.inference.parts import PredictionContext
from delineate.inference.plan import MaskFormat, Plan, make_plan
from delineate.inference.segment import Worker
from delineate.inference.segmenter import Segmenter
from delineate.inference.shown_references import NoReferences, ShownReferences
from delineate.inference.streaming import reads_by_windows

__all__ = ["checked_axis", "context_of", "plan_prediction"]


def plan_prediction(
    model: Segmenter,
    found: Inputs,
    folder: Path,
    *,
    overlay: bool = False,
    probabilities: bool = False,
    uncertainty: bool = False,
    format: MaskFormat = "auto",
    seg_type: SegmentationType = "binary",
    codes: Path | str | None = None,
    mpp: float | None = None,
) -> tuple[Plan, DicomResults | None]:
    """The files that predicting `found` into `folder` will write, and how its DICOM objects are made (None: there are none).

    Headers are read, nothing is written. Raises `DataError` for images whose masks cannot be of that format, or that the model does
    not take.
    """
    check_mpp(model.spec, mpp)
    plan = make_plan(
        found,
        folder,
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
    return plan, dicom


def context_of(
    model: Segmenter,
    plan: Plan,
    dicom: DicomResults | None,
    *,
    across: AxisChoice | None = None,
    batch_size: int | None = None,
    maps: bool = False,
    doubt: bool = False,
    drift: bool = False,
    encoder: bool = False,
    references: ShownReferences | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    check: bool = False,
    mpp: float | None = None,
    background: Background = "auto",
) -> PredictionContext:
    """What the images of a plan share. `maps`: whether probability maps are written; `doubt`, `drift`: measured too;
    `encoder`: of drift, also the encoder's features."""
    averages = across == ALL or (across is None and model.spec.all_axes)
    worker = Worker(model, batch_size or 0, maps or averages, doubt, drift, encoder)
    shown = references or NoReferences()
    return PredictionContext(worker, plan.folder, shown, max_pixels, across, dicom, check, mpp, background)


def checked_axis(model: Segmenter, axis: str | int | None) -> AxisChoice | None:
    """The axis that was asked for. Raises `DataError` for all three of a model that was not trained so."""
    across = axis_choice(axis)
    if across == ALL and not model.spec.all_axes:
        raise DataError(_untrained_axes(model))
    return across


def _dicom_results(
    plan: Plan, model: Segmenter, kind: SegmentationType, codes: Path | str | None
) -> DicomResults | None:
    """None where no mask will be a DICOM object. Raises `DataError` for options of such objects that nobody asked for."""
    if any(is_dicom_result(item.mask) for item in plan.items):
        return DicomResults.of(model, kind, None if codes is None else Path(codes))
    if codes is not None:
        raise DataError(
            "--codes is for DICOM segmentations and RTSTRUCT, and no mask of these images is one; leave it out"
        )
    if kind != "binary":
        raise DataError("--seg-type is for DICOM segmentations, and no mask of these images is one; leave it out")
    return None


def _untrained_axes(model: Segmenter) -> str:
    """Why `axis="all"` is refused: across axes that it has never seen a network guesses, and the average would hide it."""
    axis = model.spec.axis
    seen = (
        "has not learned from slices across"
        if axis is None
        else f"was trained on slices across {AXES[axis]} alone, not"
    )
    return f"--axis all: the model {seen} all three axes; leave it out, or train with --axis all"
