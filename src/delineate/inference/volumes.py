"""Volumes: they are cut into slices, and after the last slice, one mask is written on the image's own grid.

Slices are cut as in training: in the canonical order of axes (`data.formats.canonical`), whatever order the file has, and with gray
values by the volume's own range. In memory are the volume's bytes and its mask. Probabilities wait in a temporary file, also where
those across several axes are averaged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from delineate.artefact.postprocessing import Postprocessing
from delineate.common.errors import DataError
from delineate.data.cases.pixels import fitted
from delineate.data.cases.volumes import as_numbers, opened
from delineate.data.core.axes import AXES
from delineate.data.core.findings import some
from delineate.data.core.geometry import pixel_spacing
from delineate.data.core.input_spec import Pixels, PixelSpacing
from delineate.data.core.manifest import ClassTable
from delineate.data.core.mask_values import count_values
from delineate.data.core.modality import other_modality
from delineate.data.formats.archives import Address
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.contract import slab_of
from delineate.data.formats.images import write_image
from delineate.inference.axes_average import AxesAverage
from delineate.inference.check_results import check_volume
from delineate.inference.contact_sheet import draw_contact_sheet
from delineate.inference.dicom_formats import is_dicom_result
from delineate.inference.doubt import DoubtSums, entropy_of
from delineate.inference.expected_dice import case_doubt
from delineate.inference.map_store import MapStore
from delineate.inference.measuring import Vector
from delineate.inference.outside import CaseDrift, compare
from delineate.inference.parts import PartInfo, PredictionContext
from delineate.inference.plan import Item
from delineate.inference.results import FileResult
from delineate.inference.segment import NO_MEMORY, Failure, Output, Worker
from delineate.inference.shading import shaded
from delineate.inference.trained_values import far_from_training
from delineate.inference.write import fractions, listed, write_class_volume, write_map_volume

__all__ = ["Slice", "Unreadable", "Volume", "slices_of"]

_LATER = "a slice before it failed"
"""Why a slice of a volume that has no mask any more is not read."""


@dataclass(frozen=True)
class Slice:
    """One slice of a volume (a `parts.Part`)."""

    volume: Volume
    axis: int
    """The canonical axis that it lies across."""
    index: int
    """Across that axis, from 0."""

    @property
    def spacing(self) -> PixelSpacing | None:
        """As `Part.spacing`."""
        return self.volume.pixel_spacing(self.axis)

    @property
    def siblings(self) -> int:
        """As `Part.siblings`."""
        return sum(map(self.volume.depth, self.volume.axes))

    def read(self) -> Pixels:
        """As `Part.read`."""
        return self.volume.slice(self.axis, self.index)

    def store(self, worker: Worker, output: Output, info: PartInfo) -> FileResult | None:
        """As `Part.store`."""
        start = time.perf_counter()
        self.volume.put(self.axis, self.index, worker, output)
        return self.volume.done(info.later(start))

    def fail(self, failure: Failure, info: PartInfo) -> FileResult | None:
        """As `Part.fail`: without one of its slices a volume has no mask."""
        self.volume.mark_failed(self.axis, self.index, failure)
        return self.volume.done(info)


@dataclass(frozen=True)
class Unreadable:
    """A volume that could not be opened (a `parts.Part`)."""

    item: Item
    error: Exception
    spacing: None = None
    siblings: int = 1

    def read(self) -> Pixels:
        """As `Part.read`."""
        raise self.error

    def store(self, worker: Worker, output: Output, info: PartInfo) -> FileResult | None:
        """Never called: nothing is read."""
        raise NotImplementedError

    def fail(self, failure: Failure, info: PartInfo) -> FileResult:
        """As `Part.fail`."""
        return FileResult(self.item.image, self.item.name, error=failure.line(self.item.image))


def slices_of(item: Item, job: PredictionContext) -> Iterator[Slice | Unreadable]:
    """The parts of a volume. Reads its header alone."""
    try:
        volume = Volume(item, job)
    except (DataError, *NO_MEMORY) as error:
        yield Unreadable(item, error)
        return
    yield from (Slice(volume, axis, index) for axis in volume.axes for index in range(volume.depth(axis)))


class Volume:
    """A volume whose slices are being segmented, by several threads and in whatever order they are done."""

    def __init__(self, item: Item, job: PredictionContext) -> None:
        """Raises `DataError` for a file that is no volume, or does not tell where its voxels lie."""
        self._item, self._job = item, job
        files = [path for _, path in item.channels] or [item.image]
        volume = opened(files, [name for name, _ in item.channels])
        self._handle = Canonical(fitted(volume.stored, job.worker.predictor.spec))
        address = Address.parse(item.image)
        if address is not None and job.worker.predictor.spec.axis is None:
            raise DataError(
                f"{item.image} is a volume, and the model was trained on pictures, whose values are read otherwise: give its "
                f"slices, {address.file.name}#{address.array}.0 to .{self._handle.shape[2] - 1}"
            )
        if self._handle.geometry.millimeters is None:
            _check_sizes_known(item.image, job.worker.predictor.postprocessing)
        self.axes = job.axes_of(self._handle.geometry)
        self.axis = self.axes[0]
        depth = self.depth(self.axis)
        self._average = AxesAverage(job.folder, self._classes.outputs, self._handle.shape) if job.all_axes else None
        self._maps = MapStore(job.folder, depth) if item.maps and self._average is None else None
        self._doubts = MapStore(job.folder, depth) if item.uncertainty is not None and self._average is None else None
        self._sums: DoubtSums | None = None
        self._statistics: list[Vector] = []
        self._features: list[Vector] = []
        self._voxels: Pixels | None = None
        self._flat: tuple[str, ...] = ()
        self._far: str | None = None
        planes = (depth, *np.delete(self._handle.shape, self.axis).tolist())
        self._indices = np.moveaxis(np.zeros(planes, np.uint8), 0, self.axis)  # each slice in one piece
        self._reading, self._lock = Lock(), Lock()
        self._slices_left = sum(map(self.depth, self.axes))
        self._info = PartInfo()
        self._failed: tuple[int, int, Failure] | None = None

    def depth(self, axis: int) -> int:
        """Number of slices across a canonical axis."""
        return self._handle.shape[axis]

    def pixel_spacing(self, axis: int) -> PixelSpacing | None:
        """Of the pixels of slices across an axis, in mm; None where the file does not tell."""
        known = self._handle.geometry.millimeters
        return None if known is None else pixel_spacing(known, axis)

    def slice(self, axis: int, index: int) -> Pixels:
        """H×W(×channels), as the network was trained on. Raises `DataError` for voxels that cannot be read."""
        if self._failed is not None:
            raise DataError(_LATER)
        with self._reading:
            if self._voxels is None:
                spec = self._job.worker.predictor.spec
                self._voxels = as_numbers(self._handle, spec.volume_numbers)
                self._flat = _flat_words(self._voxels, spec.channels)
                self._far = far_from_training(self._voxels, spec, self._item.image)
        return slab_of(self._voxels, axis, index, self._job.worker.predictor.spec.neighbors)

    def put(self, axis: int, index: int, worker: Worker, output: Output) -> None:
        """What the network made of a slice."""
        if output.doubt is not None:
            with self._lock:
                self._sums = output.doubt if self._sums is None else self._sums + output.doubt
        if output.facts.statistics is not None:
            with self._lock:
                self._statistics.append(output.facts.statistics)
                if output.facts.features is not None:
                    self._features.append(output.facts.features)
        if self._average is not None:
            self._average.add(axis, index, worker.planes(output))
            return
        np.moveaxis(self._indices, self.axis, 0)[index] = worker.classes(output)
        if self._maps is not None:
            for channel, plane in enumerate(worker.planes(output)):
                self._maps.put(channel, index, plane)
        if self._doubts is not None:
            self._doubts.put(0, index, worker.uncertainty(output))

    def mark_failed(self, axis: int, index: int, failure: Failure) -> None:
        """A slice that has no mask; of several the first is told."""
        place = self.axes.index(axis), index
        with self._lock:
            if failure.detail != _LATER and (self._failed is None or place < self._failed[:2]):
                self._failed = (*place, failure)

    def done(self, info: PartInfo) -> FileResult | None:
        """One more slice is done; with the last, the files are written and the result is there."""
        with self._lock:
            spent = self._info.milliseconds + info.milliseconds
            self._info = PartInfo(spent, self._info.facts or info.facts)
            self._slices_left -= 1
            if self._slices_left:
                return None
        start = time.perf_counter()
        failed = self._failed
        try:
            result = self._write_files() if failed is None else self._failure_result(*failed)
        except DataError as error:  # the volume has a result all the same, or it would be lost without a word
            result = self._failure_result(0, 0, Failure("data", str(error)))
        except NO_MEMORY as error:
            result = self._failure_result(0, 0, Failure.of_memory(error))
        return replace(result, milliseconds=self._info.later(start).milliseconds)

    @property
    def _classes(self) -> ClassTable:
        return self._job.worker.predictor.classes

    @property
    def _result(self) -> FileResult:
        width, height, depth = self._handle.stored.shape
        if self._handle.geometry.tells != "place":
            width, height = height, width  # rows come first
        facts = self._info.facts
        remark = () if facts is None or facts.remark is None else (facts.remark,)
        far = () if self._far is None else (self._far,)
        other = other_modality(self._handle.modality, self._job.worker.predictor.spec.modality)
        foreign = () if other is None else (other,)
        turned = self._turned()
        said = "; ".join((*foreign, *remark, *turned, *self._flat, *far, *self._handle.notes)) or None
        spacing = self._handle.geometry.millimeters
        return FileResult(self._item.image, self._item.name, height, width, depth=depth, remark=said, spacing=spacing)

    def _turned(self) -> tuple[str, ...]:
        """Remarks: the volume is one slice that is not seen as such; only it, or only those of the training, have directions."""
        flat = [axis for axis in range(3) if self._handle.shape[axis] == 1]
        if not flat or self.axis in flat:
            return self._undirected()
        edge = (
            f"the volume is one slice across {AXES[flat[0]]}, and the model sees slices across {AXES[self.axis]}, which are one "
            "voxel wide in it: the mask means nothing"
        )
        return (edge, *self._undirected())

    def _undirected(self) -> tuple[str, ...]:
        shown = self._job.worker.predictor.spec.placed
        if shown is None or shown == (self._handle.geometry.tells == "place"):
            return ()
        does, did = ("does not tell", "did") if shown else ("tells", "did not")
        return (
            f"it {does} where in the patient its voxels lie, and the volumes that the model was shown {did}: its slices may lie "
            "turned or mirrored against theirs; compare them in a viewer, or convert one kind to the other's format",
        )

    def _write_files(self) -> FileResult:
        item, handle, classes = self._item, self._handle, self._classes
        predictor = self._job.worker.predictor
        found = self._indices if self._average is None else self._average.classes(predictor)
        self._indices = predictor.postprocess(found, handle.geometry.voxel_volume)
        found_classes = count_values(self._indices)
        counts = np.array([found_classes.get(at, 0) for at in range(1, len(classes.names))])
        self._write_mask()
        if item.overlay is not None:
            write_image(item.overlay, self._sheet())
        for channel, path in enumerate(item.maps):
            write_map_volume(path, self._map(channel), handle)
        if item.uncertainty is not None:
            write_map_volume(item.uncertainty, self._entropies(), handle)
        doubt = None if self._sums is None else case_doubt(self._sums, predictor.expected_dice)
        seen = predictor.known.role_of_digest(handle.digest())
        return replace(
            self._result,
            percent=tuple((100 * counts / self._indices.size).tolist()),
            milliliters=tuple((counts * handle.geometry.voxel_volume / 1000).tolist())
            if handle.geometry.millimeters
            else (),
            seen=seen,
            written=listed(item, self._job.folder, seen, doubt),
            doubt=doubt,
            drift=self._drift(),
        )

    def _drift(self) -> CaseDrift | None:
        """Of slices of several axes, sizes are not compared: they differ from axis to axis."""
        training = self._job.worker.predictor.training_images
        size = tuple(np.delete(self._handle.shape, self.axis).tolist()) if len(self.axes) == 1 else None
        return None if training is None else compare(training, self._statistics, size, features=self._features)

    def _entropies(self) -> NDArray[np.uint16]:
        """In the canonical order, as `write.fractions`."""
        if self._doubts is not None:
            return np.moveaxis(self._doubts.read(0), 0, self.axis)
        assert self._average is not None, "slices of one axis have a store of their own"
        average, channels = self._average, range(self._classes.outputs)
        return fractions(entropy_of((average.probabilities(channel) for channel in channels), self._classes))

    def _map(self, channel: int) -> NDArray[np.uint16]:
        """Probabilities in the canonical order, as `write.fractions`."""
        if self._average is not None:
            return fractions(self._average.probabilities(channel))
        assert self._maps is not None, "the worker was asked for them"
        return np.moveaxis(self._maps.read(channel), 0, self.axis)

    def _write_mask(self) -> None:
        mask, stored = self._item.mask, self._handle.as_stored(self._indices)
        if is_dicom_result(mask):
            assert self._job.dicom is not None, "the plan knows that there are DICOM objects"
            self._job.dicom.write(mask, stored, self._item.image)
        else:
            write_class_volume(mask, self._indices, self._classes, self._handle)
        if self._job.check:
            check_volume(mask, stored, self._handle.stored)

    def _failure_result(self, place: int, index: int, failure: Failure) -> FileResult:
        """`place`: among the axes."""
        for path in self._item.files:
            path.unlink(missing_ok=True)
        image = str(self._item.image)
        if failure.kind == "not finite":
            axis, number = self._stored(self.axes[place], index)
            image += f", slice {number} of axis {axis}"
        return replace(self._result, error=failure.line(image))

    def _sheet(self) -> NDArray[np.uint8]:
        handle = self._handle
        shown = self._job.references.volume(self._item.name, handle)
        assert self._voxels is not None, "all slices were read"
        shade = shaded(self._voxels, self._job.worker.predictor.spec, self._item.image)
        image, indices = (np.moveaxis(each, self.axis, 0) for each in (shade, self._indices))
        expected = None if shown is None else np.moveaxis(shown, self.axis, 0)
        numbers = [self._stored(self.axis, index)[1] for index in range(self.depth(self.axis))]
        placed = handle.geometry.tells == "place"
        return draw_contact_sheet(image, indices, self._classes, numbers, expected, placed=placed)

    def _stored(self, axis: int, index: int) -> tuple[int, int]:
        """Axis and number of a slice in the file's own order."""
        return self._handle.turn.stored_slice(axis, index, self.depth(axis))


def _flat_words(voxels: Pixels, channels: str | tuple[str, ...]) -> tuple[str, ...]:
    """A remark where there is nothing to be seen in a volume, or in one of its channels; a pass over the voxels."""
    flat = np.atleast_1d(voxels.min((0, 1, 2)) == voxels.max((0, 1, 2)))
    if not flat.any():
        return ()
    if flat.all() or isinstance(channels, str):
        return ("the volume has one value throughout: nothing can be seen in it",)
    named = some([name for name, one in zip(channels, flat, strict=True) if one])
    return (f"the volume has one value throughout in the channel {named}: nothing can be seen there",)


def _check_sizes_known(image: Path, chosen: Postprocessing | None) -> None:
    """Raise `DataError` for a volume that does not tell how large its voxels are, where the post-processing needs that."""
    if chosen is None or chosen.dimensions != 3 or chosen.unit != "mm":
        return
    if any(rule.min_size for rule in chosen.rules):
        raise DataError(
            f"{image} does not tell how large its voxels are, and the model's post-processing has sizes in mm³: save it with its "
            "spacing, or predict without (--no-postprocess)"
        )
