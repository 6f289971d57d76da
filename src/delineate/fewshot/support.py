"""The support: a few images with masks, which show a model what to segment.

A mask holds class indices (0 = background, 255 = ignore), or is black and white: where all masks together hold only 0 and
255, or are boolean, white is the one foreground class. Files are read by the data room's label rules.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import write_json
from delineate.data.cases.census import OWN_VALUES, Census
from delineate.data.cases.facts import Facts
from delineate.data.cases.turned import stated, turned_apart
from delineate.data.core import labels
from delineate.data.core.findings import count
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.label_reading import named, read_by_evidence, read_by_table
from delineate.data.core.manifest import IGNORE, Case, ClassTable
from delineate.data.core.mask_values import mask_values
from delineate.data.formats.from_pillow import pillow_mask
from delineate.data.formats.registry import digest_of, read_image, read_mask, read_raw_labels
from delineate.data.layouts.source import DataSource, as_source
from delineate.inference.image_input import as_pixels

__all__ = ["Support", "check_number"]

_SUPPORT_FILE = "support.json"
_WHITE = 255


@dataclass(frozen=True)
class Support:
    """K images with their masks, checked to fit each other."""

    images: tuple[Pixels, ...]
    masks: tuple[NDArray[np.uint8], ...]
    """Class indices H×W at their image's size; 255 = ignore."""
    classes: ClassTable
    files: tuple[tuple[Path, Path], ...] = ()
    """Image and mask of each, where they were read from files."""
    planes: tuple[int, ...] = ()
    """Of volumes: which slice each is, numbered as the file has it."""
    placed: bool | None = None
    """Of volumes: whether they tell where in the patient they lie (`InputSpec.placed`)."""

    def __post_init__(self) -> None:
        names = [f"{image} and {mask}" for image, mask in self.files] or [
            f"number {at}" for at in range(1, len(self.images) + 1)
        ]
        for name, image, mask in zip(names, self.images, self.masks, strict=True):
            if mask.shape != image.shape[:2]:
                raise DataError(
                    f"support image and mask differ in size ({_size(image)} and {_size(mask)}): {name}; give the mask that was "
                    "drawn on this image"
                )
            if not _labels([mask]):
                raise DataError(f"the support mask is empty: {name}; mark what is to be found, or leave this pair out")
        if self.labels[-1] >= len(self.classes.names):
            raise DataError(
                f"support masks hold class {self.labels[-1]}, but {count(len(self.classes.names), 'class', 'classes')} have names: "
                f"{', '.join(self.classes.names)}"
            )

    @property
    def labels(self) -> list[int]:
        """Indices of the classes that the masks show, ascending."""
        return _labels(self.masks)

    def for_model(self, spec: InputSpec) -> Support:
        """The support that a model is shown; pictures are read alike for all (`fewshot.support_volumes` for what is not)."""
        return self

    @property
    def census(self) -> Census:
        """Of its images, as if they were a dataset: what settles the input of a method that was not trained."""
        found = {}
        for at, image in enumerate(self.images):
            channels = "gray" if image.ndim == 2 or image.shape[2] == 1 else "RGB"
            bits = 8 * image.dtype.itemsize if image.dtype.kind == "u" else OWN_VALUES
            height, width = image.shape[:2]
            found[str(at)] = Facts(height, width, channels, bits, values={}, pixels="")
        return Census(found)

    @classmethod
    def of(cls, images: Any, masks: Any, classes: ClassTable | None = None, spec: InputSpec | None = None) -> Support:
        """From arrays, Pillow images or paths: lists of equal length, or one bare pair. `spec`: of the model; it says what numbers
        and channels arrays may have. Raises `DataError`."""
        taken = ("range", "") if spec is None else (spec.intensity, spec.channels)
        pixels = [as_pixels(image, *taken) for image in _listed(images)]
        read = _indices([_as_mask(mask) for mask in _listed(masks)])
        check_number(len(pixels), len(read))
        return cls(tuple(pixels), tuple(read), classes or _named(_labels(read)))

    @classmethod
    def of_files(cls, pairs: Sequence[tuple[Path, Path]], described: ClassTable | None = None) -> Support:
        """From pairs of image and mask files; mask values are read as `described` says, or as those of a data set of their own.

        Raises `DataError`.
        """
        raw = [read_raw_labels(mask) for _, mask in pairs]
        files = [mask_values(one, str(mask)) for one, (_, mask) in zip(raw, pairs, strict=True)]
        for one, (image, mask) in zip(files, pairs, strict=True):
            if set(one.counts) == {0}:
                raise DataError(
                    f"the support mask is empty: {image} and {mask}; mark what is to be found, or leave this pair out"
                )
        try:
            if described is not None and described.labels is not None:
                reading = read_by_table(described, files)
            else:
                reading = read_by_evidence(files)
        except DataError as error:
            raise DataError(f"support masks ({pairs[0][1]} …): {error}") from error
        _warn_of_turns(pairs)
        masks = [
            labels.apply(reading.rule, one.as_coded(reading.rule.coding, mask), mask)
            for one, (_, mask) in zip(raw, pairs, strict=True)
        ]
        classes = reading.classes.model_copy(update={"labels": reading.rule})
        return cls(tuple(read_image(image) for image, _ in pairs), tuple(masks), classes, tuple(pairs))

    @classmethod
    def of_folder(cls, data: Path | DataSource) -> Support:
        """All labeled images of a folder in any layout that the data room reads (`images/` and `masks/`, …).

        Raises `DataError`, also for an image whose mask lies in several files.
        """
        source = as_source(data)
        folder, manifest = source.path, source.manifest()
        if manifest.channels:
            raise DataError(
                f"the images of {folder} lie in several files each ({', '.join(manifest.channels)}); in a support each is one"
            )
        pairs = []
        for case in manifest.cases:
            if len(case.masks) > 1:
                raise DataError(
                    f"support image {case.images[0]} in {folder} has several masks; merge them into one file"
                )
            if case.masks:
                pairs.append((manifest.path(case.images[0]), manifest.path(case.masks[0])))
        if not pairs:
            raise DataError(f"{folder} holds no image with a mask; a support needs one at least")
        return cls.of_files(pairs, manifest.classes)

    def save(self, folder: Path) -> None:
        """Write `support.json`: which files were shown, by name and SHA-256, and the classes they show. Atomic."""
        shown: list[dict[str, Any]] = [
            {"image": str(image), "image_sha256": digest_of(image), "mask": str(mask), "mask_sha256": digest_of(mask)}
            for image, mask in self.files
        ]
        for one, plane in zip(shown, self.planes, strict=False):
            one["slice"] = plane
        write_json(folder / _SUPPORT_FILE, {"classes": list(self.classes.names), "support": shown})


