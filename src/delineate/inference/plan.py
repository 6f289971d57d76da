"""What a prediction will do: a list of images with the files that each will give, made and checked before anything is decoded.

A plan is plain data: it can be looked at, tested, divided among processes or sent to another machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from delineate.common.errors import DataError
from delineate.common.file_names import too_long
from delineate.data.core.findings import some
from delineate.data.core.input_spec import PixelSpacing
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.archives import Address
from delineate.data.formats.dicom_masks.suffixes import SEGMENTATION_SUFFIX, STRUCTURE_SET_SUFFIX
from delineate.data.formats.registry import image_suffix, reads_volume, volume_suffix
from delineate.data.formats.zarr_package import zarr
from delineate.inference import overwriting
from delineate.inference.dicom_formats import DicomFormat, why_not
from delineate.inference.inputs import Channel, Input, Inputs

__all__ = ["SUMMARY", "Item", "MaskFormat", "Plan", "make_plan", "relative"]

SUMMARY = "summary.csv"
_OVERLAYS, _MAPS, _UNCERTAINTY, _OUTLINES, _LABELS = "overlays", "probabilities", "uncertainty", "outlines", "labels"
"""Folders inside that of the masks."""
_PICTURES: dict[str, str] = {"png": ".png", "tiff": ".tif"}
_VOLUMES: dict[str, str] = {"nifti": ".nii.gz", "mha": ".mha", "nrrd": ".nrrd"}
_STACKS: dict[str, str] = {"tiff": ".tif"}
"""Format → the ending of masks in it: of pictures; of volumes, whose masks lie on their grid; and of those that tell no place in
the patient: TIFF stacks, and arrays in packed files."""
_OF_DICOM: dict[DicomFormat, str] = {"dicom-seg": SEGMENTATION_SUFFIX, "rtstruct": STRUCTURE_SET_SUFFIX}
"""The same of DICOM images."""
_OF_SUFFIX = {".tif": "tiff", ".tiff": "tiff", ".mha": "mha", ".mhd": "mha", ".nrrd": "nrrd", ".nhdr": "nrrd"}
"""Endings of images whose masks have their format where the user does not say; others get PNG or NIfTI."""
_OVERLAY = ".png"
_BESIDE = {"geojson": "GeoJSON holds outlines", "ome-zarr": "OME-Zarr holds labels"}
"""What is written beside masks of any format, in words."""

MaskFormat = Literal["auto", "png", "tiff", "nifti", "mha", "nrrd", "dicom-seg", "rtstruct", "geojson", "ome-zarr"]
"""`auto`: TIFF of a TIFF and PNG of other pictures; of a volume, its own format; TIFF of an array in a packed file; a segmentation
of a DICOM image. `geojson`, `ome-zarr`: of pictures the same, and outlines or labels beside it."""

_UNSAFE = re.compile(r"[^\w-]+")
"""Characters of class names that do not belong into a folder's name."""


@dataclass(frozen=True)
class Item:
    """One image, and where what is made of it goes."""

    image: Path
    """A file, or the address of a picture in a packed file (`data.formats.archives`); of several files the first."""
    name: str
    """Of its outputs, relative to the plan's folder, without suffix, in POSIX form."""
    mask: Path
    channels: tuple[Channel, ...] = ()
    """Where an image lies in several files, all of them."""
    overlay: Path | None = None
    """None where overlays were not asked for."""
    maps: tuple[Path, ...] = ()
    """Of the probabilities, one per output channel; empty where they were not asked for."""
    uncertainty: Path | None = None
    """Of the map of entropies; None where it was not asked for."""
    spacing: PixelSpacing | None = None
    """Of a picture's pixels in mm, where its data set tells; a volume's file tells its own."""
    volume: bool = False
    """Whether it is a volume, by its name: then masks and maps are volumes, too."""
    outlines: Path | None = None
    """GeoJSON, where it was asked for."""
    labels: Path | None = None
    """OME-Zarr, likewise: a folder."""
    streamed: bool = False
    """Whether it is a large picture that is read, computed and written by parts (`inference.streaming`)."""

    @property
    def files(self) -> list[Path]:
        """All files that the image gives."""
        further = (self.overlay, self.uncertainty, self.outlines, self.labels)
        return [self.mask, *(path for path in further if path is not None), *self.maps]


@dataclass(frozen=True)
class Plan:
    """Everything that one prediction will write into a folder."""

    folder: Path
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    """What the owner of the images should know: masks that were left out, whose splits were taken."""
    data_folders: frozenset[Path] = frozenset()
    """Those that the images and masks of data sets lie in."""

    @property
    def inputs(self) -> set[Path]:
        """The images' files, links resolved."""
        further = {path.resolve() for item in self.items for _, path in item.channels}
        return {item.image.resolve() for item in self.items} | further

    @property
    def masks(self) -> list[str]:
        """The masks' names, relative to the folder."""
        return [relative(item.mask, self.folder) for item in self.items]

    def check(self, overwrite: bool) -> None:
        """Raise `DataError` for outputs that clash, would replace an input or lie among the data, have too long a name, or are
        there already (unless `overwrite`, and they are earlier predictions). Reads the folder's names and its list, no image."""
        owners: dict[Path, Path] = {}
        masks: dict[Path, str] = {}
        inputs = self.inputs
        for item in self.items:
            for target in item.files:
                if target in owners:
                    raise DataError(f"{owners[target]} and {item.image} would both be written to {target}; rename one")
                if target.resolve() in inputs:
                    raise DataError(f"the mask of {item.image} would replace the image {target}; give another --out")
                if too_long(target.name):
                    raise DataError(f"the name of {item.image} is too long for {target.suffix} files; shorten it")
                owners[target], masks[target] = item.image, relative(item.mask, self.folder)
        overwriting.check_places(owners, self.data_folders)
        overwriting.check_existing(self.folder, masks, [self.folder / SUMMARY], overwrite)


