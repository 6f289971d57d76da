"""A validation volume at the end of a run: segmented slice by slice as `predict` does, its mask on the image's own grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError, NotFiniteError
from delineate.data.cases.volumes import opened, volume_image, volume_mask
from delineate.data.core.geometry import Triple, pixel_spacing
from delineate.data.core.input_spec import Pixels
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.formats.contract import slab_of
from delineate.inference.axes_average import AxesAverage
from delineate.inference.segment import Failure, Output, Worker
from delineate.inference.segmenter import Prepared
from delineate.inference.write import volume_mask_name, write_class_volume

__all__ = ["SegmentedVolume", "axes_average", "segment_volume", "slice_outputs"]


@dataclass(frozen=True)
class SegmentedVolume:
    """Class indices in the order of axes of the image's file, as the command line scores them."""

    prediction: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    """255 = ignore."""
    spacing: Triple | None
    """Along each axis, in mm; None where the file does not tell."""
    plane: int
    """The slice with most of the reference, of equals with most of the prediction: its number across the axis, in the canonical
    order."""


def segment_volume(worker: Worker, manifest: Manifest, case: Case, axis: int, folder: Path) -> SegmentedVolume:
    """Segment a labeled case as the model does and write its label volume into `folder`. `axis`: that the telling slice is across,
    and all slices of a model of one axis.

    Raises `NotFiniteError` or `DataError` naming the case and the slice.
    """
    handle = opened([manifest.path(case.images[0])])
    image = volume_image(manifest, case, worker.predictor.spec.volume_numbers)
    reference, spacing = volume_mask(manifest, case), handle.geometry.millimeters
    if worker.predictor.spec.all_axes:
        prediction = axes_average(worker, case.id, image, spacing, folder).classes(worker.predictor)
    else:
        slices = [worker.classes(output) for output in slice_outputs(worker, case.id, image, axis, spacing)]
        prediction = np.stack(slices, axis)
    write_class_volume(folder / volume_mask_name(case.id, handle), prediction, manifest.classes, handle)
    marked = [np.moveaxis(_foreground(one), axis, 0).sum((1, 2)) for one in (reference, prediction)]
    plane = int(np.lexsort((marked[1], marked[0]))[-1])
    stored = handle.stored.geometry
    assert stored is not None, "volumes without a place are not opened"
    return SegmentedVolume(handle.turn.undo(prediction), handle.turn.undo(reference), stored.millimeters, plane)


def axes_average(worker: Worker, case: str, image: Pixels, spacing: Triple | None, folder: Path) -> AxesAverage:
    """Probabilities of a validation case, averaged over slices across each axis; they are kept in `folder`. The worker has `maps`.
    `spacing`: of the voxels, in the order of axes of `image`; None where the file does not tell.

    Raises as `segment_volume`.
    """
    shape = (image.shape[0], image.shape[1], image.shape[2])
    folder.mkdir(parents=True, exist_ok=True)
    average = AxesAverage(folder, worker.predictor.classes.outputs, shape)
    for axis in range(3):
        for index, output in enumerate(slice_outputs(worker, case, image, axis, spacing)):
            average.add(axis, index, worker.planes(output))
    return average


def slice_outputs(worker: Worker, case: str, image: Pixels, axis: int, spacing: Triple | None) -> Iterator[Output]:
    """What the network makes of each slice of a validation case, across an axis. Raises as `segment_volume`."""
    pixel = None if spacing is None else pixel_spacing(spacing, axis)
    depth, neighbors = image.shape[axis], worker.predictor.spec.neighbors
    for first in range(0, depth, worker.images):
        ready: list[Prepared] = []
        for index in range(first, min(first + worker.images, depth)):
            prepared = worker.prepare(slab_of(image, axis, index, neighbors), pixel)
            if isinstance(prepared, Failure):
                raise DataError(prepared.line(f"validation case {case}"))
            ready.append(prepared)
        for number, output in enumerate(worker.forward(ready), start=first):
            if isinstance(output, Failure):
                raise NotFiniteError(f"validation case {case}, slice {number}: {output.detail}")
            yield output


def _foreground(indices: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (indices > 0) & (indices != IGNORE)
