"""Masks that people drew on what a viewer shows → files in the image's own format; and images for those who draw first."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.formats.contract import ANY_SIZE
from delineate.data.formats.registry import open_image, reads_volume
from delineate.inference.dicom_formats import is_dicom_result
from delineate.inference.image_input import read_input
from delineate.inference.overlay import to_display
from delineate.inference.plan import MaskFormat
from delineate.inference.results import FileResult
from delineate.inference.setup import context_of, plan_prediction
from delineate.inference.write import write_class_map, write_class_volume
from delineate.serve.answers import Answer, file_answer
from delineate.serve.body import Part
from delineate.serve.found import check_size_of, find_images, shown
from delineate.serve.limits import Limits
from delineate.serve.models import ServedModel
from delineate.serve.problems import Problem
from delineate.serve.scratch import Scratch
from delineate.serve.views import from_eye, npy, volume_shown
from delineate.serve.work import Opened

__all__ = ["Drawing", "Look"]


@dataclass
class _Files:
    """A request that reads files and predicts nothing (`work.Work`)."""

    model: ServedModel
    folder: Path
    limits: Limits
    charge: Callable[[int], None]
    parts: Sequence[Part]

    def open(self) -> Opened:
        """As `Work.open`."""
        return Opened((), None, None)

    def finish(self, results: Sequence[FileResult]) -> Answer:
        """As `Work.finish`."""
        try:
            return self._answer()
        except DataError as error:
            raise DataError(shown(str(error), self.folder)) from error

    def _answer(self) -> Answer:
        raise NotImplementedError

    def close(self) -> None:
        """As `Work.close`."""
        Scratch.remove(self.folder)


@dataclass
class Look(_Files):
    """A picture as a viewer shows it, to be drawn on."""

    def _answer(self) -> Answer:
        spec = self.model.spec
        found = find_images(self.parts, spec, self.limits, self.charge).images
        if len(found) != 1 or reads_volume(found[0].image):
            raise DataError("examples are drawn on pictures: send one picture, or a slice of the volume as a picture")
        check_size_of(open_image(found[0].image, max_pixels=ANY_SIZE), self.limits)
        pixels = read_input(found[0].image, found[0].channels, spec, self.limits.pixels)
        stream = io.BytesIO()
        with ZipFile(stream, "w", ZIP_STORED) as packed:
            packed.writestr("image.npy", npy(to_display(pixels)[None]))
        return Answer(stream.getvalue(), "application/zip", "view.zip")


@dataclass
class Drawing(_Files):
    """A mask on its way into a file."""

    output: MaskFormat = "auto"

    def _answer(self) -> Answer:
        sent = [part for part in self.parts if part.field == "mask"]
        images = [part for part in self.parts if part.field != "mask"]
        if len(sent) != 1 or not images:
            raise Problem("no_input", "send a form with a file 'image' and one file 'mask'")
        model, out = self.model.segmenter, self.folder / "out"
        found = find_images(images, model.spec, self.limits, self.charge)
        plan, dicom = plan_prediction(model, found, out, format=self.output)
        if len(plan.items) != 1:
            raise DataError("several images were sent: a mask is of one")
        item = plan.items[0]
        for path in [path for _, path in item.channels] or [item.image]:
            check_size_of(open_image(path, max_pixels=ANY_SIZE), self.limits)
        slices = _slices(sent[0].path, len(model.classes.names))
        out.mkdir()
        if not item.volume:
            height, width = open_image(item.image).shape[:2]
            _check_shape(slices, (1, height, width))
            indices = slices[0]
            if not is_dicom_result(item.mask):
                write_class_map(item.mask, indices, model.classes)
        else:
            handle, axis, placed = volume_shown(item, context_of(model, plan, dicom))
            plane = np.delete(handle.shape, axis).tolist()
            _check_shape(slices, (handle.shape[axis], *(reversed(plane) if placed else plane)))
            canonical = from_eye(slices, axis, placed=placed)
            indices = handle.as_stored(canonical)
            if not is_dicom_result(item.mask):
                write_class_volume(item.mask, canonical, model.classes, handle)
        if is_dicom_result(item.mask):
            assert dicom is not None, "the plan knows that there are DICOM objects"
            dicom.write(item.mask, indices, item.image)
        return file_answer(item.mask)


def _slices(path: Path, classes: int) -> NDArray[np.uint8]:
    """The mask that was sent."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        array = None
    if array is None or array.dtype != np.uint8 or array.ndim != 3:
        raise DataError("the mask is to be a .npy file, uint8, slices × height × width, as output=view gives it")
    if array.size and int(array.max()) >= classes:
        raise DataError(f"the mask has the value {array.max()}, and the model has {classes} classes")
    return array


def _check_shape(mask: NDArray[np.uint8], shape: Sequence[int]) -> None:
    if mask.shape != tuple(shape):
        sizes = ["×".join(map(str, one)) for one in (mask.shape, shape)]
        raise DataError(f"the mask is {sizes[0]}, and the image {sizes[1]} (slices × height × width)")