def make_plan(
    inputs: Inputs,
    folder: Path,
    classes: ClassTable,
    *,
    overlay: bool = False,
    probabilities: bool = False,
    uncertainty: bool = False,
    format: MaskFormat = "auto",
    streams: Callable[[Input], bool] = lambda _: False,
) -> Plan:
    """The list of what predicting `inputs` into `folder` will write, in their order. Nothing is written; DICOM headers are read.

    `streams`: whether a picture is predicted by parts; its mask is TIFF then, and its overlay an overview.
    Raises `DataError` for an image whose mask cannot be of that format.
    """
    inner = _map_folders(folder, classes) if probabilities else []
    doubts = folder / _UNCERTAINTY if uncertainty else None
    items = tuple(_item(found, folder, overlay, inner, doubts, format, streams) for found in inputs.images)
    plain = [item.image.name for item in items if item.streamed]
    told = (
        (f"no maps of uncertainty of pictures that are read by windows: {some(plain, 3)}",)
        if uncertainty and plain
        else ()
    )
    return Plan(folder, items, (*inputs.notes, *told), inputs.folders)


def _map_folders(folder: Path, classes: ClassTable) -> list[Path]:
    """Where probability maps go: one folder, or of several classes or regions one for each, named by its number and its name."""
    base = folder / _MAPS
    if classes.outputs == 1:
        return [base]
    return [base / f"{index}_{_UNSAFE.sub('_', name)}" for index, name in enumerate(classes.channels)]


def relative(path: Path, folder: Path) -> str:
    """A path as the lists in `folder` name it."""
    return path.relative_to(folder).as_posix()


def _item(
    found: Input,
    folder: Path,
    overlay: bool,
    maps: Sequence[Path],
    doubts: Path | None,
    format: MaskFormat,
    streams: Callable[[Input], bool],
) -> Item:
    volume = reads_volume(found.image)
    if not volume and not found.channels and streams(found):
        if format not in ("auto", "tiff", *_BESIDE):
            raise DataError(
                f"{found.image} is read by windows and its mask written by parts, which TIFF allows and {format} does not: leave "
                "out --format"
            )
        file = f"{found.name}{_PICTURES['tiff']}"
        return Item(
            found.image,
            found.name,
            mask=folder / file,
            overlay=folder / _OVERLAYS / f"{found.name}{_OVERLAY}" if overlay else None,
            maps=tuple(inner / file for inner in maps),
            spacing=found.spacing,
            outlines=_outlines(found, folder, format),
            labels=_labels(found, folder, format),
            streamed=True,
        )
    file = f"{found.name}{_suffix(found.image, volume, format)}"
    map_file = f"{found.name}{_suffix(found.image, volume, format, maps=True)}"
    return Item(
        found.image,
        found.name,
        mask=folder / file,
        overlay=folder / _OVERLAYS / f"{found.name}{_OVERLAY}" if overlay else None,
        maps=tuple(inner / map_file for inner in maps),
        uncertainty=None if doubts is None else doubts / map_file,
        volume=volume,
        channels=found.channels,
        spacing=None if volume else found.spacing,
        outlines=_outlines(found, folder, format),
        labels=_labels(found, folder, format),
    )


def _outlines(found: Input, folder: Path, format: MaskFormat) -> Path | None:
    return folder / _OUTLINES / f"{found.name}.geojson" if format == "geojson" else None


def _labels(found: Input, folder: Path, format: MaskFormat) -> Path | None:
    if format != "ome-zarr":
        return None
    target = folder / _LABELS / f"{found.name}.ome.zarr"
    zarr(str(target))  # a missing package is told before anything is computed
    return target


def _suffix(image: Path, volume: bool, format: MaskFormat, *, maps: bool = False) -> str:
    stack = volume and (bool(image_suffix(image)) or Address.parse(image) is not None)
    known = _STACKS if stack else _VOLUMES if volume else _PICTURES
    if format in ("dicom-seg", "rtstruct"):
        if reason := why_not(image, format):
            raise DataError(f"{image} {reason}; leave out --format, or give {' or '.join(known)}")
        return next(iter(known.values())) if maps else _OF_DICOM[format]
    if format in _BESIDE and volume:
        raise DataError(f"{image} is a volume, and {_BESIDE[format]} of pictures: leave out --format")
    if format in ("auto", *_BESIDE):
        if not maps and not why_not(image, "dicom-seg"):
            return SEGMENTATION_SUFFIX
        own = _OF_SUFFIX.get(volume_suffix(image) if volume else image_suffix(image), "")
        return known.get(own) or next(iter(known.values()))
    if format not in known:
        kind = "volume without a place in the patient" if stack else "volume" if volume else "picture"
        raise DataError(
            f"{image} is a {kind}, whose mask can be {' or '.join(known)}, not {format}: leave out --format"
        )
    return known[format]
