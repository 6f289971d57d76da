"""A segmentation as the engine runs it: what was sent → a plan, and the files that the plan's steps wrote → the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.axes import AxisChoice
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.registry import reads_volume
from delineate.inference.inputs import Inputs
from delineate.inference.parts import PredictionContext
from delineate.inference.pictures import Picture
from delineate.inference.plan import Item, MaskFormat
from delineate.inference.results import FileResult
from delineate.inference.segment import Output
from delineate.inference.segmenter import Segmenter
from delineate.inference.setup import checked_axis, context_of, plan_prediction
from delineate.inference.steps import FileSteps, Step
from delineate.inference.variants import variant_of
from delineate.serve.answers import Answer, Made, answer_of
from delineate.serve.body import Part
from delineate.serve.found import check_sizes, find_images, shown
from delineate.serve.limits import Limits
from delineate.serve.models import ServedModel
from delineate.serve.options import SegmentQuery
from delineate.serve.problems import Problem
from delineate.serve.scratch import Scratch
from delineate.serve.work import Opened

__all__ = ["Segmentation"]

_READ_BACK = ("json", "npz", "raw", "view")
"""Answers that are made of the values of masks."""


@dataclass(frozen=True)
class _KeepingSteps(FileSteps):
    """The steps of a prediction, which also keep probabilities of pictures as they are: files of maps hold 16 bits."""

    kept: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def write(self, made: Step) -> FileResult | None:
        if isinstance(made.made, Output) and isinstance(made.part, Picture):
            self.kept[made.part.item.name] = np.stack(list(self.job.worker.planes(made.made)))
        return super().write(made)


@dataclass
class Segmentation:
    """One request (`work.Work`)."""

    model: ServedModel
    query: SegmentQuery
    folder: Path
    """Its scratch folder."""
    limits: Limits
    charge: Callable[[int], None]
    parts: Sequence[Part] = ()
    variant: Segmenter | None = None
    """Of a few-shot model, that of the examples; None: the model itself."""
    _made: Made | None = None

    def open(self) -> Opened:
        """As `Work.open`."""
        try:
            return self._open()
        except DataError as error:
            raise DataError(shown(str(error), self.folder)) from error

    def _asked(self) -> tuple[Segmenter, AxisChoice | None]:
        """The model as the query wants it, and the axis. Raises `Problem` for what the model does not allow."""
        try:
            query = self.query
            if self.variant is None:
                model = self.model.variant(query.threshold, query.tta)
            else:
                model = variant_of(self.variant, query.threshold, query.tta)
            return model, checked_axis(model, query.axis)
        except DataError as error:
            raise Problem("bad_request", shown(str(error), self.folder)) from None

    def _open(self) -> Opened:
        query, out = self.query, self.folder / "out"
        model, across = self._asked()
        found = find_images(self.parts, model.spec, self.limits, self.charge, query.pixel_spacing)
        raw = query.output == "raw"
        viewed = query.output == "view" and not reads_volume(found.images[0].image)
        keeps = raw or (viewed and (query.probabilities or query.uncertainty))
        maps = query.probabilities or keeps
        wanted: dict[str, Any] = (
            {} if viewed else {"probabilities": query.probabilities, "uncertainty": query.uncertainty}
        )
        plan, dicom = plan_prediction(model, found, out, **wanted, format=self._format(found))
        _check_meant(query, plan.items)
        size = check_sizes(plan.items, model, self.limits, maps=maps)
        if raw and any(item.volume or item.streamed for item in plan.items):
            raise DataError(
                "output=raw is for single pictures; ask for npz, or for probabilities=true with a format of volumes"
            )
        if query.uncertainty and any(item.streamed for item in plan.items):
            raise DataError("there is no uncertainty of pictures that are read by windows; leave it out")
        out.mkdir()
        job: PredictionContext = context_of(
            model,
            plan,
            dicom,
            across=across,
            maps=maps,
            doubt=query.uncertainty,
            drift=True,
            max_pixels=self.limits.pixels,
        )
        kept: dict[str, NDArray[np.float32]] = {}
        steps = _KeepingSteps(job, kept) if keeps else FileSteps(job)
        notes = (*plan.notes, *(() if dicom is None else dicom.notes), *model.notes)
        told = tuple(shown(note, self.folder) for note in notes)
        self._made = Made(self.model, query, job, plan.items, told, kept)
        key = self.model.network_key(model, doubt=query.uncertainty, maps=maps)
        return Opened(plan.items, steps, (id(self.variant), key), size)

    def _format(self, found: Inputs) -> MaskFormat:
        """Of the files that the answer is made of: values are read back more simply than from DICOM objects."""
        asked: Any = self.query.output
        first = found.images[0].image
        if asked in _READ_BACK and DicomAddress.parse(first) is not None:
            return "nifti" if reads_volume(first) else "png"
        return "auto" if asked in (*_READ_BACK, "zip") else asked

    def finish(self, results: Sequence[FileResult]) -> Answer:
        """As `Work.finish`."""
        assert self._made is not None
        failed = [shown(one.error, self.folder) for one in results if one.error is not None]
        if failed:
            code = "not_finite" if "not finite" in failed[0] else "bad_image"
            raise Problem(code, failed[0])
        return answer_of(self._made, results)

    def close(self) -> None:
        """As `Work.close`."""
        Scratch.remove(self.folder)


def _check_meant(query: SegmentQuery, items: Sequence[Item]) -> None:
    """Raise `Problem` for options that mean nothing of what was sent."""
    if query.axis is not None and not any(item.volume for item in items):
        raise Problem("bad_request", "axis: only volumes have slices across it, and a picture was sent; leave it out")
    if query.spacing is not None and any(item.volume for item in items):
        raise Problem("bad_request", "spacing: it is told of pictures, and volumes have their own; leave it out")