def _warn_of_turns(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Warn of masks that EXIF turns otherwise than their images; sizes that do not fit are refused elsewhere."""
    cases = [Case(id=str(image), images=(str(image),), masks=(str(mask),)) for image, mask in pairs]
    for finding in turned_apart(cases, {str(image): stated([image], [mask]) for image, mask in pairs}):
        warnings.warn(str(finding), stacklevel=4)


def check_number(images: int, masks: int) -> None:
    """Raise `DataError` where there are not as many masks as images, or none."""
    if images != masks:
        raise DataError(
            f"the support has {count(images, 'image')} but {count(masks, 'mask')}; give one mask for each image"
        )
    if not images:
        raise DataError("the support is empty; give one image with its mask at least")


def _listed(given: Any) -> list[Any]:
    bare = isinstance(given, str | Path) or hasattr(given, "convert")
    return [given] if bare or (isinstance(given, np.ndarray) and given.ndim <= 3) else list(given)


def _as_mask(mask: Any) -> NDArray[Any]:
    if isinstance(mask, str | Path):
        return read_mask(Path(mask))
    if hasattr(mask, "convert"):
        mask = pillow_mask(mask)
    array = np.asarray(mask)
    if array.ndim != 2 or array.dtype.kind not in "bui":
        raise DataError(
            f"a support mask is H×W, of booleans or whole numbers, not {array.dtype} of shape {array.shape}; give class indices"
        )
    if array.dtype.kind != "b" and array.size and (array.min() < 0 or array.max() > IGNORE):
        raise DataError(f"support masks hold class indices 0…254 (255 = ignore), not {array.min()}…{array.max()}")
    return array


def _indices(masks: Sequence[NDArray[Any]]) -> list[NDArray[np.uint8]]:
    """Masks as given → class indices; black and white becomes 0 and 1."""
    white = not any(np.isin(mask, (0, _WHITE), invert=True).any() for mask in masks)
    return [(mask > 0 if white else mask).astype(np.uint8) for mask in masks]


def _labels(masks: Sequence[NDArray[np.uint8]]) -> list[int]:
    seen = {int(value) for mask in masks for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=256))}
    return sorted(seen - {0, IGNORE})


def _named(found: Sequence[int]) -> ClassTable:
    if not found or found[-1] == 1:
        return ClassTable()
    return named(range(found[-1] + 1))


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]}×{array.shape[0]}"
