"""Class volumes and DICOM objects of them, for tests: what is written, of which images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.data.formats.dicom.handle import DicomHandle
from delineate.data.formats.dicom_masks.codes import Segment, default_segments
from delineate.data.formats.dicom_masks.provenance import Provenance
from delineate.data.formats.dicom_masks.segmentation import SegmentationType, write_segmentation
from delineate.data.formats.dicom_masks.sources import read_sources
from delineate.data.formats.dicom_masks.structure_set import write_structure_set
from delineate.data.formats.registry import open_image

NAMES = ("liver", "left kidney", "thing")
COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
MADE_BY = Provenance("unet", "ab" * 32, "1.2.3")


def segments(names: tuple[str, ...] = NAMES) -> tuple[Segment, ...]:
    return default_segments(names, COLORS[: len(names)])


def balls(shape: tuple[int, ...], classes: int = 3) -> NDArray[np.uint8]:
    """Balls of every class, in X×Y×Z; slices at both ends are empty."""
    places = np.stack(np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij"), -1)
    mask = np.zeros(shape, np.uint8)
    for index in range(1, classes + 1):
        center = np.array([0.2 * index - 0.3, -0.5 + index / (classes + 1), 0.0])
        mask[np.linalg.norm(places - center, axis=-1) < 0.45] = index
    mask[..., [0, -1]] = 0
    return mask


def opened(path: Path) -> DicomHandle:
    handle = open_image(path)
    assert isinstance(handle, DicomHandle)
    return handle


def write_seg(path: Path, mask: NDArray[np.uint8], series: Path, kind: SegmentationType = "binary") -> Path:
    """A segmentation of a series, whose mask is in the order of its image."""
    image = opened(series)
    sources = read_sources([(frame.path, frame.index) for frame in image.frames])
    write_segmentation(path, image.as_frames(mask), sources, segments(), MADE_BY, kind=kind, distance=2.5)
    return path


def write_rtstruct(path: Path, mask: NDArray[np.uint8], series: Path) -> Path:
    """The same as a structure set."""
    image = opened(series)
    assert image.geometry is not None
    sources = read_sources([(frame.path, frame.index) for frame in image.frames])
    write_structure_set(path, image.as_frames(mask), sources, image.geometry, segments(), MADE_BY)
    return path


def write_fractions(path: Path, series: Path, most: int = 255, kind: str = "PROBABILITY") -> Path:
    """One segment, whose voxels have 0.2, 0.49, 0.51 and 1 of the largest value."""
    import highdicom
    import pydicom

    image = opened(series)
    sources = read_sources([(frame.path, frame.index) for frame in image.frames])
    values = np.zeros((7, 11, 14), np.float32)
    values[2, 3, :4] = [0.2, 0.49, 0.51, 1.0]
    description = highdicom.seg.SegmentDescription(
        1, "liver", pydicom.sr.codedict.codes.SCT.Organ, pydicom.sr.codedict.codes.SCT.Liver, "MANUAL"
    )
    uid = pydicom.uid.generate_uid
    highdicom.seg.Segmentation(
        list(sources.headers),
        values,
        "FRACTIONAL",
        [description],
        uid(),
        5,
        uid(),
        1,
        "m",
        "n",
        "1",
        "s",
        fractional_type=kind,
        max_fractional_value=most,
    ).save_as(path)
    return path
