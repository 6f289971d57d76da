"""What reading one case's files shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from delineate.common.errors import DataError
from delineate.data.core.input_spec import Pixels, PixelSpacing
from delineate.data.core.intensity import shown
from delineate.data.core.known import picture_digest
from delineate.data.core.manifest import Case, LabelRule, Manifest
from delineate.data.core.mask_values import MaskValues, mask_values
from delineate.data.formats.contract import ImageHandle
from delineate.data.formats.registry import open_image
from delineate.data.formats.several import joined

__all__ = [
    "AS_STORED",
    "Facts",
    "Planes",
    "Read",
    "Values",
    "VolumeFacts",
    "Watch",
    "check_same_file",
    "differing",
    "fullest",
    "read_picture",
]

Watch = Callable[[str, Pixels], None]
"""Called with a case's id and what people see of it (`cases.pixels.case_view`; of a volume: one slice), from several threads."""


AS_STORED = "unknown"
"""Orientation of a volume that does not tell its own: rows, columns and planes as they are stored."""


@dataclass(frozen=True)
class Values:
    """What values the voxels of a channel have."""

    low: float
    dark: float
    """Of which 1 % are lower."""
    bright: float
    """Of which 1 % are higher."""
    high: float


@dataclass(frozen=True)
class VolumeFacts:
    """What a volume's header tells, and its voxels where they were decoded."""

    shape: tuple[int, int, int]
    """In the order of the file."""
    orientation: str
    """Where the file's axes go: `RAS`, `LPI` …, or `AS_STORED`."""
    tilt: float
    """By how many degrees they lie oblique at most."""
    sizes: tuple[int, int, int]
    """In the canonical order: right-left, back-front, feet-head."""
    spacing: tuple[float, float, float] | None
    """In millimeters, in the canonical order; None where the file does not tell."""
    dtype: str
    values: tuple[Values, ...] = ()
    """Of each channel; none where the voxels were not decoded."""


@dataclass(frozen=True)
class Planes:
    """The slices of a volume across a canonical axis."""

    axis: int
    height: int
    """Of each slice, in pixels, as is the width."""
    width: int
    spacing: PixelSpacing | None
    """Of its pixels, in mm; None where the file does not tell."""
    values: tuple[Mapping[int, int], ...]
    """Of each slice, raw mask value → pixels."""


