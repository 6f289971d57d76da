"""What a viewer shows: slices of 8 bits as people look at them, with their masks and maps, whatever format was sent.

A zip of NumPy arrays that are not packed, so that a script in a browser reads them by their offsets:

image.npy           uint8 slices × height × width, or × 3 colors
mask.npy            uint8 slices × height × width, class indices
probabilities.npy   uint8 planes × slices × height × width, 255 is 1; of pictures float32, so that a threshold decides as it does
                    for `predict`; where asked for
uncertainty.npy     uint8 slices × height × width; where asked for
result.json         facts, with `view`: distances of pixels (rows, columns) and of slices in mm, where known

A picture is one slice. Those of volumes are turned as on contact sheets: front or head above, the patient's right on the left.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.data.cases.pixels import fitted
from delineate.data.cases.volumes import as_numbers, opened
from delineate.data.core.geometry import pixel_spacing
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.contract import ANY_SIZE
from delineate.data.formats.registry import open_image
from delineate.inference.contact_sheet import turned
from delineate.inference.doubt import entropy_of
from delineate.inference.image_input import read_input
from delineate.inference.overlay import to_display
from delineate.inference.parts import PredictionContext
from delineate.inference.plan import Item
from delineate.inference.shading import shaded
from delineate.serve.options import SegmentQuery

__all__ = ["View", "from_eye", "npy", "view_of", "volume_shown"]

_BYTES = 257
"""Of 65536 steps of a map in one of 256."""


class View:
    """Arrays, and how far apart what they show lies."""

    def __init__(self, arrays: dict[str, NDArray[Any]], spacing: Sequence[float] | None, step: float | None) -> None:
        self.arrays = arrays
        self.facts: dict[str, Any] = {
            "spacing": None if spacing is None else list(spacing),
            "slice_spacing": step,
            "shapes": {name: list(array.shape) for name, array in arrays.items()},
        }


def view_of(
    item: Item, mask: NDArray[np.uint8], job: PredictionContext, planes: NDArray[np.float32] | None, query: SegmentQuery
) -> View:
    """What is shown of an image that was predicted.

    Args:
        item: Of its plan; the image and its files are there.
        mask: Its class indices, in the order of its mask's file.
        job: Of the prediction.
        planes: Probabilities of a picture, where they were kept.
        query: What was asked for.

    Returns:
        The arrays.
    """
    return _volume(item, mask, job) if item.volume else _picture(item, mask, job, planes, query)


def volume_shown(item: Item, job: PredictionContext) -> tuple[Canonical, int, bool]:
    """A volume of a plan, the canonical axis that its slices are shown across, and whether they are turned for the eye."""
    volume = opened([path for _, path in item.channels] or [item.image], [name for name, _ in item.channels])
    handle = Canonical(fitted(volume.stored, job.worker.predictor.spec))
    return handle, job.axes_of(handle.geometry)[0], handle.geometry.tells == "place"


def from_eye(slices: NDArray[np.uint8], axis: int, *, placed: bool) -> NDArray[np.uint8]:
    """A mask of slices as they are shown → X×Y×Z in the canonical order."""
    stack = slices[:, ::-1, ::-1].swapaxes(1, 2) if placed else slices
    return np.ascontiguousarray(np.moveaxis(stack, 0, axis))


def npy(array: NDArray[Any]) -> bytes:
    """An array as the content of a `.npy` file."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array))
    return stream.getvalue()


def _picture(
    item: Item, mask: NDArray[np.uint8], job: PredictionContext, planes: NDArray[np.float32] | None, query: SegmentQuery
) -> View:
    pixels = read_input(item.image, item.channels, job.worker.predictor.spec, job.max_pixels)
    arrays: dict[str, NDArray[Any]] = {"image": to_display(pixels)[None], "mask": mask[None]}
    if planes is not None and query.probabilities:
        arrays["probabilities"] = planes[:, None]
    if planes is not None and query.uncertainty:
        arrays["uncertainty"] = np.rint(255 * entropy_of(planes, job.worker.predictor.classes)).astype(np.uint8)[None]
    spacing = item.spacing
    if spacing is None and not item.channels and (microns := open_image(item.image, max_pixels=ANY_SIZE).microns):
        spacing = microns[0] / 1000, microns[1] / 1000
    return View(arrays, spacing, None)


def _volume(item: Item, mask: NDArray[np.uint8], job: PredictionContext) -> View:
    spec = job.worker.predictor.spec
    handle, axis, placed = volume_shown(item, job)
    written = opened([item.mask])

    def slices(voxels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack([turned(plane, placed) for plane in np.moveaxis(voxels, axis, 0)])

    arrays: dict[str, NDArray[Any]] = {
        "image": slices(shaded(as_numbers(handle, spec.volume_numbers), spec, item.image)),
        "mask": slices(written.turn.apply(mask)),
    }
    if item.maps:
        arrays["probabilities"] = np.stack([slices(_map(_canonical(path))) for path in item.maps])
    if item.uncertainty is not None:
        arrays["uncertainty"] = slices(_map(_canonical(item.uncertainty)))
    known = handle.geometry.millimeters
    if known is None:
        return View(arrays, None, None)
    rows, columns = pixel_spacing(known, axis)
    return View(arrays, (columns, rows) if placed else (rows, columns), known[axis])


def _canonical(path: Any) -> NDArray[Any]:
    handle = opened([path])
    return handle.turn.apply(handle.stored.read())


def _map(values: NDArray[Any]) -> NDArray[np.uint8]:
    """A map as its file is read: whole numbers of which 65535 is 1, or scaled by the file itself."""
    whole = values if values.dtype.kind == "u" else np.rint(values * 65535)
    return np.rint(whole / _BYTES).astype(np.uint8)
