"""A picture on its way from its file to those of its outputs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from delineate.common.files import remove
from delineate.data.core.input_spec import Pixels, PixelSpacing
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.registry import open_image, read_image
from delineate.inference.check_results import check_picture
from delineate.inference.dicom_formats import is_dicom_result
from delineate.inference.expected_dice import case_doubt
from delineate.inference.geojson import write_geojson
from delineate.inference.image_input import read_input
from delineate.inference.labels_file import labels_of
from delineate.inference.outlines import Outlines
from delineate.inference.outside import CaseDrift, compare
from delineate.inference.parts import PartInfo, PredictionContext
from delineate.inference.plan import Item
from delineate.inference.results import FileResult
from delineate.inference.segment import Failure, Output, Worker
from delineate.inference.segmenter import Facts
from delineate.inference.write import listed, write_class_map, write_maps, write_overlay

__all__ = ["Picture"]


@dataclass(frozen=True)
class Picture:
    """A part that is an item of its own (`parts.Part`).

    Its file is read again for its overlay, so that no pixels of native size are held meanwhile.
    """

    item: Item
    job: PredictionContext

    @property
    def spacing(self) -> PixelSpacing | None:
        """As `Part.spacing`."""
        if self.item.spacing is not None or self.job.worker.predictor.spec.spacing is None or self.item.channels:
            return self.item.spacing
        return _spacing_of(self.item.image, self.job.max_pixels)

    @property
    def siblings(self) -> int:
        """As `Part.siblings`."""
        return 1

    def read(self) -> Pixels:
        """As `Part.read`."""
        spec = self.job.worker.predictor.spec
        return read_input(self.item.image, self.item.channels, spec, self.job.max_pixels)

    def store(self, worker: Worker, output: Output, info: PartInfo) -> FileResult:
        """As `Part.store`."""
        start, item, classes = time.perf_counter(), self.item, worker.predictor.classes
        indices = worker.predictor.postprocess(worker.classes(output))
        counts = np.bincount(indices.ravel(), minlength=len(classes.names))
        if is_dicom_result(item.mask):
            assert self.job.dicom is not None, "the plan knows that there are DICOM objects"
            self.job.dicom.write(item.mask, indices, item.image)
        else:
            write_class_map(item.mask, indices, classes)
        if item.outlines is not None:
            outlines = Outlines(indices.shape[1])
            outlines.add(indices)
            write_geojson(item.outlines, outlines, classes)
        if item.labels is not None:
            microns = open_image(item.image, max_pixels=self.job.max_pixels).microns if not item.channels else None
            with labels_of(item.labels, indices.shape, classes, microns) as file:
                file.add(indices)
        if self.job.check:
            check_picture(item.mask, indices, classes)
        if item.overlay is not None:
            reference = self.job.references.mask(item.name, indices.shape)
            image = read_image(item.image, max_pixels=self.job.max_pixels)
            write_overlay(item.overlay, image, indices, classes, reference)
        if item.maps:
            write_maps(item.maps, worker.planes(output))
        if item.uncertainty is not None:
            write_maps([item.uncertainty], [worker.uncertainty(output)])
        doubt = None if output.doubt is None else case_doubt(output.doubt, worker.predictor.expected_dice)
        percent = tuple((100 * counts[1:] / indices.size).tolist())
        written = listed(item, self.job.folder, output.facts.seen, doubt)
        drift = self._drift(output.facts)
        told = self._result(info.later(start))
        return replace(told, percent=percent, written=written, doubt=doubt, drift=drift)

    def fail(self, failure: Failure, info: PartInfo) -> FileResult:
        """As `Part.fail`. What was written of the picture goes."""
        for path in self.item.files:
            remove(path)
        return replace(self._result(info), error=failure.line(self.item.image))

    def _result(self, info: PartInfo) -> FileResult:
        result = FileResult(self.item.image, self.item.name, milliseconds=info.milliseconds)
        if info.facts is None:
            return result
        facts = info.facts
        said = "; ".join(filter(None, (facts.remark, *_notes(self.item.image)))) or None
        return replace(result, height=facts.height, width=facts.width, remark=said, seen=facts.seen)

    def _drift(self, facts: Facts) -> CaseDrift | None:
        """How it lies to the training images. Where their files told how large their pixels are, its header is read for that."""
        training = self.job.worker.predictor.training_images
        if training is None or facts.statistics is None:
            return None
        spacing = facts.spacing
        if spacing is None and training.spacing is not None and not self.item.channels:
            spacing = _spacing_of(self.item.image, self.job.max_pixels)
        features = [] if facts.features is None else [facts.features]
        return compare(training, [facts.statistics], (facts.height, facts.width), spacing, features)


def _spacing_of(image: Path, max_pixels: int) -> PixelSpacing | None:
    microns = open_image(image, max_pixels=max_pixels).microns
    return None if microns is None else (microns[0] / 1000, microns[1] / 1000)


def _notes(image: Path) -> tuple[str, ...]:
    """What the owner of a DICOM picture should know; its header has been read before."""
    return () if DicomAddress.parse(image) is None else open_image(image).notes
