"""DICOM segmentation objects (SEG) as masks. Values are the numbers of segments; 0 is background.

BINARY and LABELMAP are read as they are. FRACTIONAL, be it probability or occupancy, becomes a mask where a segment has at least
half of the file's largest value, which is told. Segments that overlap cannot be one mask and are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.geometry import sizes
from delineate.data.formats.archive_sizes import MAX_VOXELS
from delineate.data.formats.dicom.files import damage_told, read_dataset
from delineate.data.formats.dicom.numbers import tag_of, whole
from delineate.data.formats.dicom.pixels import iter_frames
from delineate.data.formats.dicom_masks.coded_items import SegmentCodes, codes_of_segment
from delineate.data.formats.dicom_masks.frames import PlacedFrames, placed_frames
from delineate.data.formats.dicom_masks.references import References, references_of
from delineate.data.formats.sparse_mask import SparseMask

__all__ = ["SEGMENTATIONS", "SegmentationHandle"]

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""SOP classes of segmentations: of bits or fractions, and label maps."""
_MOST_SEGMENTS = 65535


class SegmentationHandle(SparseMask):
    """A segmentation whose header has been read: a volume, or a picture where its frame has no position."""

    def __init__(self, path: Path, only: Collection[int] = ()) -> None:
        """`only`: as in `open_object`. Raises `DataError` naming the file: not a segmentation, of odd frames, too large."""
        self.path, self._only = path, frozenset(only)
        self._header = read_dataset(path)
        self.kind = str(self._header.get("SegmentationType") or "")
        if str(self._header.get("SOPClassUID")) not in SEGMENTATIONS or self.kind not in (
            "BINARY",
            "FRACTIONAL",
            "LABELMAP",
        ):
            raise DataError(f"{path} is no DICOM segmentation")
        self._frames = whole(self._header, "NumberOfFrames", path) or 1
        self._size = (whole(self._header, "Rows", path) or 0, whole(self._header, "Columns", path) or 0)
        groups = len(self._header.get("PerFrameFunctionalGroupsSequence") or [])
        if groups != self._frames:
            raise DataError(f"{path} says {self._frames} frames but describes {groups}; restore it")
        self.placed: PlacedFrames | None = placed_frames(self._header, path)
        if self.placed is None:
            self._one_picture()
        self.geometry = None if self.placed is None else self.placed.grid
        self.shape = self._size if self.geometry is None else self.geometry.shape
        if np.prod(self.shape, dtype=np.float64) > MAX_VOXELS:
            raise DataError(f"{path} has {sizes(self.shape)} voxels, above the limit of {MAX_VOXELS:,}")
        self._most = 1 if self.kind != "FRACTIONAL" else _largest(self._header, path)
        self.names = _labels(self._header, path)
        """Number of each segment → its label."""

    @property
    def codes(self) -> dict[int, SegmentCodes]:
        """Number of each segment → what it is in codes."""
        with damage_told(self.path):
            items = self._header.get("SegmentSequence") or []
            found = {whole(item, "SegmentNumber", self.path): codes_of_segment(item) for item in items}
        return {number: code for number, code in found.items() if number}

    @property
    def references(self) -> References:
        """The images that it says it is of."""
        with damage_told(self.path):
            return references_of(self._header, self.path)

    @property
    def notes(self) -> tuple[str, ...]:
        if self.kind != "FRACTIONAL":
            return ()
        of = str(self._header.get("SegmentationFractionalType") or "of an unknown kind")
        rule = "a voxel is a segment's where it has at least half of that"
        return (f"{self.path.name} holds fractions ({of}, up to {self._most}): {rule}",)

    def compose(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Raises `DataError` for damaged pixels, unknown segments and segments that overlap."""
        dataset = read_dataset(self.path, pixels=True)
        known = max(self.names, default=0)
        planes = self.shape[2] if self.is_volume else 1
        volume = np.zeros((planes, *self._size), np.uint8 if known < 256 else np.uint16)
        slices = (0,) * self._frames if self.placed is None else self.placed.slices
        for at, (frame, segment) in enumerate(self._planes(dataset)):
            plane = volume[slices[at]]
            if segment is None:
                self._add_label_map(plane, frame)
                continue
            if self._only and segment not in self._only:
                continue
            if (plane[frame] != 0).any():
                other = int(plane[frame][plane[frame] != 0][0])
                names = f"'{self.names[other]}' and '{self.names[segment]}'"
                raise DataError(
                    f"{self.path}: the segments {names} overlap; one mask cannot hold both: export them apart"
                )
            plane[frame] = segment
        return volume.transpose(2, 1, 0) if self.is_volume else volume[0]

    def _add_label_map(self, plane: NDArray[Any], frame: NDArray[Any]) -> None:
        strange = set(np.unique(frame).tolist()) - {0, *self.names}
        if strange:
            raise DataError(
                f"{self.path}: it holds the value {min(strange)}, which is none of its segments; restore it"
            )
        if self._only:
            frame = np.where(np.isin(frame, list(self._only)), frame, 0)
        both = (plane != 0) & (frame != 0) & (plane != frame)
        if both.any():
            names = " and ".join(f"'{self.names[int(each[both][0])]}'" for each in (plane, frame))
            raise DataError(f"{self.path}: two frames at one place mark the same voxels as {names}; restore it")
        plane[...] = np.where(frame, frame, plane)

    def _planes(self, dataset: Any) -> Iterator[tuple[NDArray[Any], int | None]]:
        """Each frame with its segment: as booleans; of a label map its values, and no segment."""
        try:
            frames = _bits(dataset, self._frames, self._size) if _is_bits(dataset) else self._decoded(dataset)
            if self.kind == "LABELMAP":
                yield from ((frame, None) for frame in frames)
                return
            for group, frame in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
                if self.kind == "FRACTIONAL":
                    frame = self._at_least_half(frame)
                yield frame != 0, self._segment(dataset, group)
        except DataError:
            raise
        except Exception as error:
            raise DataError(
                f"{self.path} has pixels that cannot be read ({type(error).__name__}); restore it"
            ) from error

    def _at_least_half(self, frame: NDArray[Any]) -> NDArray[np.bool_]:
        if frame.max(initial=0) > self._most:
            raise DataError(
                f"{self.path}: it has the fraction {frame.max()}, above its {tag_of('MaximumFractionalValue')} of {self._most}; "
                "restore it"
            )
        return 2 * frame.astype(np.uint16) >= self._most

    def _decoded(self, dataset: Any) -> Iterator[NDArray[Any]]:
        yield from iter_frames(self.path, dataset, whole(dataset, "BitsStored", self.path) or 8)

    def _segment(self, dataset: Any, group: Any) -> int:
        shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or []), None)
        for place in (group, shared):
            found = None if place is None else place.get("SegmentIdentificationSequence")
            if found:
                number = whole(found[0], "ReferencedSegmentNumber", self.path)
                if number not in self.names:
                    raise DataError(
                        f"{self.path}: a frame is of segment {number}, which it does not describe; restore it"
                    )
                return number
        raise DataError(f"{self.path}: a frame has no {tag_of('ReferencedSegmentNumber')}; restore it")

    def _one_picture(self) -> None:
        """Frames without positions are of one picture, or of nothing that can be told apart."""
        items = self._header.get("PerFrameFunctionalGroupsSequence") or []
        sources = {
            (str(image.get("ReferencedSOPInstanceUID")), str(image.get("ReferencedFrameNumber")))
            for item in items
            for derivation in item.get("DerivationImageSequence") or []
            for image in derivation.get("SourceImageSequence") or []
        }
        if len(sources) > 1:
            raise DataError(
                f"{self.path} is of several images that have no positions; one mask cannot hold them: export them apart"
            )


def _largest(header: Any, path: Path) -> int:
    """The fraction that stands for all of a voxel."""
    found = whole(header, "MaximumFractionalValue", path)
    if found is None:
        raise DataError(f"{path} holds fractions, but not the largest ({tag_of('MaximumFractionalValue')}); restore it")
    return found


def _labels(header: Any, path: Path) -> dict[int, str]:
    """Number of each segment → its label; without a background that is described as a segment 0."""
    found: dict[int, str] = {}
    for item in header.get("SegmentSequence") or []:
        number = whole(item, "SegmentNumber", path)
        if number is None or number in found or not 0 <= number <= _MOST_SEGMENTS:
            raise DataError(f"{path}: a segment has the number {number}; restore it")
        if number:
            found[number] = str(item.get("SegmentLabel") or f"segment {number}")
    if not found:
        raise DataError(f"{path} describes no segment")
    return dict(sorted(found.items()))


def _is_bits(dataset: Any) -> bool:
    """Whether a byte holds eight pixels, one frame beginning where the last one ends."""
    return dataset.BitsAllocated == 1 and not dataset.file_meta.TransferSyntaxUID.is_encapsulated


def _bits(dataset: Any, frames: int, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """One frame after the other: unpacked, all of them would need eight times the memory."""
    packed = np.frombuffer(dataset.PixelData, np.uint8)
    pixels = size[0] * size[1]
    if len(packed) * 8 < frames * pixels:
        raise ValueError("truncated")
    for at in range(frames):
        start, end = at * pixels, (at + 1) * pixels
        bits = np.unpackbits(packed[start // 8 : (end + 7) // 8], bitorder="little")
        yield bits[start % 8 : start % 8 + pixels].reshape(size)