@dataclass(frozen=True)
class Facts:
    """What reading one case showed."""

    height: int
    """Of the image, or of a volume's slices."""
    width: int
    channels: str
    """'gray', 'RGB' or 'RGBA'; of channels in files of their own their names: 'T1 + FLAIR'."""
    bits: int
    """8, 16, or 32 of pictures with values of their own (floats, signed numbers)."""
    values: dict[int, int]
    """Raw mask value → pixels, over all masks of the case."""
    pixels: str
    """SHA-256 of the decoded image: equal pictures have equal hashes, whatever their file format. Of a volume, of its file."""
    constant: bool = False
    """Whether the image has one value throughout: such pictures are equal without being copies."""
    turns: tuple[int, ...] = ()
    """EXIF orientations that the image's files and those of its masks state (`data.formats.orientation`); 1 is upright."""
    named: tuple[str, ...] = ()
    """Names of the channels that are files of their own."""
    planes: tuple[Mapping[int, int], ...] = ()
    """Of a volume: `values` of each of its slices. Pictures have none."""
    further: tuple[Planes, ...] = ()
    """Of a volume of which slices across all axes were asked for: those across the two others."""
    volume: VolumeFacts | None = None
    spacing: PixelSpacing | None = None
    """Of its pixels, or of those of a volume's slices, in mm; None where it is not known."""
    large: bool = False
    """Whether it is a picture that is read by windows (`data.cases.large`); `pixels` is then the hash of its file."""
    span: tuple[float, float] | None = None
    """Of pictures with values of their own: the least and the most."""

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of the image, or of the slices across each axis."""
        return ((self.height, self.width), *((each.height, each.width) for each in self.further))

    @property
    def spacings(self) -> tuple[PixelSpacing | None, ...]:
        """Of pixels, for each of `sizes`."""
        return (self.spacing, *(each.spacing for each in self.further))

    def class_pixels(self, rule: LabelRule) -> dict[int, int]:
        """Class index → pixels, as the rule reads the raw values; several masks of one image are counted each."""
        return rule.class_pixels(self.values)


@dataclass(frozen=True)
class Read:
    """A case that was read."""

    case: Case
    """With the hashes of its files, and of a volume the distances of its voxels."""
    facts: Facts
    masks: list[MaskValues]


def read_picture(manifest: Manifest, case: Case, max_pixels: int, watch: Watch | None) -> Read:
    """Decode a picture and its masks. Raises `DataError` for files that are damaged, differ in size or are not the manifest's."""
    hashes: dict[str, str] = {}
    turns: list[int] = []

    def opened(relative: str) -> ImageHandle:
        found = open_image(manifest.path(relative), max_pixels=max_pixels)
        hashes[relative] = found.digest()
        check_same_file(manifest, case, relative, hashes[relative])
        turns.append(found.orientation)
        return found

    files = [opened(relative) for relative in case.images]
    image = joined(files, manifest.channels).read()
    masks = []
    for relative in case.masks:
        path = manifest.path(relative)
        mask = opened(relative).labels()
        if mask.pixels.shape[:2] != image.shape[:2]:
            raise DataError(differing(str(path), mask.pixels.shape[:2], str(files[0].path), image.shape[:2]))
        masks.append(mask_values(mask, relative))
    if watch is not None:
        watch(case.id, shown(files[0].read()))
    facts = replace(_facts(image, manifest.channels), turns=tuple(turns), spacing=case.pixel_spacing)
    seen = None if facts.constant else facts.pixels
    return Read(case.model_copy(update={"hashes": hashes, "pixels": seen}), facts, masks)


def fullest(planes: Sequence[Mapping[int, int]]) -> int:
    """Of a volume's slices, raw value → pixels each: the one with most labels, the middle one where none has any."""
    marked = [sum(pixels for value, pixels in each.items() if value) for each in planes]
    return marked.index(max(marked)) if any(marked) else len(planes) // 2


def check_same_file(manifest: Manifest, case: Case, relative: str, digest: str) -> None:
    """Raise `DataError` where one of a case's files has another hash than the manifest says, if it says one."""
    if case.hashes.get(relative, digest) != digest:
        raise DataError(
            f"{manifest.path(relative)} is not the file that the manifest was made from; restore it or start from the folder "
            "anew"
        )


def differing(mask_path: str, mask: tuple[int, ...], image_path: str, image: tuple[int, ...]) -> str:
    text = f"{mask_path} is {mask[1]}×{mask[0]} pixels but its image {image_path} is {image[1]}×{image[0]}"
    if mask == image[::-1]:
        return (
            f"{text} (the image may be turned by its EXIF orientation, which the mask lacks); export the mask at the image's "
            "size, or remove the orientation from the image where the mask was drawn on it as it is stored"
        )
    return f"{text}; export the mask at the image's size"


def _facts(image: Pixels, named: tuple[str, ...]) -> Facts:
    channels = " + ".join(named) or ("gray" if image.ndim == 2 else {3: "RGB", 4: "RGBA"}[image.shape[2]])
    digest = picture_digest(image)
    constant = bool((image[0] == image[0, 0]).all() and (image == image[0, 0]).all())  # a row first: it mostly tells
    bits = image.dtype.itemsize * 8
    span = (float(image.min()), float(image.max())) if image.dtype.kind == "f" else None
    return Facts(image.shape[0], image.shape[1], channels, bits, {}, digest, constant, named=named, span=span)
